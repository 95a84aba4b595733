"""DeLong's test of AUCs, for independent rows and for clustered ones (several images a lesion or patient).

The AUC is a mean over pairs, so its variance follows from the placement of each row: the share of negatives below a
positive (V10) and of positives above a negative (V01). Where rows of one cluster resemble each other their deviations
are summed within the cluster before they are squared. With one row a cluster the result equals plain DeLong.

Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837; Obuchowski 1997, Biometrics 53:567, equations for S10,
S01 and S11; the covariance of two samples that share some of their clusters is the same sum over these (ours).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.tables import cluster_codes


class Placements(NamedTuple):
    """AUC of one sample; by cluster (2, G), of positives and negatives: deviation over their number, and membership."""

    auc: float
    deviation: np.ndarray
    member: np.ndarray


def delong_test(y, a, b, *, groups=None):
    """Compare the AUCs of two scores on the same rows.

    Parameters
    ----------
    y : (N,) of 0 and 1
    a, b : (N,) scores, any scale; higher means more likely 1
    groups : (N,) cluster of each row, or None for independent rows; a row without a cluster is one of its own

    Returns auc_a, auc_b, z, p: z > 0 where a is better; two-sided p. Where the difference has no variance, equal AUCs
    give z = 0, p = 1, and unequal ones (one score perfect, the other perfectly wrong) have no test: NaN, NaN.

    Raises UndefinedMetricError (fewer than two clusters with positives, or with negatives), ValueError (labels other
    than 0 and 1, scores not finite, or lengths that differ).

    Source: DeLong et al. 1988; with groups Obuchowski 1997.
    """
    codes = cluster_codes(groups, len(y))
    return _compared(placements(y, a, codes), placements(y, b, codes))


def delong_unpaired(y1, s1, y2, s2, groups=None):
    """Compare the AUCs of one score on two sets of rows, (N1,) and (N2,) (light and dark skin), as `delong_test` does.

    `groups` is a pair of arrays (N1,), (N2,), or None. A cluster may have rows in both sets (one lesion photographed
    lighter and darker): their covariance is then taken into account.
    """
    values = None if groups is None else np.concatenate([np.asarray(part, dtype=object) for part in groups])
    codes = cluster_codes(values, len(y1) + len(y2))
    count = int(codes.max()) + 1
    first = placements(y1, s1, codes[: len(y1)], count)
    return _compared(first, placements(y2, s2, codes[len(y1) :], count))


def placements(y, score, codes, count=None):
    """The `Placements` of a sample whose rows lie in the clusters `codes` (N,), of `count` clusters in all."""
    y, score = np.asarray(y), np.asarray(score, float)
    if y.shape != score.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all() or not np.isfinite(score).all():
        raise ValueError("DeLong needs labels of 0 and 1 and as many finite scores")
    count = count or int(codes.max()) + 1
    members = np.stack([np.bincount(codes[y == label], minlength=count) for label in (1, 0)])
    clusters = tuple(int(found) for found in (members > 0).sum(axis=1))
    if min(clusters) < 2:
        raise UndefinedMetricError(f"DeLong needs two clusters of positives and of negatives, found {clusters}")
    rank, below, deviation = stats.rankdata(score), {}, []
    for label, sign in ((1, 1), (0, -1)):
        rows = y == label
        share = (rank[rows] - stats.rankdata(score[rows])) / (~rows).sum()  # of the other class below, ties one half
        below[label] = float(share.mean())
        deviation.append(sign * np.bincount(codes[rows], share - below[label], count) / rows.sum())
    return Placements(below[1], np.stack(deviation), members > 0)


def auc_covariance(samples):
    """Covariance (K, K) of the AUCs of K samples: S10 / M + S01 / N + (S11 + S11') / (M N) of Obuchowski."""
    (positive, negative), (has_positive, has_negative) = (
        np.stack([getattr(sample, name) for sample in samples], axis=1) for name in ("deviation", "member")
    )
    crossed = cluster_covariance(positive, negative, has_positive | has_negative)
    own = cluster_covariance(positive, positive, has_positive) + cluster_covariance(negative, negative, has_negative)
    return own + crossed + crossed.T


def cluster_covariance(first, second, member):
    """Covariance (K, K) of sums over clusters, from their deviations (K, G) and which clusters each one has (K, G).

    Deviations from a sample's own mean are too small: with n clusters in one sample, n' in the other and s in both,
    their product has the expectation (1 - 1 / n - 1 / n' + s / (n n')) of the covariance; of one sample (n - 1) / n.
    """
    member = member.astype(float)
    shared, size = member @ member.T, member.sum(axis=1)
    kept = 1 - 1 / size - 1 / size[:, None] + shared / np.outer(size, size)
    return np.divide(first @ second.T, kept, out=np.zeros(kept.shape), where=shared > 0)


def _compared(first, second):
    covariance, difference = auc_covariance([first, second]), first.auc - second.auc
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = difference / np.sqrt(variance) if variance > 1e-15 else np.nan  # rounding leaves 1e-18 of equal rankings
    if np.isnan(z) and abs(difference) < 1e-12:
        z = 0.0
    return first.auc, second.auc, float(z), float(2 * stats.norm.sf(abs(z)))
