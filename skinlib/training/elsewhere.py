"""A finished run away from the images that it was made for: on corrupted ones, and on those of another data set."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from skinlib.data import readers
from skinlib.data.cards import SELECTIONS, class_names, relabel
from skinlib.images.corruptions import corrupt
from skinlib.training.features import batches_of
from skinlib.training.fit import place
from skinlib.training.identify import cohort_of
from skinlib.training.losses import trained_on_masks
from skinlib.training.predict import outputs, predict
from skinlib.training.run import Run
from skinlib.training.tables import keys, mask_scores, prediction_table


def predict_corrupted(
    run: Run, cohort: pd.DataFrame, kind: str, level: float, *, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Apply a run to images that are corrupted at its own working size, after its colour steps.

    ``cohort`` holds test images of the run, in its label space; `skinlib.images.corruptions.corrupt` explains the rest.

    Returns
    -------
    tuple
        The prediction table, part ``test``, without test-time augmentation; and the scores of the masks against those
        of the untouched images, None for a run that outlines nothing or images without masks.
    """
    config = run.config
    batches = batches_of(run, cohort, masks=trained_on_masks(config))
    images = corrupt(batches.cache.images, kind, level, seed=seed)
    batches.cache = dataclasses.replace(batches.cache, images=images)
    where = place(precision=config.precision)
    found = outputs(run.model(), batches, tta="none", where=where, masks=batches.masks)
    about = {"part": "test", "split": config.split}
    predictions = prediction_table(cohort, {"mean": found.probabilities["mean"]}, config, **about)
    return predictions, mask_scores(keys(cohort, config, **about), found.masks, batches) if batches.masks else None


def cohort_elsewhere(
    run: Run, dataset: str, data_root: str | Path, *, allow_missing: bool = False
) -> tuple[pd.DataFrame, int]:
    """Read another data set in a run's label space, without what the run's own data show too.

    Returns
    -------
    tuple
        The cohort; and how many images were left out because their image or lesion id is one of the run's own data set
        (ISIC 2019 holds HAM10000 again).

    Raises ValueError when the other set lacks a class of the label space, or has other classes.
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


def predict_elsewhere(run: Run, dataset: str, data_root: str | Path, *, allow_missing: bool = False) -> pd.DataFrame:
    """Apply a run to `cohort_elsewhere`: the prediction table, part ``external``, in the run's own classes.

    Raises ValueError as `cohort_elsewhere`, or when nothing is left of the other set.
    """
    other, left_out = cohort_elsewhere(run, dataset, data_root, allow_missing=allow_missing)
    if other.empty:
        raise ValueError(f"all {left_out} images of {dataset} are in {run.config.dataset} too: choose another set")
    return predict(run, other)
