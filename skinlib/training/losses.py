"""Losses as named terms. Each gives a sum and a count, so that parts of a batch on several devices add up exactly."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from skinlib import models
from skinlib.config import RunConfig

Term = Callable[[dict, dict], tuple[torch.Tensor, torch.Tensor]]  # (output, batch) -> (sum, count)


def class_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """Return N / (K n_c) for each class: balanced weights of mean 1 over the images.

    Raises
    ------
    ValueError
        When a class has no training image, for which the weight would be infinite.
    """
    counts = np.bincount(labels, minlength=classes)
    if (counts == 0).any():
        raise ValueError(f"class {int(np.argmin(counts))} has no training image; class weights need one of each")
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)


def cross_entropy(weights: torch.Tensor | None, smoothing: float) -> Term:
    """Return class-weighted cross entropy with label smoothing, normalised by the summed weights as in torch."""

    def term(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        logits, label = output["logits"].float(), batch["label"]
        weight = None if weights is None else weights.to(logits.device)
        count = torch.ones_like(label, dtype=torch.float32) if weight is None else weight[label]
        total = F.cross_entropy(logits, label, weight=weight, label_smoothing=smoothing, reduction="sum")
        return total, count.sum()

    return term


def dice(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1 - soft Dice of each image's lesion channel, summed, and the number of images that have a mask.

    ``output["mask"]`` is (B, 1, H, W) logits, or (B, 2, H, W) with the lesion second. The constant 1 above and below
    the fraction makes an empty prediction of an empty mask perfect.
    """
    has, truth = _masked(batch)
    lesion = _lesion_probability(output["mask"])
    both, either = (lesion * truth).sum((1, 2, 3)), lesion.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    return ((1 - (2 * both + 1) / (either + 1)) * has).sum(), has.sum()


def mask_cross_entropy(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the binary cross entropy of each mask, averaged over its pixels, and the number of images with a mask."""
    has, truth = _masked(batch)
    logits = output["mask"].float()
    logits = logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits
    return (F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3)) * has).sum(), has.sum()


def _masked(batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    if "mask" not in batch:
        raise ValueError("a loss on masks needs batches with masks; the cache of this run was built without them")
    return batch["has_mask"].float(), batch["mask"]


def _lesion_probability(logits: torch.Tensor) -> torch.Tensor:
    logits = logits.float()
    return logits.softmax(1)[:, 1:] if logits.shape[1] == 2 else logits.sigmoid()


def terms(config: RunConfig, labels: np.ndarray, classes: int) -> dict[str, Term]:
    """Return the terms that a configuration names: of this file, or of ``LOSSES`` in the system's.

    Parameters
    ----------
    labels
        (n,) training labels, from which class weights are counted.
    """
    weights = class_weights(labels, classes) if config.class_weights else None
    known = {
        "cross_entropy": lambda: cross_entropy(weights, config.label_smoothing),
        "dice": lambda: dice,
        "mask_cross_entropy": lambda: mask_cross_entropy,
    }
    known |= {name: functools.partial(make, config, weights) for name, make in models.own_losses(config).items()}
    if unknown := sorted(set(config.losses) - set(known)):
        raise ValueError(f"no loss {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return {name: known[name]() for name in config.losses}
