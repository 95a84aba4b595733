"""Training a network that outlines lesions: our loop against a plain one of the same network, fp32 and NCHW."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as T

from benchmarks.plain import step
from benchmarks.timing import Apart, Here, Loop, Settings, alternate, row
from skinlib import models
from skinlib.config import RunConfig
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.papers.joint_reverse_mtl.plan import ALONE, PROPOSED
from skinlib.training import losses
from skinlib.training.fit import Place, optimiser_for, place, train_step

Outline = tuple[str, tuple[int, int], tuple[int, ...]]  # variant, (height, width), widths of the levels


def config_of(case: Outline) -> RunConfig:
    """Return the plan's configuration of a variant at the size of a case."""
    variant, size, widths = case
    options = {"widths": list(widths)}
    terms = ALONE.get(variant, PROPOSED.losses)
    return PROPOSED.replace(
        variant=variant, image_size=size, options=options, losses=terms, normalisation="none", schedule="constant"
    )


class OurLoop(Loop):
    """`skinlib.training.fit.train_step` on images and masks from the cache, turned by multiples of 45 degrees."""

    def __init__(self, cohort: pd.DataFrame, root: str, case: Outline, where: Place):
        self.config, self.where, self.epoch = config_of(case), where, 0
        self.batch = self.config.batch_size
        self.cache = Cache.build(cohort, self.config.image_size, root=root, masks=True)
        label = cohort["label"].to_numpy().astype(np.int64)
        turns = (np.arange(len(label)) % 8 * (np.pi / 4)).astype(np.float32)
        flips = np.ones((len(label), 2), np.float32)
        self.columns = {"label": label, "angle": turns, "flip": flips}
        self.terms = losses.terms(self.config, label, 2)
        self.model = models.build(self.config).to(where.device)
        self.optimiser = optimiser_for(self.model, self.config)

    def run(self, steps: int) -> list[float]:
        times: list[float] = []
        rows, visits = np.arange(len(self.cache.images)), steps * self.batch
        batches = Batches(
            self.cache, rows, self.columns, batch_size=self.batch, augment=self.config.augment, visits=visits,
            normalisation=self.config.normalisation, masks=True,
        )  # fmt: skip
        self.model.train()
        for batch in batches.epoch(self.epoch, self.where.device):
            train_step(self.model, self.optimiser, batch, self.terms, config=self.config, where=self.where)
            times.append(time.perf_counter())
        self.epoch += 1
        return times


class Pairs(Dataset):
    """Image and mask files, resized and turned one by one."""

    def __init__(self, images: list[str], masks: list[str], labels: list[int], size: tuple[int, int]):
        self.files, self.labels, self.size = list(zip(images, masks, strict=True)), labels, list(size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        angle = 45.0 * int(torch.randint(8, ()))
        image, mask = (Image.open(file) for file in self.files[i])
        image = T.to_tensor(T.resize(image.convert("RGB"), self.size))
        mask = T.to_tensor(T.resize(mask.convert("L"), self.size, InterpolationMode.NEAREST))
        turned = T.rotate(image, angle, InterpolationMode.BILINEAR)
        return turned, (T.rotate(mask, angle) > 0.5).float(), self.labels[i]


class PlainLoop(Loop):
    """The same network in fp32 and NCHW, a DataLoader with two workers; they stay, so no window pays for them."""

    def __init__(self, images: list[str], masks: list[str], labels: list[int], case: Outline):
        config = config_of(case)
        self.batch, self.device = config.batch_size, "cuda" if torch.cuda.is_available() else "cpu"
        pairs = Pairs(images, masks, labels, config.image_size)
        endless = RandomSampler(pairs, replacement=True, num_samples=10**7)
        self.loader = iter(DataLoader(pairs, batch_size=self.batch, sampler=endless, num_workers=2))
        self.model = models.build(config).to(self.device, memory_format=torch.contiguous_format).train()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=config.lr)

    def run(self, steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            image, mask, label = (part.to(self.device) for part in next(self.loader))
            output = self.model(image)
            lesion = output["mask"].softmax(1)[:, 1:]
            both, either = (lesion * mask).sum((1, 2, 3)), lesion.sum((1, 2, 3)) + mask.sum((1, 2, 3))
            loss = (1 - (2 * both + 1) / (either + 1)).mean()
            if "logits" in output:
                loss = 0.5 * loss + 0.5 * F.cross_entropy(output["logits"], label)
            times.append(step(self.optimiser, loss))
        return times


def throughput(cohort: pd.DataFrame, root: Path, case: Outline, settings: Settings, field: Apart | Here) -> list[dict]:
    """Return the rows of one variant; the plain loop runs in the process ``field``."""
    cohort = cohort[cohort["mask_path"].notna()].reset_index(drop=True)
    files = [cohort[name].to_list() for name in ("image_path", "mask_path")]
    field.make(PlainLoop, *files, [int(label) for label in cohort["label"]], case)
    field.call("settle", settings.seconds)
    precisions = ["fp32"] if place().precision == "fp32" else ["fp32", "bf16"]
    ours = {p: OurLoop(cohort, str(root), case, place(precision=p)) for p in precisions}
    for loop in ours.values():
        loop.settle(settings.seconds)
    arms = {p: loop.window for p, loop in ours.items()} | {"plain": functools.partial(field.call, "window")}
    median = alternate(arms, settings.repeats)
    name = f"training {case[0]} {case[1][0]} x {case[1][1]} px"
    return [row(f"{name} {p} | plain loop", median[p], median["plain"]) for p in precisions]
