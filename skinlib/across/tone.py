"""Skin tone of a cohort by ITA, guarded and as it is often printed, and how far it agrees with a written label."""

import numpy as np
import pandas as pd

from skinlib.evaluation.resampled import Metric, ratio
from skinlib.images.skin_tone import CATEGORIES, LIGHT_ABOVE, ita_table

SIZE = 128  # longest side at which tone is measured: a mean over thousands of pixels, which a smaller image keeps


def unguarded(lightness: pd.Series, b: pd.Series) -> pd.Series:
    """Return ITA as it is often printed, arctan((L* - 50) / b*), in degrees; NaN where both are 0.

    A bluish light (b* < 0) turns the sign of light skin's angle: 30 degrees above the horizon become 30 below it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.degrees(np.arctan((lightness - 50) / b))


def tone_group(angle: pd.Series) -> pd.Series:
    """Return light (above 28 degrees) or dark (28 and below) for each angle; missing stays missing."""
    groups = pd.Series(np.where(angle > LIGHT_ABOVE, "light", "dark"), index=angle.index)
    return groups.where(angle.notna())


def measure_tone(cohort: pd.DataFrame) -> pd.DataFrame:
    """Measure ITA of every image, on the skin outside the lesion mask, or on a ring along the border without a mask.

    In the order of the cohort: image_id, ita (degrees, guarded), category (of Del Bino), group (`tone_group`),
    ita_unguarded, group_unguarded, lightness (mean L*), b (mean b*), selector (mask or ring) and note. Angles are
    missing where there is no healthy skin.
    """
    selector = np.where(cohort["mask_path"].notna(), "mask", "ring")
    groups = cohort.groupby(selector)
    parts = [ita_table(rows, selector=name, size=SIZE).assign(selector=name) for name, rows in groups]
    table = pd.concat(parts).set_index("image_id").loc[cohort["image_id"]].reset_index()
    angle = unguarded(table["lightness"], table["b"])
    table = table.assign(ita_unguarded=angle, group_unguarded=tone_group(angle))
    names = ["image_id", "ita", "category", "group", "ita_unguarded", "group_unguarded", "lightness", "b", "selector"]
    return table[[*names, "note"]]


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
