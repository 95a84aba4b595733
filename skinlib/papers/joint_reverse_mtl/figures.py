"""Figures of the multi-task paper: outlines of two networks, box plots of their scores, gradients of two tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.evaluation.segmentation import GOOD_DICE
from skinlib.exhibits.estimates import cell
from skinlib.figures import charts as figures
from skinlib.figures.images import outlined_images
from skinlib.figures.style import COLOURS
from skinlib.papers.joint_reverse_mtl.arms import Row

NAMES = ("benign", "melanoma")
# As the paper draws them; the U-Net's line is dashed as well, for the two blues are close.
LINES = {
    "truth": {"colors": "white", "linestyles": "solid"},
    "multi-task": {"colors": COLOURS[0], "linestyles": "solid"},
    "U-Net alone": {"colors": COLOURS[4], "linestyles": "dashed"},
}
DRAWN = ("U-Net alone", "multi-task")  # the two networks of a set, in the order of the boxes
READABLE = {"mcc": "MCC", "iou": "IoU", "dice": "Dice"}
TASKS = {"dice": ("outline (Dice)", COLOURS[0]), "cross_entropy": ("diagnosis (cross entropy)", COLOURS[5])}


def first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table's first seed, by image id."""
    return table[table["seed"] == table["seed"].min()].sort_values("image_id").reset_index(drop=True)


def cases(row: Row, *, each: int = 2) -> pd.DataFrame:
    """Choose images by rule: the best, the median and the worst Dice of a network's first seed, ties by id.

    Returns
    -------
    DataFrame
        case ("best 1" ...), image_id, dice
    """
    table = first_seed(row.outline.table).sort_values(["dice", "image_id"], kind="stable")
    middle = len(table) // 2 - each // 2
    chosen = {"worst": range(each), "median": range(middle, middle + each), "best": range(-1, -each - 1, -1)}
    rows = [
        {"case": f"{word} {k + 1}", **table.iloc[chosen[word][k]][["image_id", "dice"]].to_dict()}
        for k in range(each)
        for word in ("best", "median", "worst")
    ]
    return pd.DataFrame(rows)


def cases_table(chosen: pd.DataFrame, ours: Row, unet: Row, cls: Row, *, dataset: str, split: str) -> pd.DataFrame:
    """Return what a gallery shows as numbers: Dice of both outlines, and both networks' scores of melanoma."""
    tables = {
        "dice": (ours.outline.table, "dice"),
        "dice_unet": (unet.outline.table, "dice"),
        "p_malignant": (ours.diagnosis.table, "p_malignant"),
        "p_malignant_cls": (cls.diagnosis.table, "p_malignant"),
        "label": (ours.diagnosis.table, "label"),
    }
    columns = {metric: first_seed(table).set_index("image_id")[name] for metric, (table, name) in tables.items()}
    about = {"n": 1, "dataset": dataset, "split": split}
    return pd.DataFrame(
        [
            cell(one.case, metric, float(column[one.image_id]), note=f"image {one.image_id}", **about)
            for one in chosen.itertuples()
            for metric, column in columns.items()
        ]
    )


def outlines(pictures: Sequence[Mapping], *, columns: int = 3, title: str = "") -> Figure:
    """Draw images with several outlines, whose names are keys of `LINES`."""
    return outlined_images(pictures, LINES, columns=columns, title=title)


def boxes(sets: Mapping[str, Mapping[str, pd.DataFrame]], *, title: str = "") -> Figure:
    """Draw box plots of MCC, IoU and Dice per image, a panel a metric; points are outliers.

    Parameters
    ----------
    sets
        Data set -> network -> table of mask scores (first seed).
    """
    named = {f"{network}\n{name}": table for name, each in sets.items() for network, table in each.items()}
    with figures.style():
        figure, axes = figures.new(1, len(READABLE), height=3.4, sharey=True)
        for axis, (metric, word) in zip(axes, READABLE.items(), strict=True):
            values = [table[metric].to_numpy() for table in named.values()]
            drawn = axis.boxplot(values, widths=0.6, patch_artist=True, flierprops={"markersize": 2, "alpha": 0.5})
            for k, box in enumerate(drawn["boxes"]):
                box.set(facecolor=LINES[DRAWN[k % 2]]["colors"], alpha=0.75)
            for line in drawn["medians"]:
                line.set(color="black")
            if metric == "dice":
                axis.axhline(GOOD_DICE, linestyle=":", color="0.3", label=f"{GOOD_DICE:g}, as in section 5")
                axis.legend(loc="lower right")
            axis.set_xticks(range(1, len(named) + 1), named, fontsize=7)
            axis.set(title=word, ylim=(min(0.0, *(v.min() for v in values)) - 0.02, 1.02))
        axes[0].set_ylabel("per image")
        figure.suptitle(title, fontsize=10)
    return figure


def dominance(gradients: pd.DataFrame, histories: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Draw for each network the validation loss of both tasks, the size of their gradients on the shared encoder, and
    the cosine between the two.

    Parameters
    ----------
    gradients
        As `joint_reverse_mtl_shown.gradients` returns it; the first seed is drawn.
    histories
        Row -> that run's history.
    """
    with figures.style():
        figure, axes = figures.new(3, len(histories), height=5.4, sharex="col", sharey="row")
        grid = np.reshape(axes, (3, len(histories)))
        for column, (name, history) in zip(grid.T, histories.items(), strict=True):
            table = gradients[gradients["row"] == name]
            table = table[table["seed"] == table["seed"].min()]
            for term, (word, colour) in TASKS.items():
                mine = table[table["term"] == term]
                column[0].plot(history["epoch"] + 1, history[f"val_{term}"], "o-", ms=3, color=colour, label=word)
                column[1].plot(mine["epochs"], mine["norm"], "o-", ms=3, color=colour)
            column[2].plot(mine["epochs"], mine["cosine"], "o-", ms=3, color="0.3")
            column[2].axhline(0, color="0.6", linewidth=0.8)
            column[1].set_yscale("log")
            column[0].set_title(name)
            column[2].set(xlabel="epochs done", ylim=(-1.05, 1.05))
            column[2].xaxis.get_major_locator().set_params(integer=True)
        for axis, word in zip(grid[:, 0], ("validation loss", "gradient norm\n(weighted loss)", "cosine"), strict=True):
            axis.set_ylabel(word)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
    return figure


def matrices(rows: Mapping[str, Row], *, columns: int = 4, title: str = "") -> Figure:
    """Draw the confusion matrices of several networks, counts summed over seeds, with row percentages."""
    lines = -(-len(rows) // columns)
    with figures.style():
        figure, axes = figures.new(lines, columns, height=0.4 + 2.5 * lines, sharey=True)
        for axis in axes[len(rows) :]:
            axis.axis("off")
        for number, (axis, (name, row)) in enumerate(zip(axes, rows.items(), strict=False)):
            table = row.diagnosis.table
            called = table["p_malignant"] >= row.diagnosis.threshold
            counts = np.array([[((table["label"] == k) & (called == c)).sum() for c in (0, 1)] for k in (0, 1)])
            figures.confusion_matrix(counts, NAMES, title=name, axis=axis)
            axis.set(ylabel="" if number % columns else "true (rows add to 100 %)")
        figure.suptitle(title, fontsize=10)
    return figure
