"""Bricks of networks, and the systems that papers build of them: each is the ``SYSTEM`` of its ``model.py``."""

import importlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from skinlib.config import RunConfig
from skinlib.data.cards import class_names
from skinlib.images.batches import GEOMETRY
from skinlib.models.system import Network, System

PAPERS = "skinlib.papers"


def systems() -> list[str]:
    """Return the keys of the systems that can be built: the folders of `skinlib.papers`."""
    return importlib.import_module(PAPERS).paper_names()


def system_of(config: RunConfig) -> System:
    """Return the system that a configuration names; ValueError when there is none of that name."""
    if config.system not in systems():
        raise ValueError(f"no system {config.system!r}; there are {', '.join(systems())}")
    return importlib.import_module(f"{PAPERS}.{config.system}.model").SYSTEM


def build(config: RunConfig, *, weights_file: Path | None = None) -> Network:
    """Build the network that a configuration describes; no data are needed.

    New layers are drawn from the configuration's seed, and the caller's random state is left as it was.

    Returns a network, ``model(image (B, 3, H, W), meta=None, *, features=None) -> dict`` with ``logits`` (B, K).
    Raises ValueError (unknown system or backbone), WeightsUnavailable (pretrained weights cannot be had).
    """
    make, classes = system_of(config).build, len(class_names(config.dataset, config.label_space))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make(config, classes, weights_file=weights_file)
    return model.to(memory_format=torch.channels_last)


def chosen_visits(config: RunConfig, part: pd.DataFrame) -> Mapping[str, np.ndarray] | None:
    """Return the list of training visits that a system draws up itself (see `System`); None: each row once."""
    chosen = system_of(config).visits(part, config)
    if chosen is None:
        return None
    if "row" not in chosen or not set(chosen) <= {"row", *GEOMETRY}:
        raise ValueError(f"visits name row, and where chosen {', '.join(GEOMETRY)}; got {', '.join(chosen)}")
    row, lengths = np.asarray(chosen["row"]), {name: len(values) for name, values in chosen.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"visits differ in length: {lengths}")
    if row.dtype.kind not in "iu" or (row < 0).any() or (row >= len(part)).any():
        raise ValueError(f"visits need positions from 0 to {len(part) - 1} in the training part")
    return {"row": row} | {name: np.float32(chosen[name]) for name in GEOMETRY if name in chosen}


def columns(config: RunConfig, cohort: pd.DataFrame, runs: Path) -> dict[str, np.ndarray]:
    """Return what a system has in its batches of each row of a cohort, as `System` describes it."""
    found = system_of(config).columns(cohort, config, runs)
    if wrong := {name: len(values) for name, values in found.items() if len(values) != len(cohort)}:
        raise ValueError(f"{config.system} gives columns of other lengths than the {len(cohort)} rows: {wrong}")
    return found
