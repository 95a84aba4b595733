"""The masks of a run: which runs have them, their scores, the file that holds them, and masks of any other cohort."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skinlib import models
from skinlib.config import RunConfig
from skinlib.evaluation.segmentation import per_image
from skinlib.images.batches import Batches
from skinlib.images.masks import postprocess
from skinlib.training.fit import place
from skinlib.training.predict import batches_of, keys, outputs

if TYPE_CHECKING:
    from skinlib.training.runs import Run

SCORES, MASKS = "segmentation.csv.gz", "masks.npz"  # files of a run folder
MASK_LOSSES = ("dice", "mask_cross_entropy")  # of skinlib.training.losses


def trained_on_masks(config: RunConfig) -> bool:
    """Tell whether a run reads lesion masks: it names a loss on them, be its weight 0."""
    return bool({*MASK_LOSSES, *models.own_mask_losses(config)} & set(config.losses))


def scores(key: pd.DataFrame, predicted: np.ndarray, batches: Batches) -> pd.DataFrame:
    """Score masks as the network gave them (stage ``raw``) and after `skinlib.images.masks.postprocess`.

    Parameters
    ----------
    key
        Columns put before the scores, ``image_id`` among them; a row an image.
    predicted
        (N, H, W) bool, of the same images.
    batches
        Of the same images in the same order, from a cache with masks at the same size.

    Returns
    -------
    DataFrame
        ``key`` and the columns of `skinlib.evaluation.segmentation.per_image`, all rows of stage raw first. Images
        without a true mask have no row.
    """
    has_mask = batches.cache.has_mask[batches.rows]
    key, predicted = key[has_mask].reset_index(drop=True), predicted[has_mask]
    truth = batches.cache.masks[batches.rows[has_mask]] > 0 if has_mask.any() else predicted
    stages = {"raw": predicted, "postprocessed": postprocess(predicted)}
    tables = [per_image(masks, truth, key["image_id"], stage=stage) for stage, masks in stages.items()]
    return pd.concat([key.join(one.drop(columns="image_id")) for one in tables], ignore_index=True)


def means(table: pd.DataFrame) -> dict[str, float]:
    """Return the mean raw Dice and IoU of each part, for a first look."""
    found = table[table["stage"] == "raw"].groupby("part")[["dice", "iou"]].mean()
    return {f"{part}_{name}": float(value) for part, row in found.iterrows() for name, value in row.items()}


def save_masks(masks: Mapping[str, np.ndarray], path: Path) -> None:
    """Write masks, image id -> (H, W) bool of one size, as ``image_id``, ``shape`` and ``packed`` (a bit a pixel)."""
    stacked = np.stack(list(masks.values()))
    packed = np.packbits(stacked.reshape(len(stacked), -1), axis=1)
    np.savez_compressed(path, image_id=np.array(list(masks)), shape=stacked.shape[1:], packed=packed)


def load_masks(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_masks` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        shape = tuple(stored["shape"].tolist())
        pixels = np.unpackbits(stored["packed"], axis=1, count=shape[0] * shape[1]).astype(bool)
        return dict(zip(stored["image_id"].tolist(), pixels.reshape(-1, *shape), strict=True))


def segment(run: Run, cohort: pd.DataFrame, *, tta: str = "none") -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Let a finished run outline the lesions of any cohort.

    Parameters
    ----------
    run
        As `skinlib.training.runs.ensure` returns it.
    cohort
        ``image_id`` and ``image_path`` at least; ``mask_path`` where there is a truth.
    tta
        Views whose probabilities are averaged: ``none``, ``flips`` or ``d4``.

    Returns
    -------
    tuple
        The scores, as `scores` describes them, part ``external``; and image id -> (H, W) bool, as the network gave it,
        at the run's image size.

    Raises
    ------
    ValueError
        When the run was not trained on masks.
    """
    config = run.config
    if not trained_on_masks(config):
        raise ValueError(f"run {run.id} ({config.variant}) was not trained on masks; it has none to give")
    batches = batches_of(run, cohort, masks=True)
    where = place(precision=config.precision)
    found = outputs(run.model(), batches, tta=tta, where=where, masks=True, progress="segment").masks
    key = keys(cohort, config, part="external", split="none")
    return scores(key, found, batches), dict(zip(cohort["image_id"], found, strict=True))
