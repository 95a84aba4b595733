"""Super-resolution next to a diagnosis: the decoder, what it is compared with, and two networks that draw that."""

import itertools
import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from skinlib.config import RunConfig
from skinlib.images.batches import IMAGENET_MEAN, IMAGENET_STD
from skinlib.models import backbones

SCALE = 2
WIDTHS = (256, 128, 64, 32, 16, 3)  # of the six convolutions; all but the number six is ours
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # both teachers subtract it
# What the decoder's image is compared with.
TARGETS = {
    "bilinear": "the input, enlarged bilinearly",
    "bicubic": "the input, enlarged bicubically",
    "ninasr": "the input, enlarged by NinaSR-B0 with published weights",
    "ninasr_here": "the input, enlarged by NinaSR-B0 trained here on the training images",
    "edsr": "the input, enlarged by EDSR-baseline with published weights",
    "self": "control: the input at its own size; a decoder of as many parameters",
    "native": "control: the image at twice the input's size, of which the input is the reduction",
}
TEACHERS = ("ninasr", "ninasr_here", "edsr")
CROP, BATCH, RATE = 32, 16, 1e-3  # of a teacher trained here: side of its input in pixels, images a step, of Adam


class Decoder(nn.Sequential):
    """Six transposed convolutions 4x4, each doubling: (B, C, H/32, W/32) -> (B, 3, 2H, 2W) in [0, 1].

    ``double_last`` False keeps the last at its size, H x W, with as many parameters.
    """

    def __init__(self, channels: int, *, double_last: bool = True):
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise((channels, *WIDTHS[:-1])):
            layers += [nn.ConvTranspose2d(inside, outside, 4, 2, 1), nn.BatchNorm2d(outside), nn.ReLU()]
        same_size = () if double_last else (nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(WIDTHS[-2], 3, 4))
        super().__init__(*layers, *(same_size or [nn.ConvTranspose2d(WIDTHS[-2], 3, 4, 2, 1)]), nn.Sigmoid())


def pixels(image: torch.Tensor, normalisation: str) -> torch.Tensor:
    """Return the images in [0, 1] behind normalised ones; ValueError for ``minmax``, which forgets the range."""
    if normalisation == "none":
        return image
    if normalisation != "imagenet":
        raise ValueError(f"normalisation {normalisation!r} cannot be undone; super-resolution needs imagenet or none")
    mean, std = (image.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (image * std + mean).clamp(0, 1)


def enlarge(image: torch.Tensor, how: str) -> torch.Tensor:
    """Return images in [0, 1] at twice the size, ``bilinear`` or ``bicubic`` (whose overshoot is cut)."""
    return F.interpolate(image, scale_factor=SCALE, mode=how, align_corners=False).clamp(0, 1)


def reduce(image: torch.Tensor) -> torch.Tensor:
    """Return images at half the size: bilinear, each pixel the weighted mean of what it covers."""
    size = [side // SCALE for side in image.shape[-2:]]
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


class _Shifted(nn.Module):
    """A network around the mean of its training set: x -> net(scale (x - mean)) / scale + mean."""

    scale = 1.0

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.head(self.scale * (image - self.mean))
        return self.tail(self.body(x) + x) / self.scale + self.mean


class _LocalAttention(nn.Module):
    """Squeeze and excitation over windows of 31 pixels in steps of 16 instead of the whole image."""

    def __init__(self, channels: int):
        super().__init__()
        pool = nn.AvgPool2d(31, stride=16, padding=15, count_include_pad=False)
        squeeze = nn.Conv2d(channels, channels // 4, 1), nn.ReLU(), nn.Conv2d(channels // 4, channels, 1), nn.Sigmoid()
        self.body = nn.Sequential(pool, *squeeze, nn.Upsample(scale_factor=16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.body(x)[:, :, : x.shape[2], : x.shape[3]]


class _Residual(nn.Module):
    """x -> x + outside * body(inside * x)."""

    def __init__(self, *body: nn.Module, inside: float = 1.0, outside: float = 1.0):
        super().__init__()
        self.body, self.inside, self.outside = nn.Sequential(*body), inside, outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outside * self.body(x * self.inside)


def _nina_block(width: int, inside: float, outside: float) -> _Residual:
    first, last = nn.Conv2d(width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(first.weight)
    nn.init.zeros_(first.bias)
    nn.init.kaiming_normal_(last.weight)
    return _Residual(first, nn.ReLU(), _LocalAttention(2 * width), last, inside=inside, outside=2 * outside)


class NinaSR(_Shifted):
    """NinaSR-B0 x2 (Gouvine 2021): ten blocks of 16 channels, residuals scaled by the variance they add; 100,172."""

    def __init__(self, blocks: int = 10, width: int = 16):
        super().__init__()
        outside = 4 / blocks
        self.head = nn.Sequential(nn.Identity(), nn.Conv2d(3, width, 3, padding=1, bias=False))
        inside = [1 / math.sqrt(1 + k * outside**2) for k in range(blocks)]
        self.body = nn.Sequential(*(_nina_block(width, one, outside) for one in inside))
        self.tail = nn.Sequential(nn.Conv2d(width, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))


class EDSR(_Shifted):
    """EDSR-baseline x2 (Lim et al. 2017): 16 residual blocks of 64 channels, no batch norm; 1,369,859 parameters."""

    scale = 255.0  # published weights read pixels of 0 to 255

    def __init__(self, blocks: int = 16, width: int = 64):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        same = lambda: nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.Sequential(*(_Residual(same(), nn.ReLU(), same()) for _ in range(blocks)), same())
        up = nn.Sequential(nn.Conv2d(width, width * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))
        self.tail = nn.Sequential(up, nn.Conv2d(width, 3, 3, padding=1))


def teacher(target: str) -> nn.Module:
    """Build the frozen network that draws a target; ``ninasr_here`` is random until it is trained.

    Published weights, with tensors named as in the authors' files, are where `find_weights` looks; WeightsUnavailable
    when there are none, or they do not fit.
    """
    name, network = ("edsr_baseline_x2", EDSR()) if target == "edsr" else ("ninasr_b0_x2", NinaSR())
    if target != "ninasr_here":
        path = backbones.find_weights(name, "imagenet")
        if path is None:
            raise backbones.WeightsUnavailable(
                f"no weights of {name}: put {name}.safetensors into the folder named by {backbones.WEIGHTS_FOLDER}, "
                "or choose another target"
            )
        state, wanted = load_file(path), network.state_dict()
        if wrong := [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]:
            raise backbones.WeightsUnavailable(f"{path} does not fit {name}: {len(wrong)} tensors, first {wrong[0]}")
        network.load_state_dict({key: state[key] for key in wanted})
    return network.requires_grad_(False)


def train_teacher(network: nn.Module, images: Iterable[torch.Tensor], *, steps: int, seed: int) -> float:
    """Train a teacher in place to undo `reduce` on crops of images (B, 3, H, W) in [0, 1]; return the last loss."""
    draw = torch.Generator().manual_seed(seed)
    network.requires_grad_(True).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    loss = torch.tensor(float("nan"))
    for batch in itertools.islice(images, steps):
        side = min(SCALE * CROP, *batch.shape[-2:]) // SCALE * SCALE
        top, left = (int(torch.randint(room - side + 1, (), generator=draw)) for room in batch.shape[-2:])
        sharp = batch[:BATCH, :, top : top + side, left : left + side]
        loss = F.l1_loss(network(reduce(sharp)), sharp)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.requires_grad_(False).eval()
    return float(loss.detach())


def target_of(output: dict, batch: dict, config: RunConfig) -> torch.Tensor:
    """Return what a decoder's image is compared with, in [0, 1]: a teacher's ``enlarged``, or made of the input."""
    target = config.options["target"]
    if target in TEACHERS:
        return output["enlarged"].float()
    seen = pixels(batch["image"].float(), config.normalisation)
    return seen if target in ("self", "native") else enlarge(seen, target)


def pixel_error(drawn: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean squared error of each image (B, 3, H, W), summed over the images, and their number."""
    error = (drawn.float() - wanted).square().mean((1, 2, 3))
    return error.sum(), error.new_tensor(float(len(error)))


def squared_error(config: RunConfig, weights: torch.Tensor | None) -> Callable:
    """Return the loss term of eq. 4: the `pixel_error` of ``superres`` against `target_of` it."""
    return lambda output, batch: pixel_error(output["superres"], target_of(output, batch, config))
