"""How long one multi-task network takes beside two networks with one task each: timed in turn, on images in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import nn

from skinlib import models
from skinlib.config import RunConfig
from skinlib.provenance import environment
from skinlib.training import losses
from skinlib.training.fit import Place, optimiser_for, place, total_loss
from skinlib.training.segment import trained_on_masks

REPEATS = 5  # of each timing, after one that is not counted
TRAIN, PREDICT = "train", "predict"
PREDICTED = 64  # images at once when a part is predicted


def timings(configs: Mapping[str, RunConfig], *, device: str = "auto") -> pd.DataFrame:
    """Time a training step and a prediction of each network.

    The networks take turns, so that whatever else the machine does slows all of them. Their weights are new and the
    images drawn: neither changes what is computed. Reading, decoding and augmenting images is the same for all and
    left out, and so is looking at gradients between the epochs.

    Returns
    -------
    DataFrame
        network, work (``train``: a step of the configuration's batch size; ``predict``), images, repeat, milliseconds,
        machine.
    """
    where = {name: place(device, config.precision) for name, config in configs.items()}
    works = {name: _works(config, where[name]) for name, config in configs.items()}
    machines = {name: _machine(config, where[name]) for name, config in configs.items()}
    rows = []
    for repeat in range(REPEATS + 1):
        for name in configs:
            for work, (images, run) in works[name].items():
                begin = time.perf_counter()
                run()
                rows.append((name, work, images, repeat, 1000 * (time.perf_counter() - begin), machines[name]))
    table = pd.DataFrame(rows, columns=["network", "work", "images", "repeat", "milliseconds", "machine"])
    return table[table["repeat"] > 0].reset_index(drop=True)


def _machine(config: RunConfig, where: Place) -> str:
    here, (height, width) = environment(), config.image_size
    words = here["gpu"] if where.device.type == "cuda" else f"{here['processor']}, {here['threads']} thread(s)"
    return f"{words}; {config.backbone}, {height} x {width} px, {where.precision}"


def _works(config: RunConfig, where: Place) -> dict[str, tuple[int, Callable[[], None]]]:
    """Return work -> (images, what does it once) of one network."""
    model = models.build(config.replace(weights="none")).to(where.device, memory_format=torch.channels_last)
    optimiser = optimiser_for(model, config)
    batch = _drawn(config, config.batch_size, where)
    terms = losses.terms(config, np.arange(config.batch_size) % 2, 2)
    seen = _drawn(config, PREDICTED, where)["image"]

    def train() -> None:
        model.train()
        with where.autocast():
            output = model(batch["image"])
        loss = total_loss(output, batch, terms, config.losses)[0]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        _wait(where)

    def predict() -> None:
        model.eval()
        with torch.inference_mode(), where.autocast():
            _read(model, seen)
        _wait(where)

    return {TRAIN: (config.batch_size, train), PREDICT: (PREDICTED, predict)}


def _read(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    return [output.float().softmax(1) for name, output in model(image).items() if name in ("logits", "mask")]


def _wait(where: Place) -> None:
    if where.device.type == "cuda":
        torch.cuda.synchronize()


def _drawn(config: RunConfig, n: int, where: Place) -> dict[str, torch.Tensor]:
    noise = torch.rand(n, 3, *config.image_size, generator=torch.Generator().manual_seed(0))
    batch = {"image": noise.contiguous(memory_format=torch.channels_last), "label": torch.arange(n) % 2}
    if trained_on_masks(config):
        batch |= {"mask": (noise[:, :1] > 0.5).float(), "has_mask": torch.ones(n, dtype=torch.bool)}
    return {name: value.to(where.device) for name, value in batch.items()}
