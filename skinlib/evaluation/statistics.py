"""Intervals and tests of table metrics: cluster bootstrap, McNemar, Holm and Wilson.

Whole clusters (lesions, patients) are drawn with replacement, so that images of one lesion are never counted as
independent. A replicate in which the metric does not exist (no positive drawn) is counted; above 5 % there is no
interval. DeLong's test has its own module and can be had from here too.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from skinlib.evaluation.delong import delong_test as delong_test
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.tables import PredictionTableError, aligned, cluster_codes

MAX_UNDEFINED = 0.05
CHUNK = 2_000_000  # counts held at a time: 16 MB; of strata the draws depend on it


class Interval(NamedTuple):
    """A value and its interval."""

    value: float
    low: float
    high: float


def resamples(groups, rows, n, seed, strata=None):
    """Bootstrap resamples as counts: yields float arrays (b, rows), n rows in all, the same for the same seed.

    `groups` (rows,) has the cluster of each row, None: single rows; a tuple of such arrays: crossed clusters (lesions
    and seeds: the counts multiply, the "pigeonhole" bootstrap of Owen 2007). Clusters (of crossed ones the first) are
    drawn within their stratum of `strata` (rows,), that of their first row: a resample has as many of each stratum as
    the table. A tuple has one for each of the crossed clusters: folds and seeds whose strata are the folds are two
    stages, folds with their seeds, then seeds within them.
    """
    crossed = groups if isinstance(groups, tuple) else (groups,)
    within = strata if isinstance(strata, tuple) else (strata, *[None] * (len(crossed) - 1))
    codes = [cluster_codes(group, rows) for group in crossed]
    generators = [np.random.default_rng((seed, index)) for index in range(len(codes))]
    size = max(1, CHUNK // max(rows, 1))
    for start in range(0, n, size):
        b = min(size, n - start)
        counts = np.ones((b, rows))
        for generator, code, own in zip(generators, codes, within, strict=True):
            clusters = int(code.max()) + 1
            drawn = _draw(generator, b, code, own) + clusters * np.arange(b)[:, None]
            counts *= np.bincount(drawn.ravel(), minlength=b * clusters).reshape(b, clusters)[:, code]
        yield counts


def _draw(generator, b, code, strata):
    """b times as many clusters as there are, with replacement: (b, clusters) numbers of clusters."""
    clusters, first = np.unique(code, return_index=True)
    if strata is None:
        return generator.integers(0, len(clusters), (b, len(clusters)))
    of_cluster = pd.factorize(np.asarray(strata, dtype=object)[first])[0]
    each = [np.flatnonzero(of_cluster == stratum) for stratum in range(of_cluster.max() + 1)]
    return np.concatenate([own[generator.integers(0, len(own), (b, len(own)))] for own in each], axis=1)


def _named(groups, table):
    """Clusters as arrays: names become columns of the table."""
    if isinstance(groups, tuple):
        return tuple(_named(group, table) for group in groups)
    if isinstance(groups, str) and groups not in table:
        raise PredictionTableError([f"no column {groups} to group the rows by"])
    return table[groups].to_numpy() if isinstance(groups, str) else groups


def values_of(metric, table, counts):
    """The metric (B,) on each resample: at once where it can be, else on the drawn rows one by one."""
    if hasattr(metric, "weighted"):
        return metric.weighted(table, counts)
    take = table.iloc.__getitem__ if isinstance(table, pd.DataFrame) else np.asarray(table).__getitem__
    rows = np.arange(len(table))
    return np.array([metric(take(np.repeat(rows, drawn.astype(int)))) for drawn in counts], float)


def bootstrap_distribution(metric, table, *, groups=None, n=2000, seed=0, strata=None):
    """The metric on n resamples (n,), NaN where it does not exist. Arguments as in `bootstrap_ci`."""
    drawn = resamples(_named(groups, table), len(table), n, seed, strata)
    return np.concatenate([values_of(metric, table, counts) for counts in drawn])


def percentile_interval(replicates, level=0.95):
    """Percentile interval of replicates (n,): low, high, how many are NaN; above 5 % an `UndefinedMetricError`."""
    undefined = int(np.isnan(replicates).sum())
    if undefined > MAX_UNDEFINED * len(replicates):
        said = f"the metric does not exist in {undefined} of {len(replicates)} resamples: too few rows"
        raise UndefinedMetricError(said)
    low, high = np.nanquantile(replicates, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high), undefined


def unmoved(low, high):
    """What to say of an interval of no width: with so few rows it is no sign of certainty. Else nothing."""
    return "every resample alike: too few rows, or nothing to vary" if low == high else ""


def two_sided_p(replicates):
    """Bootstrap p value of "the difference is 0": twice the smaller tail, (k + 1) / (n + 1), at most 1."""
    known = replicates[~np.isnan(replicates)]
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))


def _existing(metric, value):
    if math.isnan(value):
        raise UndefinedMetricError(f"{getattr(metric, 'name', 'the metric')} does not exist for this table")
    return value


def bootstrap_ci(metric, table, *, groups=None, n=2000, level=0.95, seed=0, strata=None):
    """Value of a metric with its percentile bootstrap interval.

    Parameters
    ----------
    metric : callable table -> float (NaN where undefined). One from `metrics.binary`, `multiclass` or `mean_over` also
        takes counts and needs well under a second for 2,000 replicates of 2,000 rows; any other is called once a
        replicate.
    table : DataFrame, or an array whose first axis is the rows
    groups : column name or array (N,): whole clusters are drawn; a tuple of those: crossed clusters; None: single rows
    n : replicates;  level : in (0, 1);  seed : int
    strata : (N,) or None, as in `resamples`

    Returns an interval (value, low, high).

    Raises UndefinedMetricError (the metric is NaN for the table itself, or for more than 5 % of the replicates).
    """
    value = _existing(metric, float(metric(table)))
    replicates = bootstrap_distribution(metric, table, groups=groups, n=n, seed=seed, strata=strata)
    return Interval(value, *percentile_interval(replicates, level)[:2])


def paired_bootstrap(metric, a, b, *, groups=None, n=2000, level=0.95, seed=0, strata=None):
    """Difference metric(a) - metric(b) of two tables of the same images, resampled alike: (difference, low, high, p).

    Rows are matched as by `aligned`; groups and strata are those of `a`; p is the two-sided bootstrap p.
    """
    b = aligned(a, b)
    difference = _existing(metric, float(metric(a)) - float(metric(b)))
    drawn = resamples(_named(groups, a), len(a), n, seed, strata)
    replicates = np.concatenate([values_of(metric, a, counts) - values_of(metric, b, counts) for counts in drawn])
    low, high, _ = percentile_interval(replicates, level)
    return difference, low, high, two_sided_p(replicates)


def mcnemar_test(y, a, b):
    """Exact McNemar test of two sets of calls on the same rows.

    Parameters
    ----------
    y, a, b : (N,) truth and the two calls, in the same code (class indices; -1 is wrong for every class)

    Returns b, c, p: rows that only a has right, rows that only b has right, two-sided binomial p (1 where b + c = 0).

    Source: McNemar 1947; exact form, Binomial(b + c, 1/2).
    """
    y, a, b = (np.asarray(values) for values in (y, a, b))
    if not y.shape == a.shape == b.shape:
        raise ValueError(f"truth {y.shape} and calls {a.shape}, {b.shape} differ in length")
    only_a, only_b = int(((a == y) & (b != y)).sum()), int(((a != y) & (b == y)).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return only_a, only_b, p


def holm(pvalues):
    """Holm's step-down adjustment of p values (m,), in the given order; NaN (a test not run) stays and is not counted.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    p = np.asarray(pvalues, float)
    adjusted, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise ValueError("p values must lie in [0, 1]")
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def wilson_interval(k, n, level=0.95):
    """Wilson interval (low, high) of k successes in n; (NaN, NaN) where n = 0. Source: Wilson 1927, JASA 22:209."""
    if n == 0:
        return float("nan"), float("nan")
    interval = stats.binomtest(int(k), int(n)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)
