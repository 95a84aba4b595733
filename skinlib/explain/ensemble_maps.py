"""Heat maps of an ensemble, the outcomes of its calls, and how alike two sets of maps are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from skinlib.evaluation import tables
from skinlib.explain.gradcam import KEPT, gradcam_plusplus, sharpen
from skinlib.images.batches import to_model_input


def mean_maps(
    models: Sequence[nn.Module],
    images: np.ndarray,
    target: int,
    *,
    normalisation: str = "imagenet",
    batch_size: int = 64,
) -> Iterator[np.ndarray]:
    """Yield for each image the mean of the members' Grad-CAM++ maps, without test-time augmentation.

    The maps are averaged as they come: the members' logits have one scale, so a member with a weak map counts little.

    Parameters
    ----------
    models
        Networks with ``cam_layer()``, all on one device; at least one.
    images : (N, H, W, 3) uint8
        RGB, such as `skinlib.images.cache.Cache.images`: read a batch at a time.
    target
        Class whose logit is explained, for every image.

    Yields
    ------
    (H, W) float32, >= 0, neither normalised nor sharpened.
    """
    device, starts = next(models[0].parameters()).device, range(0, len(images), batch_size)
    for start in tqdm(starts, desc="Grad-CAM++", mininterval=2, disable=len(starts) < 2):
        pixels = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        batch = to_model_input(pixels.permute(0, 3, 1, 2).float().div_(255), normalisation)
        batch = batch.contiguous(memory_format=torch.channels_last)
        maps = [gradcam_plusplus(model, batch, target, model.cam_layer()) for model in models]
        yield from torch.stack(maps).mean(0).cpu().numpy()


def outcomes(table: pd.DataFrame, threshold: float) -> pd.Series:
    """Return TP, TN, FN or FP for each row of a binary prediction table; called malignant where score >= threshold."""
    y, p = tables.outcome(table)
    names = np.select([(y == 1) & (p >= threshold), y == 1, p >= threshold], ["TP", "FN", "FP"], "TN")
    return pd.Series(names, index=table.index, name="outcome")


def overlap(first: np.ndarray, second: np.ndarray, *, keep: float = KEPT) -> np.ndarray:
    """Intersection over union of the pixels that `sharpen` keeps of two sets of maps (N, H, W), >= 0.

    The result, (N,) in [0, 1], is NaN where both maps are 0 throughout. Two independent choices of a quarter share 1/7.
    """
    kept = [sharpen(torch.from_numpy(np.asarray(maps)), keep).numpy() > 0 for maps in (first, second)]
    both, either = (kept[0] & kept[1]).sum((1, 2)), (kept[0] | kept[1]).sum((1, 2))
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
