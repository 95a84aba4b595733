"""Losses as named terms. Each gives a sum and a count, so that parts of a batch on several devices add up exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

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


def terms(config: RunConfig, labels: np.ndarray, classes: int) -> dict[str, Term]:
    """Return the terms that a configuration names.

    Parameters
    ----------
    labels
        (n,) training labels, from which class weights are counted.
    """
    weights = class_weights(labels, classes) if config.class_weights else None
    known = {"cross_entropy": lambda: cross_entropy(weights, config.label_smoothing)}
    if unknown := sorted(set(config.losses) - set(known)):
        raise ValueError(f"no loss {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return {name: known[name]() for name in config.losses}
