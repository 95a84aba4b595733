"""Formulas for many resamples of one table at once, behind every metric and its bootstrap.

A resample is a row of counts (B, N): how often each row of the table was drawn. Sorting the scores once and multiplying
by counts makes 2,000 bootstrap replicates of an AUC a matter of tenths of a second. Everywhere `y` (N,) is 0 or 1, `p`
(N,) a score in [0, 1], `counts` float64; a ratio whose denominator is zero is NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ECE_BINS = 15  # Guo et al. 2017, On calibration of modern neural networks


class UndefinedMetricError(ValueError):
    """A metric, test or interval does not exist for these rows (one class only, too few clusters)."""


@dataclass(frozen=True)
class Metric:
    """A number of a table: `metric(table)` is a float, `metric.weighted(table, counts)` one for each resample (B,).

    `auc_of(table)` gives the outcome and the score whose AUC the metric is; None: it is no AUC.
    """

    name: str
    weighted: Callable
    auc_of: Callable | None = None

    def __call__(self, table):
        return float(self.weighted(table, np.ones((1, len(table))))[0])


def ratio(above, below):
    """Quotient of two arrays that broadcast, NaN where the denominator is not positive."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _levels(y, p, counts):
    """Positives and negatives (B, L) at each distinct score, ascending."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(p[order]) > 0])
    drawn = counts[:, order]
    positive = np.add.reduceat(drawn * y[order], starts, axis=1)
    return positive, np.add.reduceat(drawn, starts, axis=1) - positive


def weighted_auc(y, p, counts):
    """Area under the ROC curve (B,) of resamples, P(score of a positive > that of a negative), ties one half."""
    positive, negative = _levels(y, p, counts)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    return ratio(won, positive.sum(axis=1) * negative.sum(axis=1))


def weighted_average_precision(y, p, counts):
    """Average precision (B,): sum over distinct scores, from high to low, of precision times the recall gained."""
    positive, negative = _levels(y, p, counts)
    found = np.cumsum(positive[:, ::-1], axis=1)
    called = found + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)  # nothing called: nothing gained
    return ratio((positive[:, ::-1] * precision).sum(axis=1), found[:, -1])


def score_bins(p, bins):
    """Bin (N,) of each score in [0, 1], of so many bins of equal width; 1 lies in the last one."""
    return np.minimum((p * bins).astype(int), bins - 1)


def weighted_ece(y, p, counts):
    """Expected calibration error (B,) of equal-width bins: mean |observed share - mean score| weighted by bin size."""
    member = score_bins(p, ECE_BINS)[:, None] == np.arange(ECE_BINS)
    return ratio(np.abs(counts @ (member * (y - p)[:, None])).sum(axis=1), counts.sum(axis=1))


def weighted_cells(y, p, threshold, counts):
    """True positives, false negatives, true negatives, false positives, each (B,); called where p >= threshold."""
    called = p >= threshold
    cells = np.column_stack([y & called, y & ~called, ~y & ~called, ~y & called]).astype(float)
    return tuple((counts @ cells).T)


def class_margins(matrix):
    """Hits, rows and calls of each class (B, K), and all rows (B, 1), of confusion matrices (B, K, K or more)."""
    hits, rows = np.diagonal(matrix, axis1=1, axis2=2), matrix.sum(axis=2)
    return hits, rows, matrix.sum(axis=1)[:, : rows.shape[1]], rows.sum(axis=1, keepdims=True)


# A metric of each class (B, K) from its margins; of two classes, one's specificity is the other's recall.
OF_A_CLASS = {
    "recall": lambda hits, rows, calls, total: ratio(hits, rows),
    "precision": lambda hits, rows, calls, total: ratio(hits, calls),
    "f1": lambda hits, rows, calls, total: ratio(2 * hits, rows + calls),
    "specificity": lambda hits, rows, calls, total: ratio(total - rows - calls + hits, total - rows),
}


def by_rows(formula):
    """The mean of a per-class metric, each class weighted by its rows; one without rows has no weight."""

    def average(hits, rows, calls, total):
        values = formula(hits, rows, calls, total)
        return ratio(np.where(rows > 0, values * rows, 0).sum(axis=1), total[:, 0])

    return average


def mean_over(metric, column):
    """Mean of `metric` over the values of a column (seed, fold), weighted by drawn rows; scores are never pooled."""

    def weighted(table, counts):
        total, mass = np.zeros(len(counts)), np.zeros(len(counts))
        for rows in table.groupby(column, sort=True, dropna=False).indices.values():
            drawn = counts[:, rows]
            size = drawn.sum(axis=1)
            value = metric.weighted(table.iloc[rows], drawn)
            total += np.where(size > 0, size * value, 0)  # a seed that was not drawn has no value and no weight
            mass += size
        return ratio(total, mass)

    return Metric(f"{metric.name}, mean over {column}", weighted)
