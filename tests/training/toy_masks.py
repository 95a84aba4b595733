"""A system of two convolutions that outlines lesions, and where wanted names them too; a guest among the models."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from skinlib import models
from skinlib.models.system import Network, System

NAME = "toy_masks"


class Toy(Network):
    def __init__(self, classes: int, channels: int, logits: bool):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.outline = nn.Conv2d(8, channels, 3, padding=1)
        self.head = nn.Linear(8, classes) if logits else None

    def forward(self, image, meta=None, *, features=None) -> dict:
        maps = self.stem(image).relu()
        named = {"logits": self.head(maps.mean((2, 3)))} if self.head else {}
        return {"mask": self.outline(maps), **named}


def build(config, classes, *, weights_file=None) -> Toy:
    return Toy(classes, config.options.get("channels", 2), config.options.get("logits", True))


def area(config, weights):
    """A loss of the system's own: how much the predicted and the true area differ."""

    def term(output, batch):
        difference = output["mask"].float().softmax(1)[:, 1].mean((1, 2)) - batch["mask"].mean((1, 2, 3))
        return (difference.abs() * batch["has_mask"]).sum(), batch["has_mask"].float().sum()

    return term


def brightness(config, weights):
    """A loss of the system's own that reads no mask."""
    return lambda output, batch: (output["logits"].float().square().sum(), torch.tensor(float(len(batch["image"]))))


def visits(part, config):
    """The malignant images twice: as they are, and mirrored and turned by a quarter; the benign ones once."""
    if config.variant != "chosen":
        return None
    malignant = np.flatnonzero(part["label"] == 1)
    row = np.concatenate([np.arange(len(part)), malignant])
    second = np.arange(len(row)) >= len(part)
    flip = np.stack([np.where(second, -1, 1), np.ones(len(row))], 1)
    return {"row": row, "angle": second * np.pi / 2, "flip": flip}


SYSTEM = System(build, losses={"area": area, "brightness": brightness}, mask_losses=("area",), visits=visits)


@pytest.fixture(scope="module")
def toy_system():
    """Let the library know the system for a while, and return its name."""
    known = models.systems()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "systems", lambda: sorted([*known, NAME]))
        patch.setitem(sys.modules, f"skinlib.papers.{NAME}.model", sys.modules[__name__])
        yield NAME
