"""Tables 2 and 3 of the recall-oriented paper: backbones, and the final model beside a plain training script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.evaluation import tables
from skinlib.evaluation.metrics import UndefinedMetricError, mean_over, multiclass
from skinlib.evaluation.statistics import (
    bootstrap_ci,
    bootstrap_distribution,
    delong_test,
    mcnemar_test,
    percentile_interval,
)
from skinlib.evaluation.thresholds import choose_threshold, threshold_interval
from skinlib.exhibits.estimates import (
    Arm,
    cell,
    compare,
    decided,
    groups,
    judge,
    measure,
    metric,
    origin,
    threshold_cell,
    thresholds_of,
)

TABLE3 = ("roc_auc", "recall", "precision", "f1", "accuracy", "specificity", "tp", "fn", "tn", "fp", "ece", "brier")
DIAGNOSES = ("balanced_accuracy", "accuracy", "macro_auc")
NAMES = {"resnet50": "ResNet50", "efficientnet_b3": "EfficientNet-B3", "densenet121": "DenseNet"}


class Backbone(NamedTuple):
    """A backbone's run: the arm on the test rows, its validation rows, and its best epoch (1 is the first)."""

    test: Arm
    val: pd.DataFrame
    best_epoch: float


def backbone_row(config: RunConfig) -> str:
    """Name a backbone's row: the paper's name for the paper's own setting, else with weights and size beside it."""
    name = NAMES.get(config.backbone, config.backbone)
    if config.backbone in NAMES and config.weights == "imagenet" and config.image_size == (299, 299):
        return name
    start = "from scratch" if config.weights == "none" else "pretrained"
    return f"{name}, {start}, {config.image_size[0]} px"


def table2(backbones: Mapping[str, Backbone], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare backbones (Table 2): test AUC, validation AUC, their gap, recall, FN, FP, best epoch.

    Parameters
    ----------
    backbones
        Row, best made by `backbone_row`, -> `Backbone`.
    """
    cells = []
    for row, one in backbones.items():
        cells += measure(row, one.test, ("roc_auc", "recall", "fn", "fp"), n_boot=n_boot, seed=seed)
        val, test = decided(Arm(one.val)), decided(one.test)
        auc = metric("roc_auc", val)
        value, low, high = bootstrap_ci(auc, val, groups=groups(val), n=n_boot, seed=seed)
        cells.append(cell(row, "val_roc_auc", value, low=low, high=high, **origin(val)))
        # Other images, so the two resamplings are independent of each other.
        gaps = bootstrap_distribution(auc, val, groups=groups(val), n=n_boot, seed=seed + 1)
        gaps = gaps - bootstrap_distribution(
            metric("roc_auc", test), test, groups=groups(test), n=n_boot, seed=seed + 2
        )
        low, high, _ = percentile_interval(gaps)
        gap = value - metric("roc_auc", test)(test)
        cells.append(cell(row, "auc_gap", gap, low=low, high=high, note="validation minus test", **origin(test)))
        cells.append(cell(row, "best_epoch", float(one.best_epoch), **origin(val)))
    return pd.DataFrame(cells)


def table3(
    final: Arm,
    plain: Arm | None = None,
    *,
    val: pd.DataFrame | None = None,
    min_recall: float = 0.85,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Final test performance (Table 3), beside a plain training script and the paired difference to it.

    Parameters
    ----------
    final, plain
        Arms on the same test images. With several seeds, rows "final, seed k" follow.
    val
        The pooled out-of-fold rows that chose ``final.threshold``; gives the threshold its bootstrap interval and says
        whether the recall constraint could be met.
    min_recall
        gamma of that choice.

    Raises
    ------
    ValueError
        When ``val`` chooses another threshold than the final arm has.
    TestDataError
        When ``val`` holds test rows.
    """
    cells = measure("final", final, TABLE3, n_boot=n_boot, seed=seed)
    cells.append(_threshold(final, val, min_recall, n_boot=n_boot, seed=seed))
    if plain is not None:
        cells += [*measure("plain", plain, TABLE3, n_boot=n_boot, seed=seed), threshold_cell("plain", plain)]
        difference = compare("final - plain", final, plain, TABLE3, n_boot=n_boot, seed=seed)
        cells += [_with_tests(one, final, plain) for one in judge(difference)]
    if final.table["seed"].nunique() > 1:
        for number, rows in final.table.groupby("seed"):
            cells += measure(f"final, seed {number}", final._replace(table=rows), TABLE3, n_boot=n_boot, seed=seed)
    return pd.DataFrame(cells)


def _threshold(arm: Arm, val: pd.DataFrame | None, min_recall: float, *, n_boot: int, seed: int) -> dict:
    row = "final"
    if val is None or val["seed"].nunique() > 1:
        return threshold_cell(row, arm)
    chosen = choose_threshold(val, recall=min_recall)
    if not np.isclose(chosen.t, thresholds_of(arm)).all():
        raise ValueError(f"{row} uses threshold {arm.threshold}, these out-of-fold rows choose {chosen.t:g}")
    interval = threshold_interval(val, groups=tables.clusters(val), n=n_boot, seed=seed, recall=min_recall)
    met = "met" if chosen.feasible else "cannot be met: highest recall taken"
    note = f"chosen on {len(val)} out-of-fold rows; recall >= {min_recall:g} {met} (there {chosen.recall:.4f})"
    return threshold_cell(row, arm, interval=interval, note=note)


def _with_tests(one: dict, a: Arm, b: Arm) -> dict:
    """Add DeLong's test to a difference in AUC, McNemar's (malignant rows) to one in recall; of one seed only."""
    if one["metric"] not in ("roc_auc", "recall") or a.table["seed"].nunique() > 1:
        return one
    first = decided(a).sort_values("image_id")
    second = decided(b).sort_values("image_id")
    y, p = tables.outcome(first)
    if one["metric"] == "roc_auc":
        test = delong_test(y, p, tables.scores(second), groups=tables.clusters(first))
        words = f"DeLong, clustered: p = {test[3]:.4f}"
    else:
        ill = y == 1
        only_a, only_b, p = mcnemar_test(y[ill], first["called"].to_numpy()[ill], second["called"].to_numpy()[ill])
        said = f"p = {p:.4f}" if p >= 0.0001 else "p < 0.0001"
        found = f"{only_a} found by the first alone, {only_b} by the second"
        words = f"McNemar on malignant images, taken as independent: {found}, {said}"
    return one | {"note": f"{one['note']}; {words}"}


def diagnoses(row: str, table: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return the cells of a system that was trained on all diagnoses: what it does on its own task.

    Parameters
    ----------
    row
        Its name in the exhibit; the number of classes is added.
    table
        Prediction table of diagnoses; with several seeds the mean over them.
    """
    cells, about = [], origin(table)
    for name in DIAGNOSES:
        one, low, high, note = multiclass(name), np.nan, np.nan, "largest probability taken, no threshold"
        one = mean_over(one, "seed") if table["seed"].nunique() > 1 else one
        try:
            value, low, high = bootstrap_ci(one, table, groups=groups(table), n=n_boot, seed=seed)
        except UndefinedMetricError as error:
            value, note = one(table), f"no interval: {error}"
        cells.append(
            cell(f"{row}, {len(tables.classes(table))} classes", name, value, low=low, high=high, note=note, **about)
        )
    return pd.DataFrame(cells)
