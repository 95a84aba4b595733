"""The paper's exhibits from small tables whose numbers are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from skinlib.config import RunConfig
from skinlib.evaluation.tables import TestDataError as ChosenOnTestRows
from skinlib.evaluation.thresholds import choose_threshold
from skinlib.exhibits import estimates
from skinlib.exhibits import write as tables
from skinlib.exhibits.estimates import Arm
from skinlib.papers.recall_oriented import tables as paper
from skinlib.papers.recall_oriented.errors import MODES, failure_mode

FEW = {"n_boot": 200}


def predictions(label, p, *, part="test", seed=0, **more):
    label, p = np.asarray(label), np.asarray(p, float)
    columns = {"image_id": [f"i{k:03d}" for k in range(len(label))], "lesion_id": np.nan, "patient_id": np.nan}
    columns |= {"dataset": "ham10000", "split": "grouped", "part": part, "fold": -1, "seed": seed, "view": "mean"}
    return pd.DataFrame(columns | {"label": label, "p_benign": 1 - p, "p_malignant": p} | more)


def drawn(n=240, shift=1.0, *, part="test", seed=0, draw=0):
    """Scores of which malignant ones lie ``shift`` logits higher; the same images and labels for every draw."""
    label = (np.arange(n) % 4 == 0).astype(int)
    noise = np.random.default_rng(draw).normal(size=n)
    group = np.where(np.arange(n) // 4 % 2 == 0, "light", "dark")
    p = 1 / (1 + np.exp(-(shift * (label - 0.5) + 0.7 * noise)))
    return predictions(label, p, part=part, seed=seed, group=group, ita=np.where(group == "light", 40.0, 20.0))


def look(frame):
    assert not frame.duplicated(["row", "metric"]).any()
    return frame.set_index(["row", "metric"])


HAND = predictions([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.6, 0.2, 0.7, 0.4, 0.3, 0.1, 0.1])


def test_measure_by_hand():
    # t = 0.5 calls 0.9, 0.6, 0.7: two of three malignant found, one of five benign called.
    names = ("recall", "precision", "f1", "tp", "fn", "tn", "fp", "roc_auc", "brier")
    got = look(pd.DataFrame(estimates.measure("a", Arm(HAND), names, **FEW)))["ours"]
    pairs_won = 5 + 4 + 2  # 0.9 beats all five, 0.6 four, 0.2 two
    brier = (0.01 + 0.16 + 0.64 + 0.49 + 0.16 + 0.09 + 0.01 + 0.01) / 8
    expected = [2 / 3, 2 / 3, 2 / 3, 2, 1, 4, 1, pairs_won / 15, brier]
    assert got["a"].to_list() == pytest.approx(expected)
    assert look(pd.DataFrame(estimates.measure("a", Arm(HAND, 0.15), ["recall"], **FEW)))["ours"].iloc[0] == 1.0


def test_weighted_means_follow_the_calls():
    tied = predictions([1, 1, 0, 0, 0, 0], [0.5, 0.2, 0.1, 0.1, 0.1, 0.6])  # 0.5 reaches the threshold: 4 of 6 right
    names = ("accuracy", "weighted_recall", "weighted_f1", "weighted_specificity")
    got = look(pd.DataFrame(estimates.measure("a", Arm(tied), names, **FEW)))["ours"]["a"]
    f1 = (2 * 2 * 1 / (2 + 2) + 4 * 2 * 3 / (4 + 4)) / 6  # malignant: 1 hit, 2 rows, 2 calls; benign: 3, 4, 4
    specificity = (2 * 3 / 4 + 4 * 1 / 2) / 6
    assert got.to_list() == pytest.approx([4 / 6, 4 / 6, f1, specificity])
    lower = look(pd.DataFrame(estimates.measure("a", Arm(tied, 0.15), names[:2], **FEW)))["ours"]["a"]
    assert lower.to_list() == pytest.approx([5 / 6, 5 / 6])


def test_an_interval_of_no_width_says_that_it_knows_nothing():
    found, missed = estimates.measure("a", Arm(HAND, 0.15), ["recall", "specificity"], **FEW)
    assert found["low"] == found["high"] == 1 and found["note"].startswith("every resample alike")
    assert missed["low"] < missed["high"] and missed["note"] == ""


def test_a_range_needs_two_values():
    assert estimates.ends([3.0]) == {} and estimates.ends([3.0, 1.0]) == {"low": 1.0, "high": 3.0}


def test_a_metric_that_does_not_exist_is_an_empty_cell_with_a_reason():
    (one,) = estimates.measure("a", Arm(HAND, 0.95), ["precision"], **FEW)  # nothing is called
    assert np.isnan(one["ours"]) and one["note"].startswith("no interval:")


def test_seeds_are_averaged_not_pooled_and_each_has_its_threshold():
    second = HAND.assign(seed=1, p_malignant=HAND["p_malignant"] / 2, p_benign=1 - HAND["p_malignant"] / 2)
    both = pd.concat([HAND, second], ignore_index=True)
    got = {one["metric"]: one for one in estimates.measure("a", Arm(both, {0: 0.5, 1: 0.25}), ["roc_auc", "fn"], **FEW)}
    assert got["roc_auc"]["ours"] == pytest.approx(11 / 15)  # halving changes no order within a seed
    assert got["fn"]["ours"] == 1 and got["fn"]["n"] == 8
    with pytest.raises(ValueError, match="no threshold for seed 1"):
        estimates.decided(Arm(both, {0: 0.5}))


def test_a_difference_of_thresholds_alone_leaves_the_auc():
    cells = estimates.judge(estimates.compare("d", Arm(HAND, 0.15), Arm(HAND, 0.5), ("roc_auc", "recall"), **FEW))
    got = look(pd.DataFrame(cells))
    assert got.loc[("d", "roc_auc"), ["ours", "low", "high"]].tolist() == [0, 0, 0]
    assert got.loc[("d", "recall"), "ours"] == pytest.approx(1 / 3)
    assert got.loc[("d", "roc_auc"), "note"] == "no evidence (p = 1.0000)"


def test_verdicts_turn_round_where_less_is_better_and_holm_counts_the_family():
    def difference(name, low, high, p):
        return estimates.cell("r", name, (low + high) / 2, low=low, high=high) | {"p": p}

    cells = [
        difference("roc_auc", 0.1, 0.2, 0.01),
        difference("brier", 0.1, 0.2, 0.01),
        difference("roc_auc", 0.1, 0.2, 0.04),
    ]
    notes = [one["note"] for one in estimates.judge(cells)]
    assert notes == ["helps (p = 0.0200, Holm over 2)", "harms (p = 0.0100)", "helps (p = 0.0400, Holm over 2)"]
    undefined = difference("roc_auc", np.nan, np.nan, np.nan)
    notes = [one["note"] for one in estimates.judge([*cells, undefined])]
    assert notes[0] == "helps (p = 0.0200, Holm over 2)" and notes[3] == ""


def test_table1_counts_cohorts_and_pairs():
    cohort = pd.DataFrame({"label": [0, 0, 0, 1], "lesion_id": ["a", "a", "b", "c"]})
    frame = paper.table1({"train": cohort, "official train": (8061, 1954)}, dataset="ham10000", split="grouped")
    got = look(frame)["ours"]
    assert got["train"].to_dict() == {
        "n": 4, "benign": 3, "malignant": 1, "benign_fraction": 0.75, "malignant_fraction": 0.25,
        "benign_per_malignant": 3, "lesions": 3,
    }  # fmt: skip
    assert got["official train", "n"] == 10015
    fig3 = tables.select(frame, ["benign", "malignant"], rows=["train"])
    assert fig3["ours"].tolist() == [3, 1]


def test_backbones_are_named_with_what_differs_from_the_paper():
    config = RunConfig(backbone="densenet121", image_size=(299, 299))
    assert paper.backbone_row(config) == "DenseNet"
    assert paper.backbone_row(config.replace(weights="none", image_size=(64, 64))) == "DenseNet, from scratch, 64 px"
    assert paper.backbone_row(config.replace(backbone="mobilenetv2_100")) == "mobilenetv2_100, pretrained, 299 px"


def test_table2_gap_is_validation_minus_test():
    val = drawn(part="val", shift=3)
    frame = look(paper.table2({"ResNet50": paper.Backbone(Arm(drawn()), val, 11)}, **FEW))["ours"]
    assert frame["ResNet50", "auc_gap"] == pytest.approx(
        frame["ResNet50", "val_roc_auc"] - frame["ResNet50", "roc_auc"]
    )
    assert frame["ResNet50", "auc_gap"] > 0.1 and frame["ResNet50", "best_epoch"] == 11
    assert frame["ResNet50", "recall"] == pytest.approx(1 - frame["ResNet50", "fn"] / 60)


def test_table3_has_the_plain_row_and_the_paired_difference():
    val = drawn(part="val", shift=3, draw=2)
    chosen = choose_threshold(val).t
    final, plain = Arm(drawn(shift=3), chosen), Arm(drawn(shift=1, draw=1))
    frame = look(paper.table3(final, plain, val=val, **FEW))
    for name in ("roc_auc", "recall", "fn", "brier"):
        difference = frame.loc[("final", name), "ours"] - frame.loc[("plain", name), "ours"]
        assert frame.loc[("final - plain", name), "ours"] == pytest.approx(difference)
    auc = frame.loc[("final - plain", "roc_auc")]
    assert auc["low"] > 0 and auc["note"].startswith("helps (p = ") and "DeLong, clustered: p = " in auc["note"]
    threshold = frame.loc[("final", "threshold")]
    assert threshold["ours"] == chosen and threshold["low"] < threshold["high"]
    assert "240 out-of-fold rows; recall >= 0.85 met" in threshold["note"]
    assert "McNemar on malignant images" in frame.loc[("final - plain", "recall"), "note"]
    with pytest.raises(ValueError, match=r"uses threshold 0\.99"):
        paper.table3(final._replace(threshold=0.99), val=val, **FEW)


def test_tables_are_the_same_twice():
    final, plain = Arm(drawn(shift=3), 0.4), Arm(drawn(shift=1, draw=1))
    pd.testing.assert_frame_equal(paper.table3(final, plain, **FEW), paper.table3(final, plain, **FEW))


def test_the_threshold_is_never_chosen_on_test_rows():
    with pytest.raises(ChosenOnTestRows):
        paper.table3(Arm(drawn()), val=drawn(), **FEW)
    with pytest.raises(ChosenOnTestRows):
        paper.table8_recalibrated(Arm(drawn()), val=drawn(), **FEW)


def test_table4_compares_each_step_with_the_one_before():
    weak, strong = drawn(shift=0.5), drawn(shift=4)
    steps = dict(zip(paper.STEPS[:3], (Arm(weak), Arm(strong), Arm(strong, 0.2)), strict=True))
    frame = look(paper.table4(steps, **FEW))
    first, second, third = steps
    assert ("baseline", "roc_auc_change") not in frame.index and (first, "ece") in frame.index
    auc, brier = (frame.loc[(second, f"{name}_change")] for name in ("roc_auc", "brier"))
    assert auc["ours"] > 0 and auc["note"].startswith("helps") and "Holm over 2" in auc["note"]
    assert brier["ours"] < 0 and brier["note"].startswith("helps")
    assert frame.loc[(third, "roc_auc_change"), "ours"] == 0
    assert frame.loc[(third, "threshold"), "ours"] == 0.2
    with pytest.raises(ValueError, match="in this order"):
        paper.table4({second: Arm(weak), first: Arm(strong)}, **FEW)


def test_unbundled_compares_with_what_it_is_told():
    arms = {"+ scheduler": Arm(drawn(shift=2))}
    frame = look(paper.unbundled(arms, {"+ scheduler": Arm(drawn(shift=2))}, **FEW))
    assert frame.loc[("+ scheduler", "recall_change"), "ours"] == 0
    with pytest.raises(ValueError, match="name the same"):
        paper.unbundled(arms, {}, **FEW)


def test_table5_quotes_and_measures():
    joined = tables.exhibit(paper.table5(Arm(drawn()), **FEW), paper=paper.PAPER, exhibit="table5")
    frame = look(joined)
    assert frame["ours"].notna().sum() == 2 and frame.loc[("This Work", "roc_auc"), "published"] == 0.926
    assert frame.loc[("Kang et al.", "recall"), "note"].startswith("quoted, not run here")


def test_failure_modes_follow_the_rule():
    measures = pd.DataFrame(
        [
            (0.1, 0.5, 0.0, 30),
            (0.1, 0.0, 0.2, 5),
            (0.1, 0, 0, 5),
            (0.9, 0.5, 0, 5),
            (0.9, 0.5, 0.5, 30),
            (np.nan, 0, 0, 30),
        ],
        columns=["cam_inside", "hair", "ruler", "contrast"],
    )
    modes = failure_mode(measures, {"cam_inside": 0.5, "hair": 0.1, "ruler": 0.1, "contrast": 10})
    artefact, atypical, poor, low, unmeasured = MODES
    assert modes.tolist() == [artefact, artefact, poor, low, atypical, unmeasured]


def test_table6_counts_and_prints_its_limits():
    measures = pd.DataFrame(
        {"image_id": list("abcdefgh"), "cam_inside": np.arange(8) / 8, "hair": 0.0, "ruler": 0.0, "contrast": 20.0}
    )
    frame = paper.table6(measures, missed=["a", "h"], found=["b", "c", "d"], dataset="ham10000", split="grouped")
    got = look(tables.exhibit(frame, paper=paper.PAPER, exhibit="table6"))
    assert got.loc[("limit", "cam_inside"), "ours"] == pytest.approx(1.75 / 8)  # the 0.25 quantile of 0, 1/8 ... 7/8
    assert got.loc[("poor lesion localisation", "count"), ["ours", "published"]].tolist() == [1, 8]
    assert got.loc[("atypical presentation", "fraction_of_fn"), "ours"] == 0.5
    assert got.loc[("poor lesion localisation", "fraction_of_tp"), "ours"] == pytest.approx(1 / 3)
    assert got.loc[("all", "count"), "ours"] == 2
    with pytest.raises(ValueError, match="1 images have no measures, the first z"):
        paper.table6(measures, missed=["z"], found=[], dataset="ham10000", split="grouped")


def test_table7_two_groups_and_six_categories():
    test = pd.DataFrame({"ita": [60, 28.1, 28, -40, np.nan], "label": [0, 1, 1, 0, 0]})
    frame = paper.table7(test, dataset="ham10000", split="grouped")
    got = look(tables.exhibit(frame, paper=paper.PAPER, exhibit="table7"))["ours"]
    assert [got[row, "n"] for row in ("light", "dark", "no angle", "total")] == [2, 2, 1, 5]
    assert got["very light (del_bino)", "n"] == 1 and got["dark (del_bino)", "benign"] == 1
    assert got["intermediate (del_bino)", "malignant"] == 1 and got["tan (del_bino)", "n"] == 1
    assert got["dark", "malignant_fraction"] == 0.5


def test_table8_by_group_gap_flag_and_test():
    table = drawn(shift=2)
    worse = drawn(shift=0.2)
    mixed = table.where(table["group"] == "light", worse)
    mixed.loc[mixed.index[:4], "group"] = np.nan
    frame = look(paper.table8(Arm(mixed, 0.46), one_fold=Arm(table, 0.46), n_boot=200))
    light, dark = (frame.loc[(row, "roc_auc"), "ours"] for row in ("light", "dark"))
    assert frame.loc[("gap", "roc_auc"), "ours"] == pytest.approx(light - dark)
    assert light - dark > 0.02 and frame.loc[("flag", "roc_auc"), "ours"] == 1
    assert 0 <= frame.loc[("test", "roc_auc_p"), "ours"] < 0.05
    assert frame.loc[("all", "fn"), "ours"] == sum(
        frame.loc[(row, "fn"), "ours"] for row in ("light", "dark", "missing")
    )
    assert ("one fold: gap", "recall") in frame.index
    joined = tables.exhibit(frame.reset_index(), paper=paper.PAPER, exhibit="table8")
    assert joined.iloc[:29]["ours"].notna().all()


def test_table8_without_a_group_says_so():
    table = drawn(shift=2).assign(group="light")
    frame = look(paper.table8(Arm(table, 0.46), n_boot=200))
    assert frame.loc[("dark", "recall"), "note"] == "no image in this group"
    assert frame.loc["gap", "ours"].isna().all()
    twice = pd.concat([table, table.assign(seed=1)])
    with pytest.raises(ValueError, match="rows of one seed"):
        paper.table8(Arm(twice), n_boot=200)


def test_table8_recalibrated_lowers_one_threshold_for_both():
    test, val = drawn(shift=2, draw=3), drawn(shift=2, part="val", draw=4)
    frame = look(paper.table8_recalibrated(Arm(test, 0.8), val=val, n_boot=200))
    got = frame["ours"]
    assert got["all", "threshold"] < got["all, before", "threshold"] == 0.8
    assert got["all", "fn"] < got["all, before", "fn"]
    after, before = (abs(got[f"light{s}", "recall"] - got[f"dark{s}", "recall"]) for s in ("", ", before"))
    assert abs(got["gap", "recall"]) == pytest.approx(after)
    if before > 0:
        assert got["gap", "recall_gap_reduction"] == pytest.approx(1 - after / before)
    benign = test.assign(label=test["label"].where(test["group"] == "light", 0))  # nothing malignant on dark skin
    alone = look(paper.table8_recalibrated(Arm(benign, 0.8), val=val, n_boot=20))
    assert np.isnan(alone.loc[("gap", "recall_gap_reduction"), "ours"])
    assert alone.loc[("gap", "recall_gap_reduction"), "note"] == "a group is too small"
    assert "recall >= 0.85 in each group met" in frame.loc[("all", "threshold"), "note"]
    tables.exhibit(frame.reset_index(), paper=paper.PAPER, exhibit="table8_recalibrated")


def test_cost_and_settings_join_the_published_cells():
    one = {"train_seconds": 100.0, "predict_test_seconds": 4.0, "parameters": 10, "images": 500}
    metrics = [one, one | {"train_seconds": 300.0}]
    got = look(tables.exhibit(paper.cost(metrics, machine="2 cores", table=HAND), paper=paper.PAPER, exhibit="cost"))
    assert got["ours"].dropna().tolist() == [200, 400, 8, 2.5, 1.0, 20]
    assert got.loc[("training", "seconds_per_fold"), ["low", "high", "published"]].tolist() == [100, 300, 2700]
    config = RunConfig(dropout=0.4, image_size=(128, 128), tta="d4")
    frame = look(tables.exhibit(paper.settings(config), paper=paper.PAPER, exhibit="settings"))
    assert frame.loc[("threshold", "step"), ["ours", "published"]].tolist() == [0.02, 0.02]
    assert frame.loc[("normalisation", "std_blue"), ["ours", "published"]].tolist() == [0.225, 0.225]
    assert frame.loc[("threshold", "default"), "note"] == "a result, not a setting: in table3"
    assert frame.loc[("model", "dropout"), ["ours", "published"]].tolist() == [0.4, 0.4]
    assert frame.loc[("inference", "tta_views"), "ours"] == 8
    assert frame.loc[("training", "patience"), "note"].startswith("switched off")
