"""Masks against masks: a table of one row an image, and metrics of that table ready for the bootstrap.

One rule for empty predictions and empty masks, and for every other 0/0: where prediction and truth are equal the score
is perfect (1; distance 0), else it is the worst (0; distance the image's diagonal). So an empty prediction of an empty
mask has Dice, IoU, MCC, sensitivity and specificity 1, and an empty prediction of a lesion has Dice, IoU and MCC 0.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from skinlib.evaluation.resampled import Metric, ratio

CELLS = ("tp", "fp", "fn", "tn")  # pixels
# Numerator and denominator of each overlap, from pixel counts.
OVERLAPS = {
    "dice": lambda tp, fp, fn, tn: (2 * tp, 2 * tp + fp + fn),
    "iou": lambda tp, fp, fn, tn: (tp, tp + fp + fn),
    "mcc": lambda tp, fp, fn, tn: (tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
    "sensitivity": lambda tp, fp, fn, tn: (tp, tp + fn),
    "specificity": lambda tp, fp, fn, tn: (tn, tn + fp),
}
PER_IMAGE = ("dice", "iou", "mcc", "hd95", "thresholded_jaccard", "sensitivity", "specificity", "hd95_share")
COLUMNS = (  # of a table of `per_image`, after image_id
    *("dice", "iou", "mcc", "hd95", "thresholded_jaccard", "empty_prediction", "stage"),
    *("sensitivity", "specificity", "hd95_share", *CELLS),
)
LEAST_JACCARD = 0.65  # ISIC 2018, Task 1: a lower Jaccard counts as a failure, 0
GOOD_DICE = 0.84  # "exceeding 84% for most tumors", Al-masni et al., Bioengineering 11:1173, 2024, figure 5


def overlap(name: str, cells: Sequence[np.ndarray]) -> np.ndarray:
    """Return an overlap (a key of `OVERLAPS`) from its pixel counts tp, fp, fn, tn, arrays of one shape."""
    tp, fp, fn, tn = (np.asarray(cell, float) for cell in cells)
    above, below = OVERLAPS[name](tp, fp, fn, tn)
    return np.where(below > 0, ratio(above, below), fp + fn == 0)


def thresholded_jaccard(iou: np.ndarray) -> np.ndarray:
    """Return the Jaccard index of each image, 0 where it is below 0.65 (official score of ISIC 2018, Task 1)."""
    return np.where(np.asarray(iou) >= LEAST_JACCARD, iou, 0.0)


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask (H, W) with one of their four neighbours outside it; the image's edge is outside."""
    return mask & ~ndimage.binary_erosion(mask)


def hausdorff(first: np.ndarray, second: np.ndarray, percentile: float = 95) -> float:
    """Return the Hausdorff distance of two masks (H, W) bool in pixels, made robust by a percentile.

    The distances of each outline's pixels to the nearest pixel of the other outline, between pixel centres; of each
    direction the percentile (linear interpolation), of the two the larger. 100 is the classical distance. 0 for two
    empty masks; the image's diagonal, sqrt(H^2 + W^2), where only one is empty.

    Source: Huttenlocher et al. 1993 (partial distances). The larger of two percentiles is also what DeepMind's
    surface-distance reports; MedPy's hd95 pools both directions before the percentile, which is another number.
    """
    if not (first.any() and second.any()):
        return 0.0 if first.any() == second.any() else float(np.hypot(*first.shape))
    edges = outline(first), outline(second)
    far = [ndimage.distance_transform_edt(~edge) for edge in edges]
    return float(max(np.percentile(far[1][edges[0]], percentile), np.percentile(far[0][edges[1]], percentile)))


def per_image(predicted: np.ndarray, truth: np.ndarray, image_id: Sequence[str], *, stage: str = "raw") -> pd.DataFrame:
    """Score each predicted mask against its truth, both (B, H, W) bool, True on the lesion, at one working size.

    A row an image with `COLUMNS`, none missing: ``hd95`` in pixels and as share of the diagonal, ``stage`` (``raw``,
    ``postprocessed``), ``sensitivity, specificity`` of pixels, and pixel counts, from which pooled figures are made.
    """
    for masks in (predicted, truth):
        if masks.dtype != bool or masks.shape != (len(image_id), *truth.shape[1:]) or masks.ndim != 3:
            raise ValueError(f"{masks.dtype} {masks.shape} are no masks; give bool ({len(image_id)}, H, W), both alike")
    pairs = {"tp": predicted & truth, "fp": predicted & ~truth, "fn": ~predicted & truth, "tn": ~predicted & ~truth}
    cells = {name: np.count_nonzero(pixels, axis=(1, 2)) for name, pixels in pairs.items()}
    distance = np.array([hausdorff(a, b) for a, b in zip(predicted, truth, strict=True)], float)
    found = {name: overlap(name, list(cells.values())) for name in OVERLAPS}
    found |= {"hd95": distance, "hd95_share": distance / np.hypot(*truth.shape[1:])}
    found |= {"thresholded_jaccard": thresholded_jaccard(found["iou"])}
    empty = cells["tp"] + cells["fp"] == 0
    columns = {"image_id": np.asarray(image_id, object), "stage": stage, "empty_prediction": empty} | cells | found
    return pd.DataFrame(columns)[["image_id", *COLUMNS]]


def image_mean(name: str) -> Metric:
    """Mean over images of a column of `PER_IMAGE`."""
    return Metric(name, lambda table, counts: ratio(counts @ table[name].to_numpy(float), counts.sum(axis=1)))


def pooled(name: str) -> Metric:
    """An overlap of all pixels of all images together: counts are summed first, so a large lesion counts more."""

    cells = lambda table, counts: (counts @ table[list(CELLS)].to_numpy(float)).T
    return Metric(f"{name}_pooled", lambda table, counts: overlap(name, cells(table, counts)))


def share_above(name: str = "dice", level: float = GOOD_DICE) -> Metric:
    """Share of the images whose score is above a level, 0..1."""

    above = lambda table: table[name].to_numpy(float) > level
    return Metric(f"{name}_above_{level:g}", lambda table, counts: ratio(counts @ above(table), counts.sum(axis=1)))


METRICS = (*map(image_mean, PER_IMAGE), *map(pooled, OVERLAPS), share_above())
