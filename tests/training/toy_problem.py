"""A network and images so small that an epoch takes milliseconds, with everything that a real run has."""

import numpy as np
import torch
from torch import nn

from skinlib.config import Augment, RunConfig
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.models.system import Network
from skinlib.training import losses
from skinlib.training.fit import Place

CPU = Place(torch.device("cpu"), "fp32")
# Of a finished run without masks.
FILES = {"config.json", "environment.json", "history.csv", "metrics.json", "model.safetensors", "predictions.csv.gz"}


class Toy(Network):
    """Two convolutions, batch norm, dropout and a head."""

    def __init__(self, classes: int = 2, *, norm: bool = True, dropout: float = 0.25, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
            self.last = nn.Conv2d(8, 8, 3, padding=1)
            self.drop = nn.Dropout(dropout)
            self.head = nn.Linear(8, classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, image, meta=None, *, features=None) -> dict:
        pooled = self.last(self.norm(self.stem(image)).relu()).relu().mean((2, 3))
        return {"logits": self.head(self.drop(pooled)), "features": pooled}

    def depth_groups(self) -> dict[str, str]:
        early, late = ("stem", "norm"), ("last",)
        names = [name for name, _ in self.named_parameters()]
        return {n: "early" if n.startswith(early) else "late" if n.startswith(late) else "head" for n in names}


def images(n: int = 37, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images (n, size, size, 3) uint8 and labels (n,): class 1, a third, is somewhat redder."""
    rng, label = np.random.default_rng(seed), (np.arange(n) % 3 == 0).astype(np.int64)
    pixels = rng.integers(0, 200, (n, size, size, 3))
    pixels[..., 0] += 40 * label[:, None, None]
    return pixels.astype(np.uint8), label


def batches(n: int = 37, *, size: int = 16, seed: int = 0, **options) -> Batches:
    pixels, label = images(n, size)
    cache = Cache(pixels, (pixels[..., 1] > 100).astype(np.uint8), np.ones(n, bool))
    return Batches(cache, np.arange(n), {"label": label}, **({"batch_size": 8, "seed": seed} | options))


def config(**changes) -> RunConfig:
    values = {"epochs": 4, "batch_size": 8, "lr": 1e-2, "lr_early": 0.1, "lr_late": 0.5, "augment": AUGMENT}
    return RunConfig(**(values | {"class_weights": True, "label_smoothing": 0.1} | changes))


def terms(config: RunConfig, n: int = 37) -> dict:
    return losses.terms(config.replace(losses={"cross_entropy": 1.0}), images(n)[1], 2)


AUGMENT = Augment(rotation=30.0, zoom=0.1, brightness=0.1, contrast=0.1, saturation=0.1, noise=0.01, erasing=0.5)
