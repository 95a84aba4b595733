"""The engine: rows to values, pairs to changes and verdicts, by hand and against the functions underneath."""

import numpy as np
import pandas as pd
import pytest

from skinlib.evaluation import mrmc
from skinlib.evaluation.metrics import OF_CALLS, binary
from skinlib.evaluation.statistics import bootstrap_ci, holm
from skinlib.exhibits import score as engine
from skinlib.exhibits.choose import choose
from skinlib.exhibits.score import Boot, by_group, changes, counts, each_training, gaps, judge, noted, score
from skinlib.exhibits.scored import OF_MASKS, Scored, pair, with_rarest

BOOT = Boot(n=100, n_p=100, seed=0)


def table(seeds=(0,), shift=0.0, n=60, noise=1.0, column="seed"):
    """Scores of n images, half of them malignant, for each training: better with a larger shift."""
    rows = []
    for seed in seeds:
        rng, label = np.random.default_rng((7, seed)), np.arange(n) % 2
        p = 1 / (1 + np.exp(-(label * (1 + shift) - 0.5 + noise * rng.normal(size=n))))
        names = [f"i{k}" for k in range(n)]
        one = {"image_id": names, "lesion_id": names, "dataset": "d", "split": "s", "label": label, column: seed}
        rows.append(pd.DataFrame(one | {"p_benign": 1 - p, "p_malignant": p}))
    return pd.concat(rows, ignore_index=True)


def cell(frame, row, metric):
    return frame.set_index(["row", "metric"]).loc[(row, metric)]


def test_values_by_hand_at_a_threshold():
    p = np.array([0.9, 0.6, 0.4, 0.2])
    one = Scored(table(n=4).assign(label=[1, 0, 1, 0], p_benign=1 - p, p_malignant=p), threshold=0.5)
    found = score({"a": one}, ["recall", "specificity", "tp", "fn", "roc_auc", "threshold"], BOOT)
    assert list(found["ours"]) == [0.5, 0.5, 1, 1, 0.75, 0.5]
    assert found.loc[found["metric"].isin(["tp", "fn"]), "low"].isna().all() and set(found["n"]) == {4}
    assert list(score({"a": Scored(one.table, threshold=0.3)}, ["recall", "specificity"], BOOT)["ours"]) == [1.0, 0.5]


def test_the_interval_is_that_of_the_cluster_bootstrap():
    rows = table().assign(lesion_id=[f"l{k // 3}" for k in range(60)])
    found = cell(score({"a": Scored(rows)}, ["roc_auc"], BOOT), "a", "roc_auc")
    expected = bootstrap_ci(binary("roc_auc"), rows, groups=rows["lesion_id"].to_numpy(), n=100, seed=0)
    assert (found["ours"], found["low"], found["high"]) == pytest.approx(tuple(expected))


def test_several_trainings_are_averaged_and_never_pooled():
    rows = table(seeds=(0, 1, 2))
    found = cell(score({"a": Scored(rows)}, ["roc_auc"], BOOT), "a", "roc_auc")
    each = [binary("roc_auc")(part) for _, part in rows.groupby("seed")]
    assert found["ours"] == pytest.approx(np.mean(each)) and found["units"] == 3
    apart = each_training({"a": Scored(rows)}, ["roc_auc"])
    assert list(apart["roc_auc"]) == pytest.approx(each) and list(apart["seed"]) == [0, 1, 2]


def test_a_threshold_each_and_its_range():
    rows = table(seeds=(0, 1))
    one = Scored(rows, threshold={0: 0.4, 1: 0.6})
    found = cell(score({"a": one}, ["threshold"], BOOT), "a", "threshold")
    assert (found["ours"], found["low"], found["high"]) == (0.5, 0.4, 0.6)
    with pytest.raises(ValueError, match="no threshold for 1"):
        Scored(rows, threshold={0: 0.4}).thresholds()


def test_units_of_two_columns_have_tuples_as_keys():
    rows = pd.concat([table(seeds=(0, 1)).assign(fold=fold) for fold in (0, 1)], ignore_index=True)
    one = Scored(rows, threshold={(f, s): 0.5 for f in (0, 1) for s in (0, 1)}, units=("fold", "seed"), nested=True)
    assert one.trainings == 4 and score({"a": one}, ["recall"], BOOT)["units"].tolist() == [4]
    groups, strata = one.resampled()["groups"], one.resampled()["strata"]
    assert len(groups) == 3 and list(strata[2]) == list(rows["fold"])


def test_means_of_a_column_leave_out_what_is_not_known():
    rows = pd.DataFrame({"image_id": list("abcd"), "dataset": "d", "split": "s", "energy": [0.2, 0.4, np.nan, 0.6]})
    one = Scored(rows, units=(), least=5)
    found = score({"map": one}, ["mean:energy"], BOOT).iloc[0]
    assert (found["metric"], found["ours"]) == ("energy", pytest.approx(0.4)) and "fewer than 5 images" in found["note"]
    assert score({"map": one.where([False] * 4)}, ["mean:energy"], BOOT)["note"].tolist() == ["no such image"]


def test_metrics_of_several_classes_and_of_nothing():
    rows = pd.DataFrame({"image_id": list("abc"), "dataset": "d", "split": "s", "label": [0, 1, 2], "seed": 0})
    rows = rows.assign(p_x=[0.8, 0.1, 0.3], p_y=[0.1, 0.8, 0.4], p_z=[0.1, 0.1, 0.3])
    found = score({"a": Scored(rows)}, {"acc": "accuracy", "recall_of_z": "recall_of_z"}, BOOT)
    assert list(found["ours"]) == [pytest.approx(2 / 3), 0.0]
    with pytest.raises(ValueError, match="no metric 'recall_of_q'"):
        score({"a": Scored(rows)}, ["recall_of_q"], BOOT)
    assert set(with_rarest(rows)["rarest"]) == {0, 1, 2}
    lesions = pd.DataFrame({"image_id": list("abcd"), "lesion_id": list("xxyz"), "label": [0, 1, 0, 0]})
    assert with_rarest(lesions)["rarest"].tolist() == [1, 1, 0, 0]  # of a lesion of two labels the rarer


def test_a_pair_has_the_units_that_both_have_and_a_row_without_trainings_those_of_the_other():
    a, b = pair(Scored(table(seeds=(0, 1, 2))), Scored(table(seeds=(1, 2, 3))))
    assert set(a.table["seed"]) == set(b.table["seed"]) == {1, 2}
    with pytest.raises(ValueError, match="no seed in common"):
        pair(Scored(table(seeds=(0,))), Scored(table(seeds=(1,))))
    a, b = pair(Scored(table(seeds=(0, 1, 2))), Scored(table().drop(columns="seed"), units=()))
    assert len(b.table) == len(a.table) and set(b.table["seed"]) == {0, 1, 2}
    of_folds = Scored(table(seeds=(0, 1), column="fold"), units=("fold",), threshold={0: 0.2, 1: 0.7})
    heads = pd.concat([table(seeds=(0, 1), column="fold").assign(seed=s) for s in (5, 6)])
    a, b = pair(of_folds, Scored(heads, units=("fold", "seed"), nested=True))
    assert a.units == b.units == ("fold", "seed") and len(a.table) == len(b.table)
    assert a.thresholds().tolist() == a.table["fold"].map({0: 0.2, 1: 0.7}).tolist()


def test_one_pair_has_an_interval_and_no_verdict_and_no_pair_has_no_changes():
    found = changes({"b - a": (Scored(table(shift=2)), Scored(table()))}, ["roc_auc"], BOOT, family="primary")
    one = cell(found, "b - a", "roc_auc_change")
    assert one["low"] > 0 and (one["verdict"], one["units"], one["family"]) == ("one run each", 1, "primary")
    none = changes({}, ["roc_auc"], BOOT, family="side")
    assert none.empty and engine.verdicts(none).empty


def test_few_trainings_say_how_many_agree_and_have_no_verdict():
    pairs = {"b - a": (Scored(table(range(3), shift=3)), Scored(table(range(3))))}
    one = cell(changes(pairs, ["roc_auc"], BOOT, family="side"), "b - a", "roc_auc_change")
    assert one["verdict"] == "" and one["note"] == "3 of 3 trainings agree in sign"


def test_five_trainings_have_the_interval_of_readers_and_cases_and_a_verdict():
    after, before = table(range(5), shift=3), table(range(5))
    pairs = {"x": (Scored(after), Scored(before))}
    one = cell(changes(pairs, ["roc_auc"], BOOT, family="primary"), "x", "roc_auc_change")
    model = mrmc.compare(after, before, binary("roc_auc"))
    wanted = (model.difference, model.low, model.high, model.p)
    assert tuple(one[["ours", "low", "high", "p"]]) == pytest.approx(wanted) and one["verdict"] == "helps"
    assert changes(pairs, ["roc_auc"], BOOT, family="side", leak=True)["verdict"].tolist() == ["inflates"]


def test_sensitivity_is_never_asked_alone_and_a_trade_is_called_so():
    after, before = table(range(5), noise=0.8), table(range(5), noise=0.8)
    pairs = {"lower threshold": (Scored(after, threshold=0.2), Scored(before, threshold=0.6))}
    with pytest.raises(ValueError, match="recall without specificity"):
        changes(pairs, ["recall"], BOOT, family="side")
    assert changes(pairs, ["recall", "specificity"], BOOT, family="side")["verdict"].tolist() == ["trade", "trade"]


def test_a_step_that_cannot_move_a_metric_is_not_in_its_family():
    steps = {"a": Scored(table()), "threshold": Scored(table(), threshold=0.2), "better": Scored(table(shift=2))}
    found = changes(engine.step_by_step(steps), ["roc_auc"], BOOT, family="primary")
    still = cell(found, "threshold", "roc_auc_change")
    assert (still["ours"], still["verdict"]) == (0.0, "") and "nothing differs" in still["note"]
    moved = cell(found, "better", "roc_auc_change")
    assert moved["p_adjusted"] == moved["p"] and engine.verdicts(found).loc["threshold", "roc_auc"] == ""


def test_holm_runs_within_family_and_metric():
    rows = {
        "row": list("abac"), "metric": list("xxyx"),
        "p": [0.01, 0.02, 0.03, 0.04], "family": ["primary"] * 3 + ["s"],
    }  # fmt: skip
    frame = pd.DataFrame(rows).assign(low=1.0, high=2.0, units=5)
    assert judge(frame)["p_adjusted"].tolist() == pytest.approx([*holm([0.01, 0.02]), 0.03, 0.04])
    worse = {"fn", "fp", "fn_rate", "fp_rate", "ece", "brier", "hd95", "hd95_share"}  # of these more is no better
    for name in [*OF_CALLS, *OF_MASKS]:
        assert judge(frame.assign(metric=name))["verdict"].iloc[0] == ("harms" if name in worse else "helps"), name
    assert judge(frame.assign(low=-1.0))["verdict"].tolist() == ["no evidence"] * 4


def test_a_gap_of_other_images_resamples_each_alone():
    found = gaps({"g": (Scored(table(shift=2)), Scored(table(n=40)))}, {"auc_gap": "roc_auc"}, BOOT, note="val - test")
    values = [binary("roc_auc")(one) for one in (table(shift=2), table(n=40))]
    assert found["ours"].iloc[0] == pytest.approx(values[0] - values[1])
    assert found["low"].iloc[0] < found["ours"].iloc[0] < found["high"].iloc[0]


def test_counts_take_numbers_triples_and_mappings_and_notes_are_added():
    found = counts({("r", "a"): 1, ("r", "b"): (2, 1, 3), ("r", "c"): {"ours": None, "note": "no"}}, about={"n": 9})
    assert found["ours"].tolist()[:2] == [1, 2] and found.loc[1, ["low", "high"]].tolist() == [1, 3]
    assert found["note"].tolist() == ["", "", "no"] and set(found["n"]) == {9}
    seeds = counts({("r", "several"): [1.0, 4.0], ("r", "one"): [2.0]})[["ours", "low", "high"]]
    assert seeds.to_numpy() == pytest.approx(np.array([[2.5, 1, 4], [2, np.nan, np.nan]]), nan_ok=True)
    found = counts({("r", "a"): {"ours": 1, "note": "first"}, ("r", "b"): 2, ("r", "c"): 3})
    assert noted(found, {"a": "second", "b": "second"})["note"].tolist() == ["first; second", "second", ""]


def test_images_are_chosen_by_rule():
    rows = pd.DataFrame({"image_id": list("abcde"), "energy": [0.3, 0.1, 0.5, np.nan, 0.3], "outcome": list("rrrrw")})
    found = choose(rows, "energy", within="outcome", groups=("r", "w", "none"))
    assert found["outcome"].tolist() == ["r"] * 3 + ["w"] * 3 + ["none"] * 3
    assert found["image_id"].tolist()[:4] == ["c", "a", "b", "e"] and found["image_id"].isna().sum() == 5
    assert choose(rows, "energy", places=("lowest",))["image_id"].tolist() == ["b"]


def test_a_gap_between_clinics_is_none_within_them():
    rng, frames = np.random.default_rng(0), []
    for clinic, share, shift in (("a", 0.9, 0.0), ("b", 0.1, 0.6)):  # the dark clinic is the hard one
        label = np.r_[np.ones(100, int), np.zeros(100, int)]
        p = np.clip(0.5 + shift * (label - 0.5) + rng.uniform(-0.4, 0.4, 200), 0, 1)
        tone = np.where(np.tile(np.arange(100) < 100 * share, 2), "dark", "light")
        columns = {"label": label, "p_benign": 1 - p, "p_malignant": p, "source": clinic, "tone": tone}
        frames.append(pd.DataFrame(columns))
    table = pd.concat(frames, ignore_index=True).assign(dataset="d", split="s", seed=0)
    one = Scored(table.assign(image_id=[f"i{k}" for k in range(len(table))]))
    pooled = cell(by_group(one, "tone", ["roc_auc"], BOOT, reference="light"), "gap", "roc_auc")
    assert pooled["ours"] > 0.2 and pooled["low"] > 0 and pooled["p"] < 0.05 and "a gap of 0." in pooled["note"]
    few = one.where((table["tone"] == "light") | (table.index < 5))  # too few of the dark for a test
    few = cell(by_group(few, "tone", ["recall"], BOOT, reference="light"), "gap", "recall")
    assert few["note"].startswith("counts only")
    for clinic in "ab":
        within = by_group(one.where(table["source"] == clinic), "tone", ["roc_auc"], BOOT, reference="light")
        assert cell(within, "gap", "roc_auc")["low"] < 0 < cell(within, "gap", "roc_auc")["high"]
    values = by_group(one, "tone", ["recall", "fn"], BOOT, prefix="x: ").set_index(["row", "metric"])
    assert set(values.index.get_level_values("row")) == {"x: all", "x: dark", "x: light"}
    assert "malignant" in values.loc[("x: dark", "recall"), "note"]


def change(row, metric, ours, p):
    sides = {"low": ours - 0.01, "high": ours + 0.01}
    return {"row": row, "metric": metric, "ours": ours, "p": p, "units": 5, "family": "primary"} | sides


def test_claims_of_several_metrics_can_be_one_family():
    """Two tests of p 0.03, each of a metric of its own: alone both are verdicts, together neither is."""
    frame = pd.DataFrame([change("a", "fp_rate_change", -0.1, 0.03), change("b", "accuracy_change", 0.1, 0.03)])
    assert list(judge(frame)["verdict"]) == ["helps", "helps"]  # fewer false positives are better
    together = judge(frame, over=("family",))
    assert list(together["p_adjusted"]) == [0.06, 0.06] and list(together["verdict"]) == ["no evidence"] * 2


@pytest.mark.parametrize("suffix", ["", "_change"])
def test_a_trade_is_found_whatever_the_suffix(suffix):
    pair_ = [change("a", f"recall{suffix}", 0.1, 0.001), change("a", f"specificity{suffix}", -0.1, 0.001)]
    assert list(judge(pd.DataFrame(pair_))["verdict"]) == ["trade", "trade"]
