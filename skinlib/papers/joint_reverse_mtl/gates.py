"""What the gates of a trained network carry: the same weights with the gate as trained, of another image, or opened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from skinlib.evaluation.segmentation import per_image
from skinlib.exhibits.arms import outlines
from skinlib.exhibits.estimates import Arm, compare, judge, measure
from skinlib.provenance import generator
from skinlib.training.fit import place
from skinlib.training.predict import batches_of, keys, outputs
from skinlib.training.runs import Run

TRAINED = "sigmoid"
ASKED = ("shuffled", "ones")
SHUFFLE = 32  # of the generator that draws the order of the images
COMPARED = ("dice", "iou")


def gate_scores(group: Sequence[Run], test: pd.DataFrame) -> pd.DataFrame:
    """Outline the test part with each kind of gate in trained networks; nothing is trained anew.

    The scores of the gate as trained are the stored ones. For the others the images are put into a drawn order: in that
    of their ids a neighbour often has the same diagnosis, and its gate would be no other one.

    Parameters
    ----------
    group
        The seeds of one network.
    test
        The images of the test part; those without a mask are left out, as they are in the stored scores.

    Returns
    -------
    DataFrame
        ``gate`` and the columns of `skinlib.evaluation.segmentation.per_image` with those of a prediction table, a row
        an image, seed and gate.
    """
    tables = [outlines(group).assign(gate=TRAINED)]
    test = test[test["mask_path"].notna()].reset_index(drop=True)
    for run in group:
        model, where, batches = run.model(), place(precision=run.config.precision), batches_of(run, test, masks=True)
        order = generator(run.config.seed, SHUFFLE).permutation(len(test))
        batches.rows = batches.rows[order]
        key = keys(test.iloc[order], run.config, part="test", split=run.config.split)
        for gate in ASKED:
            model.gate = gate
            name = f"seed {run.config.seed}, gate {gate}"
            found = outputs(model, batches, tta="none", where=where, masks=True, progress=name).masks
            scores = per_image(found, batches.cache.masks[batches.rows] > 0, key["image_id"])
            tables.append(key.join(scores.drop(columns="image_id")).assign(gate=gate))
    return pd.concat(tables, ignore_index=True)


@torch.inference_mode()
def gate_values(run: Run, cohort: pd.DataFrame) -> np.ndarray:
    """Return the gates of every image, (N, channels) in [0, 1]: what its diagnosis says to the decoder."""
    model, where = run.model().to(place().device), place(precision=run.config.precision)
    found = []
    for batch in batches_of(run, cohort).epoch(0, where.device):
        with where.autocast():
            found.append(model(batch["image"])["gates"].float().cpu().numpy())
    return np.concatenate(found)


def gates(table: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare each kind of gate with the trained one: measures, and paired changes with verdicts.

    Parameters
    ----------
    table
        As `gate_scores` returns it.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    arms = {gate: Arm(rows.drop(columns="gate").reset_index(drop=True)) for gate, rows in table.groupby("gate")}
    arms = {gate: arms[gate] for gate in dict.fromkeys(table["gate"])}
    cells = [cell for gate, arm in arms.items() for cell in measure(f"gate {gate}", arm, COMPARED, **boot)]
    changes = [
        cell
        for gate, arm in arms.items()
        if gate != TRAINED
        for cell in compare(f"gate {gate}", arm, arms[TRAINED], COMPARED, suffix="_change", **boot)
    ]
    return pd.DataFrame(cells + judge(changes, suffix="_change"))
