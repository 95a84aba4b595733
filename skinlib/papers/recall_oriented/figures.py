"""Figures that only the recall-oriented paper has: the choice of the threshold and the final model."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from skinlib.evaluation import tables
from skinlib.evaluation.metrics import binary_metrics
from skinlib.evaluation.thresholds import Threshold
from skinlib.exhibits.estimates import Arm, thresholds_of
from skinlib.exhibits.published import published
from skinlib.figures import charts as figures
from skinlib.figures.style import COLOURS, PUBLISHED

NAMES = ("benign", "malignant")


def threshold_curve(chosen: Threshold, interval: tuple[float, float, float], *, title: str = "") -> Figure:
    """Draw recall, precision and F1 over the grid, where the constraint holds, t* with its interval, the paper's t*.

    Parameters
    ----------
    interval
        (t*, low, high) as `skinlib.evaluation.thresholds.threshold_interval` returns it.
    """
    theirs = published("recall_oriented", "table3").set_index(["row", "metric"])["published"]
    curve = chosen.curve
    with figures.style():
        figure, (axis,) = figures.new(height=3.6)
        for colour, name in zip(COLOURS, ("recall", "precision", "f1"), strict=False):
            axis.plot(curve["t"], curve[name], color=colour, label="F1" if name == "f1" else name)
        axis.axhline(chosen.gamma, linestyle=":", color="0.4", label=f"recall wanted: {chosen.gamma:g}")
        if curve["feasible"].any():
            last = curve.loc[curve["feasible"], "t"].max()
            axis.axvspan(0, last, color=COLOURS[0], alpha=0.06, label="recall is met")
        axis.axvspan(*interval[1:], color=COLOURS[1], alpha=0.2, label="95 % interval of t*")
        axis.axvline(chosen.t, color=COLOURS[5], label=f"t* = {chosen.t:.2f}")
        axis.axvline(theirs["final", "threshold"], color=PUBLISHED, linestyle="--", label="published t*")
        axis.set(xlabel="threshold t", ylabel="on validation rows", xlim=(0, 1), ylim=(0, 1.02), title=title)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def fig6(final: Arm, *, title: str = "") -> Figure:
    """Draw the final model's confusion matrix and ROC curve beside the published working point; of the first seed."""
    theirs = published("recall_oriented", "table3").set_index(["row", "metric"])["published"]["final"]
    table = final.table[final.table["seed"] == final.table["seed"].min()]
    threshold = float(thresholds_of(final._replace(table=table)).iloc[0])
    y, p = tables.outcome(table)
    found = binary_metrics(y, p, threshold)
    with figures.style():
        figure, (left, right) = figures.new(1, 2, height=3.4)
        counts = np.array([[found["tn"], found["fp"]], [found["fn"], found["tp"]]])
        figures.confusion_matrix(counts, NAMES, title=f"at t = {threshold:.2f}", axis=left)
        point = (theirs["fp"] / (theirs["fp"] + theirs["tn"]), theirs["recall"])
        figures.roc({"final": (y, p)}, threshold=threshold, published=point, axis=right)
        figure.suptitle(title, fontsize=10)
    return figure
