"""Bricks of networks, and `build`: a system has a folder in `skinlib.papers`, with ``build(config, classes, ...)``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from torch import nn

from skinlib.config import RunConfig
from skinlib.data.cards import class_names

PAPERS = "skinlib.papers"


def systems() -> list[str]:
    """Return the keys of the systems that can be built: the folders of `skinlib.papers`."""
    return sorted(found.name for found in pkgutil.iter_modules(importlib.import_module(PAPERS).__path__) if found.ispkg)


def build(config: RunConfig, *, weights_file: Path | None = None) -> nn.Module:
    """Build the network that a configuration describes; no data are needed.

    New layers are drawn from the configuration's seed, and the caller's random state is left as it was.

    Returns
    -------
    nn.Module
        ``model(image (B, 3, H, W), meta=None, *, features=None) -> dict`` with ``logits`` (B, K).

    Raises
    ------
    ValueError
        For a system or backbone that nobody knows.
    WeightsUnavailable
        When pretrained weights are asked for and cannot be had.
    """
    module = _module(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = module.build(config, len(class_names(config.dataset, config.label_space)), weights_file=weights_file)
    return model.to(memory_format=torch.channels_last)


def own_losses(config: RunConfig) -> dict[str, Callable]:
    """Return the loss terms that only this system has, its ``LOSSES``: name -> make(config, class weights or None)."""
    return dict(getattr(_module(config), "LOSSES", {}))


def own_mask_losses(config: RunConfig) -> tuple[str, ...]:
    """Return which of a system's own losses compare masks, its ``MASK_LOSSES``: a run with one reads lesion masks."""
    return tuple(getattr(_module(config), "MASK_LOSSES", ()))


def chosen_visits(config: RunConfig, part: pd.DataFrame) -> Mapping[str, np.ndarray] | None:
    """Return the list of training visits that a system draws up itself, by its ``visits(part, config)``.

    Parameters
    ----------
    part
        The training rows of the cohort.

    Returns
    -------
    Mapping or None
        ``row`` (n,), positions in ``part``, one a visit; where the views are chosen too, ``angle`` (n,) in radians and
        ``flip`` (n, 2), 1 or -1 for the horizontal and the vertical axis. None: every row once, views drawn.
    """
    choose = getattr(_module(config), "visits", None)
    return choose(part, config) if choose else None


def columns(config: RunConfig, cohort: pd.DataFrame, runs: Path) -> dict[str, np.ndarray]:
    """Return what a system hands along with each row of a cohort, by its ``columns(cohort, config, runs)``.

    It sees no split, so nothing may be fitted in it: fits belong into ``prepare(batches, device)`` of the network,
    which is called once, before training, with the training batches alone. A network keeps what it fits in its buffers:
    so it is stored with the weights, and holds for every cohort that is predicted later.

    Parameters
    ----------
    cohort
        All rows, in the order of the result.
    runs
        The folder of finished runs, for columns that are other runs' outputs.

    Returns
    -------
    dict
        Name in the batch (``meta``, ``features`` ...) -> (N, ...) array; empty for a system without.
    """
    make = getattr(_module(config), "columns", None)
    found = make(cohort, config, runs) if make else {}
    if wrong := {name: len(values) for name, values in found.items() if len(values) != len(cohort)}:
        raise ValueError(f"{config.system} gives columns of other lengths than the {len(cohort)} rows: {wrong}")
    return found


def reads_images(config: RunConfig) -> bool:
    """Tell whether a run's batches hold images: unless the system's ``reads_images(config)`` denies it."""
    asked = getattr(_module(config), "reads_images", None)
    return asked(config) if asked else True


def reads_every_row(config: RunConfig) -> bool:
    """Tell whether rows whose image is not on disk are read too: where ``reads_every_row(config)`` says so."""
    asked = getattr(_module(config), "reads_every_row", None)
    return asked(config) if asked else False


def parents(config: RunConfig) -> dict[str, RunConfig]:
    """Return the runs that must be finished before this one, by the system's ``parents(config)``: name -> run.

    Their ids enter this run's own. A network with ``inherit(states)`` is given their weights before it is trained.
    """
    asked = getattr(_module(config), "parents", None)
    return asked(config) if asked else {}


def reads_features(config: RunConfig) -> bool:
    """Tell whether the pooled features of all parents are a column ``features`` (N, V, C), V views by ``config.tta``.

    They are where the system's ``reads_features(config)`` says so.
    """
    asked = getattr(_module(config), "reads_features", None)
    return asked(config) if asked else False


def _module(config: RunConfig) -> ModuleType:
    if config.system not in systems():
        raise ValueError(f"no system {config.system!r}; there are {', '.join(systems())}")
    return importlib.import_module(f"{PAPERS}.{config.system}.model")
