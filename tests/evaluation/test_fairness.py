"""Groups, gaps and detectable gaps: the paper's table, fairlearn as oracle, and nothing dropped."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from prediction_rows import binary_table, random_table
from sklearn.metrics import f1_score, precision_score, recall_score
from statsmodels.stats.power import normal_power

from skinlib.evaluation import delong, fairness, metrics, statistics, tables


def toned_table(rows=400, seed=0):
    tone = np.random.default_rng(seed).choice(["light", "dark"], rows, p=[0.6, 0.4])
    return random_table(rows, seed, lesions=rows // 2, tone=tone)


def paper_table():
    """Table 8 of Rumale et al. as rows: 116/27/96 and 113/32/104 true positives, false negatives, false positives."""
    light, dark = (116, 27, 96, 625), (113, 32, 104, 380)
    y, p = np.repeat([1, 1, 0, 0] * 2, light + dark), np.repeat([0.8, 0.3, 0.7, 0.1] * 2, light + dark)
    return binary_table(y, p, tone=np.repeat(["light", "dark"], [864, 629]))


def cell(frame, metric, **where):
    keep = frame["metric"] == metric
    for column, value in where.items():
        keep &= frame[column] == value
    return frame[keep].iloc[0]


def test_the_published_gap_and_flags():
    gaps = fairness.gaps(paper_table(), "tone", reference="light", threshold=0.46, n=400)
    recall = cell(gaps, "recall")
    assert (round(recall["value_first"], 4), round(recall["value_second"], 4)) == (0.8112, 0.7793)
    assert round(recall["gap"], 4) == 0.0319 and not recall["flagged"] and recall["flag_limit"] == 0.05
    assert recall["low"] < 0 < recall["high"] and recall["p"] > 0.3
    assert round(cell(gaps, "precision")["gap"], 4) == 0.0264  # printed: 0.0265, the difference of rounded values
    assert cell(gaps, "fn_rate")["gap"] == pytest.approx(-recall["gap"])
    se = np.sqrt(0.8112 * 0.1888 / 143 + 0.7793 * 0.2207 / 145)
    assert recall["detectable"] == pytest.approx(fairness.smallest_detectable_gap(se), rel=0.15)


def test_values_by_group_agree_with_fairlearn():
    table = toned_table()
    y, p = tables.outcome(table)
    oracle = MetricFrame(
        metrics={"recall": recall_score, "precision": precision_score, "f1": f1_score},
        y_true=y, y_pred=p >= 0.4, sensitive_features=table["tone"],
    )  # fmt: skip
    found = fairness.by_group(table, "tone", threshold=0.4, n=50)
    for group in ("light", "dark"):
        for metric in ("recall", "precision", "f1"):
            assert cell(found, metric, group=group)["value"] == pytest.approx(oracle.by_group.loc[group, metric])
    assert cell(found, "f1", group="all")["value"] == pytest.approx(oracle.overall["f1"])


def test_intervals_hold_their_value_and_counts_add_up():
    found = fairness.by_group(toned_table(), "tone", n=300)
    shown = found[found["low"].notna()]
    assert set(shown["metric"]) == {"roc_auc", "recall", "precision", "f1", "fn_rate"}
    assert ((shown["low"] < shown["value"]) & (shown["value"] < shown["high"])).all()
    counts = found[found["metric"] == "fn"].set_index("group")
    for column in ("value", "n", "positives", "negatives"):
        assert counts.loc["all", column] == counts.loc[["dark", "light"], column].sum()


def test_all_equals_the_plain_cluster_bootstrap_and_an_auc_gap_is_tested_by_unpaired_clustered_delong():
    table = toned_table()
    row = cell(fairness.by_group(table, "tone", n=200), "roc_auc", group="all")
    plain = statistics.bootstrap_ci(metrics.binary("roc_auc"), table, groups="lesion_id", n=200)
    assert (row["value"], row["low"], row["high"]) == pytest.approx(tuple(plain))
    row = cell(fairness.gaps(table, "tone", reference="light", n=200), "roc_auc")
    y, p = tables.outcome(table)
    light, lesion = (table["tone"] == "light").to_numpy(), table["lesion_id"].to_numpy()
    expected = delong.delong_unpaired(y[light], p[light], y[~light], p[~light], groups=(lesion[light], lesion[~light]))
    assert (row["value_first"], row["value_second"], row["p"]) == pytest.approx((*expected[:2], expected[3]))
    assert row["test"] == "clustered DeLong" and row["flag_limit"] == 0.02


def test_a_planted_gap_is_found():
    easy, hard = random_table(400, 1, signal=3.5, tone="light"), random_table(400, 2, signal=0.3, tone="dark")
    table = pd.concat([easy, hard], ignore_index=True)
    table["lesion_id"] = table["tone"] + table["lesion_id"]
    row = cell(fairness.gaps(table.assign(image_id=range(800)), "tone", reference="light", n=300), "roc_auc")
    assert row["low"] > row["detectable"] > 0 and row["p_holm"] < 1e-6 and row["flagged"]
    turned = cell(fairness.gaps(table.assign(image_id=range(800)), "tone", reference="dark", n=300), "roc_auc")
    assert turned["gap"] == pytest.approx(-row["gap"]) and turned["flagged"]


def test_missing_and_small_groups_keep_their_row():
    table = toned_table()
    table.loc[:29, "tone"] = None
    table.loc[30:35, "tone"] = "very dark"
    found = fairness.by_group(table, "tone", n=50)
    assert list(dict.fromkeys(found["group"])) == ["all", "dark", "light", "very dark", "missing"]
    assert cell(found, "fn", group="missing")["n"] == 30
    small = cell(found, "roc_auc", group="very dark")
    assert np.isnan(small["value"]) and small["n"] == 6 and "6 rows" in small["note"]
    gaps = fairness.gaps(table, "tone", n=50)
    assert set(gaps["second"]) == {"dark", "very dark", "missing"} and set(gaps["first"]) == {"light"}
    small = gaps[gaps["second"] == "very dark"]
    assert small[["gap", "p", "detectable"]].isna().all(axis=None) and not small["flagged"].any()


def test_few_malignant_rows_hide_recall_but_not_specificity():
    y = [1] * 9 + [0] * 40 + [1] * 30 + [0] * 30
    table = binary_table(y, np.linspace(1, 0, len(y)), sex=["f"] * 49 + ["m"] * 60)
    found = fairness.by_group(table, "sex", names=("recall", "specificity"), n=50)
    assert "9 malignant" in cell(found, "recall", group="f")["note"]
    assert cell(found, "specificity", group="f")["value"] == 0  # all 40 lie above 0.5


def test_an_interval_of_no_width_is_no_certainty():
    y = [1] * 14 + [0] * 40 + [1] * 30 + [0] * 30
    p = np.r_[np.full(14, 0.9), np.linspace(0, 0.6, 40), np.linspace(0.2, 1, 30), np.linspace(0, 0.8, 30)]
    table = binary_table(y, p, sex=["f"] * 54 + ["m"] * 60)
    found = fairness.by_group(table, "sex", names=("recall", "specificity"), n=50)
    sure = cell(found, "recall", group="f")
    assert (sure["value"], sure["low"], sure["high"]) == (1, 1, 1) and sure["note"].startswith("every resample alike")
    assert (found[found["low"] < found["high"]]["note"] == "").all()
    both = binary_table(y, np.where(y, 0.9, p), sex=table["sex"])
    gap = cell(fairness.gaps(both, "sex", names=("recall",), n=50), "recall")
    assert (gap["gap"], gap["low"], gap["high"], gap["p"]) == (0, 0, 0, 1)
    assert gap["note"].startswith("every resample alike")


def test_recall_and_its_complement_are_one_test():
    gaps = fairness.gaps(toned_table(), "tone", names=("recall", "fn_rate", "precision"), n=200)
    assert cell(gaps, "recall")["p_holm"] == cell(gaps, "fn_rate")["p_holm"]
    two = gaps[gaps["metric"] != "fn_rate"]
    assert two["p_holm"].to_numpy() == pytest.approx(statistics.holm(two["p"]))


def test_groups_keep_a_given_order_and_intersections_are_named():
    table = toned_table()
    order = pd.Categorical(table["tone"], ["light", "dark"], ordered=True)
    found = fairness.by_group(table.assign(tone=order), "tone", n=20)
    assert list(dict.fromkeys(found["group"])) == ["all", "light", "dark"]
    fitzpatrick = fairness.by_group(table.assign(skin_type=np.tile([2.0, 10.0], 200)), "skin_type", n=20)
    assert list(dict.fromkeys(fitzpatrick["group"])) == ["all", "2", "10"]
    both = fairness.by_group(table.assign(sex=np.tile(["f", "m"], 200)), ("tone", "sex"), n=20)
    assert set(both["group"]) == {"all", "dark, f", "dark, m", "light, f", "light, m"}


def test_unknown_and_continuous_columns_are_refused():
    table = toned_table().assign(age=np.arange(400))
    with pytest.raises(tables.PredictionTableError, match="bin it first"):
        fairness.by_group(table, "age")
    with pytest.raises(tables.PredictionTableError, match="no column sex"):
        fairness.by_group(table, "sex")
    with pytest.raises(tables.PredictionTableError, match="no group 'grey'"):
        fairness.gaps(table, "tone", reference="grey")


def test_smallest_detectable_gap_has_the_power_it_says():
    gap = fairness.smallest_detectable_gap(0.02)
    assert gap == pytest.approx(0.02 * 2.8016, rel=1e-4)
    assert normal_power(gap / 0.02, 1, 0.05) == pytest.approx(0.8, abs=1e-4)


def test_a_group_called_all_is_a_group():
    table = pd.DataFrame({"image_id": range(60), "label": [0, 1] * 30, "p_benign": 0.4, "p_malignant": 0.6})
    found = fairness.by_group(table.assign(arm=["all", "some"] * 30), "arm", n=20).drop_duplicates("group")
    assert dict(zip(found["group"], found["n"], strict=True)) == {"all": 60, "all (a group)": 30, "some": 30}
