"""Spatial attention and autoencoder-decoder fusion on a pretrained backbone (Thwin and Park, Ewha Womans University).

The claim: a ResNet-50 tells basal cell carcinoma, squamous cell carcinoma and melanoma apart better when an attention
map says where to look and when the network must outline the lesion too. The paper is one figure and prose: it prints no
equation, no layer and no hyper-parameter. Read so (section IV, in its order):

- ``baseline``: Phi, "a pre-trained convolutional neural network", pooling, a classification layer.
- ``attention``: A = sigmoid(conv7x7([max; mean over channels of Phi])), F = A * Phi: "generating an attention map,
  which highlights important regions" (III.B). The map is an output.
- ``autoencoder``: z, a narrower map of F, "compresses the input image into a lower-dimensional latent space"; a decoder
  with U-Net's skips draws the lesion, another, without, the image. Pooled z joins pooled F: the title's fusion.
- ``proposed``: both. z is made of what attention let through: "attention mechanisms enhance segmentation" (I).

Ours, where the text is silent:

- The attention map belongs to the last feature maps and is as coarse as they are: 7 x 7 at 224 pixels.
- z has 256 channels (``latent``): 7 * 7 * 256 = 12,544 numbers for 150,528 of the image.
- How pooled latent and features are fused is not said: ``concatenate`` (default), ``gate`` or ``add`` (``fusion``).
- "Reconstruct the image or output the segmentation mask" (III.A): both, from one latent. The image gets no skips, with
  which copying the finest maps would do. A decoder is there if a loss asks for what it draws; z is fused without, too.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torchvision.ops import Conv2dNormActivation

from skinlib.config import RunConfig
from skinlib.images.visits import nested_share
from skinlib.models import backbones, superres
from skinlib.models.blocks import AttentionMap, Decoder, pyramid, skip_widths
from skinlib.models.system import Network, System

VARIANTS = ("baseline", "attention", "autoencoder", "proposed")
ATTENDS, DECODES = ("attention", "proposed"), ("autoencoder", "proposed")
LATENT = 256
DRAWN = {"dice": "mask", "mask_cross_entropy": "mask", "reconstruction": "reconstruction"}  # loss -> what it looks at
FUSIONS = ("concatenate", "gate", "add")


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
    """All four variants, with the decoders that the configuration's losses ask for.

    Returns ``logits`` (B, K) and ``features`` (B, D), what the classifier reads; and of the parts that there are
    ``attention`` (B, 1, h, w) in (0, 1), ``mask`` (B, 1, H, W) logits of the lesion, ``reconstruction`` (B, 3, H, W),
    the image in [0, 1].
    """

    def __init__(self, config: RunConfig, classes: int, *, weights_file: Path | None):
        super().__init__()
        how = {"weights_file": weights_file, "size": config.image_size}
        self.phi = backbones.create(config.backbone, config.weights, **how)
        skips, width = skip_widths(self.phi), backbones.width(self.phi)
        decodes, latent = config.variant in DECODES, config.options.get("latent", LATENT)
        draws = {DRAWN[name] for name in config.losses if name in DRAWN}
        self.attend = AttentionMap() if config.variant in ATTENDS else None
        self.bottleneck = Conv2dNormActivation(width, latent, 1) if decodes else None
        self.to_mask = Decoder(latent, skips, 1) if "mask" in draws else None
        self.to_image = Decoder(latent, [0] * len(skips), 3) if "reconstruction" in draws else None
        self.fuse = Fusion(config.options.get("fusion", FUSIONS[0]), width, latent) if decodes else None
        self.drop = nn.Dropout(config.dropout)
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
        return backbones.last_maps(self.phi)  # before attention

    def shared(self) -> list[nn.Parameter]:
        return list(self.phi.parameters())

    def depth_groups(self) -> dict[str, str]:
        inside = {f"phi.{name}": group for name, group in backbones.depth_groups(self.phi).items()}
        return {name: inside.get(name, "head") for name, _ in self.named_parameters()}


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> AttentionAutoencoder:
    """Build a variant; ``options``: ``share`` of the training images; where it decodes ``latent``, ``fusion``."""
    if config.variant not in VARIANTS:
        raise ValueError(f"no variant {config.variant!r}; there are {', '.join(VARIANTS)}")
    known = ["share", "latent", "fusion"] if config.variant in DECODES else ["share"]
    if unknown := sorted(set(config.options) - set(known)):
        raise ValueError(f"variant {config.variant} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    asked = [name for name in DRAWN if name in config.losses]
    if asked and config.variant not in DECODES:
        raise ValueError(f"variant {config.variant} has no decoder for the loss {', '.join(asked)}; leave it out")
    return AttentionAutoencoder(config, classes, weights_file=weights_file)


def reconstruction(config: RunConfig, weights: torch.Tensor | None) -> Callable:
    """Return the term of the redrawn image: mean squared error of pixels in [0, 1], with ``minmax`` stretched ones."""
    how = config.normalisation

    def term(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = batch["image"] if how == "minmax" else superres.pixels(batch["image"], how)
        return superres.pixel_error(output["reconstruction"], wanted)

    return term


def visits(part: pd.DataFrame, config: RunConfig) -> dict[str, np.ndarray] | None:
    """Return the training images of the configuration's ``share`` in (0, 1], once each; None where it names none."""
    share = config.options.get("share")
    return None if share is None else {"row": nested_share(part, share, config.seed)}


SYSTEM = System(build, losses={"reconstruction": reconstruction}, visits=visits)
