"""Figures that only Thwin and Park's paper has: attention beside Grad-CAM++, outlines, shares of data, poor images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.figures import charts as figures
from skinlib.figures.images import OUTLINE, outlined_images
from skinlib.figures.results import LABELS
from skinlib.figures.style import COLOURS, HEAT, PUBLISHED, WIDTH
from skinlib.papers.attention_autoencoder.arms import matrix
from skinlib.papers.attention_autoencoder.side import LEVELS

# Raw and post-processed often lie on one another: the second is dashed.
LINES = {
    "truth": {"colors": "white", "linestyles": "solid"},
    "raw": {"colors": COLOURS[5], "linestyles": "solid"},
    "post-processed": {"colors": COLOURS[4], "linestyles": "dashed"},
}
PANELS = ("image, lesion outlined", "attention", "Grad-CAM++")
NETWORKS = {"baseline": (COLOURS[1], "s"), "proposed": (COLOURS[0], "o")}


def class_words(names: Mapping[str, str]) -> list[str]:
    """Return the paper's class names, with the class that stands in where the data lack one: "scc (AKIEC)".

    Parameters
    ----------
    names
        Class of the paper -> code in the data set, as `attention_autoencoder_arms.codes` returns them.
    """
    return [name if code.lower() == name else f"{name} ({code.upper()})" for name, code in names.items()]


def matrices(tables: Mapping[str, pd.DataFrame], names: Sequence[str], *, title: str = "") -> Figure:
    """Draw the confusion matrices of several variants, two side by side, counts summed over seeds."""
    lines = -(-len(tables) // 2)
    with figures.style():
        figure, axes = figures.new(lines, 2, height=0.4 + 2.9 * lines)
        for axis in axes[len(tables) :]:
            axis.axis("off")
        for axis, (name, table) in zip(axes, tables.items(), strict=False):
            figures.confusion_matrix(matrix(table), names, title=name, axis=axis)
        figure.suptitle(title, fontsize=10)
    return figure


def attention_gallery(cases: Sequence[Mapping], *, title: str = "") -> Figure:
    """Draw for each case the image with its lesion outlined, the attention map and Grad-CAM++, two cases a line.

    All attention maps share the scale from 0 to 1, all Grad-CAM++ maps one from 0 to the largest value.

    Parameters
    ----------
    cases
        Each with title, image (H, W, 3) uint8, attention (H, W) in [0, 1], cam (H, W) >= 0, mask (H, W) bool. They are
        drawn in the order given, the first half on the left.

    Raises
    ------
    ValueError
        When there is no case.
    """
    if not cases:
        raise ValueError("a gallery needs at least one case")
    blocks, top = min(2, len(cases)), max(float(np.max(case["cam"])) for case in cases) or 1.0
    lines = -(-len(cases) // blocks)
    with figures.style():
        figure, axes = figures.new(lines, 3 * blocks, height=1.3 + lines * (WIDTH / (3 * blocks) + 0.12))
        grid = np.reshape(axes, (lines, 3 * blocks))
        for axis in axes:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
        for number, case in enumerate(cases):
            block, line = divmod(number, lines)
            image, attention, cam = grid[line, 3 * block : 3 * block + 3]
            image.imshow(case["image"])
            heats = attention.imshow(case["attention"], vmin=0, vmax=1, cmap=HEAT)
            speaks = cam.imshow(case["cam"], vmin=0, vmax=top, cmap=HEAT)
            for axis in (image, attention, cam):
                axis.contour(case["mask"], levels=[0.5], colors=OUTLINE, linewidths=0.9)
            image.set_ylabel(case["title"], fontsize=7)
        for axis, name in zip(grid[0], PANELS * blocks, strict=True):
            axis.set_title(name, fontsize=7)
        for heat, words in ((heats, "attention (one scale, 0 to 1)"), (speaks, "Grad-CAM++ (one scale for all)")):
            figure.colorbar(heat, ax=axes, location="bottom", shrink=0.45, aspect=40, pad=0.02).set_label(words)
        figure.suptitle(title, fontsize=10)
    return figure


def touched(pictures: Sequence[Mapping], *, title: str = "") -> Figure:
    """Draw images that post-processing changed: truth, raw and post-processed outline (keys of `LINES`)."""
    return outlined_images(pictures, LINES, title=title)


def transfer(frame: pd.DataFrame, variant: str, metric: str = "accuracy", *, title: str = "") -> Figure:
    """Draw a metric against the share of the training images, a line for each kind of weights, with intervals.

    Parameters
    ----------
    frame
        The exhibit transfer.
    """
    start = "" if variant == "proposed" else f"{variant}, "
    cells = frame[(frame["metric"] == metric) & frame["ours"].notna() & ~frame["row"].str.contains(" - ")]
    found = cells["row"].str.extract(rf"^{start}(?P<weights>imagenet|none), (?P<percent>[\d.]+) %$")
    table = cells.join(found.dropna(), how="inner").assign(percent=lambda rows: rows["percent"].astype(float))
    with figures.style():
        figure, (axis,) = figures.new(height=3.2, width=0.75 * WIDTH)
        apart = (-0.7, 0.7) if table["weights"].nunique() > 1 else (0,)  # so that intervals do not hide one another
        for (weights, mine), colour, shift in zip(table.groupby("weights"), COLOURS, apart, strict=False):
            mine = mine.sort_values("percent")
            error = np.abs(mine[["low", "high"]].to_numpy().T - mine["ours"].to_numpy())
            label = "from scratch" if weights == "none" else "ImageNet weights"
            axis.errorbar(mine["percent"] + shift, mine["ours"], error, fmt="o-", color=colour, capsize=3, label=label)
        axis.set(xlabel="share of the training images (%)", ylabel=LABELS.get(metric, metric.replace("_", " ")))
        axis.set_xticks(sorted(table["percent"].unique()))
        axis.set_title(title)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def side_by_side(frame: pd.DataFrame, rows: Sequence[str], metrics: Sequence[str], *, title: str = "") -> Figure:
    """Draw baseline and proposed system in each condition as dots with intervals.

    Parameters
    ----------
    frame
        The exhibit small_and_noisy.
    rows
        Conditions in the paper's words; the baseline's rows have "baseline, " in front. Those of a stronger level bear
        its kind's name alone, and get the level beside it.
    """
    with figures.style():
        figure, axes = figures.new(1, len(metrics), height=1.1 + 0.3 * len(rows), sharey=True)
        for axis, metric in zip(axes, metrics, strict=True):
            cells = frame[frame["metric"] == metric].set_index("row")
            for shift, (network, (colour, mark)) in zip((-0.13, 0.13), NETWORKS.items(), strict=True):
                start = "" if network == "proposed" else f"{network}, "
                mine = cells.reindex([start + row for row in rows])
                place = np.arange(len(rows)) + shift
                axis.hlines(place, mine["low"], mine["high"], color=colour, linewidth=2, alpha=0.5)
                axis.plot(mine["ours"], place, mark, color=colour, markersize=5, label=network)
            axis.set(xlabel=LABELS.get(metric, metric.replace("_", " ")))
        named = [f"{row} {LEVELS[row][-1]:g}" if row in LEVELS else row for row in rows]  # the stronger level
        axes[0].set_yticks(range(len(rows)), named)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)  # first row on top
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
    return figure


def seeds(frame: pd.DataFrame, published: pd.DataFrame, metrics: Sequence[str], *, title: str = "") -> Figure:
    """Draw every seed of every variant as a dot beside the published value.

    Parameters
    ----------
    frame
        As `attention_autoencoder_side.seeds` returns it.
    published
        The exhibit fig2: row, metric, published.
    """
    cells = frame.assign(variant=frame["row"].str.partition(",")[0])
    variants = list(cells["variant"].drop_duplicates())
    theirs = published.set_index(["row", "metric"])["published"]
    with figures.style():
        figure, axes = figures.new(1, len(metrics), height=2.9)
        for axis, metric in zip(axes, metrics, strict=True):
            mine = cells[cells["metric"] == metric]
            place = mine["variant"].map(variants.index)
            spread = 0.12 * (
                mine.groupby("variant").cumcount() - (mine.groupby("variant")["row"].transform("size") - 1) / 2
            )
            axis.plot(place + spread, mine["ours"], "o", color=COLOURS[0], label="ours, a dot a seed")
            printed = [theirs.get((name, metric), np.nan) for name in variants]
            axis.plot(range(len(variants)), printed, "D", color=PUBLISHED, markersize=4, label="published")
            axis.set_xticks(range(len(variants)), variants)
            axis.set(ylabel=LABELS.get(metric, metric.replace("_", " ")), xlim=(-0.5, len(variants) - 0.5))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
    return figure
