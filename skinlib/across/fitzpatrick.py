"""Measured tone against the label: does ITA agree with the Fitzpatrick type that a clinician wrote down?

The type is asked for (how does your skin take the sun?), the angle is a colour of pixels. Neither is the other's truth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from skinlib.evaluation import tables
from skinlib.evaluation.fairness import by_group
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_of, ratio
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import Arm, cell, origin
from skinlib.images.skin_tone import CATEGORIES, SCHEMES, category, ita_table

TYPES = ("I", "II", "III", "IV", "V", "VI")
SELECTORS = {"mask": "skin outside the outline", "border": "lightest border patch", "whole": "whole image"}
COLOURS = {"none": "", "shades_of_gray": ", after colour constancy"}
SIZE = 128  # longest side at which tone is measured
MEASURES = ("roc_auc", "recall", "specificity", "fn", "fp")
LEAST = 10  # images behind an interval


def measured(cohort: pd.DataFrame, *, size: int = SIZE, workers: int = 2) -> pd.DataFrame:
    """Measure ITA of labelled images by three skin selectors, before and after shades-of-gray colour constancy.

    Parameters
    ----------
    cohort
        image_id, image_path, mask_path (of an outline, weak ones will do), lesion_id, patient_id and ``skin_type``, the
        Fitzpatrick type 1 to 6; images without one are left out.

    Returns
    -------
    DataFrame
        A row a labelled image: image_id, lesion_id, patient_id, skin_type, and ``<selector>/<colour>`` in degrees,
        missing where the selector finds no skin.
    """
    known = cohort[cohort["skin_type"].notna()].reset_index(drop=True)
    found = known[["image_id", "lesion_id", "patient_id"]].assign(skin_type=known["skin_type"].astype(int))
    for selector in SELECTORS:
        for colour in COLOURS:
            angles = ita_table(known, selector=selector, size=size, workers=workers, colour=colour)
            found[f"{selector}/{colour}"] = angles["ita"]
    return found


def agreement(angles: pd.DataFrame, *, dataset: str, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare measured categories with labels: three cut schemes by three selectors, with and without constancy.

    Parameters
    ----------
    angles
        As `measured` returns it.

    Returns
    -------
    DataFrame
        Long frame, a row a selector, scheme and colour: ``weighted_kappa`` (quadratic weights; 1 perfect, 0 chance),
        ``exact`` and ``off_by_one`` (shares of images whose category is the label, or at most one from it), with
        intervals that draw whole patients; ``spearman`` of the angle with the label, which needs no cuts; and for each
        selector and colour the ``spread`` of the angle, its standard deviation in degrees.
    """
    cells, where = [], {"dataset": dataset, "split": "none"}
    for selector, words in SELECTORS.items():
        for colour, after in COLOURS.items():
            rows = angles[angles[f"{selector}/{colour}"].notna()].reset_index(drop=True)
            angle, label = rows[f"{selector}/{colour}"].to_numpy(), rows["skin_type"].to_numpy()
            about = where | {"n": len(rows)}
            many = len(rows) >= LEAST and len(set(label)) > 1
            rank = float(spearmanr(-angle, label).statistic) if many else np.nan
            cells.append(cell(f"{words}{after}", "spearman", rank, **about, note="" if many else "too few images"))
            cells.append(cell(f"{words}{after}", "spread", float(np.std(angle)) if len(angle) else np.nan, **about,
                              note="" if len(angle) else "no skin found"))  # fmt: skip
            for scheme in SCHEMES:
                names = [CATEGORIES.index(category(one, scheme)) for one in angle]
                row = f"{words}, {scheme}{after}"
                cells += _estimates(row, rows, np.array(names, int), about=about, n=n_boot, seed=seed)
    return pd.DataFrame(cells)


def _estimates(row: str, rows: pd.DataFrame, given: np.ndarray, *, about: Mapping, n: int, seed: int):
    label = rows["skin_type"].to_numpy() - 1
    metrics = {"weighted_kappa": Metric("weighted_kappa", _kappa(given, label))}
    metrics |= {"exact": mean_of("exact", given == label)}
    metrics |= {"off_by_one": mean_of("off_by_one", np.abs(given - label) <= 1)}
    for name, metric in metrics.items():
        if len(rows) < LEAST:
            yield cell(row, name, np.nan, **about, note=f"fewer than {LEAST} images")
            continue
        value, low, high, note = metric(rows), np.nan, np.nan, ""
        try:
            value, low, high = bootstrap_ci(metric, rows, groups=tables.clusters(rows), n=n, seed=seed)
        except UndefinedMetricError as error:
            note = f"no interval: {error}"
        yield cell(row, name, value, low=low, high=high, **about, note=note)


def _kappa(given: np.ndarray, label: np.ndarray):
    """Return Cohen's kappa with quadratic weights, 1 - sum(w O) / sum(w E), of resamples (B,)."""
    size = len(CATEGORIES)
    distance = np.subtract.outer(np.arange(size), np.arange(size)).astype(float) ** 2  # (6, 6)
    ours, theirs = np.eye(size)[given], np.eye(size)[label]  # (N, 6)

    def weighted(_, counts):
        apart = counts @ distance[given, label]
        expected = np.einsum("bi,ij,bj->b", counts @ ours, distance, counts @ theirs)
        return 1 - ratio(apart * counts.sum(1), expected)

    return weighted


def performance(arm: Arm, types: Mapping[str, float], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Performance by Fitzpatrick type, types without an image among the rows; groups too small to divide by are counts.

    Parameters
    ----------
    arm
        A binary prediction table, each image once.
    types
        Image id -> Fitzpatrick type 1 to 6, missing where nobody wrote it down.
    """
    given = arm.table["image_id"].map(dict(types))
    known = {one: f"type {name}" for one, name in enumerate(TYPES, start=1)}
    table = arm.table.assign(group=given.map(known))
    about = origin(table)
    found = by_group(table, "group", threshold=arm.threshold, names=MEASURES, n=n_boot, seed=seed).set_index("group")
    cells = []
    for group in ("all", *known.values(), "missing"):
        if group not in found.index:
            cells += [cell(group, name, np.nan, **about | {"n": 0, "note": "no image"}) for name in MEASURES]
            continue
        for one in found.loc[[group]].itertuples():
            note = "; ".join(filter(None, [one.note, f"{one.positives} malignant, {one.clusters} patients or lesions"]))
            seen = {"low": one.low, "high": one.high, "n": one.n, "note": note}
            cells.append(cell(group, one.metric, one.value, **about | seen))
    return pd.DataFrame(cells)


def confusion(angles: pd.DataFrame, *, selector: str = "mask", scheme: str = "del_bino") -> pd.DataFrame:
    """Count images by Fitzpatrick type (rows) and measured category (columns), all six of each; no skin: "missing"."""
    angle = angles[f"{selector}/none"]
    names = [category(one, scheme) if np.isfinite(one) else "missing" for one in angle]
    types = [TYPES[one - 1] for one in angles["skin_type"]]
    counted = pd.crosstab(pd.Series(types, name="Fitzpatrick type"), pd.Series(names, name="measured"))
    return counted.reindex(index=TYPES, columns=[*CATEGORIES, "missing"], fill_value=0)
