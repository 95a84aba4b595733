"""What to believe: every claim of the papers that a number can answer, next to our number, and a verdict by rule.

`data/published/claims.csv` has a row a claim: paper, place, claim, published (a number or blank), claimed, and the cell
of ours that answers it: exhibit, row (``*`` stands for what a profile chooses, such as the backbone), metric. What is
``claimed`` is a change up (``+``) or down (``-``), or that a number is ``at least``, ``at most`` or ``above`` the
published one or ``within`` it to either side of zero.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase

import pandas as pd

from skinlib.evaluation.fairness import smallest_detectable_gap
from skinlib.exhibits.published import folder
from skinlib.exhibits.score import ALPHA, LEAST_UNITS

VERDICTS = ("reproduced", "same direction", "no evidence", "contradicted", "cannot be judged here")
REPRODUCED, SAME_DIRECTION, NO_EVIDENCE, CONTRADICTED, UNKNOWN = VERDICTS
CHANGES = ("+", "-")


def claims() -> pd.DataFrame:
    """Return the claims as they were typed in, a row each; ``published`` is NaN where the text has no number."""
    table = pd.read_csv(folder("across").parent / "claims.csv", keep_default_na=False)
    return table.assign(published=pd.to_numeric(table["published"]))


def judge(table: pd.DataFrame, exhibit: Callable[[str, str], pd.DataFrame | None]) -> pd.DataFrame:
    """Return the claims with ``ours, low, high, n, units, p``, ``smallest`` (the effect that could have been seen),
    ``verdict`` of `VERDICTS` and ``why``.

    ``exhibit(paper, name)`` gives the cells of an exhibit, None where this profile has none.
    """
    rows = table.itertuples(index=False)
    return pd.DataFrame([one._asdict() | _judged(one, exhibit(one.paper, one.exhibit)) for one in rows])


def _judged(claim, cells: pd.DataFrame | None) -> dict:
    if cells is None:
        return {"verdict": UNKNOWN, "why": "the exhibit is not made here"}
    names = [row for row in cells["row"].unique() if row == claim.row or fnmatchcase(row, claim.row)]
    found = cells[cells["row"].isin(names[:1]) & (cells["metric"] == claim.metric)]
    if found.empty:
        return {"verdict": UNKNOWN, "why": "no such row here"}
    cell = found.reindex(columns=["ours", "low", "high", "n", "units", "p", "p_adjusted", "note"]).iloc[0]
    about = {name: cell[name] for name in ("ours", "low", "high", "n", "units")}
    about["p"] = cell["p_adjusted"] if pd.notna(cell["p_adjusted"]) else cell["p"]
    about["smallest"] = smallest_detectable_gap((cell["high"] - cell["low"]) / 3.92)  # 2 x 1.96 standard errors
    if pd.isna(cell["ours"]):
        return about | {"verdict": UNKNOWN, "why": str(cell["note"]).partition("; paper:")[0]}
    if pd.isna(about["units"]) and pd.notna(about["low"]):  # a count or a rank has no interval
        return about | {"verdict": UNKNOWN, "why": "how many trainings are behind it is not recorded"}
    if about["units"] < LEAST_UNITS:
        few = f"paired trainings: {about['units']:.0f}, a verdict takes {LEAST_UNITS}"
        return about | {"verdict": UNKNOWN, "why": few}
    verdict, why = _of_change(claim, about) if claim.claimed in CHANGES else _of_bound(claim, about)
    return about | {"verdict": verdict, "why": why}


def _of_change(claim, about: dict) -> tuple[str, str]:
    if pd.isna(about["low"]):
        return UNKNOWN, "no interval"
    shown = about["p"] < ALPHA if pd.notna(about["p"]) else about["low"] > 0 or about["high"] < 0
    if not shown:
        return NO_EVIDENCE, f"an effect of {about['smallest']:.3f} could have been seen"
    if (about["ours"] > 0) != (claim.claimed == "+"):
        return CONTRADICTED, "the effect has the other sign"
    if pd.notna(claim.published) and not about["low"] <= claim.published <= about["high"]:
        return SAME_DIRECTION, "the published effect lies outside our interval"
    return REPRODUCED, "" if pd.notna(claim.published) else "in its direction; no number is published"


def _of_bound(claim, about: dict) -> tuple[str, str]:
    low, high = (about[end] if pd.notna(about[end]) else about["ours"] for end in ("low", "high"))
    bound = claim.published
    if claim.claimed == "within":
        low, high, bound = -max(abs(low), abs(high)), -max(low, -high, 0), -bound
    elif claim.claimed == "at most":
        low, high, bound = -high, -low, -bound
    if low > bound or (low == bound and claim.claimed != "above"):
        return REPRODUCED, ""
    return (CONTRADICTED, "our interval lies beyond it") if high < bound else (NO_EVIDENCE, "our interval holds both")
