"""Plots that any paper uses; each returns a Figure in the house style, ours in colour and the published in black."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from skinlib.evaluation import thresholds
from skinlib.figures.flow import data_flow  # noqa: F401 - with the two below for those who import all charts at once
from skinlib.figures.images import cam_gallery, image_grid  # noqa: F401
from skinlib.figures.style import COLOURS, PUBLISHED, WIDTH, legend_below, new, style

READABLE = {
    "roc_auc": "ROC-AUC", "f1": "F1", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "fn": "false negatives",
    "fp": "false positives", "fn_rate": "false negative rate", "ece": "ECE", "brier": "Brier score", "dice": "Dice",
    "balanced_accuracy": "bal. accuracy", "malignant_roc_auc": "malignant AUC", "auc_gap": "AUC gap (val - test)",
}  # fmt: skip
MARKERS = "o^sDvPX"


def label(metric: str) -> str:
    """Return the name of a metric as an axis says it."""
    return READABLE.get(metric, metric.replace("_", " "))


def confusion_matrix(counts: np.ndarray, names: Sequence[str], *, title: str = "", axis=None) -> Figure:
    """Draw a confusion matrix (K, K), true classes down: counts, and the share of each true class.

    Into an axis where one is given, else into a new figure.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"a confusion matrix of {len(names)} classes is square, got {counts.shape}")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with style():
        side = min(WIDTH, 2.2 + 0.7 * len(names))
        axis = axis or new(height=side * 0.85, width=side)[1][0]
        words = [f"{n:,}\n{part:.1%}" for n, part in zip(counts.flat, share.flat, strict=True)]
        words = np.reshape(words, counts.shape)
        drawn = {"vmin": 0, "vmax": 1, "cmap": "Blues", "cbar": False, "square": True, "ax": axis}
        seaborn.heatmap(share, annot=words, fmt="", xticklabels=names, yticklabels=names, **drawn)
        axis.tick_params(axis="x", rotation=0 if len(names) < 4 else 45)
        axis.tick_params(axis="y", rotation=0)
        axis.set(xlabel="predicted", ylabel="true (rows add to 100 %)", title=title)
    return axis.figure


def bars(frame: pd.DataFrame, metrics: Sequence[str], *, rows: Sequence[str] | None = None, title: str = "") -> Figure:
    """Draw an exhibit: a panel a metric, a bar a row, with our interval and a mark for the published value.

    Where all values are shares every panel reaches from 0 to 1, so that bars can be compared across panels. Where we
    have no value the first part of our note is in the bar's place. ``rows`` are drawn in this order, all by default.
    """
    rows = list(frame["row"].drop_duplicates() if rows is None else rows)
    if absent := [metric for metric in metrics if metric not in set(frame["metric"])]:
        raise ValueError(f"the exhibit has no metric {', '.join(absent)}; it has {', '.join(frame['metric'].unique())}")
    drawn = frame[frame["metric"].isin(metrics) & frame["row"].isin(rows)]
    shares = drawn[["ours", "low", "high", "published"]].stack().dropna().between(0, 1).all()
    with style():
        figure, axes = new(1, len(metrics), height=1.1 + 0.36 * len(rows), sharey=True)
        for axis, metric in zip(axes, metrics, strict=True):
            if shares:
                axis.set(xlim=(0, 1.02), xticks=np.linspace(0, 1, 6))
            _panel(axis, drawn[drawn["metric"] == metric].set_index("row").reindex(rows))
            axis.set(xlabel=label(metric))
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].invert_yaxis()
        legend_below(figure)
        figure.suptitle(title, fontsize=10)
    return figure


def _panel(axis, cells: pd.DataFrame) -> None:
    place = np.arange(len(cells))
    axis.barh(place, cells["ours"].fillna(0), color=COLOURS[0], height=0.6, label="ours")
    known = (cells["low"].notna() & cells["high"].notna()).to_numpy()
    if known.any():
        centre = (cells["low"] + cells["high"])[known] / 2
        half = (cells["high"] - cells["low"])[known] / 2
        axis.errorbar(centre, place[known], xerr=half, fmt="none", ecolor="0.25", capsize=3, label="95 % interval")
    if cells["published"].notna().any():
        axis.plot(cells["published"], place, "D", color=PUBLISHED, markersize=5, label="published")
    for line, one in zip(place, cells.itertuples(), strict=True):
        if pd.isna(one.ours):
            note = "" if pd.isna(one.note) or one.note.startswith("paper: ") else one.note
            words = note.partition(";")[0] or "no value"
            right = one.published < np.mean(axis.get_xlim())  # next to the published mark
            where = {"transform": axis.get_yaxis_transform(), "ha": "right" if right else "left", "va": "center"}
            axis.text(0.98 if right else 0.02, line, textwrap.fill(words, 24), fontsize=6.5, **where)
    axis.grid(False, axis="y")


def class_distribution(counts: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw how many images of each class (columns) each part (index) holds, with the share of its part above a bar."""
    with style():
        figure, (axis,) = new(height=3.2)
        width = 0.8 / len(counts.columns)
        shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
        for k, (name, column) in enumerate(counts.items()):
            place = np.arange(len(counts)) + (k - (len(counts.columns) - 1) / 2) * width
            drawn = axis.bar(place, column, width, color=COLOURS[k % len(COLOURS)], label=str(name))
            labels = [f"{n:,}\n{part:.1%}" for n, part in zip(column, shares[name], strict=True)]
            axis.bar_label(drawn, labels, fontsize=7, padding=1)
        axis.set_xticks(range(len(counts)), counts.index)
        axis.set(ylabel="images", title=title)
        axis.margins(y=0.18)
        axis.legend()
    return figure


def reliability(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], *, bins: int = 10, title: str = "") -> Figure:
    """Draw how often the class is there, by the probability that was said in equal steps, and count the images in each.

    ``curves`` are name -> (labels (N,) 0 or 1, probabilities (N,)).
    """
    edges = np.linspace(0, 1, bins + 1)
    with style():
        figure, (top, bottom) = new(2, 1, height=4.6, width=4.4, sharex=True, height_ratios=[3, 1])
        top.plot([0, 1], [0, 1], ":", color="grey", label="as often as said")
        for colour, (name, (y, p)) in zip(COLOURS, curves.items(), strict=False):
            found = thresholds.reliability(y, p, bins=bins)
            known = found[found["n"] > 0]
            top.plot(known["mean_score"], known["share"], "o-", color=colour, label=str(name))
            bottom.stairs(found["n"], edges, color=colour)
        top.set(ylabel="observed share", title=title)
        top.legend()
        bottom.set(xlabel="predicted probability of malignant", ylabel="images")
    return figure


def planes(
    clouds: Mapping[tuple[str, str], np.ndarray], labels: np.ndarray, classes: Sequence[str], *, title: str = ""
) -> Figure:
    """Draw points by class, each class with its own colour and marker, the rarest on top; axes have no unit, no ticks.

    ``clouds`` are (line, column) of a panel -> points (N, 2), line by line; ``labels`` (N,) positions in ``classes``.
    """
    lines, columns = (list(dict.fromkeys(names)) for names in zip(*clouds, strict=True))
    side = WIDTH / max(len(columns), 3)
    with style():
        size = {"height": 0.9 + side * len(lines), "width": side * len(columns)}
        figure, axes = new(len(lines), len(columns), **size)
        for axis, ((line, column), points) in zip(axes, clouds.items(), strict=True):
            for k in pd.Series(labels).value_counts().index:
                look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "linestyle": "none"}
                axis.plot(*points[labels == k].T, markersize=2, alpha=0.6, label=classes[k], **look)
            axis.set(xticks=[], yticks=[], title=column if line == lines[0] else "")
            axis.set_ylabel(line if column == columns[0] else "")
            axis.grid(False)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(classes), 7), markerscale=2)
        figure.suptitle(title, fontsize=10)
    return figure
