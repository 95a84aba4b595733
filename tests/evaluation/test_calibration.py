"""Reliability, ECE, temperature and recalibrated thresholds by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_rows import binary_table, random_table
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from skinlib.evaluation import calibration, metrics, tables
from skinlib.evaluation.metrics import UndefinedMetricError


def toned(light, dark, benign=(0.05,)):
    """Malignant scores of light and dark skin, and some benign rows of each."""
    scores = [*light, *dark, *benign, *benign]
    tone = ["light"] * len(light) + ["dark"] * len(dark) + ["light"] * len(benign) + ["dark"] * len(benign)
    return binary_table([1] * (len(light) + len(dark)) + [0] * (2 * len(benign)), scores, tone=tone)


def test_reliability_by_hand():
    table = calibration.reliability(np.array([0, 1, 1, 0]), [0.1, 0.4, 0.8, 1.0], bins=2)
    assert table["n"].tolist() == [2, 2]
    assert table["mean_score"].tolist() == [0.25, pytest.approx(0.9)]
    assert table["share"].tolist() == [0.5, 0.5]
    assert calibration.ece(np.array([0, 1, 1, 0]), [0.1, 0.4, 0.8, 1.0], bins=2) == pytest.approx((0.25 + 0.4) / 2)


def test_reliability_agrees_with_scikit_learn():
    y, p = tables.outcome(random_table(400))
    for ours, theirs in (("width", "uniform"), ("mass", "quantile")):
        table = calibration.reliability(y, p + 1e-4 * (p < 1), bins=8, strategy=ours).query("n > 0")
        share, mean = calibration_curve(y, p + 1e-4 * (p < 1), n_bins=8, strategy=theirs)
        assert table["n"].sum() == 400
        if ours == "width":
            assert table["share"].to_numpy() == pytest.approx(share)
            assert table["mean_score"].to_numpy() == pytest.approx(mean)
        else:
            assert table["n"].max() - table["n"].min() < 60  # equal but for tied scores
    with pytest.raises(ValueError, match="width or mass"):
        calibration.ece(y, p, strategy="other")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=1, max_size=30))
def test_both_ece_agree_and_lie_between_zero_and_one(rows):
    y, p = np.array([a for a, _ in rows], int), np.array([b / 50 for _, b in rows])
    assert calibration.ece(y, p) == pytest.approx(metrics.binary_metrics(y, p)["ece"])
    assert 0 <= calibration.ece(y, p, strategy="mass") <= 1
    assert calibration.brier(y, p) == pytest.approx(brier_score_loss(y, p, labels=[0, 1]))


def test_equal_scores_share_a_bin_of_equal_mass():
    table = calibration.reliability(np.array([0, 1] * 20), [0.5] * 30 + [0.9] * 10, bins=4, strategy="mass")
    assert sorted(table["n"]) == [0, 0, 10, 30]


def test_top_label_for_several_classes():
    values = pd.DataFrame([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2]], columns=["p_a", "p_b", "p_c"]).assign(label=[0, 1])
    right, confidence = calibration.top_label(values)
    assert right.tolist() == [1, 0] and confidence.tolist() == [0.6, 0.4]
    assert calibration.ece(right, confidence) == pytest.approx((0.4 + 0.4) / 2)


def test_temperature_by_hand():
    """Three of four right at 0.9: the best common probability is 0.75, so T = log 9 / log 3 = 2."""
    table = binary_table([1, 1, 1, 0], [0.9] * 4)
    fitted = calibration.fit_temperature(table)
    assert fitted.value == pytest.approx(2, rel=1e-4) and not fitted.at_bound
    softened = calibration.apply_temperature(table, fitted.value)
    assert softened["p_malignant"].to_numpy() == pytest.approx([0.75] * 4, rel=1e-4)
    assert fitted.before == pytest.approx(log_loss([1, 1, 1, 0], [0.9] * 4))
    assert fitted.after == pytest.approx(log_loss([1, 1, 1, 0], [0.75] * 4))


def test_temperature_says_when_there_is_no_optimum():
    assert calibration.fit_temperature(binary_table([1, 0], [0.9, 0.1])).at_bound


@given(st.integers(0, 20), st.floats(0.1, 8))
def test_temperature_keeps_the_calls(seed, temperature):
    values = np.random.default_rng(seed).dirichlet(np.ones(4), 10)
    table = pd.DataFrame(values, columns=list(map("p_{}".format, "abcd")))
    scaled, _ = tables.probabilities(calibration.apply_temperature(table, temperature))
    assert np.array_equal(scaled.argmax(axis=1), values.argmax(axis=1))


def test_recalibration_takes_the_largest_threshold_that_serves_both():
    table = toned([0.7] * 10, [0.5] * 9 + [0.1])
    found = calibration.recalibrate_threshold(table, "tone", recall=0.9)
    assert (found.t, found.feasible, found.recalls) == (0.5, True, {"dark": 0.9, "light": 1.0})
    assert found.gap == pytest.approx(0.1)
    stricter = calibration.recalibrate_threshold(table, "tone", recall=0.95)
    assert (stricter.t, stricter.gap) == (0.1, 0.0)


def test_recalibration_says_when_no_threshold_serves_all():
    found = calibration.recalibrate_threshold(toned([0.7] * 10, [0.5] * 9 + [0.01]), "tone", recall=0.95)
    assert (found.t, found.feasible, found.recalls["dark"]) == (0.5, False, 0.9)


def test_small_groups_constrain_nothing_and_are_named():
    table = toned([0.7] * 10, [0.5] * 3)
    table.loc[table.index[0], "tone"] = None
    with pytest.raises(UndefinedMetricError, match="10 malignant"):
        calibration.recalibrate_threshold(table, "tone")
    table = toned([0.7] * 11, [0.5] * 3)
    table.loc[table.index[0], "tone"] = None
    found = calibration.recalibrate_threshold(table, "tone")
    assert found.t == 0.7 and found.ignored == {"dark": 3, "missing": 1}


def test_thresholds_by_group():
    found = calibration.group_thresholds(toned([0.71] * 10, [0.51] * 10, benign=(0.3, 0.45)), "tone")
    assert {group: one.t for group, one in found.items()} == {"light": 0.46, "dark": 0.46}
    found = calibration.group_thresholds(toned([0.71] * 10, [0.31] * 10, benign=(0.05,)), "tone", recall=1.0)
    assert {group: one.recall for group, one in found.items()} == {"light": 1.0, "dark": 1.0}


@pytest.mark.parametrize(
    "choose",
    [
        calibration.fit_temperature,
        lambda table: calibration.recalibrate_threshold(table, "tone"),
        lambda table: calibration.group_thresholds(table, "tone"),
    ],
)
def test_nothing_is_fitted_on_test_rows(choose):
    table = toned([0.7] * 10, [0.5] * 10)
    table.loc[3, "part"] = "external"
    with pytest.raises(tables.TestDataError):
        choose(table)
