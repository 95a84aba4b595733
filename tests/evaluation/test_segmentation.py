"""Mask scores against hand-worked answers, scikit-learn, scipy, and the identities that they obey."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist, directed_hausdorff
from sklearn import metrics as sk

from skinlib.evaluation import segmentation as seg
from skinlib.evaluation.statistics import paired_bootstrap

MASK = arrays(bool, (5, 7))
FEW = settings(max_examples=40)


def square(top=0, left=0, *, tall=2, wide=2, shape=(6, 8)):
    mask = np.zeros(shape, bool)
    mask[top : top + tall, left : left + wide] = True
    return mask


def score(predicted, truth):
    """The one row of a pair of masks."""
    return seg.per_image(predicted[None], truth[None], ["a"]).iloc[0]


def random_masks(rows=12, shape=(6, 8), seed=0):
    generator = np.random.default_rng(seed)
    truth = generator.random((rows, *shape)) < 0.4
    return truth ^ (generator.random(truth.shape) < 0.2), truth


def random_table(rows=12, seed=0):
    predicted, truth = random_masks(rows, seed=seed)
    return seg.per_image(predicted, truth, [str(i) for i in range(rows)])


def test_two_squares_by_hand():
    row = score(square(1, 1), square(1, 2))  # 2 pixels shared, 2 too many, 2 missed, 42 right outside
    assert list(row.index) == [
        "image_id", "dice", "iou", "mcc", "hd95", "thresholded_jaccard", "empty_prediction", "stage",
        "sensitivity", "specificity", "hd95_share", "tp", "fp", "fn", "tn",
    ]  # fmt: skip
    assert row[["tp", "fp", "fn", "tn"]].to_list() == [2, 2, 2, 42]
    assert (row["dice"], row["sensitivity"], row["specificity"]) == (0.5, 0.5, pytest.approx(42 / 44))
    assert row["iou"] == pytest.approx(1 / 3) and row["thresholded_jaccard"] == 0
    assert row["mcc"] == pytest.approx((2 * 42 - 2 * 2) / (4 * 44))
    # Each outline: two pixels at distance 0 and two at 1; the 95th percentile of 0, 0, 1, 1 is 1.
    assert row["hd95"] == 1 and row["hd95_share"] == pytest.approx(1 / 10)  # a diagonal of 6 and 8
    assert (row["image_id"], row["stage"], row["empty_prediction"]) == ("a", "raw", False)


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_agree_with_scikit_learn(seed):
    predicted, truth = random_masks(seed=seed)
    table = seg.per_image(predicted, truth, range(len(truth)))
    oracles = {
        "mcc": sk.matthews_corrcoef, "iou": sk.jaccard_score, "dice": sk.f1_score, "sensitivity": sk.recall_score,
        "specificity": lambda y, call: sk.recall_score(~y, ~call),
    }  # fmt: skip
    for name, oracle in oracles.items():
        wanted = [oracle(y.ravel(), call.ravel()) for y, call in zip(truth, predicted, strict=True)]
        np.testing.assert_allclose(table[name], wanted, err_msg=name)
        assert seg.pooled(name)(table) == pytest.approx(oracle(truth.ravel(), predicted.ravel())), name


@given(MASK, MASK)
@FEW
def test_identities(first, second):
    row, other = score(first, second), score(second, first)
    for name in ("dice", "iou", "mcc", "hd95", "thresholded_jaccard"):
        assert row[name] == pytest.approx(other[name]), name
    assert row["dice"] == pytest.approx(2 * row["iou"] / (1 + row["iou"]))
    bounded = ["dice", "iou", "thresholded_jaccard", "sensitivity", "specificity", "hd95_share"]
    assert row[bounded].between(0, 1).all() and abs(row["mcc"]) <= 1 + 1e-9
    assert row[["tp", "fp", "fn", "tn"]].sum() == first.size
    perfect = (first == second).all()
    assert (row["dice"] == 1) == perfect == (row["hd95"] == 0 and row["iou"] == 1)


@given(MASK)
@FEW
def test_equal_masks_are_perfect_whatever_they_hold(mask):
    row = score(mask, mask)
    ones = ["dice", "iou", "mcc", "thresholded_jaccard", "sensitivity", "specificity"]
    assert row[ones].astype(float).to_list() == pytest.approx([1.0] * len(ones))
    assert row["hd95"] == row["hd95_share"] == 0


@pytest.mark.parametrize("mask", [square(), ~square(), square(5, 7)], ids=["square", "all but a square", "corner"])
def test_an_empty_side_is_the_worst(mask):
    for predicted, truth in ((np.zeros_like(mask), mask), (mask, np.zeros_like(mask))):
        row = score(predicted, truth)
        assert row[["dice", "iou", "mcc", "thresholded_jaccard", "sensitivity"]].to_list() == [0] * 5
        assert (row["hd95"], row["hd95_share"]) == (10, 1) and row["empty_prediction"] == (not predicted.any())


def test_a_truth_that_fills_the_image_has_no_correlation():
    row = score(square(), np.ones((6, 8), bool))
    assert (row["mcc"], row["specificity"]) == (0, 0) and row["dice"] == pytest.approx(8 / 52)


def test_a_jaccard_below_065_counts_nothing():
    assert seg.thresholded_jaccard(np.array([0.6499, 0.65, 0.9])).tolist() == [0, 0.65, 0.9]
    assert score(square(wide=7, shape=(2, 10)), square(wide=10, shape=(2, 10)))["thresholded_jaccard"] == 0.7


# Distances.


@given(MASK.filter(np.any), MASK.filter(np.any))
@FEW
def test_percentile_100_is_the_classical_distance_of_the_outlines(first, second):
    a, b = (np.argwhere(seg.outline(mask)) for mask in (first, second))
    wanted = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
    assert seg.hausdorff(first, second, 100) == pytest.approx(wanted)
    far = cdist(a, b)
    both = [np.percentile(far.min(axis), 95) for axis in (0, 1)]
    assert seg.hausdorff(first, second) == pytest.approx(max(both))


def test_one_stray_pixel_hardly_moves_the_95th_percentile_and_the_larger_direction_counts():
    truth = square(20, 20, tall=30, wide=30, shape=(80, 80))
    stray = truth.copy()
    stray[35, 75] = True  # 26 to the right of the last column, 49; the outlines have 116 and 117 pixels
    assert seg.hausdorff(stray, truth, 100) == 26 and seg.hausdorff(stray, truth) == 0
    small, large = square(0, 0, tall=1, wide=1, shape=(1, 21)), square(0, 0, tall=1, wide=21, shape=(1, 21))
    # From the large one the distances are 0, 1 ... 20, of which the 95th percentile is 19; back it is 0.
    assert seg.hausdorff(small, large) == seg.hausdorff(large, small) == 19


def test_the_outline_is_one_pixel_wide_and_follows_the_edge_of_the_image():
    found = seg.outline(square(0, 1, tall=4, wide=5))
    assert np.array_equal(found, square(0, 1, tall=4, wide=5) & ~square(1, 2, tall=2, wide=3))
    assert np.array_equal(seg.outline(np.ones((3, 3), bool)), ~square(1, 1, tall=1, wide=1, shape=(3, 3)))


@pytest.mark.parametrize(("predicted", "ids"), [
    (square()[None], "ab"), (square()[None].astype(float), "a"), (square()[None, :3], "a"), (square(), "abcdef"),
], ids=["ids", "floats", "sizes", "one image"])  # fmt: skip
def test_masks_of_other_shapes_or_kinds_are_refused(predicted, ids):
    with pytest.raises(ValueError, match="are no masks; give bool"):
        seg.per_image(predicted, square()[None] if predicted.ndim == 3 else square(), list(ids))


# Tables.


def test_no_image_is_an_empty_table():
    nothing = np.zeros((0, 6, 8), bool)
    assert list(seg.per_image(nothing, nothing, [])) == list(random_table())


def test_pooling_counts_a_large_lesion_more():
    truth = np.stack([square(tall=1, wide=1), square(tall=6, wide=8)])
    predicted = np.stack([square(3, 3, tall=1, wide=1), square(tall=6, wide=8)])  # missed, and found whole
    table = seg.per_image(predicted, truth, ["small", "large"])
    assert seg.image_mean("dice")(table) == 0.5
    assert seg.pooled("dice")(table) == pytest.approx(2 * 48 / (2 * 48 + 1 + 1))
    assert seg.share_above()(table) == 0.5 and seg.share_above("dice", 1.0)(table) == 0


@pytest.mark.parametrize("metric", seg.METRICS, ids=lambda metric: metric.name)
def test_counts_stand_for_repeated_rows(metric):
    table = random_table()
    drawn = np.random.default_rng(1).integers(0, 4, len(table))
    repeated = metric(table.iloc[np.repeat(np.arange(len(table)), drawn)])
    assert metric.weighted(table, drawn[None].astype(float))[0] == pytest.approx(repeated)


def test_tables_are_compared_image_by_image():
    predicted, truth = random_masks(30)
    ids, better = [str(i) for i in range(30)], predicted.copy()
    better[:, :3] = truth[:, :3]  # the upper half of every image put right
    first, second = (seg.per_image(masks, truth, ids) for masks in (better, predicted))
    for metric in (seg.image_mean("dice"), seg.pooled("iou"), seg.share_above("dice", 0.8)):
        difference, low, _, p = paired_bootstrap(metric, first, second.iloc[::-1], n=200)
        assert difference == pytest.approx(metric(first) - metric(second)) and low > 0 and p < 0.05
    same = paired_bootstrap(seg.image_mean("hd95"), first, first, n=50)
    assert same[:3] == (0, 0, 0) and math.isclose(same[3], 1)


def test_no_distance_is_longer_than_the_diagonal():
    corners = [square(top, left, tall=1, wide=1) for top, left in itertools.product((0, 5), (0, 7))]
    shares = [score(a, b)["hd95_share"] for a, b in itertools.combinations(corners, 2)]
    assert max(shares) == pytest.approx(math.hypot(5, 7) / 10)
