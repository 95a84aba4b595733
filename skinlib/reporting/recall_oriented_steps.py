"""Table 4 of the recall-oriented paper, step by step and one addition at a time, with verdicts by rule."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from skinlib.reporting.estimates import Arm, compare, judge, measure, threshold_cell

STEPS = (
    "baseline",
    "+ differential LR + scheduler",
    "+ label smoothing + class weights",
    "+ recall-optimised threshold",
    "+ 3-fold CV",
    "+ TTA ensemble",
)
TABLE4 = ("roc_auc", "recall", "precision", "f1", "fn", "fp", "ece", "brier")
COMPARED = ("roc_auc", "recall", "precision", "f1", "ece", "brier")
CHANGE = "_change"


def table4(steps: Mapping[str, Arm], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Ablation (Table 4): each step's metrics, and as ``<metric>_change`` its paired difference to the step before.

    Verdicts are Holm-adjusted over the steps, for each metric apart. ``fig7`` is `select` of this.

    Parameters
    ----------
    steps
        Row (one of `STEPS`, in that order) -> arm.

    Raises
    ------
    ValueError
        When a step is unknown or out of order.
    """
    if list(steps) != [name for name in STEPS if name in steps]:
        raise ValueError(f"the steps are {', '.join(steps)}; give some of {', '.join(STEPS)}, in this order")
    before = dict(zip(list(steps)[1:], steps.values(), strict=False))
    return _ladder(steps, before, n_boot=n_boot, seed=seed)


def unbundled(
    arms: Mapping[str, Arm], against: Mapping[str, Arm], *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Each addition of Table 4's double steps alone: metrics, and the paired difference to the step before.

    Parameters
    ----------
    arms
        "+ differential LR", "+ scheduler", "+ label smoothing", "+ class weights" -> arm.
    against
        The same names -> the arm that the addition was made to.
    """
    if set(arms) != set(against):
        raise ValueError(f"arms are {', '.join(arms)}, what they are compared with {', '.join(against)}; name the same")
    return _ladder(arms, against, n_boot=n_boot, seed=seed)


def _ladder(arms: Mapping[str, Arm], before: Mapping[str, Arm], *, n_boot: int, seed: int) -> pd.DataFrame:
    cells, changes = [], []
    for row, arm in arms.items():
        cells += [*measure(row, arm, TABLE4, n_boot=n_boot, seed=seed), threshold_cell(row, arm)]
        if row in before:
            changes += compare(row, arm, before[row], COMPARED, suffix=CHANGE, n_boot=n_boot, seed=seed)
    return pd.DataFrame([*cells, *judge(changes, suffix=CHANGE)])


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of `table4` or `unbundled`, read from the notes: a row a step, a column a metric.

    helps, harms: the paired interval lies on one side of 0 and the Holm-adjusted p is below 0.05; else no evidence.
    """
    changes = frame[frame["metric"].str.endswith(CHANGE)]
    words = changes["note"].str.extract(r"\b(helps|harms|no evidence)\b \(p = ", expand=False).fillna("not defined")
    table = changes.assign(metric=changes["metric"].str.removesuffix(CHANGE), verdict=words)
    order = [name for name in COMPARED if name in set(table["metric"])]
    wide = table.pivot(index="row", columns="metric", values="verdict")
    return wide.loc[table["row"].drop_duplicates(), order].rename_axis(index=None, columns=None)


def in_words(table: pd.DataFrame) -> list[str]:
    """Return a sentence a row of `verdicts`: what the step helps, what it harms, and what stays open."""
    sentences = []
    for row, found in table.iterrows():
        said = [f"{word}: {', '.join(found.index[found == word])}" for word in dict.fromkeys(sorted(found))]
        sentences.append(f"{row}: {'; '.join(said)}")
    return sentences
