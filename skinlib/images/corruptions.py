"""Poorer pictures: blur, noise and hair laid over images, at levels that fit any size; no network is chosen by them."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from skinlib.data.synthetic_draw import overlays
from skinlib.provenance import generator


def blur(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Blur by a Gaussian; ``level`` is its standard deviation as a share of the shorter side."""
    sigma = level * min(image.shape[:2])
    return ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="reflect")


def noise(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise to each pixel and channel; ``level`` is its standard deviation, of [0, 1]."""
    return image + 255 * level * rng.standard_normal(image.shape, dtype=np.float32)


def hair(image: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Draw ``level`` dark bent hairs as the synthetic data do, wherever the lesion is."""
    look = SimpleNamespace(hairs=round(level), ruler=False, vignette=False)  # all of a Look that overlays read
    return image * overlays(look, image.shape[:2], rng)[0][..., None]


CORRUPTIONS: dict[str, Callable[..., np.ndarray]] = {"blur": blur, "noise": noise, "hair": hair}


def corrupt(images: np.ndarray, kind: str, level: float, *, seed: int = 0) -> np.ndarray:
    """Corrupt every image of an array (N, H, W, 3) uint8, RGB; ``kind`` is a key of `CORRUPTIONS`.

    ``level`` >= 0 is in the unit of its function; 0 changes nothing. Each image draws its own from (seed, its place),
    the same at every level.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"no corruption {kind!r}; there are {', '.join(CORRUPTIONS)}")
    if level < 0:
        raise ValueError(f"the level of {kind} is {level}; give 0 or more")
    if level == 0:
        return np.array(images)
    found = [CORRUPTIONS[kind](image, level, generator(seed, i)) for i, image in enumerate(images)]
    return np.stack([np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in found])
