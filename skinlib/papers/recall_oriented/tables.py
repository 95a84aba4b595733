"""Exhibits of the recall-oriented paper (Rumale et al. 2026), as functions of stored tables: no image, no model.

Each returns a long frame (row, metric, ours, low, high, n, dataset, split, note) for `tables.exhibit` of this room.
Rows and metrics are named as in data/published/recall_oriented, so that the join finds them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data.cards import class_names
from skinlib.evaluation.thresholds import choose_threshold
from skinlib.exhibits.estimates import Arm, cell, measure, origin
from skinlib.exhibits.published import published
from skinlib.explain.gradcam import sharpen
from skinlib.images.batches import IMAGENET_MEAN, IMAGENET_STD
from skinlib.images.skin_tone import LIGHT_ABOVE
from skinlib.papers.recall_oriented.arms import MIN_RECALL
from skinlib.papers.recall_oriented.errors import table6
from skinlib.papers.recall_oriented.fairness import table7, table8, table8_recalibrated
from skinlib.papers.recall_oriented.models import Backbone, backbone_row, diagnoses, table2, table3
from skinlib.papers.recall_oriented.steps import STEPS, table4, unbundled

__all__ = [
    "STEPS",
    "Arm",
    "Backbone",
    "backbone_row",
    "cost",
    "diagnoses",
    "settings",
    "table1",
    "table2",
    "table3",
    "table4",
    "table5",
    "table6",
    "table7",
    "table8",
    "table8_recalibrated",
    "unbundled",
]

PAPER = "recall_oriented"
TRAINING = ("patience", "batch_size", "weight_decay", "epochs", "label_smoothing")
VIEWS = {"none": 1, "flips": 3, "d4": 8}


def table1(parts: Mapping[str, pd.DataFrame | tuple[int, int]], *, dataset: str, split: str) -> pd.DataFrame:
    """Count the parts (Table 1; ``fig3`` is `skinlib.exhibits.write.select` of it).

    Parameters
    ----------
    parts
        Row (train, validation, test, "official train" ...) -> cohort rows with label 0 benign and 1 malignant, or
        (benign, malignant).
    """
    cells = []
    for row, part in parts.items():
        counts = part if isinstance(part, tuple) else tuple(int((part["label"] == k).sum()) for k in (0, 1))
        benign, malignant = counts
        n = benign + malignant
        values = {"n": n, "benign": benign, "malignant": malignant}
        values |= {"benign_fraction": benign / n, "malignant_fraction": malignant / n} if n else {}
        values |= {"benign_per_malignant": benign / malignant} if malignant else {}
        if not isinstance(part, tuple) and part["lesion_id"].notna().all():
            values["lesions"] = part["lesion_id"].nunique()
        cells += [cell(row, name, value, n=n, dataset=dataset, split=split) for name, value in values.items()]
    return pd.DataFrame(cells)


def table5(final: Arm, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Literature (Table 5): ours in the row "This Work"; the other rows are quoted, each with its own protocol."""
    ours = {one["metric"]: one for one in measure("This Work", final, ("roc_auc", "recall"), n_boot=n_boot, seed=seed)}
    quoted = []
    for row, name in published(PAPER, "table5")[["row", "metric"]].itertuples(index=False):
        if row == "This Work" and name in ours:
            quoted.append(ours[name])
        else:
            note = "a year, not measured" if name == "year" else "quoted, not run here: other images, other protocol"
            quoted.append(cell(row, name, np.nan, note=note))
    return pd.DataFrame(quoted)


def cost(metrics: Sequence[Mapping], *, machine: str, table: pd.DataFrame) -> pd.DataFrame:
    """What the final ensemble costs.

    Parameters
    ----------
    metrics
        Each member's stored metrics: train_seconds, predict_test_seconds, parameters, images (visits).
    machine
        In words, for the note.
    table
        The ensemble's predictions of the test rows.
    """
    about = origin(table) | {"note": machine}
    train = np.array([one["train_seconds"] for one in metrics], float)
    test = float(sum(one["predict_test_seconds"] for one in metrics))
    visits = sum(one["images"] for one in metrics)
    return pd.DataFrame(
        [
            cell("training", "seconds_per_fold", train.mean(), low=train.min(), high=train.max(), **about),
            cell("training", "seconds_total", train.sum(), **about),
            cell("training", "images_per_second", visits / train.sum(), **about),
            cell("inference", "seconds_test_set", test, **about),
            cell("inference", "images_per_second", about["n"] / test, **about),
            cell("model", "parameters", sum(one["parameters"] for one in metrics), **about),
        ]
    )


def settings(config: RunConfig) -> pd.DataFrame:
    """Our settings beside the printed ones; the paper's two thresholds are results and stand in other exhibits."""
    height, width = config.image_size
    values = {("image", "height"): height, ("image", "width"): width}
    for name, numbers in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        shown = numbers if config.normalisation == "imagenet" else (None,) * 3
        values |= {("normalisation", f"{name}_{c}"): n for c, n in zip(("red", "green", "blue"), shown, strict=True)}
    values |= {("model", "dropout"): config.dropout}
    values |= {("model", "outputs"): len(class_names(config.dataset, config.label_space))}
    values |= {("training", name): getattr(config, name) for name in TRAINING}
    values |= {("training", "learning_rate"): config.lr}
    values |= {("inference", "folds"): config.folds, ("inference", "tta_views"): VIEWS[config.tta]}
    values |= {("threshold", "step"): _default(choose_threshold, "step"), ("threshold", "min_recall"): MIN_RECALL}
    values |= {("explain", "kept_fraction"): _default(sharpen, "keep"), ("fairness", "ita_cut"): LIGHT_ABOVE}
    where = {"dataset": config.dataset, "split": config.split}
    cells = [cell(*key, np.nan if value is None else float(value), **where) for key, value in values.items()]
    cells = [one | {"note": "switched off"} if np.isnan(one["ours"]) else one for one in cells]
    results = {"default": "table3", "fairness": "table8_recalibrated"}
    note = "a result, not a setting: in {}"
    return pd.DataFrame(
        cells + [cell("threshold", name, np.nan, note=note.format(where)) for name, where in results.items()]
    )


def _default(function: Callable, name: str) -> float:
    return inspect.signature(function).parameters[name].default
