"""What the multi-task paper says without showing: the leak of MTL4, the loss weights, the corners, the dominance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation.metrics import binary
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.arms import Runs, by_seed, names, seeds_of
from skinlib.exhibits.estimates import Arm, cell, ends, measure, origin
from skinlib.exhibits.ladder import CHANGE, changes
from skinlib.papers.joint_reverse_mtl.arms import BENIGN, Row, row
from skinlib.papers.joint_reverse_mtl.models import steps
from skinlib.training.gradients import IMAGES

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
    benign: Arm,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the arms of MTL4 on the same test images, and on the leaked and the clean melanomas apart.

    The two kinds of melanoma differ in more than the leak: what it does is the change of each between two arms, not
    the distance between the two in one arm.

    Parameters
    ----------
    rows
        ``mtl3``, ``mtl4, clean`` and ``mtl4, as published``, on the same seeds.
    added
        Row -> melanomas added to its training part.
    leaked
        Ids of the test melanomas that stand in the training part of the published arm.
    benign
        The arm that calls every image benign.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    before = {"mtl4, clean": "mtl3", "mtl4, as published": "mtl4, clean"}
    before = {name: first for name, first in before.items() if name in rows and first in rows}
    cells = measure(BENIGN, benign, LEAKAGE[0], **boot)
    for name, one in rows.items():
        cells += _cells(name, one, LEAKAGE, **boot)
        if name in added:
            cells.append(cell(name, "added", float(added[name]), **origin(one.diagnosis.table)))
    for part in ("leaked", "clean"):
        ill = {name: _melanomas(one.diagnosis, leaked, inside=part == "leaked") for name, one in rows.items()}
        for name, arm in ill.items():
            if arm is None:
                about = origin(rows[name].diagnosis.table) | {"note": f"no test melanoma is {part}"}
                cells.append(cell(name, f"recall_{part}", np.nan, **about))
            else:
                cells += _renamed(measure(name, arm, ("recall",), **boot), f"recall_{part}")
        if None not in ill.values():
            first = {name: ill[against] for name, against in before.items()}
            cells += _renamed(changes(ill, first, ("recall",), **boot), f"recall_{part}{CHANGE}")
    return pd.DataFrame(cells + steps(rows, {name: (first,) * 2 for name, first in before.items()}, **boot))


def _melanomas(arm: Arm, leaked: np.ndarray, *, inside: bool) -> Arm | None:
    """Return an arm on the test melanomas that are leaked, or on those that are not; None where there is none."""
    ill = arm.table[(arm.table["label"] == 1) & (arm.table["image_id"].isin(leaked) == inside)]
    return arm._replace(table=ill) if len(ill) else None


def _renamed(cells: list[dict], metric: str) -> list[dict]:
    return [one | {"metric": metric} for one in cells]


def sweep_rows(runs: Runs) -> dict[str, Row]:
    """Return the rows of the loss weights, the paper's first, on the seeds that all of them have."""
    swept = {name: _weights(by_seed(runs, name)[0].config.losses) for name in names(runs) if name.startswith("lambda/")}
    seeds = set.intersection(*(seeds_of(runs, name) for name in ("mtl3", *swept)))
    return {BALANCED: row(runs, "mtl3", seeds=seeds)} | {
        words: row(runs, name, seeds=seeds) for name, words in swept.items()
    }


def _weights(losses: Mapping[str, float]) -> str:
    return f"dice {losses['dice']:g}, cross entropy {losses['cross_entropy']:g}"


def lambda_sweep(rows: Mapping[str, Row], benign: Arm, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare the weights of the two losses, each with its change against the paper's halves (section 3.4.4).

    ``benign`` is the arm that calls every image benign.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [one for name, each in rows.items() for one in _cells(name, each, SWEEP, **boot)]
    cells += measure(BENIGN, benign, SWEEP[0], **boot)
    return pd.DataFrame(cells + steps(rows, {name: (BALANCED,) * 2 for name in rows if name != BALANCED}, **boot))


def corner_shortcut(
    seen: pd.DataFrame,
    rows: Mapping[str, Row],
    benign: Arm,
    *,
    dataset: str,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Show what the corners of turned training views tell, for each filling, and what it does to the test score.

    The yardstick of the corners is the row of the unturned images: corners show skin and lens, too. That of the
    networks is ``benign``, the arm that calls all images benign.

    Parameters
    ----------
    seen
        image_id, label, fill (or unturned), score: the corner classifier's score of each training view.
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
    cells += measure(BENIGN, benign, wanted[0], **boot)
    first = next(iter(trained), None)
    against = {name: (first, first) for name in trained if name != first}
    return pd.DataFrame(cells + steps(trained, against, **boot))


def gradients(runs: Runs, wanted: list[str]) -> pd.DataFrame:
    """Return the compared gradients of some names of the plan: columns row, seed, epochs, term, loss, norm, cosine."""
    tables = [run.gradients.assign(row=name, seed=run.config.seed) for name in wanted for run in by_seed(runs, name)]
    return pd.concat(tables, ignore_index=True)


def dominance(table: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Say how large each task's gradient on the shared encoder is, early in training, in its middle and after it.

    Early is after the first epoch: before it batch norm has no statistics, and in evaluation mode every gradient is
    tiny.

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
        for word, epoch in {"early": 1, "middle": max(last // 2, 1), "after": last}.items():
            now = rows[rows["epochs"] == epoch].pivot(index="seed", columns="term", values="norm")
            values = {f"norm_{term}": now[term] for term in now}
            values["norm_ratio"] = now["cross_entropy"] / now["dice"]
            values["cosine"] = rows[rows["epochs"] == epoch].groupby("seed")["cosine"].first()
            for metric, each in values.items():
                seeds = f"range over {len(each)} seeds" if len(each) > 1 else "one seed, no range"
                note = f"after epoch {epoch} of {last}, {IMAGES} training views in evaluation mode; {seeds}"
                about = {"dataset": dataset, "split": "official", "note": note} | ends(each)
                cells.append(cell(f"{name}, {word}", metric, each.mean(), **about))
    return pd.DataFrame(cells)
