"""Pooled features of finished runs: computed once for each run, image set and view, then read from disk.

What is learned on them costs seconds, however long the runs took. A file is named after the images and the weights, so
that a run trained anew under its old id never lends its old features.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from skinlib.data import cards
from skinlib.paths import Lock, write_atomic
from skinlib.provenance import canonical_json, digest, file_digest
from skinlib.training.fit import place
from skinlib.training.predict import SYMMETRIES, batches_of, views_of

if TYPE_CHECKING:
    from skinlib.training.runs import Run

VERSION = 2  # raise it whenever a feature can come out different


def pooled(run: Run, cohort: pd.DataFrame, *, tta: str = "none", device: str = "auto") -> np.ndarray:
    """Return what a finished run's network gives as ``features`` for each image and view.

    Parameters
    ----------
    run
        As `skinlib.training.runs.ensure` returns it; its folder lies in ``runs`` of a results folder.
    cohort
        Rows with ``image_id`` and ``image_path``.
    tta
        The views: ``none`` (the image itself), ``flips`` or ``d4``.

    Returns
    -------
    ndarray
        (N, V, C) float16, rows as in the cohort, the image itself first among the views.

    Raises
    ------
    ValueError
        When the network has no features, or one that half precision cannot hold.
    """
    files = "\n".join(file_digest(path) for path in cohort["image_path"])
    weights = run.weights()
    key = digest(canonical_json([files, weights, run.config.identity(), VERSION]))[:16]
    folder = Path(run.path).parents[1] / "features" / run.id
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
    where = place(device, run.config.precision)
    if "label" in cohort:  # as the run saw its cohort: its decoded images are found again
        cohort = cards.relabel(cohort, run.config.label_space)
    batches = batches_of(run, cohort, tta=tta)
    model = run.model().to(where.device)
    found: dict[str, list[np.ndarray]] = {}
    for batch in tqdm(batches.epoch(0, where.device), total=len(batches), desc=f"features {run.id}", mininterval=2):
        for name, view in views_of(batch, tta):
            with where.autocast():
                output = model(view.get("image"), view.get("meta"), features=view.get("features"))
            if "features" not in output:
                raise ValueError(f"run {run.id} ({run.config.system}, {run.config.variant}) gives no features")
            values = output["features"].float().cpu().numpy().astype(np.float16)
            if not np.isfinite(values).all():
                raise ValueError(f"run {run.id} gives features that are not finite in half precision")
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def column(runs: Mapping[str, Run], cohort: pd.DataFrame, *, tta: str = "none", device: str = "auto") -> np.ndarray:
    """Return the features (N, V, C) of several runs side by side, C the sum of their widths, in the order given."""
    return np.concatenate([pooled(run, cohort, tta=tta, device=device) for run in runs.values()], axis=2)
