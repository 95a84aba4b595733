"""From the plan's runs to the arms that the recall-oriented tables compare.

A run is one of the store, or evidence in results/reference opened in the same way (`skinlib.training.runs.load`).
`Runs` maps names of the plan, such as ``proposed/fold0/seed0``, to runs; every seed that it holds is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from skinlib.data.cards import CARDS
from skinlib.evaluation.tables import to_binary
from skinlib.evaluation.thresholds import choose_threshold
from skinlib.exhibits.arms import Runs, by_seed, part, rounded, rows
from skinlib.exhibits.estimates import Arm
from skinlib.papers.recall_oriented.models import Backbone, backbone_row
from skinlib.papers.recall_oriented.steps import STEPS
from skinlib.training.predict import ensemble
from skinlib.training.runs import Run

MIN_RECALL = 0.85  # gamma of the threshold rule; the paper does not print it: ours
USUAL = 0.5  # the threshold of every arm that chooses none
# Row of `unbundled` -> (run with this addition alone, run that it was added to).
ALONE = {
    "+ differential LR": ("lr_only", "baseline"),
    "+ scheduler": ("schedule_only", "baseline"),
    "+ label smoothing": ("smoothing_only", "lr_and_schedule"),
    "+ class weights": ("weights_only", "lr_and_schedule"),
}


class Chosen(NamedTuple):
    """An arm on the test rows, and the validation rows that chose its threshold."""

    arm: Arm
    val: pd.DataFrame


def members(runs: Runs) -> dict[int, list[Run]]:
    """Return seed -> the runs of the proposed system, a fold each: one ensemble a seed."""
    folds = by_seed(runs, "proposed/fold0")[0].config.folds
    by_fold = [by_seed(runs, f"proposed/fold{fold}") for fold in range(folds)]
    return {group[0].config.seed: list(group) for group in zip(*by_fold, strict=True)}


def choose(test: pd.DataFrame, val: pd.DataFrame, *, note: str = "") -> Chosen:
    """Return the arm whose threshold t* the validation rows choose, for each seed apart.

    Source: Rumale et al. 2026, t* = argmax_t { F1(t) | Recall(t) >= gamma }.
    """
    found = {int(seed): choose_threshold(each, recall=MIN_RECALL).t for seed, each in val.groupby("seed")}
    threshold = found if len(found) > 1 else next(iter(found.values()))
    return Chosen(Arm(test, threshold, note), val)


def averaged(runs: Runs, *, view: str = "mean") -> Chosen:
    """Return the mean of the folds' models; its threshold is chosen on the pooled out-of-fold rows.

    Parameters
    ----------
    view
        ``mean`` of the test-time views, or ``identity``: without test-time augmentation.
    """
    test, val = [], []
    for group in members(runs).values():
        test.append(ensemble([rows(run, "test", view) for run in group]))
        val += [rows(run, "val", view) for run in group]
    return choose(pd.concat(test, ignore_index=True), pd.concat(val, ignore_index=True))


def final(runs: Runs) -> Chosen:
    """Return the paper's final system: folds and views averaged, threshold under the recall constraint."""
    return averaged(runs, view="mean")


def alone(runs: Runs, name: str) -> Arm:
    """Return one network of one fold, at the threshold 0.5."""
    return Arm(part(runs, name, "test"), USUAL)


def one_fold(runs: Runs) -> Chosen:
    """Return the first fold's network of the proposed system; its threshold is chosen on that fold's own rows."""
    return choose(part(runs, "proposed/fold0", "test"), part(runs, "proposed/fold0", "val"))


def steps(runs: Runs) -> dict[str, Arm]:
    """Return the steps of Table 4: three networks, then what is done with the outputs of the last."""
    arms = [alone(runs, name) for name in ("baseline", "lr_and_schedule", "proposed/fold0")]
    arms += [one_fold(runs).arm, averaged(runs, view="identity").arm, final(runs).arm]
    return dict(zip(STEPS, arms, strict=True))


def additions(runs: Runs) -> tuple[dict[str, Arm], dict[str, Arm]]:
    """Return each addition of Table 4's double steps alone, and what it was added to, as `unbundled` takes them."""
    arms = {row: alone(runs, name) for row, (name, _) in ALONE.items()}
    return arms, {row: alone(runs, before) for row, (_, before) in ALONE.items()}


def backbones(runs: Runs) -> dict[str, Backbone]:
    """Return the rows of Table 2, at the threshold 0.5: its ResNet-50 is Table 4's step before the threshold's."""
    found = {}
    for name in dict.fromkeys(key.rpartition("/seed")[0] for key in runs if key.startswith("backbone/")):
        group = by_seed(runs, name)
        best = float(np.mean([run.metrics["best_epoch"] for run in group]))
        found[backbone_row(group[0].config)] = Backbone(alone(runs, name), part(runs, name, "val"), best)
    return found


def plain(runs: Runs) -> tuple[Arm, pd.DataFrame]:
    """Return the plain script's arm (malignant: the sum of its malignant classes) and its table of all classes."""
    group = by_seed(runs, "plain")
    table = pd.concat([rows(run, "test") for run in group], ignore_index=True)
    return Arm(to_binary(table, CARDS[group[0].config.dataset].malignant), USUAL), table


def elsewhere(runs: Runs, tables: Mapping[int, Sequence[pd.DataFrame]], *, split: str) -> Arm:
    """Return the final system on another cohort, at the threshold that its own validation rows chose.

    Parameters
    ----------
    tables
        Seed -> the prediction tables of that seed's `members`.
    split
        What the cohort is a part of, such as "official".
    """
    means = [rounded(ensemble([rounded(table) for table in group])) for group in tables.values()]
    return Arm(pd.concat(means, ignore_index=True).assign(split=split), final(runs).arm.threshold)
