"""Training: our loop against the plain loop, and against one batch that never leaves memory."""

from __future__ import annotations

import functools
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from benchmarks.plain import PlainLoop
from benchmarks.timing import Apart, Here, Loop, Settings, alternate, row
from skinlib import models
from skinlib.config import RunConfig
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.papers.recall_oriented.plan import PROPOSED
from skinlib.training import losses
from skinlib.training.fit import Place, optimiser_for, place, train_step

Case = tuple[str, int, int]  # backbone, pixels, batch


def config_of(case: Case) -> RunConfig:
    """Return the paper's configuration at the size of a case; weights change no speed."""
    backbone, size, batch = case
    return PROPOSED.replace(
        backbone=backbone, image_size=(size, size), batch_size=batch, weights="none", schedule="constant", lr=1e-4
    )


class OurLoop(Loop):
    """`skinlib.training.fit.train_step` on batches from the cache."""

    def __init__(self, cohort: pd.DataFrame, root: str, case: Case, where: Place):
        self.config, self.where, self.batch, self.epoch = config_of(case), where, case[2], 0
        self.label = cohort["label"].to_numpy().astype(np.int64)
        self.cache = Cache.build(cohort, self.config.image_size, root=root, masks=False)
        self.terms = losses.terms(self.config, self.label, 2)
        self.model = models.build(self.config).to(where.device)
        self.optimiser = optimiser_for(self.model, self.config)

    def batches(self, steps: int) -> Batches:
        return Batches(
            self.cache, np.arange(len(self.label)), {"label": self.label},
            batch_size=self.batch, augment=self.config.augment, visits=steps * self.batch,
        )  # fmt: skip

    def run(self, steps: int) -> list[float]:
        times: list[float] = []
        self.model.train()
        for batch in self.batches(steps).epoch(self.epoch, self.where.device):
            train_step(self.model, self.optimiser, batch, self.terms, config=self.config, where=self.where)
            times.append(time.perf_counter())
        self.epoch += 1
        return times


class Resident(Loop):
    """Steps on one batch, at the same precision, layout and size: the most that any loop can reach here."""

    def __init__(self, ours: OurLoop):
        self.where, self.batch = ours.where, ours.batch
        self.model = models.build(ours.config).to(self.where.device).train()
        self.optimiser = optimiser_for(self.model, ours.config)
        self.held = next(ours.batches(1).epoch(0, self.where.device))

    def run(self, steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            with self.where.autocast():
                logits = self.model(self.held["image"])["logits"]
            loss = F.cross_entropy(logits.float(), self.held["label"], label_smoothing=0.1)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            loss.item()
            times.append(time.perf_counter())
        return times


def throughput(cohort: pd.DataFrame, root: Path, case: Case, settings: Settings, field: Apart | Here) -> list[dict]:
    """Return the rows of one network at one size; the plain loop runs in the process ``field``."""
    precisions = ["fp32"] if place().precision == "fp32" else ["fp32", "bf16"]
    ours = {p: OurLoop(cohort, str(root), case, place(precision=p)) for p in precisions}
    field.make(PlainLoop, cohort["image_path"].to_list(), [int(label) for label in cohort["label"]], *case)
    field.call("settle", settings.seconds)
    seen = {p: loop.settle(settings.seconds) for p, loop in ours.items()}
    faster = max(seen, key=seen.get)
    resident = Resident(ours[faster])
    resident.settle(settings.seconds)
    arms = {p: loop.window for p, loop in ours.items()}
    arms |= {"resident": resident.window, "plain": functools.partial(field.call, "window")}
    median = alternate(arms, settings.repeats)
    name = f"training {case[0]} {case[1]} px"
    rows = [row(f"{name} {p} | plain loop", median[p], median["plain"]) for p in precisions]
    rows += [row(f"{name} {faster} | resident batch", median[faster], median["resident"])]
    return rows + [row(f"{name} bf16 | fp32", median["bf16"], median["fp32"]) for p in precisions if p == "bf16"]


class WithMemoryWatched:
    """Our loop in a process of its own, with freed memory kept or returned, and the memory that it takes."""

    def __init__(self, cohort: pd.DataFrame, root: str, case: Case, keep: bool):
        # `place` is where the library sets glibc's habits; a Place made by hand leaves them alone.
        self.loop = OurLoop(cohort, root, case, place("cpu", "fp32") if keep else Place(torch.device("cpu"), "fp32"))
        self.highest, self.settle, self.window = 0.0, self.loop.settle, self.loop.window
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.highest = max(self.highest, kilobytes / 1000)
            time.sleep(0.02)

    def peak(self) -> float:
        """Return the highest anonymous memory so far, in MB; the cache is a mapped file and not in it."""
        return self.highest


def memory(cohort: pd.DataFrame, root: Path, case: Case, settings: Settings) -> list[dict]:
    """Return what keeping freed memory gains and costs; nothing where there is no /proc."""
    if not Path("/proc/self/status").is_file():
        return []
    with settings.process() as kept, settings.process() as returned:
        arms = {"kept": kept, "returned": returned}
        for name, arm in arms.items():
            arm.make(WithMemoryWatched, cohort, str(root), case, name == "kept")
        for arm in arms.values():
            arm.call("settle", settings.seconds)
        median = alternate({n: functools.partial(a.call, "window") for n, a in arms.items()}, settings.repeats)
        peak = {name: arm.call("peak") for name, arm in arms.items()}
    name = f"training {case[0]} {case[1]} px fp32, freed memory kept | returned"
    return [
        row(name, median["kept"], median["returned"]),
        row(f"anonymous memory, {name}", peak["kept"], peak["returned"], "MB"),
    ]
