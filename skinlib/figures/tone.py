"""Figures of skin tone: where angles lie among the categories, and the plane of L* and b* in which they are angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from skinlib.figures.style import COLOURS, new, style
from skinlib.images.skin_tone import CATEGORIES, LIGHT_ABOVE, SCHEMES

STEP = 5  # degrees a bar
SKIN = ("#F6E3D3", "#EBCDB0", "#D9AE86", "#B98458", "#8A5A38", "#4F3222")  # very light to dark, for the eye only
BLUE = COLOURS[0]


def tone_histogram(panels: Mapping[str, Sequence[float]], *, scheme: str = "del_bino", title: str = "") -> Figure:
    """Draw histograms of ITA over the six categories, one above the other, with the cut between light and dark.

    Parameters
    ----------
    panels
        Title -> angles in degrees; missing ones are left out and counted. Angles of exactly 90 and -90, which is where
        the guard puts a blue cast, have bars of their own.
    scheme
        Whose categories are shaded.
    """
    bounds = [90, *SCHEMES[scheme], -90]
    with style():
        figure, axes = new(len(panels), 1, height=0.7 + 1.75 * len(panels), sharex=True)
        for axis, (name, angles) in zip(axes, panels.items(), strict=True):
            angles = np.asarray(angles, dtype=float)
            known = angles[~np.isnan(angles)]
            for colour, high, low in zip(SKIN, bounds[:-1], bounds[1:], strict=True):
                axis.axvspan(low, high, color=colour, alpha=0.35, linewidth=0)
            _bars(axis, known)
            axis.axvline(LIGHT_ABOVE, color="black", linestyle="--", linewidth=1)
            dark = np.mean(known <= LIGHT_ABOVE) if len(known) else np.nan
            missing = f", {len(angles) - len(known):,} without an angle" if len(known) < len(angles) else ""
            axis.set_title(f"{name}: {len(known):,} images{missing}; {dark:.1%} at or below 28 degrees", loc="left")
            axis.set(ylabel="images", xlim=(-97, 97))
            axis.grid(False, axis="x")
        axes[-1].set_ylim(top=1.25 * axes[-1].get_ylim()[1])  # room for the names
        _names(axes[-1], bounds)
        axes[-1].set_xlabel("ITA in degrees; dashed: the cut between light and dark; in blue: mean b* at or below 0")
        figure.suptitle(title, fontsize=10)
    return figure


def _bars(axis, known: np.ndarray) -> None:
    inner = known[np.abs(known) < 90]
    counts, edges = np.histogram(inner, bins=np.arange(-90, 90 + STEP, STEP))
    axis.bar(edges[:-1], counts, STEP, align="edge", color="0.35", edgecolor="white", linewidth=0.4)
    tallest = max(1, *counts, *((known == side).sum() for side in (-90, 90)))
    for side in (-90, 90):
        if n := int((known == side).sum()):
            axis.bar(side if side > 0 else side - STEP, n, STEP, align="edge", color=BLUE)
            above = n < tallest / 2
            beside = "center" if above else "right" if side > 0 else "left"
            place = side + STEP / 2 * np.sign(side) if above else side - 1.5 * np.sign(side)
            axis.text(place, n, f"{n:,}", ha=beside, va="bottom" if above else "top", color=BLUE)


def _names(axis, bounds: Sequence[float]) -> None:
    """Write the categories' names under the lowest panel's bars, two heights in turn: some are narrow."""
    for k, (name, high, low) in enumerate(zip(CATEGORIES, bounds[:-1], bounds[1:], strict=True)):
        place = (high + low) / 2
        axis.text(
            place, 0.97 - 0.11 * (k % 2), name, transform=axis.get_xaxis_transform(), ha="center", va="top", size=7
        )


def tone_plane(lightness: Sequence[float], b: Sequence[float], *, scheme: str = "del_bino", title: str = "") -> Figure:
    """Draw images as points in the plane of mean b* and mean L*: ITA is the angle seen from (b*, L*) = (0, 50).

    Parameters
    ----------
    lightness, b
        (N,) mean L* (0 to 100) and mean b* of each image's skin.
    """
    lightness, b = np.asarray(lightness, dtype=float), np.asarray(b, dtype=float)
    with style():
        figure, (axis,) = new(height=4.2, width=5.6)
        left, right = min(-5.0, np.nanmin(b)) - 2, max(30.0, np.nanmax(b)) + 2
        axis.axvspan(left, 0, color=COLOURS[4], alpha=0.25, linewidth=0, label="blue cast: b* at or below 0")
        axis.scatter(b, lightness, s=5, color="0.35", alpha=0.35, linewidths=0, label="an image")
        for cut in SCHEMES[scheme]:
            reach = right / np.cos(np.radians(cut))
            heavy = cut == LIGHT_ABOVE
            end = (reach * np.cos(np.radians(cut)), 50 + reach * np.sin(np.radians(cut)))
            axis.plot((0, end[0]), (50, end[1]), color="black", linewidth=1.6 if heavy else 0.6)
            axis.annotate(f"{cut}°", _at_edge(cut, right), fontsize=8, ha="right", va="bottom")
        axis.set(xlabel="mean b* (blue to yellow)", ylabel="mean L*", xlim=(left, right), ylim=(0, 100), title=title)
        axis.legend(loc="lower left")
    return figure


def _at_edge(cut: float, right: float) -> tuple[float, float]:
    """Where the ray of an angle leaves the picture."""
    slope = np.tan(np.radians(cut))
    inside = min(right, abs((48 if cut > 0 else 46) / slope))
    return inside, 50 + slope * inside
