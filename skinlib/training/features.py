"""Batches of any cohort for a finished run, and its pooled features: computed once a run, image set and view.

A run may read the features of others, and others its own. What is learned on features costs seconds, however long the
runs took. A file is named after the images and the weights, so that a run trained anew has new features.
"""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from skinlib import models
from skinlib.data import cards
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.paths import Lock, write_atomic
from skinlib.provenance import canonical_json, digest, file_digest
from skinlib.training.fit import place
from skinlib.training.run import Run
from skinlib.training.symmetries import SYMMETRIES, views_of

VERSION = 2  # raise it whenever a feature can come out different


def batches_of(run: Run, cohort: pd.DataFrame, *, masks: bool = False, tta: str | None = None) -> Batches:
    """Return batches of any cohort, in its order, prepared as the images of a run were.

    ``tta`` names the views whose features a run on features reads; None: those that it was trained on.
    """
    config, runs, system = run.config, run.path.parent, models.system_of(run.config)
    columns, cache = models.columns(config, cohort, runs), None
    if system.reads_features(config):
        columns |= {"features": column(run.parents(), cohort, tta=config.tta if tta is None else tta)}
    if system.reads_images(config):
        cache = Cache.build(cohort, config.image_size, root=runs.parent / "cache", colour=config.colour, masks=masks)
    rows = np.arange(len(cohort))
    return Batches(cache, rows, columns, batch_size=64, normalisation=config.normalisation, masks=masks)


def pooled(run: Run, cohort: pd.DataFrame, *, tta: str = "none", device: str = "auto") -> np.ndarray:
    """Return what a finished run's network gives as ``features`` for each image and view: (N, V, C) float16, rows as in
    the cohort, V the views of ``tta``, the image itself first.
    """
    files = "\n".join(file_digest(path) for path in cohort["image_path"])
    key = digest(canonical_json([files, run.weights(), run.config.identity(), VERSION]))[:16]
    folder = run.path.parents[1] / "features" / run.id
    paths = {name: folder / f"{name}-{key}.npy" for name in ("identity", *SYMMETRIES[tta])}
    if not all(path.is_file() for path in paths.values()):
        with Lock(folder / f"{key}.lock"):
            if not all(path.is_file() for path in paths.values()):
                for name, values in _compute(run, cohort, tta, device).items():
                    stream = io.BytesIO()
                    np.save(stream, values)
                    write_atomic(paths[name], stream.getvalue())
    return np.stack([np.load(path) for path in paths.values()], axis=1)


@torch.inference_mode()
def _compute(run: Run, cohort: pd.DataFrame, tta: str, device: str) -> dict[str, np.ndarray]:
    where = place(device)
    if "label" in cohort:  # as the run saw its cohort: its decoded images are found again
        cohort = cards.relabel(cohort, run.config.label_space)
    batches, model = batches_of(run, cohort, tta=tta), run.model().to(where.device)
    found: dict[str, list[np.ndarray]] = {}
    for batch in tqdm(batches.epoch(0, where.device), total=len(batches), desc=f"features {run.id}", mininterval=2):
        for name, view in views_of(batch, tta):
            output = where.apply(model, view)
            if "features" not in output:
                raise ValueError(f"run {run.id} ({run.config.system}, {run.config.variant}) gives no features")
            values = output["features"].float().cpu().numpy().astype(np.float16)
            if not np.isfinite(values).all():
                raise ValueError(f"run {run.id} gives features that are not finite in half precision")
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def column(runs: Mapping[str, Run], cohort: pd.DataFrame, *, tta: str = "none", device: str = "auto") -> np.ndarray:
    """Return the features (N, V, C) of several runs, C the sum of their widths, in the order given."""
    return np.concatenate([pooled(run, cohort, tta=tta, device=device) for run in runs.values()], axis=2)
