"""Does a map look at the lesion? Three measures against a lesion mask, next to what a blind guess would score.

Lesions lie in the middle and are large, so a blob in the middle scores well without looking at anything.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from skinlib.evaluation.resampled import ratio
from skinlib.explain.gradcam import KEPT, sharpen

MEASURES = ("energy", "pointing", "iou")
BAND = 0.25  # half the width of the band at a lesion's border, in radii of a disc of its area


def _score(formula: Callable, heat: np.ndarray, mask: np.ndarray) -> float:
    """Return a formula of map and mask, both flat; NaN where nothing can be measured (constant map or empty mask)."""
    heat, mask = np.asarray(heat, dtype=np.float64), np.asarray(mask, dtype=bool)
    if heat.shape != mask.shape or heat.ndim != 2:
        raise ValueError(f"the map is {heat.shape}, the mask {mask.shape}; both must be (H, W) and of one size")
    if not np.isfinite(heat).all() or heat.min() < 0:
        raise ValueError("a map must be finite and >= 0; take the map before any normalisation below 0")
    return float("nan") if is_constant(heat) or not mask.any() else float(formula(heat.ravel(), mask.ravel()))


def is_constant(heat: np.ndarray) -> bool:
    """True for a map of one value (often all 0): it points nowhere."""
    return bool(np.ptp(heat) == 0)


def energy_inside(heat: np.ndarray, mask: np.ndarray) -> float:
    """Share of the map's sum that lies in the mask, 0..1; NaN for a constant map or an empty mask.

    Source: the energy-based pointing game of Wang et al. 2020 (Score-CAM), with a mask for the box.
    """
    return _score(lambda heat, mask: heat[mask].sum() / heat.sum(), heat, mask)


def pointing_game(heat: np.ndarray, mask: np.ndarray) -> float:
    """1 if the map's maximum lies in the mask, else 0; NaN for a constant map or an empty mask.

    Ties: the share of the maximal pixels that lie in the mask, the expected score of one drawn among them.

    Source: Zhang et al. 2018 (excitation backprop), without their tolerance of 15 pixels.
    """
    return _score(lambda heat, mask: mask[heat == heat.max()].mean(), heat, mask)


def iou_at_area(heat: np.ndarray, mask: np.ndarray) -> float:
    """Overlap of the mask with the map's highest pixels, as many as the mask has; 0..1, NaN as above.

    Ties: pixels equal to the last one taken share the places left (a quarter of a place each for 4 pixels and 1 place),
    so that the score does not depend on the order of pixels.
    """

    def iou(heat: np.ndarray, mask: np.ndarray) -> float:
        area = int(mask.sum())
        last = np.partition(heat, len(heat) - area)[len(heat) - area]  # the area-th highest value
        above, tied = heat > last, heat == last
        places = area - above.sum()
        overlap = (above & mask).sum() + places * (tied & mask).sum() / tied.sum()
        return overlap / (2 * area - overlap)

    return _score(iou, heat, mask)


def overlap(first: np.ndarray, second: np.ndarray, *, keep: float = KEPT) -> np.ndarray:
    """Intersection over union of the pixels that `sharpen` keeps of two sets of maps (N, H, W), >= 0.

    The result, (N,) in [0, 1], is NaN where both maps are 0 throughout. Two independent choices of a quarter share 1/7.
    """
    kept = [sharpen(torch.from_numpy(np.asarray(maps)), keep).numpy() > 0 for maps in (first, second)]
    return ratio((kept[0] & kept[1]).sum((1, 2)), (kept[0] | kept[1]).sum((1, 2)))


def border_band(mask: np.ndarray, width: float = BAND) -> np.ndarray:
    """Pixels (H, W) bool within ``width`` radii of a lesion's border, inside and outside of it.

    The radius is that of a disc of the mask's area, so that small lesions get narrow bands; of a disc the default band
    has the area of the lesion itself: (1 + w)^2 - (1 - w)^2 = 4 w. At least the pixels that touch the border belong to
    it; an empty mask, and one of the whole image, has no border and no band.
    """
    mask = np.asarray(mask, dtype=bool)
    if not mask.any() or mask.all():
        return np.zeros_like(mask)
    reach = max(width * np.sqrt(mask.sum() / np.pi), 1.0)
    to_border = np.where(mask, ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask))
    return to_border <= reach


def _blob(mask_area: int, shape: tuple[int, int], centre: Sequence[float]) -> np.ndarray:
    if mask_area < 1:
        raise ValueError("a blob needs a mask area of at least 1 pixel; leave out images with an empty mask")
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    squared = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    # Sigma is half the radius of a disc of the area: on a round lesion the blob scores 0.86 energy and IoU 1.
    return np.exp(-squared / (2 * (mask_area / np.pi) / 4))


def centred_blob(mask_area: int, shape: tuple[int, int]) -> np.ndarray:
    """Map (H, W) of a blob of the mask's area in the middle of the image: the guess "lesions lie in the middle"."""
    return _blob(mask_area, shape, ((shape[0] - 1) / 2, (shape[1] - 1) / 2))


def random_blob(mask_area: int, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Map (H, W) of a blob of the mask's area around a random pixel: the guess of chance."""
    return _blob(mask_area, shape, rng.integers((0, 0), shape))


def _measures(heat: np.ndarray, mask: np.ndarray, band: np.ndarray | None) -> tuple[float, ...]:
    scores = energy_inside(heat, mask), pointing_game(heat, mask), iou_at_area(heat, mask)
    return scores if band is None else (*scores, energy_inside(heat, band))


def localisation_table(
    maps: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    ids: Sequence[str],
    *,
    rng: np.random.Generator,
    draws: int = 10,
    band: float | None = None,
) -> pd.DataFrame:
    """The measures of each map (H, W), of the blob in the middle, and the mean of `draws` random blobs.

    With the width of a `border_band`, the share of a map's sum that lies in it is a measure too.

    Returns a row an image: image_id, constant, mask_fraction (0..1; the energy of a map of one value), with a band also
    band_fraction, then energy, pointing, iou and, if wanted, band, each alone, with "_centre" and "_random". A constant
    map lacks its measures, not its baselines: drop its row before comparing. With an empty mask all are missing.
    """
    rows = []
    names = MEASURES if band is None else (*MEASURES, "band")
    for name, heat, mask in zip(ids, maps, masks, strict=True):
        heat, mask = np.asarray(heat), np.asarray(mask, dtype=bool)
        ring = None if band is None else border_band(mask, band)
        own, area = _measures(heat, mask, ring), int(mask.sum())
        centre = chance = (np.nan,) * len(names)
        if area:
            centre = _measures(centred_blob(area, mask.shape), mask, ring)
            blobs = [random_blob(area, mask.shape, rng) for _ in range(draws)]
            chance = np.mean([_measures(blob, mask, ring) for blob in blobs], axis=0)
        flat = (mask.mean(),) if ring is None else (mask.mean(), ring.mean())
        rows.append((name, is_constant(heat), *flat, *own, *centre, *chance))
    suffixed = [f"{measure}{suffix}" for suffix in ("", "_centre", "_random") for measure in names]
    fractions = ["mask_fraction"] if band is None else ["mask_fraction", "band_fraction"]
    return pd.DataFrame(rows, columns=["image_id", "constant", *fractions, *suffixed])
