"""From a network and a cohort to predictions and masks: while a run is made, and of any images afterwards."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from skinlib.data import readers
from skinlib.data.cards import SELECTIONS, class_names, relabel
from skinlib.images.batches import Batches
from skinlib.images.corruptions import corrupt
from skinlib.training.features import batches_of
from skinlib.training.fit import Place, place
from skinlib.training.identify import cohort_of
from skinlib.training.losses import lesion_probability, trained_on_masks
from skinlib.training.run import Run
from skinlib.training.symmetries import undo, views_of
from skinlib.training.tables import keys, mask_scores, prediction_table


class Outputs(NamedTuple):
    """What a network says of N images."""

    # View name -> (N, K) class probabilities, and first, as ``mean``, their mean over the views; K is 0 without logits.
    probabilities: dict[str, np.ndarray]
    masks: np.ndarray | None  # (N, H, W) bool, lesion where the mean over the views is above 0.5; None if not asked for


@torch.inference_mode()
def outputs(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, masks: bool = False, progress: str | None = None
) -> Outputs:
    """Apply a network to all batches in every view; with ``masks`` keep its masks, each turned back to its image.

    In fp32, whatever the network was trained at.
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
            collected.setdefault(name, []).append(logits.softmax(1).cpu().numpy())
            if masks:
                seen.append(undo(lesion_probability(output["mask"]), name))
        if masks:
            lesions.append((torch.stack(seen).mean(0)[:, 0] > 0.5).cpu().numpy())
    result = {name: np.concatenate(parts) for name, parts in collected.items()}
    mean = np.mean(list(result.values()), axis=0)
    if not np.isfinite(mean).all():
        raise FloatingPointError("the network's probabilities are no numbers: are its weights damaged?")
    return Outputs({"mean": mean, **result}, np.concatenate(lesions) if masks else None)


def predict(run: Run, cohort: pd.DataFrame, *, tta: str = "none", keep_views: bool = False) -> pd.DataFrame:
    """Apply a finished run to any cohort; return the prediction table, part ``external``.

    Parameters
    ----------
    cohort : ``image_id`` and ``image_path`` at least, and the clinical columns that the run's system reads; labels, in
        the run's own label space, may be missing
    tta : views averaged: ``none``, ``flips`` or ``d4``
    keep_views : keep every view next to the ``mean``
    """
    config, batches = run.config, batches_of(run, cohort, tta=tta)
    per_view = outputs(run.model(), batches, tta=tta, where=place(), progress="predict").probabilities
    if not per_view["mean"].shape[1]:
        raise ValueError(f"run {run.id} ({config.variant}) outlines lesions and gives no probabilities")
    kept = per_view if keep_views else {"mean": per_view["mean"]}
    return prediction_table(cohort, kept, config, part="external", split="none")


def segment(run: Run, cohort: pd.DataFrame, *, tta: str = "none") -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Let a finished run outline the lesions of any cohort, probabilities averaged over the views of ``tta``.

    Returns the scores of the images that have a true mask, as `skinlib.training.tables.mask_scores` describes them,
    part ``external``; and image id -> (H, W) bool, as the network gave it, at the run's image size. Raises ValueError
    when the run was not trained on masks.
    """
    config = run.config
    if not trained_on_masks(config):
        raise ValueError(f"run {run.id} ({config.variant}) was not trained on masks; it has none to give")
    batches = batches_of(run, cohort, masks=True)
    found = outputs(run.model(), batches, tta=tta, where=place(), masks=True, progress="segment").masks
    key = keys(cohort, config, part="external", split="none")
    return mask_scores(key, found, batches), dict(zip(cohort["image_id"], found, strict=True))


def predict_corrupted(
    run: Run, cohort: pd.DataFrame, kind: str, level: float, *, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Apply a run to images that are corrupted at its own working size, after its colour steps.

    ``cohort`` holds test images of the run, in its label space; `skinlib.images.corruptions.corrupt` explains the rest.
    Returns the prediction table, part ``test``, without test-time augmentation; and the scores of the masks against
    those of the untouched images, None for a run that outlines nothing or images without masks.
    """
    config = run.config
    batches = batches_of(run, cohort, masks=trained_on_masks(config))
    images = corrupt(batches.cache.images, kind, level, seed=seed)
    batches.cache = dataclasses.replace(batches.cache, images=images)
    found = outputs(run.model(), batches, tta="none", where=place(), masks=batches.masks)
    about = {"part": "test", "split": config.split}
    predictions = prediction_table(cohort, {"mean": found.probabilities["mean"]}, config, **about)
    return predictions, mask_scores(keys(cohort, config, **about), found.masks, batches) if batches.masks else None


def cohort_elsewhere(
    run: Run, dataset: str, data_root: str | Path, *, allow_missing: bool = False
) -> tuple[pd.DataFrame, int]:
    """Read another data set in a run's label space, without what the run's own data show too, for `predict`.

    Returns the cohort, and how many images were left out because their image or lesion id is one of the run's own data
    set (ISIC 2019 holds HAM10000 again). Raises ValueError when the other set lacks a class of the label space.
    """
    config = run.config
    space = config.label_space
    ours, theirs = class_names(config.dataset, space), class_names(dataset, space)
    if space not in SELECTIONS and [c.lower() for c in ours] != [c.lower() for c in theirs]:
        raise ValueError(f"{dataset} has the classes {', '.join(theirs)}, the run {', '.join(ours)}: no common labels")
    other = relabel(readers.read(dataset, data_root, allow_missing=allow_missing), space)
    own = cohort_of(config, data_root)
    known = other["image_id"].isin(own["image_id"])
    known |= other["lesion_id"].notna() & other["lesion_id"].isin(own["lesion_id"].dropna())
    return other[~known].reset_index(drop=True), int(known.sum())
