"""Decoding, prediction and heat maps."""

from __future__ import annotations

import copy
import functools
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pytorch_grad_cam import GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from benchmarks.plain import PlainPrediction
from benchmarks.timing import Apart, Here, Settings, alternate, rate_of, row
from benchmarks.training import Case, config_of
from skinlib import models
from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.training.fit import place
from skinlib.training.predict import outputs


def decoding(cohort: pd.DataFrame, root: Path, case: Case, settings: Settings) -> list[dict]:
    """Return how fast the cache is built and read, against PIL."""
    _, size, batch = case
    paths, folders = cohort["image_path"].to_list(), (root / f"build{i}" for i in itertools.count())
    cache = Cache.build(cohort, (size, size), root=root, masks=False)
    shares = np.array_split(np.random.default_rng(0).permutation(len(cohort)), -(-len(cohort) // batch))

    def pil() -> None:
        for path in paths:
            np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))

    acts = {
        "build": lambda: Cache.build(cohort, (size, size), root=next(folders), masks=False),
        "read": lambda: [np.stack([cache.images[r] for r in share]) for share in shares],
        "pil": pil,
    }
    median = alternate({name: rate_of(act, len(paths)) for name, act in acts.items()}, settings.repeats)
    return [
        row(f"cache {size} px, build | PIL open and resize", median["build"], median["pil"]),
        row(f"cache {size} px, read | PIL open and resize", median["read"], median["pil"]),
    ]


def prediction(cohort: pd.DataFrame, root: Path, case: Case, settings: Settings, field: Apart | Here) -> list[dict]:
    """Return how fast files become probabilities over eight views, decoding included on both sides."""
    backbone, size, _ = case
    images, theirs = settings.predicted
    some, config = cohort.iloc[:images], config_of(case)
    model, where, folders = models.build(config), place(precision="fp32"), (root / f"new{i}" for i in itertools.count())

    def predict() -> None:
        cache = Cache.build(some, config.image_size, root=next(folders), masks=False)
        outputs(model, Batches(cache, np.arange(images), {}, batch_size=64), tta="d4", where=where)

    field.make(PlainPrediction, cohort["image_path"].to_list(), backbone, size)
    field.call("rate", theirs)
    predict()
    arms = {"ours": rate_of(predict, images), "plain": functools.partial(field.call, "rate", theirs)}
    median = alternate(arms, settings.repeats)
    name = f"prediction {backbone} {size} px fp32, 8 views | image by image"
    return [row(name, median["ours"], median["plain"])]


class Logits(nn.Module):
    """A network whose output is the tensor that the grad-cam package expects."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.model(image)["logits"]


def heat_maps(case: Case, settings: Settings) -> list[dict]:
    """Return how fast Grad-CAM++ maps are made, against the grad-cam package, on the same weights and batch."""
    backbone, size, batch = case
    model = models.build(config_of(case)).eval()
    images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    theirs = Logits(copy.deepcopy(model))  # a copy, for the package leaves hooks on the layer
    targets = [ClassifierOutputTarget(1)] * batch
    with GradCAMPlusPlus(theirs, [theirs.model.cam_layer()]) as package:
        acts = {
            "ours": lambda: gradcam_plusplus(model, images, 1, model.cam_layer()),
            "package": lambda: package(images, targets),
        }
        for act in acts.values():
            act()
        median = alternate({name: rate_of(act, batch) for name, act in acts.items()}, settings.repeats)
    return [row(f"Grad-CAM++ {backbone} {size} px | grad-cam package", median["ours"], median["package"])]
