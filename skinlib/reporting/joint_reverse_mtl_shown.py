"""What the multi-task paper says without showing: the leak of MTL4, the loss weights, the corners, the dominance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation.metrics import binary
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.reporting.arms import Runs, by_seed, names, seeds_of
from skinlib.reporting.estimates import Arm, cell, measure, origin
from skinlib.reporting.joint_reverse_mtl_arms import Row, row
from skinlib.reporting.joint_reverse_mtl_models import steps

LEAKAGE = (("tp", "recall", "specificity", "weighted_f1", "roc_auc"), ("dice",))
SWEEP = (("recall", "weighted_f1", "roc_auc"), ("dice",))
BALANCED = "dice 0.5, cross entropy 0.5"


def _cells(name: str, one: Row, wanted: tuple, **boot) -> list[dict]:
    cells = measure(name, one.diagnosis, wanted[0], **boot)
    return cells + (measure(name, one.outline, wanted[1], **boot) if one.outline else [])


def mtl4_leakage(
    rows: Mapping[str, Row],
    added: Mapping[str, int],
    leaked: np.ndarray,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the arms of MTL4 on the same test images, and on the leaked and the clean melanomas apart.

    Parameters
    ----------
    rows
        ``mtl3``, ``mtl4, clean`` and ``mtl4, as published``, on the same seeds.
    added
        Row -> melanomas added to its training part.
    leaked
        Ids of the test melanomas that stand in the training part of the published arm.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = []
    for name, one in rows.items():
        cells += _cells(name, one, LEAKAGE, **boot)
        if name in added:
            cells.append(cell(name, "added", float(added[name]), **origin(one.diagnosis.table)))
        ill = one.diagnosis.table[one.diagnosis.table["label"] == 1]
        inside = ill["image_id"].isin(leaked)
        for part, table in (("leaked", ill[inside]), ("clean", ill[~inside])):
            if len(table):
                found = measure(name, Arm(table, one.diagnosis.threshold), ("recall",), **boot)
                cells += [one_cell | {"metric": f"recall_{part}"} for one_cell in found]
            else:
                note = f"no test melanoma is {part}"
                cells.append(cell(name, f"recall_{part}", np.nan, note=note, **origin(one.diagnosis.table)))
    before = {"mtl4, clean": ("mtl3",) * 2, "mtl4, as published": ("mtl4, clean",) * 2}
    before = {name: pair for name, pair in before.items() if name in rows and pair[0] in rows}
    return pd.DataFrame(cells + steps(rows, before, **boot))


def sweep_rows(runs: Runs) -> dict[str, Row]:
    """Return the rows of the loss weights, the paper's first, on the seeds that all of them have."""
    swept = {name: _weights(by_seed(runs, name)[0].config.losses) for name in names(runs) if name.startswith("lambda/")}
    seeds = set.intersection(*(seeds_of(runs, name) for name in ("mtl3", *swept)))
    return {BALANCED: row(runs, "mtl3", seeds=seeds)} | {
        words: row(runs, name, seeds=seeds) for name, words in swept.items()
    }


def _weights(losses: Mapping[str, float]) -> str:
    return f"dice {losses['dice']:g}, cross entropy {losses['cross_entropy']:g}"


def lambda_sweep(rows: Mapping[str, Row], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare the weights of the two losses, each with its change against the paper's halves (section 3.4.4)."""
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [one for name, each in rows.items() for one in _cells(name, each, SWEEP, **boot)]
    return pd.DataFrame(cells + steps(rows, {name: (BALANCED,) * 2 for name in rows if name != BALANCED}, **boot))


def corner_shortcut(
    seen: pd.DataFrame, rows: Mapping[str, Row], *, dataset: str, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Show what the corners of turned training views tell, for each filling, and what it does to the test score.

    Parameters
    ----------
    seen
        image_id, label, fill, score: the corner classifier's score of each training view.
    rows
        ``reflection`` and the other fillings -> network trained so, on the same seeds.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = []
    for fill, table in seen.groupby("fill", sort=False):
        scored = table.assign(p_benign=1 - table["score"], p_malignant=table["score"])
        value, low, high = bootstrap_ci(binary("roc_auc"), scored, groups="image_id", n=n_boot, seed=seed)
        n, note = table["image_id"].nunique(), f"{len(table)} training views; cross-validated, images kept together"
        about = {"low": low, "high": high, "n": n, "dataset": dataset, "split": "official", "note": note}
        cells.append(cell(f"corners alone, {fill}", "roc_auc", value, **about))
    wanted = (("roc_auc", "recall", "specificity"), ("dice",))
    trained = {f"network, {fill}": one for fill, one in rows.items()}
    cells += [one for name, each in trained.items() for one in _cells(name, each, wanted, **boot)]
    first = next(iter(trained), None)
    against = {name: (first, first) for name in trained if name != first}
    return pd.DataFrame(cells + steps(trained, against, **boot))


def gradients(runs: Runs, wanted: list[str]) -> pd.DataFrame:
    """Return the compared gradients of some names of the plan: columns row, seed, epochs, term, loss, norm, cosine."""
    tables = [run.gradients.assign(row=name, seed=run.config.seed) for name in wanted for run in by_seed(runs, name)]
    return pd.concat(tables, ignore_index=True)


def dominance(table: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Say how large each task's gradient on the shared encoder is, before, in the middle of and after training.

    Parameters
    ----------
    table
        As `gradients` returns it.

    Returns
    -------
    DataFrame
        Of each row and moment ``norm_<term>``, ``norm_ratio`` (cross entropy over Dice) and ``cosine``; the value is
        the mean over seeds, low and high their range.
    """
    cells = []
    for name, rows in table.groupby("row", sort=False):
        last = int(rows["epochs"].max())
        for word, epoch in {"before": 0, "middle": last // 2, "after": last}.items():
            now = rows[rows["epochs"] == epoch].pivot(index="seed", columns="term", values="norm")
            values = {f"norm_{term}": now[term] for term in now}
            values["norm_ratio"] = now["cross_entropy"] / now["dice"]
            values["cosine"] = rows[rows["epochs"] == epoch].groupby("seed")["cosine"].first()
            for metric, each in values.items():
                note = f"after epoch {epoch} of {last}; range over {len(each)} seed(s)"
                about = {"low": each.min(), "high": each.max(), "dataset": dataset, "split": "official", "note": note}
                cells.append(cell(f"{name}, {word}", metric, each.mean(), **about))
    return pd.DataFrame(cells)
