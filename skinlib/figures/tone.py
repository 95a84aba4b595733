"""Where angles of skin tone lie among the categories."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from skinlib.figures.style import COLOURS, new, style
from skinlib.images.skin_tone import CATEGORIES, LIGHT_ABOVE, SCHEMES

STEP = 5  # degrees a bar
SKIN = ("#F6E3D3", "#EBCDB0", "#D9AE86", "#B98458", "#8A5A38", "#4F3222")  # very light to dark, for the eye only
BLUE = COLOURS[0]


def tone_histogram(panels: Mapping[str, Sequence[float]], *, title: str = "") -> Figure:
    """Draw histograms of ITA over Del Bino's six categories, one above the other, with the cut between light and dark.

    ``panels`` are title -> angles in degrees; missing ones are left out and counted. Angles of exactly 90 and -90,
    where the guard puts a blue cast, have bars of their own.
    """
    bounds = [90, *SCHEMES["del_bino"], -90]
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
        for k, (name, high, low) in enumerate(zip(CATEGORIES, bounds[:-1], bounds[1:], strict=True)):
            place = {"x": (high + low) / 2, "y": 0.97 - 0.11 * (k % 2), "transform": axes[-1].get_xaxis_transform()}
            axes[-1].text(s=name, ha="center", va="top", size=7, **place)  # in two heights: some are narrow
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
            align = "center" if above else "right" if side > 0 else "left"
            place = side + STEP / 2 * np.sign(side) if above else side - 1.5 * np.sign(side)
            axis.text(place, n, f"{n:,}", ha=align, va="bottom" if above else "top", color=BLUE)
