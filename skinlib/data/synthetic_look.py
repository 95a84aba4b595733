"""What a drawn picture shows: the fields of ``Look`` are the truth, ``Drawing`` is the picture."""

import math
from dataclasses import dataclass

import numpy as np

ATTRIBUTES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
# Absorption of red, green and blue by each of the six colours of dermoscopy; white scatters, so it absorbs less than
# nothing. A colour multiplies the skin below it: exp(-density * absorption).
ABSORPTION = {
    "light_brown": (0.45, 0.70, 0.85),
    "dark_brown": (0.85, 1.10, 1.20),
    "black": (1.55, 1.60, 1.60),
    "red": (0.20, 0.90, 0.75),
    "blue_gray": (1.25, 0.85, 0.45),
    "white": (-0.10, -0.20, -0.25),
}
COLORS = tuple(ABSORPTION)


@dataclass(frozen=True)
class Look:
    """Truth of one view. Angles in radians, ``ita`` in degrees, lengths as a share of the shorter side of the image."""

    ita: float
    skin_a: float
    skin_b: float
    radius: float
    aspect: float
    asymmetry: float  # 0 round to 1: odd harmonics of the outline, and how far colours lie off centre
    border: float  # 0 smooth to 1: high harmonics of the outline
    softness: float
    density: float  # mean absorption of the lesion
    colors: tuple[str, ...]
    network: str  # none, typical, atypical
    negative_network: bool
    streaks: int
    globules: int
    milia: int
    vessels: int
    scales: int
    lacunae: int
    veil: bool
    white_centre: bool
    form_seed: int
    view_seed: int = 0
    center_x: float = 0.5
    center_y: float = 0.5
    rotation: float = 0.0
    light: float = 0.0
    hairs: int = 0
    ruler: bool = False
    vignette: bool = False


@dataclass(frozen=True)
class Drawing:
    """``image`` uint8 RGB (H, W, 3), ``mask`` (H, W) bool, ``attributes`` name -> (H, W) bool;
    ``hair`` is the share of the picture under hair.
    """

    image: np.ndarray
    mask: np.ndarray
    attributes: dict[str, np.ndarray]
    hair: float


def skin_rgb(ita: float, a: float, b: float) -> np.ndarray:
    """The sRGB colour (3,) in [0, 1] of skin with this individual typology angle (degrees), CIELAB a* and b* > 0.

    ITA = atan2(L* - 50, b*), so L* = 50 + b* tan(ITA). Reference white D65.
    """
    lightness = 50 + b * math.tan(math.radians(ita))
    fy = (lightness + 16) / 116
    xyz = [
        white * (t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29))
        for white, t in zip((0.95047, 1.0, 1.08883), (fy + a / 500, fy, fy - b / 200), strict=True)
    ]
    to_rgb = np.array(
        [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
    )
    linear = np.clip(to_rgb @ xyz, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)
