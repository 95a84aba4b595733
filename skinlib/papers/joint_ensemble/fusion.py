"""Decision-level fusion of the ensemble paper: every way to join the members' tables, chosen on validation rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation import fusion, tables
from skinlib.exhibits.estimates import cell, origin
from skinlib.papers.joint_ensemble.arms import Row, run_tables

WEIGHTED = "weighted mean"  # the paper's: section IV
BY_RECALL = "weighted mean, BACC"  # weights of the best balanced accuracy
SAME_VIEWS = "weighted mean, views"  # of as many views as the fused head sees


def weights(found: Mapping[str, Row]) -> dict[str, fusion.Weights]:
    """Return row -> weights on the simplex, fitted on the validation rows of all folds (each was held out once).

    Where a class has no validation row there is no balanced accuracy, and no row that is chosen by it.
    """
    val, _ = run_tables(found)
    objectives = {WEIGHTED: "log_loss"} | ({BY_RECALL: "balanced_accuracy"} if every_class(found) else {})
    return {name: fusion.simplex_weights(val, objective=objective) for name, objective in objectives.items()}


def every_class(found: Mapping[str, Row]) -> bool:
    """Tell whether each class has a validation row."""
    val = next(iter(found.values())).val
    return val["label"].nunique() == len(tables.classes(val))


def best_member(found: Mapping[str, Row]) -> str:
    """Return the member of lowest log loss on the validation rows of all folds."""
    return fusion.best_member(run_tables(found)[0])


def fused(found: Mapping[str, Row], chosen: Mapping[str, fusion.Weights]) -> dict[str, Row]:
    """Return the members' tables joined by mean, weights, votes and stacking: a row a way.

    Stacking needs a validation row of every class. Its model and the weights have seen the validation rows that they
    give: these then serve for thresholds only, and a handful of weights cannot bend to thousands of rows.
    """
    val, test = run_tables(found)
    runs = tuple(run for one in found.values() for run in one.runs)
    ways = {"mean": fusion.mean, "majority vote": fusion.majority_vote}
    ways |= {name: lambda part, w=w: fusion.weighted_mean(part, w) for name, w in chosen.items()}
    if every_class(found):
        ways["stacking"] = lambda part: fusion.stack(val, part)
    notes = {name: f"weights {_words(w.weights)}" for name, w in chosen.items()}
    return {name: Row(join(test), join(val), runs, True, notes.get(name, "")) for name, join in ways.items()}


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def same_views(kept: pd.DataFrame, like: Row) -> Row:
    """Return the kept test table of the members' weighted mean over views as a row; its thresholds are of one view.

    Parameters
    ----------
    kept
        As `skinlib.papers.joint_ensemble.shown.weighted_views` made it.
    like
        The weighted mean without views.
    """
    return like._replace(test=kept, note=f"{like.note}; mean over views; thresholds of the one view")


def weight_table(chosen: Mapping[str, fusion.Weights], found: Mapping[str, Row]) -> pd.DataFrame:
    """Return the weights of each objective, and what the objective is there and at each member alone."""
    about = origin(pd.concat([one.val for one in found.values()]))
    cells = []
    for name, w in chosen.items():
        words = (
            "1 - balanced accuracy"
            if w.objective == "balanced_accuracy"
            else f"log loss, probabilities not below {fusion.FLOOR:g},"
        )
        cells += [cell(name, f"weight_of_{member}", value, **about) for member, value in w.weights.items()]
        cells.append(cell(name, "loss", w.loss, note=f"{words} of validation rows", **about))
        cells += [cell(f"{member} alone", f"loss_of_{name}", value, note=words, **about)
                  for member, value in w.alone.items()]  # fmt: skip
    return pd.DataFrame(cells)


def errors(found: Mapping[str, Row]) -> pd.DataFrame:
    """Say how alike the members err on the test rows: a row a pair, mean over folds with their range.

    ``either_right`` is the most that a choice between the two could reach; a correlation near 1 says that they fail
    together, and then no fusion of the two can win.
    """
    each = []
    for fold in sorted(next(iter(found.values())).test["fold"].unique()):
        each.append(fusion.error_correlation({name: one.test[one.test["fold"] == fold] for name, one in found.items()}))
    table = pd.concat(each)
    about = origin(pd.concat([one.test for one in found.values()]))
    cells = []
    for (a, b), values in table.groupby(["a", "b"], sort=False):
        for metric in ("correlation", "disagreement", "both_wrong", "either_right"):
            value = values[metric].mean()
            note = f"range over {len(values)} fold(s)" if np.isfinite(value) else "one of them never or always errs"
            range_ = {"low": values[metric].min(), "high": values[metric].max()}
            cells.append(cell(f"{a} + {b}", metric, value, note=note, **range_, **about))
    return pd.DataFrame(cells, columns=["row", "metric", "ours", *list(about), "low", "high", "note"])
