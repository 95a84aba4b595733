"""Figures of the metadata paper: ROC curves of six classes, errors of guessed answers, redrawn images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from skinlib.data.cards import class_names
from skinlib.evaluation.metrics import confusion
from skinlib.figures import charts as figures
from skinlib.figures.style import COLOURS, WIDTH

GRID = np.linspace(0, 1, 201)  # false positive rates at which curves of several splits are averaged
METHODS = {"autoencoder": "o", "frequent": "s", "iterative": "^"}


def mean_roc(table: pd.DataFrame, code: str) -> np.ndarray:
    """Return the recall at each false positive rate of `GRID`, of one class against the rest, the mean over units.

    Parameters
    ----------
    table
        Predictions; a unit is a value of ``seed``. Units without the class, or with nothing else, are left out.
    """
    k, curves = class_names(table["dataset"].iloc[0]).index(code), []
    for _, rows in table.groupby("seed"):
        truth = (rows["label"] == k).to_numpy()
        if truth.any() and not truth.all():
            fpr, tpr, _ = roc_curve(truth, rows[f"p_{code}"])
            last = np.searchsorted(fpr, GRID, side="right") - 1  # a step, not a slope: what is reached at this rate
            curves.append(tpr[last])
    return np.mean(curves, axis=0) if curves else np.full(len(GRID), np.nan)


def rocs(tables: Mapping[str, pd.DataFrame], areas: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the ROC curves of each class, a panel a class, a line a method (Fig. 4).

    Parameters
    ----------
    tables
        Method -> predictions; the first is drawn strongest.
    areas
        The exhibit ``fig4``; its values stand in the legends.
    """
    known = areas.set_index("row")["ours"]
    codes = class_names(next(iter(tables.values()))["dataset"].iloc[0])
    with figures.style():
        figure, axes = figures.new(2, 3, height=5.2, sharex=True, sharey=True)
        for axis, code in zip(axes, codes, strict=True):
            for k, (name, table) in enumerate(tables.items()):
                area = known.get(f"{code}, {name}" if k else code, np.nan)
                label = f"{name}: {area:.3f}" if np.isfinite(area) else f"{name}: no value"
                axis.step(
                    GRID, mean_roc(table, code), where="post", color=COLOURS[k], lw=1.6 if k == 0 else 1, label=label
                )
            axis.plot([0, 1], [0, 1], ":", color="grey", linewidth=1)
            axis.set_title(code)
            box = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}  # curves of a weak class run behind it
            axis.legend(loc="lower right", title="AUC", fontsize=6.5, title_fontsize=6.5, **box)
        for axis in axes[3:]:
            axis.set_xlabel("false positive rate")
        for axis in axes[::3]:
            axis.set_ylabel("recall")
        figure.suptitle(title, fontsize=10)
    return figure


def matrix(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the confusion matrix (Fig. 3), counts summed over the splits; a tie is a column of its own and not drawn."""
    codes = class_names(table["dataset"].iloc[0])
    return figures.confusion_matrix(confusion(table)[list(codes)].to_numpy(), codes, title=title)


def imputation(errors: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the error of guessed answers by question: shares of wrong answers, and numbers in their unit on the right.

    Parameters
    ----------
    errors
        As `metadata_sr_data.imputation_errors` returns it; answers hidden one by one are drawn.
    """
    alone = errors[errors["pattern"] == "alone"]
    kinds = {"error_rate": "share of wrong answers", "mean_absolute_error": "mean absolute error (years, mm)"}
    there = [kind for kind in kinds if (alone["metric"] == kind).any()]
    with figures.style():
        figure, axes = figures.new(1, len(there), height=4.6, width=WIDTH)
        for axis, kind in zip(axes, there, strict=True):
            rows = alone[alone["metric"] == kind]
            questions = list(rows["question"].drop_duplicates())
            for k, (name, marker) in enumerate(METHODS.items()):
                mean = rows[rows["method"] == name].groupby("question")["error"].mean().reindex(questions)
                axis.plot(mean, np.arange(len(questions)) + 0.2 * (k - 1), marker, ms=5, color=COLOURS[k], label=name)
            axis.set_yticks(range(len(questions)), questions)
            axis.set(xlabel=kinds[kind], ylim=(len(questions) - 0.5, -0.5))
            axis.set_xlim(left=0)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(METHODS))
        figure.suptitle(title, fontsize=10)
    return figure


def drawings(pictures: Sequence[Mapping], *, title: str = "") -> Figure:
    """Draw input, target and what the decoder drew, side by side, and the error of each pixel on one scale.

    Parameters
    ----------
    pictures
        Each with ``title``, and ``input``, ``target``, ``drawn``, (H, W, 3) float in [0, 1].
    """
    words = ("input", "target", "drawn", "error")
    wrong = [np.abs(one["target"] - one["drawn"]).mean(2) for one in pictures]
    top = max(error.max() for error in wrong)
    side = WIDTH / len(words)
    with figures.style():
        figure, axes = figures.new(len(pictures), len(words), height=1.0 + len(pictures) * (side + 0.05))
        for line, (one, error) in enumerate(zip(pictures, wrong, strict=True)):
            row = axes[len(words) * line :][: len(words)]
            for axis, word in zip(row, words, strict=True):
                if word == "error":
                    heat = axis.imshow(error, vmin=0, vmax=top, cmap="inferno")
                else:
                    axis.imshow(np.clip(one[word], 0, 1))
                if line == 0:
                    axis.set_title(word)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(False)
                axis.spines[:].set_visible(False)
            row[0].set_ylabel(one["title"], fontsize=7)
        bar = figure.colorbar(heat, ax=axes, location="bottom", shrink=0.5, aspect=40)
        bar.set_label("absolute error, mean of the channels (one scale for all)")
        figure.suptitle(title, fontsize=10)
    return figure
