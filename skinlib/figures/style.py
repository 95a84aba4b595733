"""The house style of figures, the stamp of synthetic data, and figures as files."""

import io
from contextlib import AbstractContextManager

import matplotlib
from IPython.display import Image as Displayed
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every common colour blindness. Black is kept for the published values.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
PUBLISHED = "#000000"
HEAT = "inferno"
STAMP = "SYNTHETIC DATA"
WIDTH = 7.2  # inches: one page
DRAWING_DPI, PHOTOGRAPH_DPI = 110, 200
SHOWN_WIDTH = 792  # pixels in a notebook
RC = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.dpi": DRAWING_DPI,  # that of the files: letters are as wide as the layout takes them for
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
    """Return a figure that no window holds, of so many inches, and its axes as a flat list; options of `subplots`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def legend_below(figure: Figure) -> None:
    """Put the legends of all axes into one below them, each entry once."""
    found = {}
    for axis in figure.axes:
        found |= {label: mark for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        if axis.get_legend() is not None:
            axis.get_legend().remove()
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=len(found))


def stamp(figure: Figure) -> None:
    """Write "SYNTHETIC DATA" into a figure's top right corner, once; a figure of `new` makes room for it."""
    if not any(text.get_text() == STAMP for text in figure.texts):
        if (layout := figure.get_layout_engine()) is not None:
            layout.set(rect=(0, 0, 1, 1 - 0.2 / figure.get_figheight()))
        figure.text(0.995, 0.995, STAMP, ha="right", va="top", color="#D55E00", weight="bold", fontsize=9, zorder=10)


def render(figure: Figure, *, synthetic: bool, photographs: bool = False) -> bytes:
    """Return a figure as the bytes of its file, stamped where the data are synthetic: PNG, or JPEG of photographs."""
    if synthetic:
        stamp(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout stays as it is, so that drawing again gives the same bytes
    photo = {"format": "jpg", "dpi": PHOTOGRAPH_DPI, "pil_kwargs": {"quality": 88, "optimize": True}}
    drawing = {"format": "png", "dpi": DRAWING_DPI, "metadata": {"Software": None}}
    figure.savefig(drawn := io.BytesIO(), **(photo if photographs else drawing))
    return drawn.getvalue()


def displayed(figure: Figure, study=None) -> Displayed:
    """Return a figure for a notebook that is no exhibit, stamped where the study's data are synthetic."""
    return Displayed(data=render(figure, synthetic=bool(study and study.synthetic)), width=SHOWN_WIDTH)
