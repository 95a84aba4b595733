"""A row of a table: per-image rows of one system, with what decides and what varies from training to training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation import segmentation, tables
from skinlib.evaluation.metrics import CLASSWISE, MULTICLASS, OF_CALLS, WEIGHTED, binary
from skinlib.evaluation.resampled import Metric, mean_over, ratio

OF_MASKS = {metric.name: metric for metric in segmentation.METRICS}
FROM_SCORES = ("roc_auc", "average_precision", "ece", "brier")  # no threshold moves them


@dataclasses.dataclass(frozen=True)
class Scored:
    """One row of a table: the predictions of one system, its mask scores, or any measure of each image.

    ``table`` has a row an image and unit: a prediction table, a table of `skinlib.evaluation.segmentation.per_image`,
    or any with ``image_id`` and columns to average. ``units`` are the columns that tell trainings apart, such as
    ``("split_seed", "seed")``; ``()`` where nothing is trained, or one training serves every unit of another row.
    Scores are never pooled over units. ``nested``: the later units lie within the first: seeds of one fold share its
    training images, so three folds of three seeds are three independent units; the bootstrap draws in two stages.
    """

    table: pd.DataFrame
    threshold: float | Mapping = 0.5  # called malignant from here on; or unit -> threshold, a tuple of several columns
    units: tuple[str, ...] = ("seed",)
    nested: bool = False
    strata: str | None = None  # the column within which patients or lesions are drawn, such as ``rarest``
    least: int = 0  # with fewer images there is no interval
    note: str = ""  # of each cell

    def where(self, mask) -> Scored:
        """Return the row cut to some rows of its table."""
        return dataclasses.replace(self, table=self.table[np.asarray(mask)].reset_index(drop=True))

    def keys(self) -> pd.MultiIndex:
        """Return the unit of each row of the table."""
        return pd.MultiIndex.from_frame(self.table[list(self.units)])

    @property
    def trainings(self) -> int:
        """How many units there are; 1 where there is no column of them."""
        return len(self.keys().unique()) if self.units else 1

    def each_unit(self) -> Iterator[tuple[tuple, Scored]]:
        """Yield the values of the units and the row cut to them, in their order."""
        keys = self.keys()
        for key in sorted(keys.unique()):
            yield key, self.where(keys == key)

    def thresholds(self) -> pd.Series:
        """Return the threshold of each row of the table; a unit without one is a ValueError."""
        if not isinstance(self.threshold, Mapping):
            return pd.Series(float(self.threshold), index=self.table.index)
        keys = [key if len(key) > 1 else key[0] for key in self.keys()]
        if lacking := [key for key in keys if key not in self.threshold]:
            raise ValueError(f"no threshold for {lacking[0]} of {self.units}; there are {dict(self.threshold)}")
        return pd.Series([float(self.threshold[key]) for key in keys], index=self.table.index)

    def decided(self) -> pd.DataFrame:
        """Return the table with ``called``, 1.0 where the score reaches the threshold; without scores as it is."""
        if "p_malignant" not in self.table:
            return self.table
        return self.table.assign(called=(tables.scores(self.table) >= self.thresholds()).astype(float))

    def metric(self, name: str | Metric) -> Metric:
        """Return a metric of `decided`, the mean over the units where there are several.

        ``name`` is ``mean:<column>``, the mean of a column over the images that have it; else a metric of mask scores,
        of calls (`skinlib.evaluation.metrics.OF_CALLS`), or of several classes, ``<metric>_of_<class>`` among them.
        """
        single = name if isinstance(name, Metric) else _single(name, self.table)
        return mean_over(single, list(self.units)) if self.trainings > 1 else single

    def resampled(self) -> dict:
        """Return the arguments ``groups`` and ``strata`` of the bootstrap: patients or lesions, crossed with units."""
        clusters = tables.clusters(self.table)
        strata = None if self.strata is None else self.table[self.strata].to_numpy()
        if self.trainings == 1:
            return {"groups": clusters, "strata": strata}
        units = self.keys().factorize()[0]
        if not self.nested:
            return {"groups": (clusters, units), "strata": strata}
        outer = self.table[self.units[0]].to_numpy()
        return {"groups": (clusters, outer, units), "strata": (strata, None, outer)}

    def origin(self) -> dict:
        """Return n (different images), dataset and split of the table; several are joined by "+"."""
        names = {key: self.table[key].astype(str).unique() if key in self.table else "" for key in ("dataset", "split")}
        return {"n": self.table["image_id"].nunique()} | {key: "+".join(sorted(each)) for key, each in names.items()}


def _single(name: str, table: pd.DataFrame) -> Metric:
    kind, _, column = name.partition(":")
    if kind == "mean" and column in table:
        return Metric(column, lambda rows, counts: _mean(rows[column].to_numpy(float), counts))
    if "stage" in table and name in OF_MASKS:
        return OF_MASKS[name]
    if "p_malignant" in table and name in FROM_SCORES:
        return binary(name)
    if "p_malignant" in table and name in OF_CALLS:
        of_calls = OF_CALLS[name]
        return Metric(name, lambda rows, n: of_calls(tables.outcome(rows)[0], rows["called"].to_numpy(), 0.5, n))
    whole = MULTICLASS | WEIGHTED
    if name in whole:
        return Metric(name, whole[name])
    of_class, _, code = name.partition("_of_")
    classes = tables.classes(table)
    if of_class not in CLASSWISE or code not in classes:
        known = [*whole, *(f"{each}_of_<class>" for each in CLASSWISE), *OF_CALLS, *OF_MASKS, "mean:<column>"]
        raise ValueError(f"no metric {name!r} of a table of {', '.join(classes)}; there are {', '.join(known)}")
    formula, k = CLASSWISE[of_class], list(classes).index(code)
    of_one = lambda rows: ((tables.labels(rows) == k).astype(int), rows[f"p_{code}"].to_numpy(float))
    return Metric(name, lambda rows, counts: formula(rows, counts)[:, k], of_one if of_class == "roc_auc" else None)


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of what is known, by resample."""
    known = np.isfinite(values)
    return ratio(counts @ np.where(known, values, 0.0), counts @ known.astype(float))


def with_rarest(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with ``rarest``, the rarest label of the row's patient or lesion: strata that lose no class.

    A resample of a small test part easily misses the few patients of a rare class, and then has no balanced accuracy.
    """
    rank = table["label"].map(table["label"].value_counts().rank(method="first"))
    first = table.assign(rank=rank, cluster=tables.clusters(table)).sort_values("rank", kind="stable")
    label = first.drop_duplicates("cluster").set_index("cluster")["label"]
    return table.assign(rarest=label.loc[tables.clusters(table)].to_numpy())


def pair(after: Scored, before: Scored) -> tuple[Scored, Scored]:
    """Return two rows on the units that both have; one without a column of the other's units is repeated for each."""
    a, b = _repeated(after, before), _repeated(before, after)
    if a.units != b.units:
        raise ValueError(f"these rows vary in {a.units} and {b.units}; one must contain the other")
    if not a.units:
        return a, b
    common = a.keys().unique().intersection(b.keys().unique())
    if common.empty:
        raise ValueError(f"these rows have no {' and '.join(a.units)} in common; train both with the same")
    return tuple(one.where(one.keys().isin(common)) for one in (a, b))


def _repeated(one: Scored, other: Scored) -> Scored:
    """Repeat a row whose units are part of another's for each unit of that."""
    if one.units == other.units or not set(one.units) < set(other.units):
        return one
    units = other.table[list(other.units)].drop_duplicates()
    own = one.table.drop(columns=[name for name in other.units if name not in one.units], errors="ignore")
    table = own.merge(units, on=list(one.units)) if one.units else own.merge(units, how="cross")
    found = dataclasses.replace(one, table=table, units=other.units, nested=other.nested)
    if not isinstance(one.threshold, Mapping):
        return found
    own = dataclasses.replace(one, table=table).thresholds()  # of the unit that was repeated
    return dataclasses.replace(found, threshold=dict(zip(found.keys(), own, strict=True)))
