"""Calibration: reliability, ECE, Brier, temperature scaling, and thresholds recalibrated for fairness.

Sources: Guo et al. 2017 (ECE of equal-width bins, temperature scaling); Brier 1950; Rumale et al. 2026, "Fairness
analysis" (one global threshold, 0.38, lowered until light and dark skin are served).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize

from skinlib.evaluation import tables
from skinlib.evaluation.grouping import group_key
from skinlib.evaluation.metrics import as_arrays, predicted
from skinlib.evaluation.resampled import ECE_BINS, UndefinedMetricError
from skinlib.evaluation.statistics import wilson_interval
from skinlib.evaluation.thresholds import Threshold, choose_threshold, recall_curve

SMALLEST_PROBABILITY = 1e-12  # a probability of 0 has no logarithm
TEMPERATURES = (0.05, 20.0)
FEWEST_POSITIVES = 10


def _bins(p, bins, strategy):
    """Bin (N,) of each score, and the edges (bins + 1,); equal scores always share a bin."""
    if strategy == "width":
        return np.minimum((p * bins).astype(int), bins - 1), np.linspace(0, 1, bins + 1)
    if strategy == "mass":
        edges = np.quantile(p, np.linspace(0, 1, bins + 1))
        return np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1), edges
    raise ValueError(f"strategy is width or mass, got {strategy!r}")


def reliability(table_or_y, p=None, *, bins=10, strategy="width", level=0.95):
    """Reliability table: observed share of positives against the mean score, bin by bin.

    Parameters
    ----------
    table_or_y, p : as in `metrics.binary_metrics`
    bins : number of bins
    strategy : "width" (equal width on [0, 1]) or "mass" (equal numbers of rows, equal scores kept together)
    level : of the Wilson interval of the share (rows taken as independent)

    Returns
    -------
    DataFrame with a row a bin: lower, upper, n, mean_score, share, low, high; NaN in an empty bin
    """
    y, p = as_arrays(table_or_y, p)
    member, edges = _bins(p, bins, strategy)
    rows = []
    for index in range(bins):
        inside = member == index
        n = int(inside.sum())
        means = (float(p[inside].mean()), float(y[inside].mean())) if n else (np.nan, np.nan)
        rows.append((edges[index], edges[index + 1], n, *means, *wilson_interval(int(y[inside].sum()), n, level)))
    return pd.DataFrame(rows, columns=["lower", "upper", "n", "mean_score", "share", "low", "high"])


def ece(table_or_y, p=None, *, bins=ECE_BINS, strategy="width"):
    """Expected calibration error in [0, 1]: mean over rows of |share of positives - mean score| of their bin.

    Arguments as in `reliability`. For several classes pass `top_label(table)`. Source: Guo et al. 2017, equation 5.
    """
    table = reliability(table_or_y, p, bins=bins, strategy=strategy).query("n > 0")
    return float(np.average((table["share"] - table["mean_score"]).abs(), weights=table["n"]))


def brier(table_or_y, p=None):
    """Brier score in [0, 1]: mean squared difference of score and outcome, 0 is best."""
    y, p = as_arrays(table_or_y, p)
    return float(np.mean((p - y) ** 2))


def top_label(table):
    """Whether the called class is right (N,) of 0 and 1, and its probability (N,); a tie is wrong."""
    values, _ = tables.probabilities(table)
    return (predicted(table) == tables.labels(table)).astype(int), values.max(axis=1)


class Temperature(NamedTuple):
    """Fitted temperature; `at_bound` where no optimum lies inside (0.05, 20); log loss before and after, in nats."""

    value: float
    at_bound: bool
    before: float
    after: float


def _tempered(values, temperature):
    logits = np.log(np.maximum(values, SMALLEST_PROBABILITY)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def fit_temperature(table):
    """Temperature that minimises the log loss of validation rows.

    Parameters
    ----------
    table : prediction table of any number of classes, column `part` = val

    Returns
    -------
    Temperature

    Raises
    ------
    TestDataError, PredictionTableError
        As in `choose_threshold`.

    Source: Guo et al. 2017, section 4.2. The logarithm of the probabilities stands for the logits (they differ by a
    constant a row, which the softmax removes), so an ensemble's mean can be scaled too.
    """
    tables.require_validation(table, "a temperature")
    values, truth = tables.probabilities(table)[0], tables.labels(table)

    def loss(log_temperature):
        right = _tempered(values, np.exp(log_temperature))[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(right, SMALLEST_PROBABILITY)).mean())

    bounds = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    at_bound = bool(min(loss(bound) for bound in bounds) <= found.fun)  # every row right: the colder the better
    return Temperature(float(np.exp(found.x)), at_bound, loss(0.0), float(found.fun))


def apply_temperature(table, temperature):
    """The table with its probabilities softened (temperature > 1) or sharpened (< 1); the calls stay as they are."""
    if not temperature > 0:
        raise ValueError(f"a temperature is positive, got {temperature}")
    values, names = tables.probabilities(table)
    scaled = _tempered(values, temperature)
    return table.assign(**{f"p_{name}": scaled[:, index] for index, name in enumerate(names)})


@dataclass(frozen=True)
class Recalibrated:
    """One global threshold that serves every group.

    `curves` has a row a grid point and a column a group (recall); `recalls` are those at `t`; `ignored` maps a group
    with fewer than 10 malignant rows, which constrains nothing, to their number.
    """

    t: float
    feasible: bool
    gamma: float
    recalls: dict
    ignored: dict
    curves: pd.DataFrame = field(repr=False, compare=False)

    @property
    def gap(self):
        """Largest difference in recall between two groups at `t`."""
        return max(self.recalls.values()) - min(self.recalls.values())


def _served_groups(table, groups):
    """Group of each row (N,), the groups with enough malignant rows to constrain, and the others with their number."""
    tables.require_validation(table, "a threshold")
    y, _ = tables.outcome(table)
    key = group_key(table, groups)
    positives = pd.Series(y).groupby(key).sum()
    used = list(positives.index[positives >= FEWEST_POSITIVES])
    if not used:
        raise UndefinedMetricError(f"no group of {groups} has {FEWEST_POSITIVES} malignant rows")
    return key, used, {group: int(count) for group, count in positives.drop(used).items()}


def recalibrate_threshold(table, groups, *, recall=0.85, step=0.02):
    """Largest threshold of the grid at which the recall reaches gamma in **every** group.

    Without a feasible one: the largest t among those of highest recall in the worst group, with `feasible=False`.

    Parameters
    ----------
    table : validation (out-of-fold) rows, binary, column `part` = val
    groups : column of the table; a missing value is the group "missing"
    recall : gamma;  step : of the grid

    Returns
    -------
    Recalibrated

    Raises
    ------
    UndefinedMetricError
        No group has 10 malignant rows.
    TestDataError, PredictionTableError
        As in `choose_threshold`.

    Source: Rumale et al. 2026 gives a result (t = 0.38, recall gap -42 %) and no rule; the rule is ours.
    """
    key, used, ignored = _served_groups(table, groups)
    members = {group: recall_curve(table[key == group], step=step) for group in used}
    points = next(iter(members.values()))["t"].to_numpy()
    curves = pd.DataFrame({group: curve["recall"].to_numpy() for group, curve in members.items()}, index=points)
    worst = curves.min(axis=1)
    t = float(worst.index[worst >= min(recall, worst.max())].max())
    recalls = {group: float(curves.loc[t, group]) for group in used}
    return Recalibrated(t, bool(worst.max() >= recall), recall, recalls, ignored, curves)


def group_thresholds(table, groups, *, recall=0.85, step=0.02) -> dict[str, Threshold]:
    """A threshold for each group by the rule of `choose_threshold`, for groups with 10 malignant rows or more.

    Deciding by group needs the group at the bedside and treats like scores unlike: shown for comparison only. Arguments
    and errors as in `recalibrate_threshold`.
    """
    key, used, _ = _served_groups(table, groups)
    return {group: choose_threshold(table[key == group], recall=recall, step=step) for group in used}
