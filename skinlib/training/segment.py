"""Masks of any cohort by a finished run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.training.features import batches_of
from skinlib.training.fit import place
from skinlib.training.losses import trained_on_masks
from skinlib.training.predict import outputs
from skinlib.training.run import Run
from skinlib.training.tables import keys, mask_scores


def segment(run: Run, cohort: pd.DataFrame, *, tta: str = "none") -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Let a finished run outline the lesions of any cohort, probabilities averaged over the views of ``tta``.

    Returns
    -------
    tuple
        The scores of the images that have a true mask, as `skinlib.training.tables.mask_scores` describes them, part
        ``external``; and image id -> (H, W) bool, as the network gave it, at the run's image size.

    Raises ValueError when the run was not trained on masks.
    """
    config = run.config
    if not trained_on_masks(config):
        raise ValueError(f"run {run.id} ({config.variant}) was not trained on masks; it has none to give")
    batches = batches_of(run, cohort, masks=True)
    where = place(precision=config.precision)
    found = outputs(run.model(), batches, tta=tta, where=where, masks=True, progress="segment").masks
    key = keys(cohort, config, part="external", split="none")
    return mask_scores(key, found, batches), dict(zip(cohort["image_id"], found, strict=True))
