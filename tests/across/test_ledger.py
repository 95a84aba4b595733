"""The verdicts of the ledger by hand, and that every claim says what it needs."""

import pandas as pd
import pytest

from skinlib.across import ledger
from skinlib.papers import paper_names

NAN = float("nan")


def judged(claimed, printed, ours, low, high, p=NAN, units=5, metric="auc_change", **more):
    """Return verdict and reason of one claim on one cell."""
    claim = {"paper": "p", "exhibit": "e", "row": "a*", "metric": metric, "claimed": claimed, "published": printed}
    cell = {"row": "a - b", "metric": metric, "ours": ours, "low": low, "high": high, "n": 9, "units": units, "p": p}
    cells = pd.DataFrame([{"row": "other", "metric": metric, "ours": 1.0}, cell | {"note": "none; paper: x"} | more])
    found = ledger.judge(pd.DataFrame([claim]), lambda paper, name: cells).iloc[0]
    return found["verdict"], found["why"]


@pytest.mark.parametrize(("cell", "verdict", "why"), [
    (("+", 0.03, 0.02, 0.01, 0.04, 0.001), "reproduced", ""),
    (("+", NAN, 0.02, 0.01, 0.04, 0.001), "reproduced", "no number is published"),
    (("+", 0.05, 0.02, 0.01, 0.04, 0.001), "same direction", "outside our interval"),
    (("-", -0.03, 0.02, 0.01, 0.04, 0.001), "contradicted", "other sign"),
    (("+", 0.03, 0.02, -0.0196, 0.0196, 0.3), "no evidence", "an effect of 0.028 could"),  # 0.0196 x 2.80 / 1.96
    (("+", 0.03, 0.02, 0.01, 0.04, 0.001, 4), "cannot be judged here", "paired trainings: 4, a verdict takes 5"),
    (("+", 0.03, 0.02, 0.01, 0.04, 0.001, NAN), "cannot be judged here", "not recorded"),
    (("+", 0.03, 0.02, 0.01, 0.04, NAN, NAN, "roc_auc"), "cannot be judged here", "not recorded"),  # of one classifier
    (("+", 0.03, 0.02, -0.01, 0.04, NAN, 5, "roc_auc"), "no evidence", "could have been seen"),
    (("within", 0.05, 0.01, -0.02, 0.04, NAN, NAN), "cannot be judged here", "not recorded"),
    (("at least", 0.5, 0.66, 0.6, 0.7, NAN, 3), "cannot be judged here", "paired trainings: 3"),
    (("at least", 2, 1, NAN, NAN, NAN, NAN), "contradicted", "beyond"),  # a count rests on no training
    (("+", 0.03, NAN, NAN, NAN), "cannot be judged here", "none"),
    (("at least", 0.9, 0.95, 0.92, 0.97), "reproduced", ""), (("at least", 0.9, 0.8, 0.7, 0.89), "contradicted", ""),
    (("at least", 0.9, 0.9, 0.8, 0.95), "no evidence", "both"), (("at most", 1, 9, NAN, NAN), "contradicted", "beyond"),
    (("at most", 1, 1, NAN, NAN), "reproduced", ""), (("above", 0, 0.1, 0.02, 0.2), "reproduced", ""),
    (("above", 0, 0.0, NAN, NAN), "no evidence", "both"), (("within", 0.05, 0.01, -0.02, 0.04), "reproduced", ""),
    (("within", 0.05, -0.08, -0.1, -0.06), "contradicted", ""), (("within", 0.05, 0.03, 0, 0.08), "no evidence", ""),
])  # fmt: skip
def test_a_verdict_follows_from_the_cell(cell, verdict, why):
    found = judged(*cell)
    assert found[0] == verdict
    assert why in found[1]


def test_holm_counts_where_it_is_known_and_what_is_not_made_is_not_judged():
    assert judged("+", 0.03, 0.02, 0.01, 0.04, 0.001, p_adjusted=0.2)[0] == "no evidence"
    assert judged("+", 0.03, 0.02, 0.01, 0.04, 0.001, row="b")[1] == "no such row here"
    claim = pd.DataFrame([{"paper": "p", "exhibit": "e", "row": "a", "metric": "m", "claimed": "+", "published": 1.0}])
    assert ledger.judge(claim, lambda paper, name: None).loc[0, "why"] == "the exhibit is not made here"


def test_the_claims_are_at_least_sixty_of_five_papers_each_with_a_place_and_a_cell():
    table = ledger.claims()
    assert len(table) >= 60 and set(table["paper"]) == set(paper_names())
    words = ["place", "claim", "exhibit", "row", "metric"]
    assert (table[words] != "").all(axis=None) and not table.duplicated(["paper", "claim"]).any()
    assert set(table["claimed"]) <= {*ledger.CHANGES, "at least", "at most", "above", "within"}
    bounds = table[~table["claimed"].isin(ledger.CHANGES)]
    assert bounds["published"].notna().all()
    changes = table[table["claimed"].isin(ledger.CHANGES) & table["published"].notna()]
    named = changes["claim"].str.contains("Visual \\[14\\].*AUC")  # behind by 0.001, and called the best for all models
    assert ((changes["published"] > 0) == (changes["claimed"] == "+"))[~named].all()
