"""The threshold rule by hand, its properties, and that it never sees a test row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_rows import binary_table, random_table
from sklearn.metrics import roc_curve

from skinlib.evaluation import statistics, tables, thresholds
from skinlib.evaluation.metrics import binary_metrics
from skinlib.evaluation.resampled import UndefinedMetricError

HAND = binary_table([1, 1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.5, 0.3, 0.6, 0.2, 0.1])
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 100)), min_size=2, max_size=40)
SCORED = SCORED.filter(lambda rows: any(label for label, _ in rows))


def test_grid_is_exact_and_inside():
    points = thresholds.grid()
    assert len(points) == 49 and points[0] == 0.02 and points[-1] == 0.98 and 0.46 in points and 0.38 in points
    assert thresholds.grid(0.3).tolist() == [0.3, 0.6, 0.9]
    with pytest.raises(ValueError, match="grid step"):
        thresholds.grid(0)


def test_best_f1_under_the_constraint_by_hand():
    """F1 is 8/9 on (0.2, 0.3], 3/4 on (0.3, 0.5]; the lowest grid point of the best plateau is taken."""
    best = thresholds.choose_threshold(HAND, recall=0.85)
    assert (best.t, best.feasible, best.recall) == (0.22, True, 1.0)
    assert (best.precision, best.f1) == (pytest.approx(4 / 5), pytest.approx(8 / 9))


def test_the_constraint_binds_and_infeasible_is_said_and_gives_the_highest_recall():
    table = binary_table([1, 1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.8, 0.7, 0.1, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert thresholds.choose_threshold(table, recall=0.5).t == 0.62  # F1 6/7 at three of four
    strict = thresholds.choose_threshold(table, recall=1.0)
    assert (strict.t, strict.f1, strict.feasible) == (0.02, pytest.approx(8 / 13), True)
    best = thresholds.choose_threshold(binary_table([1, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.01, 0.5, 0.1]), recall=0.85)
    assert (best.feasible, best.recall, best.t) == (False, 0.75, 0.52)  # of recall 3/4 the best F1
    assert not best.curve["feasible"].any()


@settings(max_examples=50)
@given(SCORED, st.sampled_from([0.5, 0.85, 1.0]))
def test_choice_is_the_best_of_all_thresholds(rows, gamma):
    table = binary_table([label for label, _ in rows], [score / 100 for _, score in rows])
    best = thresholds.choose_threshold(table, recall=gamma, step=0.07)
    found = {t: binary_metrics(table, threshold=t) for t in thresholds.grid(0.07)}
    recalls = [found[t]["recall"] for t in found]
    assert recalls == sorted(recalls, reverse=True) and best.feasible == (max(recalls) >= gamma)
    allowed = [t for t in found if found[t]["recall"] >= min(gamma, max(recalls))]
    top = max(found[t]["f1"] for t in allowed)
    assert best.f1 == top and best.t == min(t for t in allowed if found[t]["f1"] == top)


@pytest.mark.parametrize("part", ["test", "external", " Test"])
def test_test_rows_are_refused(part):
    table = HAND.assign(part=["val"] * 6 + [part])
    for choose in (thresholds.choose_threshold, thresholds.threshold_interval):
        with pytest.raises(tables.TestDataError, match="part val only"):
            choose(table)


def test_rows_of_unknown_or_training_part_and_a_recall_that_is_no_share_are_refused():
    for recall in (85, -1, float("nan")):
        with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
            thresholds.choose_threshold(HAND, recall=recall)
    unmarked, training = HAND.drop(columns="part"), HAND.assign(part="train")
    for table, message in ((unmarked, "no column part"), (training, "train"), (HAND.iloc[:0], "no rows")):
        with pytest.raises(tables.PredictionTableError, match=message):
            thresholds.choose_threshold(table)
    with pytest.raises(UndefinedMetricError, match="no malignant row"):
        thresholds.choose_threshold(HAND.query("label == 0"))


def test_interval_repeats_the_whole_choice():
    table = random_table(120, lesions=60)
    fast = thresholds.threshold_interval(table, groups="lesion_id", n=60)
    slow = statistics.bootstrap_ci(lambda rows: thresholds.choose_threshold(rows).t, table, groups="lesion_id", n=60)
    assert fast == pytest.approx(slow) and fast.value == thresholds.choose_threshold(table).t


@given(SCORED.filter(lambda rows: not all(label for label, _ in rows)), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_recall_at_specificity_agrees_with_the_roc_curve(rows, specificity):
    y, p = np.array([label for label, _ in rows], int), np.array([score / 100 for _, score in rows])
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    recall, threshold = thresholds.recall_at_specificity(y, p, specificity)
    assert recall == pytest.approx(tpr[1 - fpr >= specificity - 1e-12].max())
    assert (p[y == 1] >= threshold).mean() == pytest.approx(recall) and (p[y == 0] < threshold).mean() >= specificity


def test_without_a_step_the_scores_are_the_candidates_and_rare_low_scores_are_reached():
    draw, y = np.random.default_rng(0), (np.arange(4000) % 100 == 0).astype(int)
    p = np.clip(np.exp(draw.normal(-6.5, 0.6, 4000) + 1.8 * y), 0, 0.0199)  # 1 % malignant, all below the grid
    table = pd.DataFrame({"image_id": range(4000), "label": y, "p_benign": 1 - p, "p_malignant": p, "part": "val"})
    assert not thresholds.choose_threshold(table).feasible
    best = thresholds.choose_threshold(table, step=None)
    assert best.feasible and best.recall >= 0.85 and best.t in p
    reaching = [t for t in p[y == 1] if (p[y == 1] >= t).mean() >= 0.85]
    f1 = lambda t: 2 * (y & (p >= t)).sum() / (y.sum() + (p >= t).sum())
    assert best.f1 == pytest.approx(max(map(f1, reaching)))  # the best lies at a malignant row's score
    t, low, high = thresholds.threshold_interval(table, step=None, n=50)
    assert t == best.t and 0 < low <= t <= high < 0.02
    p = np.where(np.arange(4000) % 200 == 0, 0.0, p)  # half of the malignant rows: only calling every row reaches them
    best = thresholds.choose_threshold(table.assign(p_benign=1 - p, p_malignant=p), step=None)
    assert best.t > 0 and not best.feasible and best.recall == 0.5
