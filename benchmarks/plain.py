"""The plain loop of the field, as in countless notebooks: PIL, torchvision transforms, two workers, fp32, NCHW."""

from __future__ import annotations

import time

import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from benchmarks.timing import Loop
from skinlib.images.batches import IMAGENET_MEAN, IMAGENET_STD
from skinlib.papers.recall_oriented.plan import AUGMENT


def normalised(size: int) -> transforms.Compose:
    """Return the transform of validation images."""
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    return transforms.Compose(steps)


def augmented(size: int) -> transforms.Compose:
    """Return the transform of training images: the augmentation that our loop does, image by image."""
    steps = [
        transforms.Resize((size, size)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        transforms.RandomRotation(AUGMENT.rotation),
        transforms.ColorJitter(AUGMENT.brightness, AUGMENT.contrast, AUGMENT.saturation),
        transforms.ToTensor(),
        transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        transforms.RandomErasing(AUGMENT.erasing),
    ]
    return transforms.Compose(steps)


class Files(Dataset):
    """Image files and labels."""

    def __init__(self, paths: list[str], labels: list[int], transform: transforms.Compose):
        self.paths, self.labels, self.transform = paths, labels, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.paths[i]).convert("RGB")), self.labels[i]


def step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    """Go back from a loss and change the weights; return the time when that is done, in seconds."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    loss.item()
    return time.perf_counter()


class PlainLoop(Loop):
    """Trains; its workers stay, so that no window pays for starting them."""

    def __init__(self, paths: list[str], labels: list[int], backbone: str, size: int, batch: int):
        self.batch, self.device = batch, "cuda" if torch.cuda.is_available() else "cpu"
        files = Files(paths, labels, augmented(size))
        endless = RandomSampler(files, replacement=True, num_samples=10**7)
        self.loader = iter(DataLoader(files, batch_size=batch, sampler=endless, num_workers=2))
        self.model = timm.create_model(backbone, num_classes=2).to(self.device).train()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.criterion = nn.CrossEntropyLoss()

    def run(self, steps: int) -> list[float]:
        times = []
        for _ in range(steps):
            images, labels = next(self.loader)
            images, labels = images.to(self.device), labels.to(self.device)
            times.append(step(self.optimiser, self.criterion(self.model(images), labels)))
        return times


class PlainPrediction:
    """Predicts: one file after the other, its eight views one after the other."""

    def __init__(self, paths: list[str], backbone: str, size: int):
        self.paths, self.transform, self.device = (
            paths,
            normalised(size),
            "cuda" if torch.cuda.is_available() else "cpu",
        )
        self.model = timm.create_model(backbone, num_classes=2).to(self.device).eval()

    def rate(self, images: int) -> float:
        """Return images a second over the first ``images`` files."""
        begin = time.perf_counter()
        with torch.no_grad():
            for path in self.paths[:images]:
                image = self.transform(Image.open(path).convert("RGB")).unsqueeze(0).to(self.device)
                views = [torch.rot90(side, k, (2, 3)) for side in (image, image.flip(3)) for k in range(4)]
                torch.stack([self.model(view).softmax(1) for view in views]).mean(0).cpu()
        return images / (time.perf_counter() - begin)
