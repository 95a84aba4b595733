"""From prediction tables of several classes to cells of an exhibit, as `skinlib.exhibits.estimates` does for two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.evaluation.metrics import CLASSWISE, MULTICLASS, WEIGHTED
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_over
from skinlib.evaluation.statistics import bootstrap_ci, paired_bootstrap, unmoved
from skinlib.exhibits.estimates import cell, origin, resampled


def metric(name: str, table: pd.DataFrame) -> Metric:
    """Return a metric of a table; where this holds several seeds, the mean over them, whose scores are never pooled.

    Parameters
    ----------
    name
        ``accuracy``, ``macro_f1`` and the other keys of `skinlib.evaluation.metrics.MULTICLASS` and ``WEIGHTED``, or
        a metric of one class, ``<metric>_of_<class>``: ``f1_of_mel``.

    Raises
    ------
    ValueError
        For a metric or a class that is not there.
    """
    one = _single(name, tables.classes(table))
    return mean_over(one, "seed") if table["seed"].nunique() > 1 else one


def _single(name: str, classes: Sequence[str]) -> Metric:
    whole = MULTICLASS | WEIGHTED
    if name in whole:
        return Metric(name, whole[name])
    of_class, _, code = name.partition("_of_")
    if of_class not in CLASSWISE or code not in classes:
        known = f"{', '.join(whole)}, and {', '.join(CLASSWISE)} with _of_ and one of {', '.join(classes)}"
        raise ValueError(f"no metric {name!r}; there are {known}")
    formula, k = CLASSWISE[of_class], list(classes).index(code)
    return Metric(name, lambda rows, counts: formula(rows, counts)[:, k])


def rarest(table: pd.DataFrame) -> np.ndarray:
    """Return for each row the rarest label of its patient or lesion (N,): strata in which no class can get lost.

    A resample of a small test part easily misses the few patients of a rare class, and then has no balanced accuracy.
    """
    rank = table["label"].map(table["label"].value_counts().rank(method="first"))
    first = table.assign(rank=rank, cluster=tables.clusters(table)).sort_values("rank", kind="stable")
    label = first.drop_duplicates("cluster").set_index("cluster")["label"]
    return label.loc[tables.clusters(table)].to_numpy()


def measure(
    row: str,
    table: pd.DataFrame,
    names: Sequence[str],
    *,
    note: str = "",
    strata: np.ndarray | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Return the cells of one row: each metric with its 95 % cluster bootstrap interval over seeds and lesions.

    A metric that does not exist for these rows (a class that is never called has no precision) is an empty cell whose
    note says so. ``strata``, such as `rarest`, are those of the bootstrap.
    """
    cells = []
    for name in names:
        one, low, high, words = metric(name, table), np.nan, np.nan, note
        value = one(table)
        try:
            value, low, high = bootstrap_ci(one, table, **resampled(table, strata), n=n_boot, seed=seed)
        except UndefinedMetricError as error:
            words = "; ".join(filter(None, [note, f"no interval: {error}"]))
        words = "; ".join(filter(None, [words, unmoved(low, high)]))
        cells.append(cell(row, name, value, low=low, high=high, note=words, **origin(table)))
    return cells


def compare(
    row: str,
    after: pd.DataFrame,
    before: pd.DataFrame,
    names: Sequence[str],
    *,
    strata: np.ndarray | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Return the cells of a paired difference, after minus before, on the same images and seeds.

    ``strata`` are those of the bootstrap, a row of ``after`` each. The metric is called ``<name>_diff``; the p value is
    in ``p``, for `skinlib.exhibits.estimates.judge`.

    Raises
    ------
    PredictionTableError
        When the two tables hold different images, seeds or labels.
    """
    cells = []
    for name in names:
        one = metric(name, after)
        try:
            value, low, high, p = paired_bootstrap(one, after, before, **resampled(after, strata), n=n_boot, seed=seed)
        except UndefinedMetricError as error:
            value, low, high, p = (np.nan,) * 4
            more = {"note": f"not defined: {error}"}
        else:
            more = {}
        cells.append(cell(row, f"{name}_diff", value, low=low, high=high, **origin(after), **more) | {"p": p})
    return cells


def by_stratum(
    row: str, table: pd.DataFrame, strata: Mapping[str, str], names: Sequence[str], *, n_boot: int = 2000, seed: int = 0
) -> list[dict]:
    """Return the cells of each stratum of the images, in the order in which ``strata`` first names them.

    Parameters
    ----------
    strata
        Image id -> name of its stratum; images without one are left out. The row is ``<row>, <stratum>``.
    """
    of_row, cells = table["image_id"].map(dict(strata)), []
    for stratum in dict.fromkeys(strata.values()):
        rows = table[of_row == stratum].reset_index(drop=True)
        if len(rows):
            cells += measure(f"{row}, {stratum}", rows, names, n_boot=n_boot, seed=seed)
    return cells
