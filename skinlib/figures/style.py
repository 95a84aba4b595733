"""The house style of figures, the stamp of synthetic data, and saving small files with their record."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from skinlib.exhibits.write import record, target
from skinlib.paths import write_atomic, write_json

# Okabe and Ito (2008): told apart with every common colour blindness. Black is kept for the published values.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
PUBLISHED = "#000000"
HEAT = "inferno"
STAMP = "SYNTHETIC DATA"
WIDTH = 7.2  # inches: one page
MOST_BYTES = 300_000
RC = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.dpi": 100,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def style() -> AbstractContextManager:
    """Return a context in which matplotlib draws in the house style."""
    return matplotlib.rc_context(RC)


def new(rows: int = 1, columns: int = 1, *, height: float, width: float = WIDTH, **options) -> tuple[Figure, list]:
    """Return a figure that no window holds, and its axes as a flat list.

    Parameters
    ----------
    height, width
        Inches.
    options
        Handed to `Figure.subplots`.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def stamp(figure: Figure) -> None:
    """Write "SYNTHETIC DATA" into a figure's top right corner, once; a figure of `new` makes room for it."""
    if not any(text.get_text() == STAMP for text in figure.texts):
        if (layout := figure.get_layout_engine()) is not None:
            layout.set(rect=(0, 0, 1, 1 - 0.2 / figure.get_figheight()))
        figure.text(0.995, 0.995, STAMP, ha="right", va="top", color="#D55E00", weight="bold", fontsize=9, zorder=10)


def save(
    figure: Figure,
    *,
    paper: str,
    exhibit: str,
    study,
    kind: str = "trained",
    runs: Sequence = (),
    notebook: str = "",
) -> Path:
    """Write a figure as a PNG below 300 kB, stamped where the data are synthetic, with the record of what made it.

    Parameters
    ----------
    study, kind, runs, notebook
        As in `skinlib.exhibits.write.write`; a table and a figure of one exhibit share their record.

    Returns
    -------
    Path
        ``<results_root>/<profile>/<paper>/<exhibit>[-<dataset>].png``
    """
    if study.synthetic:
        stamp(figure)
    path = target(study, paper=paper, exhibit=exhibit)
    made_by = record(study, paper=paper, exhibit=exhibit, kind=kind, runs=list(runs), notebook=notebook)
    write_json(path.with_name(f"{path.name}.json"), made_by)
    return write_atomic(path.with_name(f"{path.name}.png"), _png(figure))


def _png(figure: Figure) -> bytes:
    """Return the figure as PNG with a palette, half the size of one without, and with fewer pixels where too large."""
    for dpi, colours in ((110, 256), (80, 256), (60, 256), (45, 128)):
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi, metadata={"Software": None})
        small = with_palette(Image.open(drawn), colours)
        if len(small) <= MOST_BYTES:
            return small
    raise ValueError(f"the figure takes {len(small)} bytes at 45 dpi; show fewer images in it")


def with_palette(image: Image.Image, colours: int) -> bytes:
    """Return a picture as PNG with so many colours, chosen for it."""
    small = io.BytesIO()
    image.convert("RGB").quantize(colours, kmeans=3).save(small, format="PNG", optimize=True)
    return small.getvalue()
