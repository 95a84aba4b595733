"""Asymmetry, border and colour of a lesion, measured on its mask and image: A, B and C of the ABCD rule.

Everything is measured on a picture of fixed scale: image and mask are resized until the lesion has the area of a disc
of radius 40 pixels, then turned until its principal axes lie along rows and columns. So no measure depends on the
image's resolution or on the lesion's size, place or turn. What each measure smooths away first is a stated share of
that radius: a perimeter measured pixel by pixel grows with every pixel added.

The measures put lesions in order. They are no clinical scores, and of an outline drawn by hand they see the hand too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

from skinlib.images.colour import check_image, rgb_to_lab
from skinlib.images.skin_tone import measure_rows, read_pair
from skinlib.paths import Lock, write_atomic
from skinlib.provenance import canonical_json, digest, file_digest

VERSION = 1  # enters the key of stored measures: raise it whenever one can come out different
MEASURES = ("asymmetry", "border", "solidity", "colours", "colour_deviation")
# The six colours of dermoscopy as idealised sRGB values, in common use with the ABCD rule. On drawn lesions they follow
# the number of drawn colours better than values picked from photographs did (rank correlation 0.59 against 0.33).
REFERENCE_COLOURS = {
    "white": (255, 255, 255),
    "red": (204, 51, 51),
    "light brown": (153, 102, 0),
    "dark brown": (51, 0, 0),
    "blue-gray": (51, 153, 153),
    "black": (0, 0, 0),
}
COVERS = 0.05  # least share of the lesion of a colour that counts
MOST_CUT = 0.5  # share of the outline on the image's edge above which there is no shape to measure
_RADIUS, _SIDE = 40, 240  # pixels: of the disc of the lesion's area, and of the picture; lesions reach 3 radii
# Deviation of the Gaussian in lesion radii. Asymmetry looks past the border's notches, which are not its own.
_FORM, _OUTLINE, _PAINT = 0.25, 0.04, 0.05


def measure(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Measure asymmetry, border irregularity and colour variation of a lesion.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB
    mask : (H, W) bool, True on the lesion

    Returns
    -------
    dict
        asymmetry : share of the lesion that its mirror image does not cover, mean over the two principal axes; 0..1
        border : perimeter^2 / (4 pi area) of the smoothed outline; 1 of a disc, more of a ragged one
        solidity : area over that of the convex hull; at most 1, less of a notched outline
        colours : how many of `REFERENCE_COLOURS` cover 5 % of the lesion or more, each pixel that of the nearest; 1..6
        colour_deviation : mean distance (Delta E*ab, CIE 1976) of the lesion's pixels from their mean colour
        cut : share of the outline's pixels on the image's edge; above one half the three measures of shape are NaN

    Raises ValueError when the mask is empty or not of the image's size.

    Source: ours, after Stolz et al. 1994; none of the papers says how it would measure them.
    """
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != check_image(image).shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, the image {image.shape[:2]}; pass a mask of the image's size")
    if not mask.any():
        raise ValueError("the mask is empty: there is no lesion to measure")
    cut = _cut(mask)
    radius = np.sqrt(mask.sum() / np.pi)
    margin = 1 + int(radius)  # a small lesion in a large image is not enlarged with all of it
    around = tuple(slice(max(0, at.min() - margin), at.max() + margin + 1) for at in np.nonzero(mask))
    size = tuple(max(1, round(side * _RADIUS / radius)) for side in mask[around].shape[::-1])
    small = np.asarray(Image.fromarray(mask[around].astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    picture = np.asarray(Image.fromarray(image[around]).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    shape = _shape(small) if cut <= MOST_CUT else dict.fromkeys(MEASURES[:3], float("nan"))
    return shape | _colours(picture, small) | {"cut": cut}


def _cut(mask: np.ndarray) -> float:
    padded = np.pad(mask, 1)
    outline = mask & ~ndimage.binary_erosion(padded)[1:-1, 1:-1]
    edge = np.ones_like(mask)
    edge[1:-1, 1:-1] = False
    return float((outline & edge).sum() / outline.sum())


def _shape(lesion: np.ndarray) -> dict[str, float]:
    """Asymmetry, border and solidity of a lesion (H, W), 0..1, at the fixed scale."""
    lesion = np.pad(lesion, _RADIUS)
    upright = _upright(ndimage.gaussian_filter(lesion, _FORM * _RADIUS), lesion)
    inside = np.clip((upright - 0.5) * 8 + 0.5, 0, 1)  # a soft edge: no jumps by whole pixels
    uncovered = [np.abs(inside - mirrored).sum() / 2 for mirrored in (inside[::-1], inside[:, ::-1])]
    contours = find_contours(ndimage.gaussian_filter(lesion, _OUTLINE * _RADIUS), 0.5)
    outline = max(contours, key=len)
    (y, x), steps = outline.T, np.diff(outline, axis=0)
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    return {
        "asymmetry": float(np.mean(uncovered) / inside.sum()),
        "border": float(np.hypot(*steps.T).sum() ** 2 / (4 * np.pi * area)),
        "solidity": float(area / ConvexHull(outline[:-1]).volume),  # in the plane a hull's volume is its area
    }


def _upright(smooth: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """The picture (240, 240) of `smooth`, its principal axes along rows and columns and its centroid in the middle."""
    points = np.indices(lesion.shape).reshape(2, -1)
    axes = np.linalg.eigh(np.cov(points, aweights=lesion.ravel()))[1]
    centre = np.average(points, axis=1, weights=smooth.ravel())
    offset = centre - axes @ np.full(2, (_SIDE - 1) / 2)
    return ndimage.affine_transform(smooth, axes, offset=offset, output_shape=(_SIDE, _SIDE), order=1)


def _colours(picture: np.ndarray, lesion: np.ndarray) -> dict[str, float]:
    """Number of reference colours and mean deviation of a picture (H, W, 3), 0..255, at the fixed scale."""
    sigma = _PAINT * _RADIUS
    near = ndimage.gaussian_filter(lesion, sigma)  # skin does not mix into the mean of a rim pixel
    inside = lesion > 0.5
    smooth = ndimage.gaussian_filter(picture * lesion[..., None], (sigma, sigma, 0))[inside] / near[inside][:, None]
    lab = rgb_to_lab(np.clip(smooth / 255, 0, 1)[None])[0]  # (n, 3)
    reference = rgb_to_lab(np.array([list(REFERENCE_COLOURS.values())], dtype=np.uint8))[0]
    nearest = np.linalg.norm(lab[:, None] - reference, axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(reference)) / len(nearest)
    deviation = np.linalg.norm(lab - lab.mean(axis=0), axis=1).mean()
    return {"colours": float((shares >= COVERS).sum()), "colour_deviation": float(deviation)}


def abcd_table(cohort: pd.DataFrame, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Measures of the images `ids` of a cohort, in their order (all without): image_id, those of `measure`, note.

    Without a lesion all measures are missing and the note is "no mask" or "empty mask", of a lesion that the image cuts
    off it is "cut off".
    """

    def one(row: Any) -> dict:
        if not isinstance(getattr(row, "mask_path", None), str):
            return {"image_id": row.image_id, "note": "no mask"}
        image, mask = read_pair(row)
        if not mask.any():
            return {"image_id": row.image_id, "note": "empty mask"}
        found = measure(image, mask)
        return {"image_id": row.image_id, **found, "note": "cut off" if found["cut"] > MOST_CUT else ""}

    return measure_rows(cohort, one, ["image_id", *MEASURES, "cut", "note"], ids=ids)


def stored(cohort: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Return `abcd_table` of a whole cohort, from ``folder/abcd-<key>.csv``; measured and written on first use.

    The key is the files themselves, so that the same images under another name are not measured again.
    """
    files = cohort.reindex(columns=["image_path", "mask_path"])
    seen = ["\n".join(file_digest(path) if isinstance(path, str) else "" for path in files[name]) for name in files]
    path = Path(folder) / f"abcd-{digest(canonical_json([*seen, VERSION]))[:16]}.csv"
    with Lock(path.with_suffix(".lock")):
        if not path.is_file():
            write_atomic(path, abcd_table(cohort).to_csv(index=False))
    found = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in (*MEASURES, "cut")})
    return found.assign(image_id=cohort["image_id"].to_numpy())
