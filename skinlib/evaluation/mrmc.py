"""Two systems, several trained networks of each, the same test images: is the difference more than luck?

There are two sources of luck, the networks and the images. Radiology has the same question: readers read the same
cases in two modalities. Here a reader is a trained network (a seed, a fold), a modality is a system, and a case is a
patient, else a lesion, else an image. For reader j of r the difference is d_j = a_j - b_j, and

    MS(TR) = sum_ij (v_ij - v_i. - v_.j + v_..)^2 / ((t - 1) (r - 1)),   t = 2 systems; here the variance of d, halved
    denominator = MS(TR) + max(r (Cov2 - Cov3), 0)
    standard error of the mean difference = sqrt(2 / r * denominator)
    degrees of freedom = denominator^2 / (MS(TR)^2 / ((t - 1) (r - 1)))

Cov2 is the mean covariance, through the cases, of two networks of one system, Cov3 that of two networks of different
systems. Networks that were tested on different cases have a covariance of 0, so folds need no other formula. Networks
are taken as independent; seeds within a fold share their training images, so let the fold be the unit and average over
its seeds: `compare(a, b, mean_over(metric, "seed"), unit="fold")`. In simulations (tests/evaluation/test_mrmc.py) the
95 % intervals cover the truth in 94 to 95 % with five networks or more, and in 92 to 95 % with three.

Source: Obuchowski & Rockette 1995, Communications in Statistics - Simulation 24:285 (model, factorial design, networks
and cases random); Hillis 2007, Statistics in Medicine 26:596 (degrees of freedom). The jackknife's and DeLong's
covariances of networks that share some of their cases are in `skinlib.evaluation.delong.cluster_covariance`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from skinlib.evaluation import metrics, tables
from skinlib.evaluation.delong import auc_covariance, cluster_covariance, placements
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import CHUNK, values_of

ROUNDING = 1e-12  # share of a variance, or a difference, that is rounding


@dataclass(frozen=True)
class Comparison:
    """Mean difference a - b over networks with its t interval and two-sided p; `each` (r,) is that of every network.

    Where nothing varies (networks and cases all alike) a difference of 0 has p 1 and an interval of no width, and any
    other has no test: low, high and p are NaN.
    """

    difference: float
    standard_error: float
    df: float
    low: float
    high: float
    p: float
    each: np.ndarray

    @property
    def units(self):
        """Number of networks of each system."""
        return len(self.each)


def compare(a, b, metric, *, unit="seed", level=0.95):
    """`Comparison` of metric(a) and metric(b) over networks and cases; `each` is in the sorted order of the units.

    Parameters
    ----------
    a, b : tables of the same images and networks, rows in any order: predictions, mask scores or any table of per-image
        measures with a column image_id. A network need not have every image.
    metric : a `Metric`, any other callable table -> float, or a name of `metrics.BINARY` (threshold 0.5) or, of a table
        without p_malignant, of `metrics.multiclass`. Covariances are those of clustered DeLong where the metric is an
        AUC (`Metric.auc_of`), else those of the jackknife over cases, which needs a metric that is smooth in its rows.
    unit : column that tells the networks apart, or a tuple of columns whose combinations do
    level : of the interval

    Raises ValueError (fewer than two networks), PredictionTableError (the tables hold different images, networks or
    labels, or an AUC would pool the scores of several networks), UndefinedMetricError (the metric does not exist for a
    network, or without one of its cases).
    """
    by = (unit,) if isinstance(unit, str) else tuple(unit)
    b = tables.aligned(a, b, by)
    codes = tables.cluster_codes(tables.clusters(a), len(a))
    rows = a.groupby(list(by), sort=True, dropna=False).indices.values()
    if isinstance(metric, str):
        metric = metrics.binary(metric) if "p_malignant" in a else metrics.multiclass(metric)
    if getattr(metric, "auc_of", None) and a.duplicated(["image_id", *by]).any():
        raise tables.PredictionTableError(["an image has several scores in one unit; they are never pooled: mean_over"])
    samples = [(table.iloc[own], codes[own]) for table in (a, b) for own in rows]
    values, covariance = estimates(metric, samples, int(codes.max()) + 1)
    return obuchowski_rockette(values[: len(rows)], values[len(rows) :], covariance, level=level)


def obuchowski_rockette(a, b, covariance, *, level=0.95):
    """`Comparison` of two systems from the values (r,) of their networks, in the same order.

    `covariance` (2 r, 2 r) is that of all values through the cases, those of a before those of b.
    """
    each = np.asarray(a, float) - np.asarray(b, float)
    r = len(each)
    if r < 2:
        raise ValueError(f"a comparison over networks needs at least two of each system, got {r}")
    halves = (covariance[:r, :r] + covariance[r:, r:] - covariance[:r, r:] - covariance[r:, :r]) / 2
    cases = (halves.sum() - np.trace(halves)) / (r - 1)  # r (Cov2 - Cov3)
    rounding = ROUNDING * max(np.trace(covariance) / r, ROUNDING)
    mean_square, cases = (part if part > rounding else 0.0 for part in (each.var(ddof=1) / 2, cases))
    difference, denominator = float(each.mean()), mean_square + cases
    if denominator == 0:
        same = abs(difference) < ROUNDING
        known = (0.0, 0.0, 1.0) if same else (np.nan,) * 3
        return Comparison(0.0 if same else difference, 0.0, np.inf, *known, each)
    error = float(np.sqrt(2 / r * denominator))
    df = (r - 1) * (denominator / mean_square) ** 2 if mean_square else np.inf
    half = stats.t.ppf(0.5 + level / 2, df) * error
    p = 2 * stats.t.sf(abs(difference) / error, df)
    return Comparison(difference, error, float(df), float(difference - half), float(difference + half), float(p), each)


def estimates(metric, samples, count):
    """Value (K,) of a metric in K samples (table, cluster of each row) of `count` clusters, and covariance (K, K)."""
    if getattr(metric, "auc_of", None):
        placed = [placements(*metric.auc_of(table), codes, count) for table, codes in samples]
        return np.array([sample.auc for sample in placed]), auc_covariance(placed)
    values = np.array([float(metric(table)) for table, _ in samples])
    found = [_jackknife(metric, table, codes, count) for table, codes in samples]
    deviation, member = (np.stack(part) for part in zip(*found, strict=True))
    if not (np.isfinite(values).all() and np.isfinite(deviation).all()):
        name = getattr(metric, "name", "the metric")
        raise UndefinedMetricError(f"{name} does not exist for a network, or without one of its cases")
    return values, cluster_covariance(deviation, deviation, member)


def _jackknife(metric, table, codes, count):
    """Deviation (G,) of the metric through each cluster, from its values without that cluster, and membership (G,)."""
    own, code = np.unique(codes, return_inverse=True)
    size = max(1, CHUNK // len(table))
    chunks = [
        values_of(metric, table, (code != left_out[:, None]).astype(float))
        for left_out in np.split(np.arange(len(own)), range(size, len(own), size))
    ]
    without = np.concatenate(chunks)
    deviation = np.zeros(count)
    deviation[own] = (without.mean() - without) * (1 - 1 / len(own))
    return deviation, np.isin(np.arange(count), own)
