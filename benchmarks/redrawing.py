"""The auxiliary task of `metadata_sr`: what redrawing the image at twice its size costs a training step."""

from __future__ import annotations

import time

import torch

from benchmarks.timing import Loop, Settings, alternate, row
from benchmarks.training import Case
from skinlib import models
from skinlib.data.cards import class_names
from skinlib.papers.metadata_sr.plan import METHODS, PROPOSED
from skinlib.training import losses
from skinlib.training.fit import Place, optimiser_for, place, train_step


class Step(Loop):
    """`skinlib.training.fit.train_step` of a method of the paper on one batch: reading images would hide the task."""

    def __init__(self, method: str, case: Case, where: Place):
        backbone, size, self.batch = case
        sizes = {"backbone": backbone, "image_size": (size, size), "batch_size": self.batch}
        self.config = PROPOSED.replace(**sizes, weights="none", schedule="constant").replace(**METHODS[method])
        classes = len(class_names(self.config.dataset, self.config.label_space))
        self.where, self.model = where, models.build(self.config).to(where.device)
        draw = torch.Generator().manual_seed(0)
        images = torch.rand(self.batch, 3, size, size, generator=draw).contiguous(memory_format=torch.channels_last)
        label = torch.arange(self.batch) % classes
        answers = torch.rand(self.batch, len(self.model.imputer.mean), generator=draw)  # complete: none is filled in
        self.held = {"image": images, "meta": answers, "label": label, "index": torch.arange(self.batch)}
        self.held = {name: value.to(where.device) for name, value in self.held.items()}
        self.terms = losses.terms(self.config, label.numpy(), classes)
        self.optimiser = optimiser_for(self.model, self.config)

    def run(self, steps: int) -> list[float]:
        times: list[float] = []
        self.model.train()
        for _ in range(steps):
            train_step(self.model, self.optimiser, self.held, self.terms, config=self.config, where=self.where)
            times.append(time.perf_counter())
        return times


def auxiliary(case: Case, settings: Settings) -> list[dict]:
    """Return how fast the proposed method trains with its auxiliary task, against without."""
    arms = {method: Step(method, case, place(precision="fp32")) for method in ("proposed", "without")}
    for arm in arms.values():
        arm.settle(settings.seconds)
    median = alternate({name: arm.window for name, arm in arms.items()}, settings.repeats)
    name = f"training metadata_sr {case[0]} {case[1]} px fp32 | without super-resolution"
    return [row(name, median["proposed"], median["without"])]
