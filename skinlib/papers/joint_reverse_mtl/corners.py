"""What the corners of turned training views tell of the diagnosis, which only the choice of views put there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinlib import models
from skinlib.config import Augment, RunConfig
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache

CORNER = 8  # pixels: side of each corner patch, ours
FOLDS = 5
UNTURNED = "unturned"  # each image once, as it is: what corners tell of the diagnosis without any filling


def views_of(config: RunConfig, part: pd.DataFrame, fill: str, results_root: str | Path) -> tuple[np.ndarray, ...]:
    """Return every chosen view of a training part under a filling, as the network sees it but for the normalisation.

    Returns
    -------
    tuple
        (n, H, W, 3) float32 in [0, 1], and (n,) positions in ``part``.
    """
    chosen = models.chosen_visits(config, part)
    cache = Cache.build(part, config.image_size, root=Path(results_root) / "cache", colour=config.colour)
    geometry = {name: chosen[name] for name in ("angle", "flip")}
    augment = Augment(flips=False, rotation=0.0, fill=fill)
    batches = Batches(cache, chosen["row"], geometry, batch_size=64, augment=augment, normalisation="none")
    images, order = [], []
    for batch in batches.epoch(0, torch.device("cpu")):
        images.append(batch["image"].permute(0, 2, 3, 1).numpy())
        order.append(batch["index"].numpy())
    return np.concatenate(images), chosen["row"][np.concatenate(order)]


def corner_features(images: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each corner patch's channels, (N, 24), of images (N, H, W, 3)."""
    patches = [images[:, :CORNER, :CORNER], images[:, :CORNER, -CORNER:], images[:, -CORNER:, :CORNER]]
    patches.append(images[:, -CORNER:, -CORNER:])
    return np.concatenate([stat(patch, axis=(1, 2)) for patch in patches for stat in (np.mean, np.std)], axis=1)


def corner_scores(features: np.ndarray, label: np.ndarray, image_id: np.ndarray, *, folds: int = 5) -> np.ndarray:
    """Return out-of-fold probabilities (N,) of melanoma from corners alone; no image stands on both sides of a fold.

    A logistic regression: a shortcut that a straight line finds will not escape a network.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    found = cross_val_predict(model, features, label, groups=image_id, cv=GroupKFold(folds), method="predict_proba")
    return found[:, 1]


def corner_table(config: RunConfig, part: pd.DataFrame, fills: Sequence[str], results_root: str | Path) -> pd.DataFrame:
    """Return the corner classifier's score of every training view under every filling, and of the unturned images.

    Returns
    -------
    DataFrame
        image_id, label, fill, score
    """
    once = config.replace(options=config.options | {"views": dict.fromkeys(config.options["views"], "identity")})
    seen_as = {UNTURNED: (once, fills[0])} | {fill: (config, fill) for fill in fills}
    tables = []
    for fill, (each, filling) in seen_as.items():
        images, row = views_of(each, part, filling, results_root)
        seen = part.iloc[row]
        score = corner_scores(corner_features(images), seen["label"].to_numpy(), seen["image_id"].to_numpy())
        tables.append(seen[["image_id", "label"]].assign(fill=fill, score=score))
    return pd.concat(tables, ignore_index=True)
