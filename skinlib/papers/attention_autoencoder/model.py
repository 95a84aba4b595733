"""Spatial attention and autoencoder-decoder fusion on a pretrained backbone (Thwin and Park, Ewha Womans University).

The claim: a ResNet-50 tells basal cell carcinoma, squamous cell carcinoma and melanoma apart better when an attention
map says where to look and when the network must outline the lesion too. The paper is one figure and prose: it prints no
equation, no layer and no hyper-parameter. Read so (section IV, in its order):

- ``baseline``: Phi, "a pre-trained convolutional neural network", pooling, a classification layer.
- ``attention``: A = sigmoid(conv7x7([max; mean over channels of Phi])), F = A * Phi: "generating an attention map,
  which highlights important regions" (III.B). The map is an output, for "attention maps ... enhance interpretability".
- ``autoencoder``: z = a narrower map of F, "the encoder compresses the input image into a lower-dimensional latent
  space"; a decoder with "skip connections ... inspired by U-Net" draws the lesion; another, without skips, the image.
  The pooled z joins the pooled F in front of the classifier: the title's fusion.
- ``proposed``: both. z is made of what attention let through: "attention mechanisms enhance segmentation" (I).

Ours, where the text is silent:

- The attention map belongs to the last feature maps and is as coarse as they are: 7 x 7 at 224 pixels.
- z has 256 channels (``latent``): 7 * 7 * 256 = 12,544 numbers for 150,528 of the image.
- How pooled latent and features are fused is not said: ``concatenate`` (default), ``gate`` or ``add`` (``fusion``).
- Section III.A lets the decoder "reconstruct the image or output the segmentation mask": both, from one latent. The
  reconstruction gets no skips; with them copying the finest maps would do and nothing would pass through z.
- A decoder is there if a loss asks for what it draws; a latent without one is still fused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.ops import Conv2dNormActivation

from skinlib.config import RunConfig
from skinlib.images.batches import IMAGENET_MEAN, IMAGENET_STD
from skinlib.images.visits import nested_share
from skinlib.models import backbones
from skinlib.models.pyramid import AttentionMap, Decoder, pyramid, skip_widths
from skinlib.models.system import Network, System

VARIANTS = ("baseline", "attention", "autoencoder", "proposed")
ATTENDS, DECODES = ("attention", "proposed"), ("autoencoder", "proposed")
LATENT = 256
DRAWN = {"dice": "mask", "mask_cross_entropy": "mask", "reconstruction": "reconstruction"}  # loss -> what it looks at
FUSIONS = ("concatenate", "gate", "add")
DATA_OPTIONS = ("share",)  # of the training images, in (0, 1]


class Fusion(nn.Module):
    """Join pooled features (B, C) and pooled latent (B, L) to (B, ``width``).

    ``concatenate``: [f; z], of C + L. ``gate``: f * sigmoid(W z + b), and ``add``: f + W z + b, of C.
    """

    def __init__(self, kind: str, features: int, latent: int):
        super().__init__()
        if kind not in FUSIONS:
            raise ValueError(f"no fusion {kind!r}; there are {', '.join(FUSIONS)}")
        self.kind, self.width = kind, features + latent if kind == "concatenate" else features
        self.linear = nn.Linear(latent, features) if kind != "concatenate" else None

    def forward(self, features: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        if self.kind == "concatenate":
            return torch.cat([features, latent], 1)
        latent = self.linear(latent)
        return features * latent.sigmoid() if self.kind == "gate" else features + latent


class AttentionAutoencoder(Network):
    """All four variants. ``draws`` names the decoders: ``mask``, ``reconstruction``.

    Returns ``logits`` (B, K) and ``features`` (B, D), what the classifier reads; and of the parts that there are
    ``attention`` (B, 1, h, w) in (0, 1), ``mask`` (B, 1, H, W) logits of the lesion, ``reconstruction`` (B, 3, H, W),
    the image in [0, 1].
    """

    def __init__(
        self, backbone: nn.Module, classes: int, *, variant: str, draws: tuple, latent: int, fusion: str, dropout: float
    ):
        super().__init__()
        self.phi, skips = backbone, skip_widths(backbone)
        decodes, width = variant in DECODES, backbones.width(backbone, (96, 96))  # 96: an Inception-v3 needs 75
        self.attend = AttentionMap() if variant in ATTENDS else None
        self.bottleneck = Conv2dNormActivation(width, latent, 1) if decodes else None
        self.to_mask = Decoder(latent, skips, 1) if "mask" in draws else None
        self.to_image = Decoder(latent, [0] * len(skips), 3) if "reconstruction" in draws else None
        self.fuse = Fusion(fusion, width, latent) if decodes else None
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(self.fuse.width if decodes else width, classes)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        output, skips = {}, []
        if self.to_mask or self.to_image:
            maps, skips = pyramid(self.phi, image)  # (B, C, h, w)
        else:
            maps = self.phi(image)
        if self.attend:
            output["attention"] = self.attend(maps)  # (B, 1, h, w)
            maps = maps * output["attention"].to(maps.dtype)
        pooled = maps.mean((2, 3))  # (B, C)
        if self.bottleneck:
            latent = self.bottleneck(maps)  # (B, L, h, w)
            pooled = self.fuse(pooled, latent.mean((2, 3)))
            size = image.shape[-2:]
            output |= {"mask": self.to_mask(latent, skips, size)} if self.to_mask else {}
            output |= {"reconstruction": self.to_image(latent, skips, size).sigmoid()} if self.to_image else {}
        return {"logits": self.head(self.drop(pooled)), "features": pooled} | output

    def cam_layer(self) -> nn.Module:
        """Return the backbone's last maps, before attention."""
        return backbones.last_maps(self.phi)

    def shared(self) -> list[nn.Parameter]:
        """Return the parameters that every task trains: the encoder's."""
        return list(self.phi.parameters())

    def depth_groups(self) -> dict[str, str]:
        """Return parameter name -> early, late (of the backbone) or head, for differential learning rates."""
        inside = {f"phi.{name}": group for name, group in backbones.depth_groups(self.phi).items()}
        return {name: inside.get(name, "head") for name, _ in self.named_parameters()}


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> AttentionAutoencoder:
    """Build a variant; ``options``: ``share`` of the training images, and of the decoding ones ``latent``, ``fusion``.

    Raises
    ------
    ValueError
        For a variant that nobody knows, an option or a loss that the variant has no part for, a fusion that nobody
        knows, or a backbone without skip features.
    WeightsUnavailable
        When pretrained weights are asked for and cannot be had.
    """
    if config.variant not in VARIANTS:
        raise ValueError(f"no variant {config.variant!r}; there are {', '.join(VARIANTS)}")
    decodes = config.variant in DECODES
    known = [*DATA_OPTIONS, "latent", "fusion"] if decodes else [*DATA_OPTIONS]
    if unknown := sorted(set(config.options) - set(known)):
        raise ValueError(f"variant {config.variant} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    asked = [name for name in DRAWN if name in config.losses]
    if asked and not decodes:
        raise ValueError(f"variant {config.variant} has no decoder for the loss {', '.join(asked)}; leave it out")
    return AttentionAutoencoder(
        backbones.create(config.backbone, config.weights, weights_file=weights_file),
        classes,
        variant=config.variant,
        draws=tuple(sorted({DRAWN[name] for name in asked})),
        latent=config.options.get("latent", LATENT),
        fusion=config.options.get("fusion", FUSIONS[0]),
        dropout=config.dropout,
    )


def as_pixels(images: torch.Tensor, normalisation: str) -> torch.Tensor:
    """Return the pixels in [0, 1] behind network input (B, 3, H, W); with ``minmax`` the stretched ones."""
    if normalisation != "imagenet":
        return images
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return images * std + mean


def reconstruction(config: RunConfig, weights: torch.Tensor | None) -> Callable:
    """Return the term of the redrawn image: the mean squared error over its pixels, which lie in [0, 1], and images."""

    def term(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = output["reconstruction"].float()
        error = (drawn - as_pixels(batch["image"], config.normalisation)).square().mean((1, 2, 3))
        return error.sum(), error.new_tensor(len(error))

    return term


def visits(part: pd.DataFrame, config: RunConfig) -> dict[str, np.ndarray] | None:
    """Return the training images of the configuration's ``share``, once each; None where it names none: all of them."""
    share = config.options.get("share")
    return None if share is None else {"row": nested_share(part, share, config.seed)}


SYSTEM = System(build, losses={"reconstruction": reconstruction}, visits=visits)
