"""Augmentation of whole batches: every image draws its own numbers from (seed, epoch, image), whatever its batch."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from skinlib.config import Augment
from skinlib.provenance import generator

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def draw(augment: Augment, seed: int, epoch: int, images: np.ndarray) -> dict[str, torch.Tensor]:
    """Draw the parameters of each image, (B,) numbers that name them: the same number gets the same in the same epoch.

    Returns tensors whose first axis is B: ``angle`` (radians), ``flip`` (B, 2), ``zoom``, ``shift`` (B, 2),
    ``brightness``, ``contrast``, ``saturation``, ``box`` (B, 4 as top, left, height, width in shares; 0 for none),
    ``noise_seed``.
    """
    numbers = np.stack([generator(seed, epoch, int(image)).random(16) for image in images]).astype(np.float32)
    u = torch.from_numpy(numbers)
    signed = 2 * u - 1
    area, aspect = 0.02 + 0.18 * u[:, 9], torch.exp(math.log(3.0) * signed[:, 10])
    height, width = (area * aspect).sqrt().clamp(max=0.9), (area / aspect).sqrt().clamp(max=0.9)
    erased = (u[:, 8] < augment.erasing).float()
    return {
        "angle": signed[:, 0] * math.radians(augment.rotation),
        "flip": (1 - 2 * (u[:, 1:3] < 0.5).float()) if augment.flips else torch.ones(len(u), 2),
        "zoom": 1 - augment.zoom * u[:, 3],
        "shift": augment.shift * 2 * signed[:, 4:6],
        "brightness": 1 + augment.brightness * signed[:, 6],
        "contrast": 1 + augment.contrast * signed[:, 7],
        "saturation": 1 + augment.saturation * signed[:, 11],
        "box": torch.stack([u[:, 12] * (1 - height), u[:, 13] * (1 - width), height, width], 1) * erased[:, None],
        "noise_seed": (u[:, 14].double() * 2**31).long(),
    }


def augment_batch(
    images: torch.Tensor, masks: torch.Tensor | None, augment: Augment, drawn: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Apply drawn parameters: geometry to images and masks alike, colour to images only.

    ``images`` are (B, 3, H, W) float in [0, 1], RGB, ``masks`` (B, 1, H, W) float 0 or 1, or None. Returns images in
    [0, 1] and masks of 0 and 1 (nearest neighbour), on the same device.
    """
    drawn = {name: value.to(images.device) for name, value in drawn.items()}
    if (matrices := _matrices(drawn, images.shape[-2:])).ne(torch.eye(2, 3, device=images.device)).any():
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        how = {"padding_mode": augment.fill, "align_corners": False}
        images = F.grid_sample(images, grid, mode="bilinear", **how)
        if masks is not None:
            masks = F.grid_sample(masks, grid, mode="nearest", **how)
    images = _colour(images, augment, drawn)
    if augment.noise:
        images = images + augment.noise * _noise(images, drawn["noise_seed"])
    images = images.clamp(0, 1)
    if augment.erasing:
        images = _erase(images, drawn["box"])
    return images, masks


def _matrices(drawn: dict[str, torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    height, width = size
    cos, sin = torch.cos(drawn["angle"]) * drawn["zoom"], torch.sin(drawn["angle"]) * drawn["zoom"]
    x, y = drawn["flip"][:, 0], drawn["flip"][:, 1]
    # Rotation is a rotation in pixels; the grid's axes run from -1 to 1 on both sides, so the aspect enters.
    top = torch.stack([x * cos, -y * sin * height / width, drawn["shift"][:, 0]], 1)
    bottom = torch.stack([x * sin * width / height, y * cos, drawn["shift"][:, 1]], 1)
    return torch.stack([top, bottom], 1)


def _colour(images: torch.Tensor, augment: Augment, drawn: dict[str, torch.Tensor]) -> torch.Tensor:
    def factor(name: str) -> torch.Tensor:
        return drawn[name].view(-1, 1, 1, 1)

    if augment.brightness:
        images = images * factor("brightness")
    if not (augment.contrast or augment.saturation):
        return images
    grey = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    if augment.saturation:
        images = torch.lerp(grey, images, factor("saturation"))
    if augment.contrast:
        images = torch.lerp(grey.mean((2, 3), keepdim=True), images, factor("contrast"))
    return images


def _noise(images: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    # Drawn on the CPU, so that a GPU sees the same noise.
    rows = [torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return torch.stack(rows).to(images)


def _erase(images: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    y = (torch.arange(height, device=images.device) + 0.5) / height
    x = (torch.arange(width, device=images.device) + 0.5) / width
    top, left, tall, wide = (box[:, i, None] for i in range(4))
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(inside, images.mean((2, 3), keepdim=True), images)
