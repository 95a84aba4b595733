"""From a network and a cohort to predictions: of a whole part while a run is made, and of any cohort afterwards."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from skinlib.images.batches import Batches
from skinlib.training.features import batches_of
from skinlib.training.fit import Place, place
from skinlib.training.losses import lesion_probability
from skinlib.training.run import Run
from skinlib.training.symmetries import undo, views_of
from skinlib.training.tables import prediction_table


class Outputs(NamedTuple):
    """What a network says of N images.

    Attributes
    ----------
    probabilities
        View name -> (N, K) class probabilities, and first, as ``mean``, their mean over the views; K is 0 for a network
        without logits.
    masks
        (N, H, W) bool, lesion where the mean probability over the views is above 0.5; None where not asked for.
    """

    probabilities: dict[str, np.ndarray]
    masks: np.ndarray | None


@torch.inference_mode()
def outputs(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, masks: bool = False, progress: str | None = None
) -> Outputs:
    """Apply a network to all batches in every view; with ``masks`` keep its masks, each turned back to its image.

    Softmax and sigmoid are taken in fp32, whatever the precision of the network.
    """
    model.to(where.device).eval()
    collected: dict[str, list[np.ndarray]] = {}
    lesions: list[np.ndarray] = []
    bar = tqdm(batches.epoch(0, where.device), total=len(batches), desc=progress, disable=not progress, mininterval=2)
    for batch in bar:
        seen = []
        for name, view in views_of(batch, tta):
            output = where.apply(model, view)
            logits = output.get("logits", torch.empty(len(batch["index"]), 0))
            collected.setdefault(name, []).append(logits.float().softmax(1).cpu().numpy())
            if masks:
                seen.append(undo(lesion_probability(output["mask"]), name))
        if masks:
            lesions.append((torch.stack(seen).mean(0)[:, 0] > 0.5).cpu().numpy())
    result = {name: np.concatenate(parts) for name, parts in collected.items()}
    mean = np.mean(list(result.values()), axis=0)
    return Outputs({"mean": mean, **result}, np.concatenate(lesions) if masks else None)


def probabilities(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, progress: str | None = None
) -> dict[str, np.ndarray]:
    """Return view name -> (N, K) class probabilities, and under ``mean`` their mean over the views."""
    return outputs(model, batches, tta=tta, where=where, progress=progress).probabilities


def predict(run: Run, cohort: pd.DataFrame, *, tta: str = "none", keep_views: bool = False) -> pd.DataFrame:
    """Apply a finished run to any cohort.

    Parameters
    ----------
    cohort
        ``image_id`` and ``image_path`` at least, and the clinical columns that the run's system reads; labels, in the
        run's own label space, may be missing.
    tta
        Views averaged: ``none``, ``flips`` or ``d4``.
    keep_views
        Keep every view next to the ``mean``.

    Returns
    -------
    DataFrame
        The prediction table, part ``external``.
    """
    config, batches = run.config, batches_of(run, cohort, tta=tta)
    per_view = probabilities(run.model(), batches, tta=tta, where=place(precision=config.precision), progress="predict")
    kept = per_view if keep_views else {"mean": per_view["mean"]}
    return prediction_table(cohort, kept, config, part="external", split="none")
