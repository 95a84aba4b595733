"""Bricks that several systems are built of: blocks of a U-Net, a decoder on timm's maps, attention, pooling."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

THINNEST = 16  # channels: levels of a decoder are not made narrower


class PassNorm(nn.BatchNorm2d):
    """Batch norm for layers that run several times in one forward pass: one weight and bias, statistics for each turn.

    The turns see differently distributed maps; common running statistics would fit neither in evaluation mode.
    """

    def __init__(self, channels: int, passes: int = 1):
        super().__init__(channels)
        self.running_mean = torch.zeros(passes, channels)  # (passes, C)
        self.running_var = torch.ones(passes, channels)

    def forward(self, x: torch.Tensor, turn: int = 0) -> torch.Tensor:
        mean, var = self.running_mean[turn], self.running_var[turn]  # views: training updates the buffers themselves
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.momentum, self.eps)


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with bias, each followed by batch norm and ReLU; the first may have a stride."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, passes: int = 1):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inside, outside, 3, stride, 1), PassNorm(outside, passes)
        self.conv2, self.norm2 = nn.Conv2d(outside, outside, 3, 1, 1), PassNorm(outside, passes)

    def forward(self, x: torch.Tensor, turn: int = 0) -> torch.Tensor:
        x = self.norm1(self.conv1(x), turn).relu()
        return self.norm2(self.conv2(x), turn).relu()


class UpBlock(nn.Module):
    """One decoder level of a U-Net: 2x2 transposed convolution of stride 2, skip concatenation, a `ConvBlock`.

    A gate (B, 2 * outside) multiplies the channels of the concatenation.
    """

    def __init__(self, inside: int, outside: int, *, passes: int = 1):
        super().__init__()
        self.up = nn.ConvTranspose2d(inside, outside, 2, 2)
        self.block = ConvBlock(2 * outside, outside, passes=passes)

    def forward(self, x: torch.Tensor, skip: torch.Tensor, gate: torch.Tensor | None = None, turn: int = 0):
        x = torch.cat([self.up(x), skip], 1)  # (B, 2 * outside, H, W)
        return self.block(x if gate is None else x * gate[:, :, None, None], turn)


def skip_widths(backbone: nn.Module) -> list[int]:
    """Return the channels of a backbone's maps, finest first, without the last: those that a decoder may skip to.

    Raises ValueError for a backbone whose maps all have one size (a transformer), or that does not give them away.
    """
    levels = [(level["num_chs"], level["reduction"]) for level in getattr(backbone, "feature_info", None) or ()]
    steps = [reduction for _, reduction in levels]
    if not hasattr(backbone, "forward_intermediates") or len(levels) < 2 or steps != sorted(set(steps)):
        raise ValueError(f"{type(backbone).__name__} has no skip features: no maps of several sizes; choose a ResNet")
    return [channels for channels, _ in levels[:-1]]


def pyramid(backbone: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Run a timm backbone once; return its last maps (B, C, h, w), and those before, finest first, as `skip_widths`."""
    last, levels = backbone.forward_intermediates(image)
    return backbone.forward_head(last), levels[:-1]  # without pooling and classifier: the layers that some have there


class Decoder(nn.Module):
    """From latent maps back to the size of the image; each level half as wide as the one before.

    A level enlarges its maps to the size of a skip (nearest neighbour, so that sides need not be divisible), joins the
    skip's maps where ``skips`` (channels, finest first) is not zero, and is a `ConvBlock`. The
    last maps become ``outputs`` channels by a 1x1 convolution and are enlarged bilinearly.
    """

    def __init__(self, latent: int, skips: Sequence[int], outputs: int):
        super().__init__()
        widths = [max(latent >> level, THINNEST) for level in range(len(skips) + 1)]
        joined = zip(widths[:-1], reversed(skips), widths[1:], strict=True)
        self.levels = nn.ModuleList(ConvBlock(inside + skip, outside) for inside, skip, outside in joined)
        self.joins = [skip > 0 for skip in reversed(skips)]
        self.last = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, x: torch.Tensor, skips: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        """Return (B, outputs, *size) from latent maps and the maps of a `pyramid`, of which some may give sizes only:
        float32 whatever the precision, for it is compared pixel by pixel.
        """
        for level, skip, joins in zip(self.levels, reversed(skips), self.joins, strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = level(torch.cat([x, skip], 1) if joins else x)
        return F.interpolate(self.last(x).float(), size=size, mode="bilinear", align_corners=False)


class ChannelAttention(nn.Module):
    """sigmoid(MLP(mean) + MLP(max)) for each channel, one MLP C -> C/r -> C for both (Woo et al. 2018, eq. 2)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).sigmoid()  # (B, C)
        return x * weight[:, :, None, None]


class SpatialAttention(nn.Module):
    """sigmoid(BN(conv7x7([max; mean over channels]))) for each pixel (Woo et al. 2018, eq. 3)."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))  # (B, 1, H, W)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.logits(x).sigmoid()


class AttentionMap(SpatialAttention):
    """The map of spatial attention, (B, C, H, W) -> (B, 1, H, W) in (0, 1): what `SpatialAttention` multiplies with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).float().clamp(-15, 15).sigmoid()  # else rounding could reach 0 or 1


class CBAM(nn.Sequential):
    """Convolutional block attention module: channel attention, then spatial attention, (B, C, H, W) -> the same.

    Source: Woo et al., ECCV 2018; bias, batch norm and order as in the authors' code. ``reduction`` is theirs (16).
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__(ChannelAttention(channels, reduction), SpatialAttention())


def masked_mean(maps: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the mean (B, C) of feature maps (B, C, H, W) under a soft mask (B, 1, H, W) in [0, 1]: the weighted sum
    over the summed weights plus one pixel, so that an empty mask pools to zeros and its gradient stays finite.
    """
    total = (maps * weight).sum((2, 3), dtype=torch.float32)
    return total / (weight.sum((2, 3), dtype=torch.float32) + 1)


class MaskedFeatures(nn.Module):
    """What a decoder's maps say inside a soft mask: a 3x3 convolution of the masked maps, its mean under the mask."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside)

    def forward(self, maps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = F.adaptive_avg_pool2d(mask, maps.shape[-2:]).to(maps.dtype)  # (B, 1, H, W) in [0, 1], at any size before
        return masked_mean(self.norm(self.conv(maps * mask)).relu(), mask)  # (B, outside)
