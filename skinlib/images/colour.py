"""Colour: constancy (shades of gray), local contrast (CLAHE) and the road between sRGB and CIELAB.

Images are arrays (H, W, 3), RGB, uint8. Colour constancy moves the skin's own colour towards grey, so it never comes
before a measure of skin tone.
"""

import numpy as np
from skimage.exposure import equalize_adapthist

MINKOWSKI_P = 6  # of shades of gray for skin lesions: Barata, Celebi & Marques 2015
CLIP_LIMIT, TILES = 0.01, 8  # of CLAHE: scikit-image's normalised limit, and tiles a side
VERSION = 1  # part of every cache key: raise it whenever a pixel can come out different


def _linear_light(srgb: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear_light(np.arange(256) / 255.0).astype(np.float32)  # of each 8-bit code
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], dtype=np.float64
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65, 2 degree observer
_TO_XYZ = (_XYZ / _WHITE[:, None]).T.astype(np.float32)  # (3 rgb, 3 xyz), white point divided out
_TO_RGB = np.linalg.inv(_TO_XYZ.astype(np.float64)).astype(np.float32)
_KINK = 6 / 29  # where the cube root of CIELAB gives way to its tangent


def check_image(image: np.ndarray) -> np.ndarray:
    """Return `image` if it is (H, W, 3) uint8 with at least one pixel; else raise ValueError."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected an RGB image (H, W, 3) uint8, got {image.shape} {image.dtype}; convert it first")
    return image


def rgb_to_lab(image: np.ndarray) -> np.ndarray:
    """CIELAB of an sRGB image.

    Parameters
    ----------
    image : (H, W, 3) RGB, uint8 or float in [0, 1]

    Returns (H, W, 3) float32: L* in 0..100, a* and b* about -128..127; D65, 2 degree observer.

    Source: CIE 15; the constants are scikit-image's, whose `rgb2lab` this matches (in a third of its time, by a table).
    """
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.floating):
        if image.ndim != 3 or image.shape[2] != 3 or not (image.size and 0 <= image.min() and image.max() <= 1):
            raise ValueError(f"expected a float RGB image (H, W, 3) in [0, 1], got {image.shape}; rescale it first")
        linear = _linear_light(image).astype(np.float32)
    else:
        linear = _LINEAR[check_image(image)]
    t = linear @ _TO_XYZ  # (H, W, 3 xyz)
    f = np.where(t > _KINK**3, np.cbrt(t), t / (3 * _KINK**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """sRGB uint8 of a CIELAB array (H, W, 3); colours outside sRGB are clipped channel by channel."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    t = np.where(f > _KINK, f**3, 3 * _KINK**2 * (f - 4 / 29))
    linear = np.clip(t @ _TO_RGB, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).clip(0, 255).astype(np.uint8)


def shades_of_gray(image: np.ndarray, p: float = MINKOWSKI_P) -> np.ndarray:
    """Divide out the colour of the light, taken as the Minkowski mean of each channel.

    e_c = (mean I_c^p)^(1/p), scaled to unit length; I'_c = I_c / (sqrt(3) e_c), rounded, clipped *before* the cast (a
    bare cast wraps 256 round to 0). p = 1 is grey world, p -> infinity is white patch. A channel that is 0 throughout
    stays 0. Images are (H, W, 3) uint8, RGB; p is positive and finite.

    Source: Finlayson & Trezzi 2004.
    """
    if not 0 < p < np.inf:
        raise ValueError(f"shades of gray needs a finite p > 0, got {p}")
    image, codes = check_image(image), np.arange(256) / 255.0
    counts = np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])  # (3, 256)
    light = (counts @ codes**p / counts.sum(axis=1)) ** (1 / p)
    if not light.any():
        return image.copy()
    light = light / np.linalg.norm(light)
    gain = 1 / np.where(light > 0, np.sqrt(3) * light, 1.0)
    table = np.rint(255 * codes * gain[:, None]).clip(0, 255).astype(np.uint8)  # (3, 256): one look-up a channel
    return np.stack([table[c][image[..., c]] for c in range(3)], axis=-1)


def clahe(image: np.ndarray, clip_limit: float = CLIP_LIMIT, *, tiles: int = TILES) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of L*; a* and b* are kept.

    scikit-image stretches L* to its full range before it equalises, so the whole image gains contrast too. An image
    of one lightness has nothing to equalise and comes back unchanged. Images are (H, W, 3) uint8, RGB; the limit lies
    in (0, 1], and a higher one gives more contrast.

    Source: Zuiderveld 1994.
    """
    if not 0 < clip_limit <= 1 or tiles < 1:
        raise ValueError(f"CLAHE needs 0 < clip_limit <= 1 and tiles >= 1, got {clip_limit} and {tiles}")
    lab = rgb_to_lab(image)
    lightness = lab[..., 0].clip(0, 100)
    if np.ptp(lightness) == 0:
        return image.copy()
    kernel = [max(side // tiles, 1) for side in lightness.shape]
    lab[..., 0] = 100 * equalize_adapthist(lightness / 100, kernel_size=kernel, clip_limit=clip_limit)
    return lab_to_rgb(lab)


STEPS = {"shades_of_gray": shades_of_gray, "clahe": clahe}


def apply(image: np.ndarray, pipeline: str) -> np.ndarray:
    """Run the steps of a pipeline, joined by "+", from left to right on an (H, W, 3) uint8 RGB image.

    "none" returns it as it is. Raises ValueError on an unknown step.
    """
    names = [] if pipeline == "none" else pipeline.split("+")
    if unknown := [name for name in names if name not in STEPS]:
        known = f"write 'none', or any of {', '.join(STEPS)} joined by '+'"
        raise ValueError(f"unknown colour step {unknown[0]!r} in pipeline {pipeline!r}; {known}")
    for name in names:
        image = STEPS[name](image)
    return image
