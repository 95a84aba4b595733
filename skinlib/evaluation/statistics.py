"""Tests and intervals. Here McNemar, Holm, Wilson and the verdict; the bootstrap and DeLong from their own modules."""

import math

import numpy as np
from scipy import stats

from skinlib.evaluation.bootstrap import (
    Interval,
    bootstrap_ci,
    bootstrap_distribution,
    paired_bootstrap,
    percentile_interval,
    resamples,
    two_sided_p,
    unmoved,
)
from skinlib.evaluation.delong import delong_ci, delong_test, delong_unpaired

__all__ = [
    "Interval",
    "bootstrap_ci",
    "bootstrap_distribution",
    "delong_ci",
    "delong_test",
    "delong_unpaired",
    "holm",
    "mcnemar_test",
    "paired_bootstrap",
    "percentile_interval",
    "resamples",
    "two_sided_p",
    "unmoved",
    "verdict",
    "wilson_interval",
]


def mcnemar_test(y, a, b):
    """Exact McNemar test of two sets of calls on the same rows.

    Parameters
    ----------
    y, a, b : (N,) truth and the two calls, in the same code (class indices; -1 is wrong for every class)

    Returns
    -------
    b, c, p : rows that only a has right, rows that only b has right, two-sided binomial p (1 where b + c = 0)

    Source: McNemar 1947; exact form, Binomial(b + c, 1/2).
    """
    y, a, b = (np.asarray(values) for values in (y, a, b))
    if not y.shape == a.shape == b.shape:
        raise ValueError(f"truth {y.shape} and calls {a.shape}, {b.shape} differ in length")
    only_a, only_b = int(((a == y) & (b != y)).sum()), int(((a != y) & (b == y)).sum())
    p = min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))) if only_a + only_b else 1.0
    return only_a, only_b, p


def holm(pvalues):
    """Holm's step-down adjustment of p values (m,), in the given order; NaN (a test not run) stays NaN and is not
    counted.

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
    if not 0 <= k <= n:
        raise ValueError(f"{k} successes in {n} trials")
    if n == 0:
        return float("nan"), float("nan")
    z2 = stats.norm.ppf(0.5 + level / 2) ** 2
    centre, half = (k + z2 / 2) / (n + z2), math.sqrt(z2 * (k * (n - k) / n + z2 / 4)) / (n + z2)
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def verdict(low, high, p_adjusted, alpha=0.05):
    """Verdict on a difference in a metric of which more is better, from its interval and its Holm-adjusted p.

    "helps" where the interval lies above 0 and p < alpha, "harms" where it lies below 0 and p < alpha, else "no
    evidence" (also where a figure is NaN).
    """
    if p_adjusted < alpha and low > 0:
        return "helps"
    return "harms" if p_adjusted < alpha and high < 0 else "no evidence"
