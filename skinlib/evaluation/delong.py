"""DeLong's test of AUCs, for independent rows and for clustered ones (several images a lesion or patient).

The AUC is a mean over pairs, so its variance follows from the placement of each row: the share of negatives below a
positive (V10) and of positives above a negative (V01). Where rows of one cluster resemble each other their deviations
are summed within the cluster before they are squared. With one row a cluster the result equals plain DeLong.

Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837; Obuchowski 1997, Biometrics 53:567, equations for S10,
S01 and S11; the covariance of two samples that share clusters is the same sum over clusters (ours).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.tables import cluster_codes


@dataclass(frozen=True)
class _Placements:
    """AUC of one sample, and per cluster (G,) its deviation through positives and negatives, already over M and N."""

    auc: float
    positive: np.ndarray
    negative: np.ndarray
    positive_clusters: int
    negative_clusters: int
    clusters: int


def delong_test(y, a, b, *, groups=None):
    """Compare the AUCs of two scores on the same rows.

    Parameters
    ----------
    y : (N,) of 0 and 1
    a, b : (N,) scores, any scale; higher means more likely 1
    groups : (N,) cluster of each row, or None for independent rows; a row whose cluster is missing stands alone

    Returns
    -------
    auc_a, auc_b, z, p : z > 0 where a is better; two-sided p. Where the difference has no variance, equal AUCs give
        z = 0, p = 1, and unequal ones (one score perfect, the other perfectly wrong) have no test: NaN, NaN.

    Raises
    ------
    UndefinedMetricError
        Fewer than two clusters with positives, or with negatives.
    ValueError
        Labels other than 0 and 1, scores not finite, or lengths that differ.

    Source: DeLong et al. 1988; with groups Obuchowski 1997.
    """
    codes = cluster_codes(groups, len(y))
    first, second = _placements(y, a, codes), _placements(y, b, codes)
    variance = _own(first, first) + _own(second, second) - 2 * _own(first, second)
    return first.auc, second.auc, *_normal(first.auc - second.auc, variance)


def delong_ci(y, score, *, groups=None, level=0.95):
    """AUC with its normal interval, clipped to [0, 1]: (auc, low, high). Arguments and errors as in `delong_test`."""
    codes = cluster_codes(groups, len(y))
    one = _placements(y, score, codes)
    half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(max(_own(one, one), 0))
    return one.auc, max(one.auc - half, 0.0), min(one.auc + half, 1.0)


def delong_unpaired(y1, s1, y2, s2, groups=None):
    """Compare the AUCs of one score on two different sets of rows (light and dark skin).

    Parameters
    ----------
    y1, s1, y2, s2 : labels of 0 and 1 and scores of the two sets, (N1,), (N1,), (N2,), (N2,)
    groups : pair of arrays (N1,), (N2,) with the clusters of both sets, or None. A cluster may have rows in both sets
        (one lesion photographed lighter and darker): their covariance is then taken into account.

    Returns
    -------
    auc_1, auc_2, z, p : z > 0 where the first is higher; NaN rules and errors as in `delong_test`
    """
    values = None if groups is None else np.concatenate([np.asarray(part, dtype=object) for part in groups])
    codes = cluster_codes(values, len(y1) + len(y2))
    count = int(codes.max()) + 1
    first = _placements(y1, s1, codes[: len(y1)], count)
    second = _placements(y2, s2, codes[len(y1) :], count)
    shared = count / (count - 1) * ((first.positive + first.negative) * (second.positive + second.negative)).sum()
    variance = _own(first, first) + _own(second, second) - 2 * shared
    return first.auc, second.auc, *_normal(first.auc - second.auc, variance)


def _placements(y, score, codes, count=None):
    y, score = np.asarray(y), np.asarray(score, float)
    if y.shape != score.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all() or not np.isfinite(score).all():
        raise ValueError("DeLong needs labels of 0 and 1 and as many finite scores")
    is_positive = y == 1
    positive, negative = codes[is_positive], codes[~is_positive]
    clusters = len(np.unique(positive)), len(np.unique(negative))
    if min(clusters) < 2:
        raise UndefinedMetricError(f"DeLong needs two clusters of positives and of negatives, found {clusters}")
    m, n = len(positive), len(negative)
    rank = stats.rankdata(score)
    v10 = (rank[is_positive] - stats.rankdata(score[is_positive])) / n  # ties count one half by the mid-ranks
    v01 = 1 - (rank[~is_positive] - stats.rankdata(score[~is_positive])) / m
    auc = float(v10.mean())
    by_positive = np.bincount(positive, weights=v10 - auc, minlength=count or codes.max() + 1) / m
    by_negative = np.bincount(negative, weights=v01 - auc, minlength=count or codes.max() + 1) / n
    return _Placements(auc, by_positive, by_negative, *clusters, len(np.unique(codes)))


def _own(first, second):
    """Covariance of two AUCs of the same rows: S10 / M + S01 / N + (S11 + S11') / (M N) of Obuchowski."""
    pairs = first.positive_clusters, first.negative_clusters, first.clusters
    s10, s01, s11 = (count / (count - 1) for count in pairs)
    crossed = (first.positive * second.negative + first.negative * second.positive).sum()
    own = s10 * (first.positive * second.positive).sum() + s01 * (first.negative * second.negative).sum()
    return float(own + s11 * crossed)


def _normal(difference, variance):
    if variance <= 1e-15:  # rounding leaves about 1e-18 where the two scores rank every pair alike
        return (0.0, 1.0) if abs(difference) < 1e-12 else (float("nan"), float("nan"))
    z = float(difference / np.sqrt(variance))
    return z, float(2 * stats.norm.sf(abs(z)))
