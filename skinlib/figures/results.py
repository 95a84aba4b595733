"""Plots of runs and exhibits that any paper uses: learning curves, dots with intervals, changes with verdicts."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from skinlib.exhibits.score import CHANGE
from skinlib.figures import charts as figures
from skinlib.figures.style import COLOURS, PUBLISHED, legend_below

WIDEST = 42  # letters of a row's name before it is broken: next to longer ones the panels are too narrow
NARROW = 28  # the same where there are four panels
NO_VERDICT = "no verdict: fewer than five trainings"
SIGN = {"helps": COLOURS[2], "harms": COLOURS[5], "inflates": COLOURS[1], "deflates": COLOURS[0], "trade": COLOURS[3]}
SIGN |= {"no evidence": "0.6", NO_VERDICT: "0.25"}


def learning_curves(histories: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Draw the loss of training (with augmentation and dropout) and validation, and mark the epoch that is kept.

    ``histories`` are name -> a run's history; those without validation part have one curve.
    """
    with figures.style():
        figure, axes = figures.new(1, len(histories), height=2.8, sharey=True)
        for axis, (name, history) in zip(axes, histories.items(), strict=True):
            epoch = history["epoch"] + 1
            axis.plot(epoch, history["train_loss"], "o-", markersize=3, color=COLOURS[0], label="training")
            if "val_loss" in history:
                axis.plot(epoch, history["val_loss"], "o-", markersize=3, color=COLOURS[1], label="validation")
                axis.axvline(epoch[history["best"]].iloc[-1], linestyle=":", color="0.3", label="kept")
            axis.set(xlabel="epoch", title=name)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("loss")
        legend_below(figure)
        figure.suptitle(title, fontsize=10)
    return figure


def dots(frame: pd.DataFrame, metrics: tuple[str, ...], *, title: str = "", joined: bool = False) -> Figure:
    """Draw an exhibit as dots with intervals, the published values in black: scales need not begin at 0.

    ``joined`` joins the rows by a line: they are steps of one ladder.
    """
    rows = list(frame["row"].drop_duplicates())
    line = "o-" if joined else "o"
    with figures.style():
        figure, axes = figures.new(1, len(metrics), height=1.2 + 0.34 * len(rows), sharey=True)
        for axis, metric, colour in zip(axes, metrics, COLOURS, strict=False):
            cells = frame[frame["metric"] == metric].set_index("row").reindex(rows)
            place = np.arange(len(rows))
            axis.hlines(place - 0.08, cells["low"], cells["high"], color=colour, linewidth=2, alpha=0.5)
            axis.plot(cells["ours"], place - 0.08, line, color=colour, linewidth=1)
            axis.plot(cells["published"], place + 0.08, line.replace("o", "D"), color=PUBLISHED, ms=4, linewidth=1)
            axis.set(xlabel=figures.label(metric))
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)  # first row on top
        axes[0].plot([], [], "o-", color="0.5", label="ours, 95 % interval")
        if frame.loc[frame["metric"].isin(metrics), "published"].notna().any():
            axes[0].plot([], [], "D", color=PUBLISHED, markersize=4, label="published")
        figure.legend(loc="outside lower center", ncols=2)
        figure.suptitle(title, fontsize=10)
    return figure


def changes(frame: pd.DataFrame, metrics: tuple[str, ...], *, title: str = "") -> Figure:
    """Draw the paired changes of an exhibit with their intervals, coloured by verdict, published changes in black.

    The changes of ``metrics`` are named as `skinlib.exhibits.score.changes` names them.
    """
    frame = frame[frame["metric"].isin([metric + CHANGE for metric in metrics])]
    rows = list(frame["row"].drop_duplicates())
    named = [textwrap.fill(row, WIDEST if len(metrics) < 4 else NARROW) for row in rows]
    tall = np.array([0.17 * max(2, 1 + name.count("\n")) for name in named])  # inches of a row
    places = np.cumsum(tall) - tall / 2
    gap = "\n" if len(metrics) > 3 or any("\n" in name for name in named) else " "  # narrow panels
    words = [word if word in SIGN else NO_VERDICT for word in frame["verdict"]]
    theirs = "published" in frame and frame["published"].notna().any()
    with figures.style():
        figure, axes = figures.new(1, len(metrics), height=1.2 + tall.sum(), sharey=True)
        for axis, metric in zip(axes, metrics, strict=True):
            cells = frame[frame["metric"] == metric + CHANGE].set_index("row").reindex(rows)
            for place, one in zip(places, cells.itertuples(), strict=True):
                colour = SIGN.get(one.verdict, SIGN[NO_VERDICT])
                axis.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
                axis.plot(one.ours, place, "o", color=colour)
            if theirs:
                axis.plot(cells["published"], places, "D", color=PUBLISHED, markersize=4)
            axis.axvline(0, color="0.3", linewidth=1)
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))  # short numbers: panels are narrow
            axis.set(xlabel=f"change in{gap}{figures.label(metric)}")
        axes[0].set_yticks(places, named)
        axes[0].set_ylim(tall.sum(), 0)  # first row on top
        shown = [word for word in SIGN if word in words]
        for word in shown:
            axes[0].plot([], [], "o-", color=SIGN[word], label=word)
        if theirs:
            axes[0].plot([], [], "D", color=PUBLISHED, markersize=4, label="published")
        figure.legend(loc="outside lower center", ncols=len(shown) + theirs)
        figure.suptitle(title, fontsize=10)
    return figure
