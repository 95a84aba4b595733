"""What makes a lesion hard to see: hair, rulers, a small area, low contrast to the skin.

Hair and ruler are stated rules, not trained detectors; their numbers order images and are no ground truth. Lengths are
in pixels of an image whose shorter side is 256; other images are resized to that first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from skimage.measure import label, regionprops_table
from skimage.morphology import isotropic_dilation

from skinlib.images.colour import check_image, rgb_to_lab
from skinlib.images.skin_tone import measure_rows, read_pair, skin_from_mask

_SIDE = 256  # shorter side at which lengths are stated
_WIDEST = 9  # a dark structure narrower than this is thin
_HAIR_DEPTH, _TICK_DEPTH = 10, 15  # grey levels below the surroundings
_HAIR_LENGTH, _LINE_LENGTH = 25, 41  # straight run of a hair, of a piece of a ruler's base line
_TICKS, _COMB_TICKS = 4, 8  # least number of evenly spaced ticks: alone, on a base line
_STRIP = 0.25  # ticks lie within this share of the shorter side from the border


def hair_and_ruler(image: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find dark hair, and the ticks and base line of a ruler: (h, w) bool each, at a shorter side of 256 pixels.

    Thin dark structures are where closing by a 9 x 9 square lifts the red channel by more than 10 of 255 (black-hat; in
    red, vessels are pale). Hair is what runs straight for 25 pixels in one of twelve directions, nine tenths of them
    thin and dark, and is no ruler. With a lesion ``mask`` (H, W), what lies in the lesion alone is no hair (pigment
    network, streaks). A ruler is a ladder of thin dark ticks, parallel to 12 degrees and evenly spaced (4 to 40 pixels,
    to an eighth): four or more alone within a quarter of the shorter side from the border, or eight or more on a
    straight base line of 80 pixels or more anywhere.

    Known misses: fair hair, hair out of focus, stubble shorter than 25 pixels, rulers of which fewer ticks show; known
    false hits: skin creases, bubbles, combed, dense hair for a ruler.
    Source: hair after Lee et al. 1997 (DullRazor), with line openings in place of their four directions; ruler: ours.
    """
    picture = Image.fromarray(check_image(image))
    size = tuple(round(n * _SIDE / min(picture.size)) for n in picture.size)
    red = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))[..., 0].astype(np.float32)
    red = ndimage.gaussian_filter(red, 0.7)  # JPEG blocks
    depth = ndimage.grey_closing(red, size=(_WIDEST, _WIDEST)) - red
    ruler = _ruler(depth > _TICK_DEPTH)
    core = depth > 0.35 * ndimage.maximum_filter(depth, size=5)  # without the blurred flanks of a dark hair
    hair = _straight(depth > _HAIR_DEPTH, _HAIR_LENGTH) & core
    parts = label(hair, connectivity=2)
    drop = np.unique(parts[ruler])
    if mask is not None:
        lesion = Image.fromarray(np.asarray(mask, dtype=bool)).resize(size, Image.Resampling.NEAREST)
        drop = np.union1d(drop, np.setdiff1d(parts, parts[~np.asarray(lesion)]))
    return hair & ~np.isin(parts, drop), ruler


def _straight(thin: np.ndarray, length: int) -> np.ndarray:
    """Pixels of `thin` on a straight run of `length` pixels, nine tenths of it set, in one of twelve directions."""
    reach, (height, width) = length // 2, thin.shape
    padded, found = np.pad(thin, reach).astype(np.uint8), np.zeros_like(thin)
    for angle in np.arange(12) * np.pi / 12:
        steps = np.arange(-reach, reach + 1)[:, None] * (np.sin(angle), np.cos(angle))
        corners = np.rint(steps).astype(int) + reach
        votes = np.zeros(thin.shape, dtype=np.uint8)
        for y, x in corners:
            votes += padded[y : y + height, x : x + width]
        centres = np.pad(votes >= 0.9 * length, reach)
        for y, x in corners:  # the line is symmetric, so this draws it around each centre
            found |= centres[y : y + height, x : x + width]
    return found & thin


def _shapes(parts: np.ndarray) -> dict[str, np.ndarray]:
    """Label, centre (n, 2), angle of the long axis, length, width of each part, and whether it fills its ellipse."""
    names = ("label", "centroid", "orientation", "axis_major_length", "axis_minor_length", "area")
    table = regionprops_table(parts, properties=names)
    centre = np.stack([table["centroid-0"], table["centroid-1"]], axis=1)
    length, width = table["axis_major_length"], table["axis_minor_length"]
    solid = table["area"] > 0.75 * np.pi / 4 * length * width
    shapes = {"centre": centre, "angle": table["orientation"], "length": length, "width": width, "solid": solid}
    return {"label": table["label"], **shapes}


def _ruler(thin: np.ndarray) -> np.ndarray:
    """Ticks alone, and combs: ticks on a base line."""
    parts = label(thin, connectivity=2)
    ticks = _shapes(parts)
    edge = np.minimum(ticks["centre"], np.array(thin.shape) - 1 - ticks["centre"]).min(axis=1)
    near = edge <= _STRIP * min(thin.shape)
    length, width = ticks["length"], ticks["width"]
    good = near & ticks["solid"] & (length >= 5) & (length <= 40) & (width <= 7) & (length >= 1.8 * width)
    rungs = _ladder(ticks["centre"][good], ticks["angle"][good], length[good], least=_TICKS)
    found = np.isin(parts, ticks["label"][good][rungs])
    return found | _combs(thin)


def _combs(thin: np.ndarray) -> np.ndarray:
    """Base lines that carry a ladder of teeth, with those teeth."""
    found = np.zeros_like(thin)
    lines = label(_straight(thin, _LINE_LENGTH), connectivity=2)
    shapes = _shapes(lines)
    straight = (shapes["length"] >= 80) & (shapes["width"] <= 6)  # a curved or a crossed hair is a wide ellipse
    if not straight.any():
        return found
    rest = label(thin & (lines == 0), connectivity=2)
    teeth = _shapes(rest)
    for number, angle in zip(shapes["label"][straight], shapes["angle"][straight], strict=True):
        touching = np.isin(teeth["label"], rest[isotropic_dilation(lines == number, 2)])
        touching &= (teeth["length"] >= 2) & (teeth["length"] <= 20)
        upright = np.full(touching.sum(), angle + np.pi / 2)
        rungs = _ladder(teeth["centre"][touching], upright, teeth["length"][touching], least=_COMB_TICKS)
        if len(rungs):
            found |= np.isin(rest, teeth["label"][touching][rungs]) | (lines == number)
    return found


def _ladder(centre: np.ndarray, angle: np.ndarray, length: np.ndarray, *, least: int) -> np.ndarray:
    """Indices of the ticks that are rungs of a ladder of `least` or more: parallel, side by side, evenly spaced."""
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    step = centre[None] - centre[:, None]  # (n, n, 2): from i to j
    sideways, lengthways = (step * across[:, None]).sum(-1), (step * along[:, None]).sum(-1)  # as tick i sees it
    turn = np.abs((angle[None] - angle[:, None] + np.pi / 2) % np.pi - np.pi / 2)
    slack = np.maximum(length[None], length[:, None]) / 2 + 3  # long and short ticks share one end, not their centres
    parallel = turn < np.radians(12)
    rungs: set[int] = set()
    for i, j in np.argwhere(parallel & (sideways >= 4) & (sideways <= 40) & (np.abs(lengthways) <= slack)):
        chain, spacing = [i, j], sideways[i, j]
        while True:
            last = chain[-1]
            miss = np.abs(sideways[i] - sideways[i, last] - spacing)
            miss[~parallel[i] | (np.abs(lengthways[i] - lengthways[i, last]) > slack[last])] = np.inf
            following = int(miss.argmin())
            if miss[following] > max(1.2, spacing / 8):
                break
            chain.append(following)
            spacing = sideways[i, following] / (len(chain) - 1)
        between = parallel[i] & (sideways[i] >= 0) & (sideways[i] <= sideways[i, chain[-1]])
        between &= np.abs(lengthways[i]) <= slack[i] * len(chain) / 2  # a ladder may lean
        if len(chain) >= least and between.sum() <= 1.2 * len(chain):  # evenly spaced, not picked out of a crowd
            rungs.update(chain)
    return np.array(sorted(rungs), dtype=int)


def contrast(image: np.ndarray, mask: np.ndarray, *, width: float = 0.1) -> float:
    """Colour distance of lesion and surrounding skin: Delta E*ab (CIE 1976) between their median colours.

    ``image`` is (H, W, 3) uint8, RGB; ``mask`` (H, W) bool, True on the lesion; ``width`` that of the ring of skin,
    which starts 2 % off the lesion, both as a share of the shorter side. The distance is >= 0, about 2 is just visible;
    NaN without a lesion pixel or without a usable skin pixel in the ring.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != image.shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, the image {image.shape[:2]}; pass a mask of the image's size")
    if not mask.any():
        return float("nan")
    ring = skin_from_mask(mask, image) & isotropic_dilation(mask, (0.02 + width) * min(mask.shape))
    if not ring.any():
        return float("nan")
    lab = rgb_to_lab(image)
    return float(np.linalg.norm(np.median(lab[mask], axis=0) - np.median(lab[ring], axis=0)))


def artefact_table(cohort: pd.DataFrame, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Area, hair, ruler (shares of the image, 0..1), contrast (Delta E) and note of the images `ids` of a cohort, in
    their order (all without `ids`). Without a mask area and contrast are missing and the note is "no mask".
    """

    def measure(row: Any) -> tuple:
        image, mask = read_pair(row)
        hair, ruler = hair_and_ruler(image, mask)
        area, difference = (np.nan, np.nan) if mask is None else (mask.mean(), contrast(image, mask))
        return row.image_id, area, hair.mean(), ruler.mean(), difference, "no mask" if mask is None else ""

    return measure_rows(cohort, measure, ["image_id", "area", "hair", "ruler", "contrast", "note"], ids=ids)
