"""Skin tone as the individual typology angle (ITA), with three published cut schemes and the selectors in use.

ITA is a colour of pixels. Under an uncalibrated dermatoscope it mixes skin with light and camera, so it orders images
of one source better than it names anyone's skin. Measure it before any colour constancy.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from skimage.morphology import isotropic_dilation

from skinlib.data.pictures import read_image, read_mask
from skinlib.images.colour import apply, check_image, rgb_to_lab

CATEGORIES = ("very light", "light", "intermediate", "tan", "brown", "dark")
SCHEMES = {  # lower bounds of all categories but the last, in degrees; a value on a bound is in the darker category
    "del_bino": (55, 41, 28, 10, -30),  # Chardon et al. 1991, Del Bino & Bernerd 2013
    "kinyanjui": (55, 41, 28, 19, 10),  # Kinyanjui et al. 2020, as coded by Groh et al. and by Bevan & Atapour
    "groh": (45, 28, 17, 5, -20),  # Groh et al. 2021, fitted to Fitzpatrick labels
}
LIGHT_ABOVE = 28.0  # degrees: light > 28 >= dark
SELECTORS = ("mask", "border", "ring", "whole")
_BLACK, _WHITE = 40, 250  # 8-bit: all channels below = vignette; all channels from here on = glare or white frame
_FULL_MASK, _LEAST_SKIN = 0.98, 0.01  # shares of the image


def ita(
    image: np.ndarray,
    skin: np.ndarray | None = None,
    *,
    scheme: str = "del_bino",
    trim: bool = True,
    guard: bool = True,
) -> float:
    """Individual typology angle of the chosen pixels.

    ITA = atan2(L* - 50, b*) * 180 / pi of the mean L* and the mean b*. With the guard a mean b* at or below 0 (a blue
    cast of the light) counts as 0: the angle ends at +90 or -90, and there is none where L* is 50 too. Without it the
    angle is arctan((L* - 50) / b*) as it is often printed, which turns light skin under a bluish light into a negative
    angle, that is into "dark".

    Parameters
    ----------
    image : (H, W, 3) RGB, uint8 or float in [0, 1], not colour-corrected
    skin : (H, W) bool, True = use; None uses every pixel
    scheme : a key of `SCHEMES`; only `category` depends on it, but a wrong name fails here
    trim : before the means, leave out values of L* and of b*, each by itself, beyond one standard deviation
    guard : see above; False only to show what the printed formula does

    Returns degrees in [-90, 90]; NaN without a skin pixel.

    Raises ValueError (unknown scheme, or a skin mask of another size).

    Source: Chardon, Cretois & Hourseau 1991; trimming: Kinyanjui et al. 2020.
    """
    _cuts(scheme)
    return _angle(*_lightness_and_b(image, skin, trim=trim), guard=guard)


def _lightness_and_b(image: np.ndarray, skin: np.ndarray | None, *, trim: bool = True) -> tuple[float, float]:
    """(Trimmed) mean L* and mean b* of the skin pixels; NaN, NaN without one."""
    lab = rgb_to_lab(image)
    skin = np.ones(lab.shape[:2], dtype=bool) if skin is None else np.asarray(skin, dtype=bool)
    if skin.shape != lab.shape[:2]:
        raise ValueError(f"skin is {skin.shape} but the image is {lab.shape[:2]}; pass a mask of the image's size")
    pixels = lab[skin].astype(np.float64)  # (n, 3)
    if not len(pixels):
        return float("nan"), float("nan")
    mean = _trimmed_mean if trim else np.mean
    return float(mean(pixels[:, 0])), float(mean(pixels[:, 2]))


def _angle(lightness: float, b: float, *, guard: bool = True) -> float:
    height, b = lightness - 50, max(b, 0.0) if guard else b
    if b < 0:
        height, b = -height, -b  # arctan(y / x) = atan2(-y, -x) for x < 0
    return float("nan") if height == 0 and b == 0 else float(np.degrees(np.arctan2(height, b)))


def _trimmed_mean(values: np.ndarray) -> float:
    """Mean of the values within one standard deviation of the mean; there always is one (Chebyshev)."""
    distance = np.abs(values - values.mean())
    return values[distance <= values.std() + 1e-9].mean()  # the 1e-9 keeps values of one and the same size


def _cuts(scheme: str) -> tuple[int, ...]:
    if scheme not in SCHEMES:
        raise ValueError(f"unknown ITA scheme {scheme!r}; use one of {', '.join(SCHEMES)}")
    return SCHEMES[scheme]


def category(angle: float, scheme: str = "del_bino") -> str | float:
    """Name of the category (`CATEGORIES`) an angle in degrees falls into; NaN stays NaN.

    A category takes the angles above its lower bound: 41.1 is light, 41 is intermediate.
    """
    cuts = _cuts(scheme)
    return float("nan") if np.isnan(angle) else CATEGORIES[sum(angle <= cut for cut in cuts)]


def usable(image: np.ndarray) -> np.ndarray:
    """Pixels that can be skin: (H, W) bool, False in a vignette, in glare and in a white frame.

    Black is all channels below 40 of 255, grown by a hundredth of the shorter side where the vignette fades. White is
    all channels at 250 or more. Pixels with red alone clipped stay: leaving them out would drop the lightest skin.
    """
    image = check_image(image)
    black = image.max(axis=2) < _BLACK
    if black.any():
        black = isotropic_dilation(black, 0.01 * min(black.shape))
    return ~black & (image.min(axis=2) < _WHITE)


def skin_from_mask(mask: np.ndarray, image: np.ndarray | None = None, *, margin: float = 0.02) -> np.ndarray:
    """Complement of a lesion mask grown by `margin` of its shorter side; with `image`, of its usable pixels only."""
    lesion = np.asarray(mask, dtype=bool)
    skin = ~isotropic_dilation(lesion, margin * min(lesion.shape)) if lesion.any() else ~lesion
    return skin if image is None else skin & usable(image)


def skin_from_border(image: np.ndarray) -> np.ndarray:
    """The lightest (mean L*) of eight patches along the border: four corners, four middles.

    A patch is 20 x 20 pixels in an image whose shorter side is 256, and in proportion otherwise. Patches with less than
    half of their pixels usable are out; where all are, no pixel is True.

    Source: Bevan & Atapour-Abarghouei 2022 (the lightest, for the darker ones lie in shade or on the lesion).
    """
    good, lightness = usable(image), rgb_to_lab(image)[..., 0]
    side = max(round(20 * min(good.shape) / 256), 1)
    tops, lefts = ((0, (n - side) // 2, n - side) for n in good.shape)
    best, chosen = -1.0, np.zeros_like(good)
    for i, j in ((i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)):
        patch = np.zeros_like(good)
        patch[tops[i] : tops[i] + side, lefts[j] : lefts[j] + side] = True
        patch &= good
        if patch.sum() >= side * side / 2 and lightness[patch].mean() > best:
            best, chosen = lightness[patch].mean(), patch
    return chosen


def skin_from_ring(image: np.ndarray, *, width: float = 0.1) -> np.ndarray:
    """Usable pixels within `width` of the shorter side from the border, for images without a lesion mask."""
    skin = usable(image)
    edge = max(round(width * min(skin.shape)), 1)
    skin[edge:-edge, edge:-edge] = False
    return skin


def measure_rows(
    cohort: pd.DataFrame, measure: Callable, columns: list[str], *, ids: Sequence[str] | None = None, workers: int = 2
) -> pd.DataFrame:
    """Return a table of what ``measure(row)`` finds in each image of a cohort: of ``ids`` in their order, else of all.

    Raises ValueError for an id that is not in the cohort.
    """
    if unknown := sorted(set(ids or ()) - set(cohort["image_id"])):
        raise ValueError(f"{len(unknown)} ids are not in the cohort, {unknown[0]!r} first; check what made the list")
    if ids is not None:
        cohort = cohort.set_index("image_id").loc[list(ids)].reset_index()
    with ThreadPoolExecutor(workers) as pool:
        return pd.DataFrame(list(pool.map(measure, cohort.itertuples(index=False))), columns=columns)


def read_pair(row: Any, *, size: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Image (H, W, 3) uint8 and lesion mask (H, W) bool, or None, of a cohort row (`skinlib.data.pictures`).

    With `size`, both are shrunk so that the longer side is at most `size` (image by box, mask by nearest pixel).
    Raises ValueError where the two files differ in size.
    """
    image, mask = Image.fromarray(read_image(row.image_path)), None
    if isinstance(getattr(row, "mask_path", None), str):
        mask = Image.fromarray(read_mask(row.mask_path))
        if mask.size != image.size:
            raise ValueError(f"{row.image_id}: the mask is {mask.size}, the image {image.size}; check {row.mask_path}")
    if size is not None and max(image.size) > size:
        image.thumbnail((size, size), Image.Resampling.BOX)
        mask = None if mask is None else mask.resize(image.size, Image.Resampling.NEAREST)
    return np.asarray(image), None if mask is None else np.asarray(mask) > 0


def _skin(image: np.ndarray, mask: np.ndarray | None, selector: str) -> tuple[np.ndarray, str]:
    """Skin pixels by one selector, and a note where there are none: "" | "no mask" | "no healthy skin"."""
    nothing, least = np.zeros(image.shape[:2], dtype=bool), 0.0  # a patch is 0.6 % of the image by design
    if selector != "mask":
        skin = {"border": skin_from_border, "ring": skin_from_ring, "whole": usable}[selector](image)
    elif mask is None:
        return nothing, "no mask"
    else:
        skin, least = nothing if mask.mean() > _FULL_MASK else skin_from_mask(mask, image), _LEAST_SKIN
    return (skin, "") if skin.mean() > least else (nothing, "no healthy skin")


def ita_table(
    cohort: pd.DataFrame,
    *,
    selector: str = "mask",
    scheme: str = "del_bino",
    size: int | None = None,
    workers: int = 2,
    guard: bool = True,
    colour: str = "none",
) -> pd.DataFrame:
    """ITA of every image of a cohort, in its order.

    Parameters
    ----------
    selector : "mask" (lesion mask's complement) | "border" (lightest patch) | "ring" (border ring) | "whole"
    scheme, guard : of `category` and `ita`
    size : longest side at which to measure, in pixels; None = as stored
    colour : pipeline of `skinlib.images.colour.apply` before the angle is taken, only to show what it does to tone; the
        skin is found in the untouched image

    Returns a table of image_id, ita (degrees), category, group ("light" above 28 degrees, else "dark"), skin_fraction
    (0..1), lightness (mean L*), b (mean b*) and note. The angle is missing where there is "no mask", and where the mask
    covers more than 98 % of the image or at most 1 % is left as skin ("no healthy skin"). The note "blue cast" marks a
    mean b* at or below 0: there ITA tells of the light, not of the skin.
    """
    _cuts(scheme)
    if selector not in SELECTORS:
        raise ValueError(f"unknown skin selector {selector!r}; use one of {', '.join(SELECTORS)}")

    def measure(row: Any) -> tuple:
        image, mask = read_pair(row, size=size)
        skin, note = _skin(image, mask, selector)
        lightness, b = _lightness_and_b(apply(image, colour), skin)
        angle = _angle(lightness, b, guard=guard)
        group = np.nan if np.isnan(angle) else "light" if angle > LIGHT_ABOVE else "dark"
        note = "blue cast" if b <= 0 else note
        return row.image_id, angle, category(angle, scheme), group, float(skin.mean()), lightness, b, note

    columns = ["image_id", "ita", "category", "group", "skin_fraction", "lightness", "b", "note"]
    return measure_rows(cohort, measure, columns, workers=workers)
