"""Measured tone against the label: does ITA agree with the Fitzpatrick type that a clinician wrote down?

The type is asked for (how does your skin take the sun?), the angle is a colour of pixels. Neither is the other's truth.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.evaluation.resampled import Metric, ratio
from skinlib.images.skin_tone import CATEGORIES, category, ita_table

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


def weighted_kappa(given: str, truth: str) -> Metric:
    """Return Cohen's kappa with quadratic weights, 1 - sum(w O) / sum(w E), of two columns of categories 0 to 5."""
    size = len(CATEGORIES)
    distance = np.subtract.outer(np.arange(size), np.arange(size)).astype(float) ** 2  # (6, 6)

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        ours, theirs = (rows[name].to_numpy(int) for name in (given, truth))
        apart = counts @ distance[ours, theirs]
        expected = np.einsum("bi,ij,bj->b", counts @ np.eye(size)[ours], distance, counts @ np.eye(size)[theirs])
        return 1 - ratio(apart * counts.sum(1), expected)

    return Metric("weighted_kappa", weighted)


def confusion(angles: pd.DataFrame, *, selector: str = "mask", scheme: str = "del_bino") -> pd.DataFrame:
    """Count images by Fitzpatrick type (rows) and measured category (columns), all six of each; no skin: "missing"."""
    angle = angles[f"{selector}/none"]
    names = [category(one, scheme) if np.isfinite(one) else "missing" for one in angle]
    types = [TYPES[one - 1] for one in angles["skin_type"]]
    counted = pd.crosstab(pd.Series(types, name="Fitzpatrick type"), pd.Series(names, name="measured"))
    return counted.reindex(index=TYPES, columns=[*CATEGORIES, "missing"], fill_value=0)
