"""Draws one lesion on skin from a ``Look``: every property of the picture is a field of it, so the truth is known.

The lesion has its own coordinates (u, v), unit = its mean radius, so that two views of one lesion differ by rotation,
zoom, place, light and overlays only. The class enters nowhere here: it decides the look (``synthetic_people``).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from skinlib.data.readers_sets import ATTRIBUTES

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
# Round structures: name, field of ``Look``, radius (in mean radii), absorption, strength.
_DISCS = (
    ("globules", "globules", 0.055, ABSORPTION["dark_brown"], 0.8),
    ("milia_like_cyst", "milia", 0.060, (-0.65, -0.8, -0.8), 0.9),
    ("lacunae", "lacunae", 0.17, (0.35, 1.3, 0.9), 0.9),
    ("scales", "scales", 0.050, (-0.55, -0.75, -0.8), 0.9),
)
_TURN = 2048  # entries of the outline table
_ANGLE = np.linspace(0, 2 * np.pi, _TURN, endpoint=False)
_LOW, _HIGH = np.array([1, 3, 5]), np.arange(7, 24)


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
    """``image`` uint8 RGB (H, W, 3), ``mask`` and each of ``attributes`` bool (H, W), ``hair`` the share under hair."""

    image: np.ndarray
    mask: np.ndarray
    attributes: dict[str, np.ndarray]
    hair: float


def draw(look: Look, shape: tuple[int, int]) -> Drawing:
    """Draw a look at ``shape`` (height, width) in pixels."""
    form, view = np.random.default_rng(look.form_seed), np.random.default_rng(look.view_seed)
    scale = look.radius * min(shape)
    x = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(look.center_x * shape[1])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(look.center_y * shape[0])
    cos, sin = np.float32(math.cos(look.rotation) / scale), np.float32(math.sin(look.rotation) / scale)
    u, v = x * cos + y * sin, y * cos - x * sin
    outline = _outline(look, form)
    turn = (np.arctan2(v, u) * np.float32(_TURN / (2 * np.pi))).astype(np.int32)
    distance = np.sqrt(u * u + v * v) / outline[turn & (_TURN - 1)]
    mask = distance < 1
    waves = _waves(u, v, form)
    absorbed = _pigment(look, distance, waves, form, at=(u, v))
    absorbed += _network(look, u, v, waves) * np.float32(look.density)
    networks = {"pigment_network": look.network != "none", "negative_network": look.negative_network}
    attributes = {name: mask & networks.get(name, False) for name in ATTRIBUTES}
    for name, canvas, color, strength in _Structures(look, outline, scale, shape).layers(form):
        absorbed += _planes(color, strength) * canvas
        if name in attributes:
            attributes[name] = (canvas > 0) & mask
    absorbed *= -np.clip((1 - distance) / np.float32(look.softness) + np.float32(0.5), 0, 1)
    overlay, hair = overlays(look, shape, view)
    image = np.exp(absorbed, out=absorbed) * (_light(look, shape, view) * overlay)
    image *= _planes(skin_rgb(look.ita, look.skin_a, look.skin_b), 255)
    image += view.standard_normal(shape, dtype=np.float32) * np.float32(4.5)
    planes = np.clip(image, 0, 255, out=image).astype(np.uint8)
    return Drawing(np.ascontiguousarray(planes.transpose(1, 2, 0)), mask, attributes, hair)


def skin_rgb(ita: float, a: float, b: float) -> np.ndarray:
    """The sRGB colour (3,) in [0, 1] of skin of an individual typology angle (degrees), CIELAB a* and b* > 0.

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


def _planes(color: Iterable[float], strength: float) -> np.ndarray:
    """A colour as (3, 1, 1): channels first, for numpy is slow where the last axis has length 3."""
    return (np.asarray(color, dtype=np.float32) * np.float32(strength)).reshape(3, 1, 1)


def _outline(look: Look, form: np.random.Generator) -> np.ndarray:
    """Radius (in mean radii) at each of ``_TURN`` angles: an ellipse, low odd harmonics, a rough border."""
    radius = 1 / np.hypot(np.cos(_ANGLE) * math.sqrt(look.aspect), np.sin(_ANGLE) / math.sqrt(look.aspect))
    low = np.cos(np.outer(_LOW, _ANGLE) + form.uniform(0, 2 * np.pi, (len(_LOW), 1)))
    high = np.cos(np.outer(_HIGH, _ANGLE) + form.uniform(0, 2 * np.pi, (len(_HIGH), 1)))
    radius *= np.prod(1 + look.asymmetry * np.array([0.36, 0.18, 0.07])[:, None] * low, axis=0)
    radius *= np.clip(1 + look.border * 0.065 * (form.uniform(0.3, 1.7, len(_HIGH)) @ high), 0.6, 1.4)
    return radius.astype(np.float32)


def _waves(u: np.ndarray, v: np.ndarray, form: np.random.Generator) -> np.ndarray:
    """A smooth random field of about unit deviation in the lesion's coordinates."""
    field = np.zeros(np.broadcast_shapes(u.shape, v.shape), dtype=np.float32)
    for _ in range(4):
        kx, ky, phase = form.normal(0, 1.9), form.normal(0, 1.9), form.uniform(0, 2 * np.pi)
        field += np.cos(np.float32(kx) * u + np.float32(ky) * v + np.float32(phase))
    return field * np.float32(0.7)


def _pigment(
    look: Look, distance: np.ndarray, waves: np.ndarray, form: np.random.Generator, *, at: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Absorption (3, H, W) of the lesion's colours: rings where it is symmetric, blotches where it is not."""
    u, v = at
    palette = np.array([ABSORPTION[name] for name in look.colors])
    palette *= look.density / max(palette.mean(), 0.25)  # how dark a lesion is must not tell its class
    steps = np.linspace(0, len(palette) - 1e-6, 256)
    low = steps.astype(int)
    blend = np.clip((steps - low - 0.7) / 0.3, 0, 1)[:, None]
    table = palette[low] * (1 - blend) + palette[np.minimum(low + 1, len(palette) - 1)] * blend
    off = np.float32(look.asymmetry)
    place = (1 - off) * np.clip(distance, 0, 1) + off * (np.float32(0.5) + np.float32(0.33) * waves)
    index = (np.clip(place, 0, 1) * 255).astype(np.uint8)
    absorbed = np.stack([channel[index] for channel in table.astype(np.float32).T])
    angle, far = form.uniform(0, 2 * np.pi), form.uniform(0.15, 0.5)
    if look.veil:
        spot = _spot(u - np.float32(far * math.cos(angle)), v - np.float32(far * math.sin(angle)), 0.42)
        absorbed += spot * (_planes(ABSORPTION["blue_gray"], 0.85 * look.density) - absorbed)
    if look.white_centre:
        absorbed *= 1 - np.float32(0.85) * _spot(u, v, 0.35)
    return absorbed


def _spot(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.clip(np.float32(1.6) - np.sqrt(u * u + v * v) / np.float32(radius), 0, 1)


def _network(look: Look, u: np.ndarray, v: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Added absorption of the pigment network (dark lines), of the negative one (light lines), zero mean."""
    if look.network == "none" and not look.negative_network:
        return np.zeros(waves.shape, dtype=np.float32)
    atypical = look.network == "atypical"
    bend = waves * np.float32(2.0 if atypical else 0.25)
    lines = np.float32(16 if atypical else 27)  # radians a mean radius: wide, bent and broken, or fine and even
    grid = np.cos(lines * u + bend) * np.cos(lines * v - bend)
    if atypical:
        grid *= np.clip(np.float32(1.1) + waves, 0, 2)
    return grid * np.float32(-0.55 if look.negative_network else 0.45)


def _light(look: Look, shape: tuple[int, int], view: np.random.Generator) -> np.ndarray:
    """Light (H, W) of mean near 1: a slope across the picture and the grain of skin."""
    angle = view.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] * np.float32(look.light * math.cos(angle))
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(look.light * math.sin(angle))
    coarse = Image.fromarray(view.standard_normal((24, 24), dtype=np.float32))
    grain = coarse.resize(shape[::-1], Image.Resampling.BILINEAR)
    return 1 + x + y + np.float32(0.03) * np.asarray(grain)


@dataclass(frozen=True)
class _Structures:
    """The small structures of a lesion, drawn as discs and lines at places fixed in the lesion."""

    look: Look
    outline: np.ndarray
    scale: float  # mean radius in pixels
    shape: tuple[int, int]

    def layers(self, form: np.random.Generator) -> Iterator[tuple]:
        """(name, canvas (H, W) float32 in [0, 1], absorption, strength) of each kind that the look has."""
        places = lambda: form.uniform(size=(40, 3))  # drawn in any case, so that each kind has its own numbers
        for name, field, size, color, strength in _DISCS:
            at = places()[: getattr(self.look, field)]
            if len(at):
                yield name, self._discs(at, size), color, strength
        if len(at := places()[: self.look.streaks]):
            angle = (at[0, 0] + at[:, 0] * 0.45) * 2 * np.pi  # together on one side
            ends = np.stack([self._pixel(angle, np.float64(share)) for share in (0.80, 1.22)], axis=1)
            yield "streaks", self._lines(ends, 0.065), ABSORPTION["black"], 0.7
        if len(at := places()[: self.look.vessels]):
            bends = at[:, :1] + 0.07 * np.sin(np.linspace(0, 3, 7) * (1 + 2 * at[:, 1:2]))
            shares = np.linspace(0.95, 0.25 + 0.4 * at[:, 2], 7, axis=1)
            yield "vessels", self._lines(self._pixel(2 * np.pi * bends, shares), 0.05), (0.05, 1.2, 1.0), 1.0

    def _pixel(self, angle: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Image coordinates (..., 2) of points at an angle and a share of the outline's radius."""
        radius = self.outline[(angle / (2 * np.pi) * _TURN).astype(int) % _TURN] * share * self.scale
        turned = angle + self.look.rotation
        center = np.array([self.look.center_x * self.shape[1], self.look.center_y * self.shape[0]])
        return center + np.stack([radius * np.cos(turned), radius * np.sin(turned)], axis=-1)

    def _discs(self, places: np.ndarray, size: float) -> np.ndarray:
        pen, canvas = _canvas(self.shape)
        centers = self._pixel(places[:, 0] * 2 * np.pi, 0.92 * np.sqrt(places[:, 1]))
        for (x, y), radius in zip(centers, size * self.scale * (0.6 + 0.8 * places[:, 2]), strict=True):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return _cover(canvas)

    def _lines(self, lines: np.ndarray, width: float) -> np.ndarray:
        pen, canvas = _canvas(self.shape)
        for points in lines:
            pen.line([tuple(point) for point in points], fill=255, width=max(1, round(width * self.scale)))
        return _cover(canvas)


def overlays(look: Look, shape: tuple[int, int], view: np.random.Generator) -> tuple[np.ndarray, float]:
    """Light (H, W) that hair, ruler and dark corners let through, and the share of the picture under hair."""
    height, width = shape
    size, hair, light = min(shape), 0.0, np.ones(shape, dtype=np.float32)
    if look.hairs:
        pen, canvas = _canvas(shape)
        for _ in range(look.hairs):
            start, angle, bend = view.uniform(0, 1, 2), view.uniform(0, 2 * np.pi), view.normal(0, 0.5)
            step = np.linspace(0, view.uniform(0.3, 0.9), 8)
            path = start + np.stack([step * np.cos(angle + bend * step), step * np.sin(angle + bend * step)], axis=1)
            pen.line([tuple(p) for p in path * (width, height)], fill=255, width=max(1, round(size / 110)))
        covered = _cover(canvas)
        hair = float(covered.mean())
        light -= np.float32(0.8) * covered
    if look.ruler:
        pen, canvas = _canvas(shape)
        for i, x in enumerate(np.arange(0, width, max(4, size / 24))):
            top = height - size * (0.09 if i % 5 == 0 else 0.05)
            pen.line([(x, height), (x, top)], fill=255, width=max(1, size // 160))
        light *= 1 - np.float32(0.85) * _cover(canvas)
    if look.vignette:
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(width / size)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(height / size)
        edge = math.hypot(width, height) / size
        light *= np.clip((np.float32(0.86 * edge) - np.sqrt(x * x + y * y)) * 8, 0, 1)
    return light, hair


def _canvas(shape: tuple[int, int]) -> tuple[ImageDraw.ImageDraw, Image.Image]:
    canvas = Image.new("L", shape[::-1])
    return ImageDraw.Draw(canvas), canvas


def _cover(canvas: Image.Image) -> np.ndarray:
    return np.asarray(canvas, dtype=np.float32) * np.float32(1 / 255)
