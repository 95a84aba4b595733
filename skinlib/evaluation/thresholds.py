"""Choosing the decision threshold on validation rows: the best F1 under a recall constraint; reliability of scores.

    t* = argmax_t { F1(t) | Recall(t) >= gamma }

Grid: the multiples of the step strictly between 0 and 1 (0.02 ... 0.98); 0 would call every row malignant and make any
constraint feasible. Without a step the scores themselves are the candidates. A row is called where score >= t. Ties in
F1 go to the lowest t (the highest recall). Where no t is feasible the one of highest recall is returned and says so
(`feasible=False`); ties go to the higher F1, then the lower t.

Source: Rumale et al. 2026, "Threshold optimization". The paper does not state gamma; 0.85 is ours.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.metrics import roc_curve

from skinlib.evaluation import tables
from skinlib.evaluation.fairness import group_key
from skinlib.evaluation.metrics import as_arrays
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, ratio, score_bins
from skinlib.evaluation.statistics import bootstrap_ci, wilson_interval

STEP = 0.02  # of the grid of thresholds; Rumale et al. 2026, section III
FEWEST_POSITIVES = 10  # of a group, for which a threshold is recalibrated


@dataclass(frozen=True)
class Threshold:
    """A chosen threshold `t`, whether it meets recall >= `gamma`, and its metrics on the rows it was chosen on."""

    t: float
    feasible: bool
    recall: float
    precision: float
    f1: float
    gamma: float
    curve: pd.DataFrame = field(repr=False, compare=False)  # a row a grid point: t, recall, precision, f1, feasible


def grid(step=STEP):
    """Multiples (T,) of the step, in (0, 0.5], strictly between 0 and 1, rounded so that 0.46 is the number 0.46."""
    if not 0 < step <= 0.5:
        raise ValueError(f"a grid step lies in (0, 0.5], got {step}")
    points = np.round(np.arange(1, int(np.ceil(1 / step)) + 1) * step, 10)
    return points[points < 1]


def candidates(y, p, step=STEP):
    """Thresholds (T,) to choose among: the grid of a step or, without one, the scores themselves.

    Of many scores 101 quantiles are taken, and as many of the malignant rows': where these are rare and score low, a
    grid has no point between them. The least score calls every row, so it is none, unless all are alike.
    """
    if step is not None:
        return grid(step)
    taken = lambda values: np.quantile(values, np.linspace(0, 1, 101), method="nearest") if len(values) else values
    points = np.union1d(taken(p), taken(p[y == 1]))
    return points[points > p.min()] if len(points) > 1 else points


def _curves(y, p, points, counts):
    """Recall, precision and F1, each (B, T), of resamples at the grid points, which ascend."""
    place = (np.arange(len(p)), np.searchsorted(points, p, side="right"))  # how many points a score reaches
    reached = csr_array((np.ones(len(p)), place), shape=(len(p), len(points) + 1))
    called = lambda drawn: np.cumsum((drawn @ reached)[:, :0:-1], axis=1)[:, ::-1]
    hits, calls, positives = called(counts * y), called(counts), (counts @ y.astype(float))[:, None]
    return ratio(hits, positives), ratio(hits, calls), ratio(2 * hits, positives + calls)


def _best(recall, f1, gamma):
    """Index (B,) of the chosen grid point, and whether it is feasible (B,)."""
    meets = recall >= gamma
    feasible = meets.any(axis=1)
    fallback = recall == recall.max(axis=1, keepdims=True)
    allowed = np.where(feasible[:, None], meets, fallback)
    return np.where(allowed, f1, -1).argmax(axis=1), feasible  # argmax takes the first, so the lowest t


def recall_curve(table, *, step=STEP, points=None):
    """Recall, precision and F1 of any rows, for nothing is chosen, at points or else at each candidate t."""
    y, p = tables.outcome(table)
    points = candidates(y, p, step) if points is None else points
    recall, precision, f1 = (curve[0] for curve in _curves(y, p, points, np.ones((1, len(y)))))
    return pd.DataFrame({"t": points, "recall": recall, "precision": precision, "f1": f1})


def choose_threshold(table, *, recall=0.85, step=STEP):
    """Threshold of highest F1 among the `candidates` that reach the recall gamma; ties as the module says.

    The table holds validation rows (`tables.require_validation`); without a malignant one `UndefinedMetricError`.
    """
    if not 0 <= recall <= 1:
        raise ValueError(f"the recall to reach lies in [0, 1], got {recall}")
    tables.require_validation(table, "a threshold")
    curve = recall_curve(table, step=step)
    if curve["recall"].isna().any():
        raise UndefinedMetricError("no malignant row: recall does not exist, so no threshold can be chosen")
    curve["feasible"] = curve["recall"] >= recall
    index, feasible = _best(curve[["recall"]].to_numpy().T, curve[["f1"]].to_numpy().T, recall)
    best = curve.iloc[int(index[0])][["t", "recall", "precision", "f1"]].astype(float).to_dict()
    return Threshold(feasible=bool(feasible[0]), gamma=recall, curve=curve, **best)


def threshold_interval(table, *, groups=None, n=2000, seed=0, level=0.95, recall=0.85, step=STEP):
    """Bootstrap interval (t*, low, high): the whole choice, with its rules, is repeated on each resample."""
    tables.require_validation(table, "a threshold")
    points = candidates(*tables.outcome(table), step)

    def weighted(rows, counts):
        curves = _curves(*tables.outcome(rows), points, counts)
        index, _ = _best(curves[0], curves[2], recall)
        return np.where(np.isnan(curves[0][:, 0]), np.nan, points[index])

    return bootstrap_ci(Metric("t*", weighted), table, groups=groups, n=n, level=level, seed=seed)


def recall_at_specificity(table_or_y, p=None, specificity=0.9):
    """Highest recall on the ROC curve at which the specificity is at least the given one, and its threshold.

    The threshold is an observed score (infinite: nothing is called) and describes the curve; one for use is chosen by
    `choose_threshold`. Arguments as in `metrics.binary_metrics`; `UndefinedMetricError` with one class only.
    """
    y, p = as_arrays(table_or_y, p)
    if y.min(initial=1) == y.max(initial=0):
        raise UndefinedMetricError("recall at a specificity needs malignant and benign rows")
    false_positive_rate, recall, points = roc_curve(y, p, drop_intermediate=False)
    reached = false_positive_rate <= 1 - specificity + 1e-12  # rounding must not cost a row
    best = np.where(reached, recall, -1).argmax()  # the first of equals: the highest threshold, so the best specificity
    return float(recall[best]), float(points[best])


def reliability(table_or_y, p=None, *, bins=10):
    """Reliability table, a row a bin of equal width on [0, 1], NaN where empty; arguments as `metrics.binary_metrics`.

    The interval of the share of positives is Wilson's, with rows taken as independent.
    """
    y, p = as_arrays(table_or_y, p)
    member, edges, rows = score_bins(p, bins), np.linspace(0, 1, bins + 1), []
    for index in range(bins):
        inside = member == index
        n, positives = int(inside.sum()), int(y[inside].sum())
        means = (float(p[inside].mean()), positives / n) if n else (np.nan, np.nan)
        rows.append((edges[index], edges[index + 1], n, *means, *wilson_interval(positives, n)))
    return pd.DataFrame(rows, columns=["lower", "upper", "n", "mean_score", "share", "low", "high"])


@dataclass(frozen=True)
class Recalibrated:
    """One global threshold `t` that serves every group, and whether it can."""

    t: float
    feasible: bool
    recalls: dict  # of each group, at t
    ignored: dict  # group with fewer than 10 malignant rows, which constrains nothing -> their number


def recalibrate_threshold(table, groups, *, recall=0.85):
    """Largest threshold at which the recall reaches the given one in **every** group of validation rows.

    Without a feasible one: the largest t among those of highest recall in the worst group, with `feasible=False`. With
    fewer than 10 malignant rows in each group there is an `UndefinedMetricError`.

    Source: Rumale et al. 2026, "Fairness analysis", gives a result (t = 0.38, recall gap -42 %); the rule is ours.
    """
    tables.require_validation(table, "a threshold")
    key = group_key(table, groups)
    positives = pd.Series(tables.outcome(table)[0]).groupby(key).sum()
    used = positives.index[positives >= FEWEST_POSITIVES]
    if used.empty:
        raise UndefinedMetricError(f"no group of {groups} has {FEWEST_POSITIVES} malignant rows")
    points = candidates(*tables.outcome(table))
    curves = {name: recall_curve(table[key == name], points=points).set_index("t")["recall"] for name in used}
    curves = pd.DataFrame(curves)
    worst = curves.min(axis=1)
    t = float(worst.index[worst >= min(recall, worst.max())].max())
    ignored = {name: int(count) for name, count in positives.drop(used).items()}
    return Recalibrated(t, bool(worst.max() >= recall), curves.loc[t].to_dict(), ignored)
