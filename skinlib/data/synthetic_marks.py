"""Small structures in a drawn lesion, and what lies over it: hair, ruler, dark corners."""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from skinlib.data.synthetic_look import ABSORPTION, Look

TURN = 2048  # entries of the outline table


class Marks:
    """The small structures, drawn as polygons and lines on one canvas a kind, at places fixed in the lesion."""

    def __init__(self, look: Look, outline: np.ndarray, scale: float, shape: tuple[int, int]):
        self.look, self.outline, self.scale, self.shape = look, outline, scale, shape

    def layers(self, form: np.random.Generator) -> Iterator[tuple]:
        """(name, canvas (H, W) float32 in [0, 1], absorption, strength) of each kind that the look has."""
        look = self.look
        for name, count, size, color, strength in (
            ("globules", look.globules, 0.055, ABSORPTION["dark_brown"], 0.8),
            ("milia_like_cyst", look.milia, 0.060, (-0.65, -0.8, -0.8), 0.9),
            ("lacunae", look.lacunae, 0.17, (0.35, 1.3, 0.9), 0.9),
            ("scales", look.scales, 0.050, (-0.55, -0.75, -0.8), 0.9),
        ):
            places = form.uniform(size=(40, 3))  # drawn in any case, so that each kind has its own numbers
            if count:
                yield name, self._discs(places[:count], size), color, strength
        places = form.uniform(size=(40, 3))
        if look.streaks:
            yield "streaks", self._lines(places[: look.streaks], 0.80, 1.22), ABSORPTION["black"], 0.7
        places = form.uniform(size=(40, 3))
        if look.vessels:
            yield "vessels", self._vessels(places[: look.vessels]), (0.05, 1.2, 1.0), 1.0

    def _pixel(self, angle: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Image coordinates (n, 2) of points at an angle and a share of the outline's radius."""
        radius = self.outline[(angle / (2 * np.pi) * TURN).astype(int) % TURN] * share * self.scale
        turned = angle + self.look.rotation
        center = np.array([self.look.center_x * self.shape[1], self.look.center_y * self.shape[0]])
        return center + np.stack([radius * np.cos(turned), radius * np.sin(turned)], axis=-1)

    def _discs(self, places: np.ndarray, size: float) -> np.ndarray:
        pen, canvas = _canvas(self.shape)
        radii = size * self.scale * (0.6 + 0.8 * places[:, 2])
        for (x, y), radius in zip(
            self._pixel(places[:, 0] * 2 * np.pi, 0.92 * np.sqrt(places[:, 1])), radii, strict=True
        ):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return _share(canvas)

    def _lines(self, places: np.ndarray, start: float, end: float) -> np.ndarray:
        pen, canvas = _canvas(self.shape)
        angle = (places[0, 0] + places[:, 0] * 0.45) * 2 * np.pi  # streaks stand together on one side
        for a, b in zip(self._pixel(angle, np.float64(start)), self._pixel(angle, np.float64(end)), strict=True):
            pen.line([tuple(a), tuple(b)], fill=255, width=max(1, round(0.065 * self.scale)))
        return _share(canvas)

    def _vessels(self, places: np.ndarray) -> np.ndarray:
        pen, canvas = _canvas(self.shape)
        for first, bend, reach in places:
            angle = 2 * np.pi * (first + 0.07 * np.sin(np.linspace(0, 3, 7) * (1 + 2 * bend)))
            points = self._pixel(angle, np.linspace(0.95, 0.25 + 0.4 * reach, 7))
            pen.line([tuple(point) for point in points], fill=255, width=max(1, round(0.05 * self.scale)))
        return _share(canvas)


def overlays(look: Look, shape: tuple[int, int], view: np.random.Generator) -> tuple[np.ndarray, float]:
    """Light (H, W) that hair, ruler and dark corners let through; the share of the picture under hair.

    They know nothing of the lesion.
    """
    height, width = shape
    size, hair, light = min(shape), 0.0, np.ones(shape, dtype=np.float32)
    if look.hairs:
        pen, canvas = _canvas(shape)
        for _ in range(look.hairs):
            start, angle, bend = view.uniform(0, 1, 2), view.uniform(0, 2 * np.pi), view.normal(0, 0.5)
            step = np.linspace(0, view.uniform(0.3, 0.9), 8)
            path = start + np.stack([step * np.cos(angle + bend * step), step * np.sin(angle + bend * step)], axis=1)
            pen.line([tuple(p) for p in path * (width, height)], fill=255, width=max(1, round(size / 110)))
        covered = _share(canvas)
        hair = float(covered.mean())
        light -= np.float32(0.8) * covered
    if look.ruler:
        pen, canvas = _canvas(shape)
        for i, x in enumerate(np.arange(0, width, max(4, size / 24))):
            top = height - size * (0.09 if i % 5 == 0 else 0.05)
            pen.line([(x, height), (x, top)], fill=255, width=max(1, size // 160))
        light *= 1 - np.float32(0.85) * _share(canvas)
    if look.vignette:
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(width / size)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(height / size)
        edge = math.hypot(width, height) / size
        light *= np.clip((np.float32(0.86 * edge) - np.sqrt(x * x + y * y)) * 8, 0, 1)
    return light, hair


def _canvas(shape: tuple[int, int]) -> tuple[ImageDraw.ImageDraw, Image.Image]:
    canvas = Image.new("L", shape[::-1])
    return ImageDraw.Draw(canvas), canvas


def _share(canvas: Image.Image) -> np.ndarray:
    return np.asarray(canvas, dtype=np.float32) * np.float32(1 / 255)
