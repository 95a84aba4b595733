"""Draws one lesion on skin from a ``Look``: every property of the picture is a field of it, so the truth is known.

The lesion lives in its own coordinates (u, v), unit = its mean radius, so that two views of one lesion differ by
rotation, zoom, place, light and overlays only. Class enters nowhere here: it decides the look (``synthetic_people``).
"""

import math
from collections.abc import Iterable

import numpy as np
from PIL import Image

from skinlib.data.synthetic_look import ABSORPTION, ATTRIBUTES, Drawing, Look, skin_rgb
from skinlib.data.synthetic_marks import TURN, Marks, overlays


def draw(look: Look, shape: tuple[int, int]) -> Drawing:
    """Draw a look at ``shape`` (height, width) in pixels."""
    form, view = np.random.default_rng(look.form_seed), np.random.default_rng(look.view_seed)
    size = min(shape)
    scale = look.radius * size
    x = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(look.center_x * shape[1])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(look.center_y * shape[0])
    cos, sin = np.float32(math.cos(look.rotation) / scale), np.float32(math.sin(look.rotation) / scale)
    u, v = x * cos + y * sin, y * cos - x * sin
    outline = _outline(look, form)
    turn = (np.arctan2(v, u) * np.float32(TURN / (2 * np.pi))).astype(np.int32)
    reach = outline[turn & (TURN - 1)]
    distance = np.sqrt(u * u + v * v) / reach
    mask = distance < 1
    cover = np.clip((1 - distance) / np.float32(look.softness) + np.float32(0.5), 0, 1)
    waves = _waves(u, v, form)
    dots = Marks(look, outline, scale, shape)
    absorbed = _pigment(look, distance, waves, form, at=(u, v))
    attributes = dict.fromkeys(ATTRIBUTES, np.zeros(shape, dtype=bool))
    lines = _network(look, u, v, waves)
    if look.network != "none":
        attributes["pigment_network"] = mask
    if look.negative_network:
        attributes["negative_network"] = mask
    absorbed += lines * np.float32(look.density)
    for name, canvas, color, strength in dots.layers(form):
        absorbed += _planes(color, strength) * canvas
        if name in attributes:
            attributes[name] = (canvas > 0) & mask
    absorbed *= -cover
    overlay, hair = overlays(look, shape, view)
    image = np.exp(absorbed, out=absorbed) * (_light(look, shape, view) * overlay)
    image *= _planes(skin_rgb(look.ita, look.skin_a, look.skin_b), 255)
    image += view.standard_normal(shape, dtype=np.float32) * np.float32(4.5)
    planes = np.clip(image, 0, 255, out=image).astype(np.uint8)
    return Drawing(np.ascontiguousarray(planes.transpose(1, 2, 0)), mask, attributes, hair)


def _planes(color: Iterable[float], strength: float) -> np.ndarray:
    """A colour as (3, 1, 1): channels first, for numpy is slow where the last axis has length 3."""
    return (np.asarray(color, dtype=np.float32) * np.float32(strength)).reshape(3, 1, 1)


_ANGLE = np.linspace(0, 2 * np.pi, TURN, endpoint=False)
_LOW, _HIGH = np.array([1, 3, 5]), np.arange(7, 24)


def _outline(look: Look, form: np.random.Generator) -> np.ndarray:
    """Radius (in mean radii) at each of ``TURN`` angles: an ellipse, low odd harmonics, a rough border."""
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
    """Absorption (3, H, W) of the lesion's colours: rings where it is symmetric, blotches where it is not.

    Scaled so that the mean over the palette is ``density`` whatever the colours: how dark a lesion is tells no class.
    """
    u, v = at
    palette = np.array([ABSORPTION[name] for name in look.colors])
    palette *= look.density / max(palette.mean(), 0.25)
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
        veil = _planes(ABSORPTION["blue_gray"], 0.85 * look.density)
        absorbed += spot * (veil - absorbed)
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
    grain = Image.fromarray(view.standard_normal((24, 24), dtype=np.float32)).resize(
        shape[::-1], Image.Resampling.BILINEAR
    )
    return 1 + x + y + np.float32(0.03) * np.asarray(grain)
