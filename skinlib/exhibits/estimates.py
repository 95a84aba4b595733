"""From prediction tables to cells of an exhibit: values with intervals, paired differences with verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from skinlib.evaluation import segmentation, tables
from skinlib.evaluation.metrics import OF_CALLS, multiclass
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_over
from skinlib.evaluation.statistics import bootstrap_ci, holm, paired_bootstrap, unmoved, verdict

OF_MASKS = {metric.name: metric for metric in segmentation.METRICS}
COUNTS = ("tp", "fn", "tn", "fp")
FROM_SCORES = ("roc_auc", "average_precision", "ece", "brier")  # the others look at calls
WITHIN = "within"  # the column of what seeds lie within
LESS_IS_BETTER = ("fn", "fp", "fn_rate", "fp_rate", "false_positives", "ece", "brier", "hd95", "hd95_share")


class Arm(NamedTuple):
    """One system on the test rows, with the threshold that its validation rows chose.

    Attributes
    ----------
    table
        Prediction table, or a table of `skinlib.evaluation.segmentation.per_image`: each image once, or once a seed.
    threshold
        Called malignant where the score is at least this; one for all, or a mapping seed -> threshold.
    note
        Put into the note of each of its cells.
    """

    table: pd.DataFrame
    threshold: float | Mapping[int, float] = 0.5
    note: str = ""


def cell(row: str, metric: str, ours: float, **more) -> dict:
    """Return one cell of an exhibit: row, metric, ours, and what is known of low, high, n, dataset, split, note."""
    empty = {"low": np.nan, "high": np.nan, "n": np.nan, "dataset": np.nan, "split": np.nan, "note": ""}
    return {"row": row, "metric": metric, "ours": ours} | empty | more


def origin(table: pd.DataFrame) -> dict:
    """Return n (different images), dataset and split of a prediction table; several are joined by "+"."""
    names = {key: "+".join(sorted(table[key].astype(str).unique())) for key in ("dataset", "split")}
    return {"n": table["image_id"].nunique(), **names}


def thresholds_of(arm: Arm) -> pd.Series:
    """Return the threshold of each row of an arm's table.

    Raises
    ------
    ValueError
        When a seed of the table has no threshold.
    """
    if not isinstance(arm.threshold, Mapping):
        return pd.Series(float(arm.threshold), index=arm.table.index)
    each = arm.table["seed"].map(dict(arm.threshold)).astype(float)
    if each.isna().any():
        raise ValueError(
            f"no threshold for seed {arm.table['seed'][each.isna()].iloc[0]}; there are {dict(arm.threshold)}"
        )
    return each


def decided(arm: Arm) -> pd.DataFrame:
    """Return an arm's table with ``called``: 1.0 where the score reaches the threshold, else 0.0.

    A table of mask scores has nothing to decide and comes back as it is.
    """
    if _of_masks(arm.table):
        return arm.table
    return arm.table.assign(called=(tables.scores(arm.table) >= thresholds_of(arm)).astype(float))


def metric(name: str, table: pd.DataFrame) -> Metric:
    """Return the metric of a table with ``called``, so that two tables with different thresholds can be compared.

    Names are those of `skinlib.evaluation.metrics` and, of a table of mask scores, `skinlib.evaluation.segmentation`.
    Where the table holds several seeds it is the mean over them; their scores are never pooled.
    """
    single = OF_MASKS[name] if _of_masks(table) else _of_calls(name) if name in OF_CALLS else multiclass(name)
    return mean_over(single, "seed") if _seeds(table) > 1 else single


def _of_masks(table: pd.DataFrame) -> bool:
    return "stage" in table


def _of_calls(name: str) -> Metric:
    formula = OF_CALLS[name]

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        y, p = tables.outcome(rows)
        return formula(y, p if name in FROM_SCORES else rows["called"].to_numpy(), 0.5, counts)

    return Metric(name, weighted)


def _seeds(table: pd.DataFrame) -> int:
    return table["seed"].nunique()


def groups(table: pd.DataFrame) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Return what the bootstrap draws: patients or lesions, crossed with seeds where there are several."""
    clusters = tables.clusters(table)
    return (clusters, table["seed"].to_numpy()) if _seeds(table) > 1 else clusters


def resampled(table: pd.DataFrame, strata: np.ndarray | None = None) -> dict:
    """Return the arguments ``groups`` and ``strata`` of the bootstrap of a table.

    Where a table has the column `WITHIN`, seeds lie within what it names, and are drawn in two stages: first those
    (folds), then the seeds of each. Seeds of one fold share its training images and networks, so a row of three folds
    with three seeds each has three independent units and not nine. Folds are not quite independent either: they share
    part of their training images and all test images, so an interval over few folds is too narrow rather than too wide.

    Parameters
    ----------
    strata
        Within which the patients or lesions are drawn.
    """
    found = groups(table)
    if not isinstance(found, tuple) or WITHIN not in table:
        return {"groups": found, "strata": strata}
    clusters, seeds = found
    within = table[WITHIN].to_numpy()
    return {"groups": (clusters, within, seeds), "strata": (strata, None, within)}


def ends(values: Sequence[float]) -> dict:
    """Return the smallest and the largest of several values as ``low`` and ``high``; {} of one, which has no range."""
    return {"low": float(min(values)), "high": float(max(values))} if len(values) > 1 else {}


def measure(row: str, arm: Arm, names: Sequence[str], *, n_boot: int = 2000, seed: int = 0) -> list[dict]:
    """Return the cells of one row: each metric with its 95 % cluster bootstrap interval; counts have none.

    A metric that does not exist for these rows is an empty cell whose note says so.
    """
    table, about = decided(arm), origin(arm.table)
    cells = []
    for name in names:
        one, low, high, note = metric(name, table), np.nan, np.nan, arm.note
        value = one(table)
        if name not in COUNTS:
            try:
                value, low, high = bootstrap_ci(one, table, **resampled(table), n=n_boot, seed=seed)
            except UndefinedMetricError as error:
                note = "; ".join(filter(None, [note, f"no interval: {error}"]))
        note = "; ".join(filter(None, [note, unmoved(low, high)]))
        cells.append(cell(row, name, value, low=low, high=high, note=note, **about))
    return cells


def threshold_cell(row: str, arm: Arm, *, interval: tuple[float, float, float] | None = None, note: str = "") -> dict:
    """Return the cell of an arm's threshold: its mean over seeds, with ``interval`` or the range over seeds."""
    each = thresholds_of(arm)
    low, high = (np.nan, np.nan) if interval is None else interval[1:]
    if interval is None and each.nunique() > 1:
        low, high, note = each.min(), each.max(), "; ".join(filter(None, [note, "range over seeds"]))
    return cell(row, "threshold", float(np.round(each.mean(), 10)), low=low, high=high, note=note, **origin(arm.table))


def compare(
    row: str, after: Arm, before: Arm, names: Sequence[str], *, suffix: str = "", n_boot: int = 2000, seed: int = 0
) -> list[dict]:
    """Return the cells of a paired difference, after minus before, on the same images; the p value is in ``p``.

    Raises
    ------
    PredictionTableError
        When the two arms hold different images or labels.
    """
    a, b = decided(after), decided(before)
    cells = []
    for name in names:
        try:
            value, low, high, p = paired_bootstrap(metric(name, a), a, b, **resampled(a), n=n_boot, seed=seed)
        except UndefinedMetricError as error:
            cells.append(cell(row, name + suffix, np.nan, note=f"not defined: {error}", **origin(a)) | {"p": np.nan})
            continue
        cells.append(cell(row, name + suffix, value, low=low, high=high, **origin(a)) | {"p": p})
    return cells


def judge(cells: Sequence[dict], *, suffix: str = "", together: bool = False) -> list[dict]:
    """Write a verdict into the note of each difference, its p adjusted by Holm over the cells of the same metric.

    ``together``: over all cells, whatever they measure.
    """
    judged = []
    family_of = lambda one: "" if together else one["metric"]
    families = {family_of(one): [] for one in cells}
    for one in cells:
        families[family_of(one)].append(one["p"])
    adjusted = {name: iter(holm(values)) for name, values in families.items()}
    for one in cells:
        p = next(adjusted[family_of(one)])
        family = int(np.isfinite(families[family_of(one)]).sum())  # what is not defined is not tested
        sides = (one["low"], one["high"])
        if one["metric"].removesuffix(suffix) in LESS_IS_BETTER:
            sides = (-one["high"], -one["low"])
        words = f"{verdict(*sides, p)} (p = {p:.4f}" + (f", Holm over {family})" if family > 1 else ")")
        kept = {key: value for key, value in one.items() if key != "p"}
        judged.append(kept | {"note": "; ".join(filter(None, [one["note"], words if not np.isnan(p) else ""]))})
    return judged
