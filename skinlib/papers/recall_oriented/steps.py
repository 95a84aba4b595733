"""Table 4 of the recall-oriented paper, step by step and one addition at a time, with verdicts by rule."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from skinlib.exhibits.estimates import Arm, measure, threshold_cell
from skinlib.exhibits.ladder import changes

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
    cells = []
    for row, arm in arms.items():
        cells += [*measure(row, arm, TABLE4, n_boot=n_boot, seed=seed), threshold_cell(row, arm)]
    return pd.DataFrame([*cells, *changes(arms, before, COMPARED, n_boot=n_boot, seed=seed)])
