"""What the gates of a trained network carry: the same weights with the gate as trained, of another image, or opened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from skinlib.evaluation.segmentation import per_image
from skinlib.reporting.estimates import Arm, compare, judge, measure
from skinlib.training.fit import place
from skinlib.training.predict import batches_of, keys, outputs
from skinlib.training.runs import Run

TRAINED = "sigmoid"
ASKED = (TRAINED, "shuffled", "ones")
COMPARED = ("dice", "iou")


def gate_scores(run: Run, cohort: pd.DataFrame, gates: Sequence[str] = ASKED) -> pd.DataFrame:
    """Outline a cohort with each kind of gate in a trained network; nothing is trained anew.

    Returns
    -------
    DataFrame
        ``gate`` and the columns of `skinlib.evaluation.segmentation.per_image` with those of a prediction table, a row
        an image and gate.
    """
    model, where, tables = run.model(), place(precision=run.config.precision), []
    key = keys(cohort, run.config, part="test", split=run.config.split)
    for gate in gates:
        model.gate = gate
        batches = batches_of(run, cohort, masks=True)
        found = outputs(model, batches, tta="none", where=where, masks=True, progress=f"gate {gate}").masks
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
