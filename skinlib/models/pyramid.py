"""Bricks of encoder-decoder networks on a timm backbone: its maps at every depth, an attention map, a way back up."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from skinlib.models.blocks import ConvBlock, SpatialAttention

THINNEST = 16  # channels: levels of a decoder are not made narrower


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


class AttentionMap(SpatialAttention):
    """The map of spatial attention, (B, C, H, W) -> (B, 1, H, W) in (0, 1): what `SpatialAttention` multiplies with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).float().clamp(-15, 15).sigmoid()  # else rounding could reach 0 or 1


class Decoder(nn.Module):
    """From latent maps back to the size of the image; each level half as wide as the one before.

    A level enlarges its maps to the size of a skip (nearest neighbour, so that sides need not be divisible), joins the
    skip's maps where ``skips`` (channels, finest first) is not zero, and is a `skinlib.models.blocks.ConvBlock`. The
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
        """Return (B, outputs, *size) from latent maps and the maps of a `pyramid`, of which some may give sizes only.

        It is float32 whatever the precision: it is compared pixel by pixel.
        """
        for level, skip, joins in zip(self.levels, reversed(skips), self.joins, strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = level(torch.cat([x, skip], 1) if joins else x)
        return F.interpolate(self.last(x).float(), size=size, mode="bilinear", align_corners=False)
