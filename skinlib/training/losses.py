"""Losses as named terms. Each gives a sum and a count, so that parts of a batch on several devices add up exactly."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from skinlib import models
from skinlib.config import RunConfig

MASK_LOSSES = ("dice", "mask_cross_entropy")
Term = Callable[[dict, dict], tuple[torch.Tensor, torch.Tensor]]  # (output, batch) -> (sum, count)


def class_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """Return N / (K n_c) for each class: balanced weights of mean 1 over the images."""
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
    lesion = lesion_probability(output["mask"])
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


def lesion_probability(logits: torch.Tensor) -> torch.Tensor:
    """Return the probability of lesion (B, 1, H, W) in float32, of mask logits in one channel or two."""
    logits = logits.float()
    return logits.softmax(1)[:, 1:] if logits.shape[1] == 2 else logits.sigmoid()


def trained_on_masks(config: RunConfig) -> bool:
    """Tell whether a run reads lesion masks: it names a loss on them, be its weight 0."""
    return bool({*MASK_LOSSES, *models.system_of(config).mask_losses} & set(config.losses))


def terms(config: RunConfig, labels: np.ndarray, classes: int) -> dict[str, Term]:
    """Return the terms that a configuration names, of this file or the system's own, weighted by ``labels``."""
    weights = class_weights(labels, classes) if config.class_weights else None
    own = models.system_of(config).losses
    known = {"dice": dice, "mask_cross_entropy": mask_cross_entropy}
    known |= {"cross_entropy": cross_entropy(weights, config.label_smoothing)}
    if unknown := sorted(set(config.losses) - {*known, *own}):
        raise ValueError(f"no loss {', '.join(unknown)}; there are {', '.join(sorted({*known, *own}))}")
    return {name: own[name](config, weights) if name in own else known[name] for name in config.losses}
