"""Calibration: reliability by bins of the score, and one threshold recalibrated so that it serves every group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.evaluation.fairness import group_key
from skinlib.evaluation.metrics import as_arrays
from skinlib.evaluation.resampled import UndefinedMetricError, score_bins
from skinlib.evaluation.statistics import wilson_interval
from skinlib.evaluation.thresholds import candidates, recall_curve

FEWEST_POSITIVES = 10


def reliability(table_or_y, p=None, *, bins=10, level=0.95):
    """Reliability table, a row a bin of equal width on [0, 1]: lower, upper, n, mean_score, share, low, high.

    Takes a table or arrays as `metrics.binary_metrics`. The interval of the share of positives is Wilson's (rows taken
    as independent); an empty bin is NaN.
    """
    y, p = as_arrays(table_or_y, p)
    member, edges, rows = score_bins(p, bins), np.linspace(0, 1, bins + 1), []
    for index in range(bins):
        inside = member == index
        n, positives = int(inside.sum()), int(y[inside].sum())
        means = (float(p[inside].mean()), positives / n) if n else (np.nan, np.nan)
        rows.append((edges[index], edges[index + 1], n, *means, *wilson_interval(positives, n, level)))
    return pd.DataFrame(rows, columns=["lower", "upper", "n", "mean_score", "share", "low", "high"])


@dataclass(frozen=True)
class Recalibrated:
    """One global threshold `t` that serves every group, and whether it can."""

    t: float
    feasible: bool
    recalls: dict  # of each group, at t
    ignored: dict  # group with fewer than 10 malignant rows, which constrains nothing -> their number


def recalibrate_threshold(table, groups, *, recall=0.85, step=0.02):
    """Largest threshold at which the recall reaches the given one in **every** group of validation rows.

    Without a feasible one: the largest t among those of highest recall in the worst group, with `feasible=False`. A
    missing value of the column `groups` is the group "missing". With fewer than 10 malignant rows in each group there
    is an `UndefinedMetricError`; rows of other parts are refused as by `choose_threshold`.

    Source: Rumale et al. 2026, "Fairness analysis", gives a result (t = 0.38, recall gap -42 %) and no rule; the rule
    is ours.
    """
    tables.require_validation(table, "a threshold")
    key = group_key(table, groups)
    positives = pd.Series(tables.outcome(table)[0]).groupby(key).sum()
    used = positives.index[positives >= FEWEST_POSITIVES]
    if used.empty:
        raise UndefinedMetricError(f"no group of {groups} has {FEWEST_POSITIVES} malignant rows")
    points = candidates(*tables.outcome(table), step)
    curves = {name: recall_curve(table[key == name], points=points).set_index("t")["recall"] for name in used}
    curves = pd.DataFrame(curves)
    worst = curves.min(axis=1)
    t = float(worst.index[worst >= min(recall, worst.max())].max())
    ignored = {name: int(count) for name, count in positives.drop(used).items()}
    return Recalibrated(t, bool(worst.max() >= recall), curves.loc[t].to_dict(), ignored)
