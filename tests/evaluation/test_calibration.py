"""Reliability and recalibrated thresholds by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_rows import binary_table, random_table
from sklearn.calibration import calibration_curve

from skinlib.evaluation import metrics, tables, thresholds
from skinlib.evaluation.resampled import ECE_BINS, UndefinedMetricError


def toned(light, dark, benign=(0.05,)):
    """Malignant scores of light and dark skin, and some benign rows of each."""
    scores = [*light, *dark, *benign, *benign]
    tone = ["light"] * len(light) + ["dark"] * len(dark) + ["light"] * len(benign) + ["dark"] * len(benign)
    return binary_table([1] * (len(light) + len(dark)) + [0] * (2 * len(benign)), scores, tone=tone)


def test_reliability_by_hand():
    table = thresholds.reliability(np.array([0, 1, 1, 0]), [0.1, 0.4, 0.8, 1.0], bins=4)
    assert table["n"].tolist() == [1, 1, 0, 2] and table["lower"].tolist() == [0, 0.25, 0.5, 0.75]
    assert table["mean_score"].tolist() == pytest.approx([0.1, 0.4, np.nan, 0.9], nan_ok=True)
    assert table["share"].tolist() == pytest.approx([0, 1, np.nan, 0.5], nan_ok=True)


def test_reliability_agrees_with_scikit_learn():
    y, p = tables.outcome(random_table(400))
    p = p + 1e-4 * (p < 1)
    table = thresholds.reliability(y, p, bins=8).query("n > 0")
    share, mean = calibration_curve(y, p, n_bins=8, strategy="uniform")
    assert table["n"].sum() == 400 and table["share"].to_numpy() == pytest.approx(share)
    assert table["mean_score"].to_numpy() == pytest.approx(mean)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=1, max_size=30))
def test_the_calibration_error_follows_from_the_reliability(rows):
    y, p = np.array([a for a, _ in rows], int), np.array([b / 50 for _, b in rows])
    table = thresholds.reliability(y, p, bins=ECE_BINS).query("n > 0")
    off = np.average((table["share"] - table["mean_score"]).abs(), weights=table["n"])
    assert metrics.binary_metrics(y, p)["ece"] == pytest.approx(off) and 0 <= off <= 1


def test_recalibration_takes_the_largest_threshold_that_serves_both():
    table = toned([0.7] * 10, [0.5] * 9 + [0.1])
    found = thresholds.recalibrate_threshold(table, "tone", recall=0.9)
    assert (found.t, found.feasible, found.recalls) == (0.5, True, {"dark": 0.9, "light": 1.0})
    assert thresholds.recalibrate_threshold(table, "tone", recall=0.95).t == 0.1
    found = thresholds.recalibrate_threshold(toned([0.7] * 10, [0.5] * 9 + [0.01]), "tone", recall=0.95)
    assert (found.t, found.feasible, found.recalls["dark"]) == (0.5, False, 0.9)


def test_small_groups_constrain_nothing_and_are_named():
    nine, ten = (toned([0.7] * light, [0.5] * 3) for light in (10, 11))
    nine.loc[0, "tone"] = ten.loc[0, "tone"] = None
    with pytest.raises(UndefinedMetricError, match="10 malignant"):
        thresholds.recalibrate_threshold(nine, "tone")
    found = thresholds.recalibrate_threshold(ten, "tone")
    assert found.t == 0.7 and found.ignored == {"dark": 3, "missing": 1}


def test_nothing_is_fitted_on_test_rows():
    table = toned([0.7] * 10, [0.5] * 10)
    table.loc[3, "part"] = "external"
    with pytest.raises(tables.TestDataError):
        thresholds.recalibrate_threshold(table, "tone")
