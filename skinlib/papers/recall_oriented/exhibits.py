"""What notebooks on Rumale et al. 2026 share: the average of the folds, the threshold rule, the official test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.config import RunConfig
from skinlib.data import readers
from skinlib.data.cards import CARDS, relabel
from skinlib.data.readers_files import folders
from skinlib.evaluation.metrics import binary_metrics
from skinlib.evaluation.tables import outcome, to_binary
from skinlib.evaluation.thresholds import Threshold, choose_threshold
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored
from skinlib.figures import charts
from skinlib.figures.style import COLOURS, PUBLISHED, new, style
from skinlib.training.tables import ensemble

PAPER = "recall_oriented"
MIN_RECALL = 0.85  # gamma of the threshold rule; the paper does not print it: ours
OFFICIAL = "isic2018_task3"
IMAGES = "ISIC2018_Task3_Test_Input"
NAMES = {"resnet50": "ResNet50", "efficientnet_b3": "EfficientNet-B3", "densenet121": "DenseNet"}


def average_folds(members: Runs, view: str = "mean") -> pd.DataFrame:
    """Return the mean of the folds' networks on the test images, one ensemble a seed.

    Parameters
    ----------
    members
        The runs of the proposed system.
    view
        ``mean`` of the test-time views, or ``identity``: without test-time augmentation.
    """
    groups = members.by("seed").values()
    means = [ensemble([one.test(view) for one in group.by("fold").values()]) for group in groups]
    return pd.concat(means, ignore_index=True)


def at_threshold(test: pd.DataFrame, val: pd.DataFrame, *, note: str = "") -> Scored:
    """Return test rows at the threshold t* that the validation rows of the same seed choose.

    Source: Rumale et al. 2026, t* = argmax_t { F1(t) | Recall(t) >= gamma }.
    """
    found = {int(seed): choose_threshold(rows, recall=MIN_RECALL).t for seed, rows in val.groupby("seed")}
    return Scored(test, found, note=note)


def final_system(runs: Runs, view: str = "mean") -> Scored:
    """Return the paper's final system: folds and views averaged, threshold under the recall constraint."""
    members = runs.where(arm="proposed")
    return at_threshold(average_folds(members, view), members.val(view))


def plain_script(runs: Runs) -> tuple[Scored, Scored]:
    """Return the plain script as a binary system (the sum of its malignant classes), and on its own diagnoses."""
    table = runs.where(arm="plain").test()
    dataset = runs.where(arm="plain").first.config.dataset
    return Scored(to_binary(table, CARDS[dataset].malignant)), Scored(table)


def backbone_row(config: RunConfig) -> str:
    """Name a backbone's row: the paper's name for the paper's own setting, else with its weights and size."""
    name = NAMES.get(config.backbone, config.backbone)
    if config.backbone in NAMES and config.weights == "imagenet" and config.image_size == (299, 299):
        return name
    start = "from scratch" if config.weights == "none" else "pretrained"
    return f"{name}, {start}, {config.image_size[0]} px"


def official_counts() -> dict[str, tuple[int, int]]:
    """Return "official <part>" -> (benign, malignant), where the card of ISIC 2018 Task 3 counts the classes."""
    card, found = CARDS[OFFICIAL], {}
    for part, counts in card.counts.items():
        malignant = sum(counts[code] for code in card.malignant)
        found[f"official {part}"] = (sum(counts.values()) - malignant, malignant)
    return found


def official_test(root: str | Path, *, trained_on: str) -> tuple[pd.DataFrame | None, str]:
    """Return the official test part with labels 0 benign and 1 malignant, or None; and a sentence that says which.

    Its training images are HAM10000's, so a system trained on HAM10000 has seen none of it.

    Parameters
    ----------
    trained_on
        The data set of the runs; those trained on Task 3 itself have its test part in their own tables already.
    """
    card = CARDS[OFFICIAL]
    if trained_on == OFFICIAL:
        return None, f"{card.title}: the tables above are of its official test part already"
    if not folders(Path(root) / card.folder, IMAGES):
        return None, f"NOT RUN: the official test images of {card.title} are not there ({card.folder}/{IMAGES})"
    cohort = readers.read(OFFICIAL, root, allow_missing=True)
    test = relabel(cohort[cohort["official_split"] == "test"].reset_index(drop=True), "malignancy")
    if test.empty:
        return None, f"NOT RUN: {card.title} has test images here and no labels of them"
    expected = card.expected("test")
    return test, f"{card.title}: {len(test)} of {expected} official test images, {int(test['label'].sum())} malignant"


def threshold_curve(chosen: Threshold, interval: tuple[float, float, float], *, published: float) -> Figure:
    """Draw recall, precision and F1 over the grid, where the constraint holds, t* with its interval, the paper's t*.

    Parameters
    ----------
    interval
        (t*, low, high) as `skinlib.evaluation.thresholds.threshold_interval` returns it.
    """
    curve = chosen.curve
    with style():
        figure, (axis,) = new(height=3.6)
        for colour, name in zip(COLOURS, ("recall", "precision", "f1"), strict=False):
            axis.plot(curve["t"], curve[name], color=colour, label="F1" if name == "f1" else name)
        axis.axhline(chosen.gamma, linestyle=":", color="0.4", label=f"recall wanted: {chosen.gamma:g}")
        if curve["feasible"].any():
            last = curve.loc[curve["feasible"], "t"].max()
            axis.axvspan(0, last, color=COLOURS[0], alpha=0.06, label="recall is met")
        axis.axvspan(*interval[1:], color=COLOURS[1], alpha=0.2, label="95 % interval of t*")
        axis.axvline(chosen.t, color=COLOURS[5], label=f"t* = {chosen.t:.2f}")
        axis.axvline(published, color=PUBLISHED, linestyle="--", label="published t*")
        title = "Out-of-fold rows: what each threshold would do"
        axis.set(xlabel="threshold t", ylabel="on validation rows", xlim=(0, 1), ylim=(0, 1.02), title=title)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def working_point(one: Scored, *, published: tuple[float, float]) -> Figure:
    """Draw the confusion matrix and ROC curve of one ensemble with the published working point (FP rate, recall)."""
    y, p = outcome(one.table)
    threshold = float(one.thresholds().iloc[0])
    found = binary_metrics(y, p, threshold)
    counts = np.array([[found["tn"], found["fp"]], [found["fn"], found["tp"]]])
    with style():
        figure, (left, right) = new(1, 2, height=3.4)
        charts.confusion_matrix(counts, ("benign", "malignant"), title=f"at t = {threshold:.2f}", axis=left)
        charts.roc({"final": (y, p)}, threshold=threshold, published=published, axis=right)
        figure.suptitle("The final system on the test part", fontsize=10)
    return figure
