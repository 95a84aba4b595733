"""What a paper's system says of itself, and what a network may offer to training: each with defaults."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from skinlib.config import RunConfig


class Network(nn.Module):
    """The base of every system's network: ``model(image, meta=None, *, features=None) -> dict`` with ``logits``.

    What it fits is in its buffers: stored with the weights, and the same for every cohort that is predicted later.
    """

    def inherit(self, weights_of: Callable[[str], Mapping[str, torch.Tensor]]) -> None:
        """Take over weights of finished parents, each asked for by its name; called once, before training."""

    def prepare(self, batches, device: torch.device) -> None:
        """Fit what is fitted, on the training `skinlib.images.batches.Batches` alone; called once, before training."""

    def depth_groups(self) -> dict[str, str]:
        """Return parameter name -> ``early``, ``late`` or ``head``, for differential learning rates."""
        return {}

    def shared(self) -> list[nn.Parameter]:
        """Return the parameters that several tasks train, whose gradients are then compared."""
        return []

    def cam_layers(self) -> list[nn.Module]:
        """Return the layers whose maps are pooled: one, or one of each backbone."""
        return [self.cam_layer()]


@dataclasses.dataclass(frozen=True)
class System:
    """The ``SYSTEM`` of a paper's ``model.py``; the defaults are those of a network that reads images alone.

    ``losses`` are terms that only this system has, name -> ``make(config, class weights or None)``; a run with one of
    ``mask_losses`` reads lesion masks. ``visits(part, config)`` draws up the list of training visits, from the training
    rows of the cohort: ``row`` (n,), positions in ``part``, one a visit; where the views are chosen too, ``angle`` (n,)
    in radians and ``flip`` (n, 2), 1 or -1 for the horizontal and the vertical axis. None: every row once, views drawn.

    ``columns(cohort, config, runs)`` gives what the batches have of each row of a cohort: name (``meta``, ``features``
    ...) -> (N, ...) array; ``runs`` is the folder of finished runs. It sees no split, so it fits nothing; fits belong
    into `Network.prepare`.
    """

    build: Callable[..., Network]  # (config, classes, *, weights_file=None) makes the network
    losses: Mapping[str, Callable] = dataclasses.field(default_factory=dict)
    mask_losses: tuple[str, ...] = ()
    visits: Callable[[pd.DataFrame, RunConfig], Mapping[str, np.ndarray] | None] = lambda part, config: None
    columns: Callable[[pd.DataFrame, RunConfig, Path], dict[str, np.ndarray]] = lambda cohort, config, runs: {}
    reads_images: Callable[[RunConfig], bool] = lambda config: True
    reads_every_row: Callable[[RunConfig], bool] = lambda config: False  # those too whose image is not on disk
    parents: Callable[[RunConfig], dict[str, RunConfig]] = lambda config: {}  # runs to finish first; they enter the id
    # Whether the pooled features of all parents are a column ``features`` (N, V, C), V views by ``config.tta``.
    reads_features: Callable[[RunConfig], bool] = lambda config: False
