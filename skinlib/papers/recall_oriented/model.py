"""Recall-oriented ResNet-50 (Rumale et al., IJMRSET 9(4), 2026): a backbone, pooling, dropout, two outputs.

The paper's claim is not the network but what is done around it: a threshold under a recall constraint, folds and views
averaged, heat maps, and a look at skin tone. The network is its one equation, f(x) = W . Drop(GAP(Phi(x))) + b.

Departures: none in the network. "DenseNet" is taken as DenseNet-121; any timm backbone can stand for Phi.
"""

from pathlib import Path

import torch
from torch import nn

from skinlib.config import RunConfig
from skinlib.models import backbones
from skinlib.models.system import Network, System


class RecallOriented(Network):
    """f(x) = W . Drop(GAP(Phi(x))) + b (section III, "Model Architecture")."""

    def __init__(self, backbone: nn.Module, classes: int, dropout: float):
        super().__init__()
        self.phi = backbone
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(backbones.width(backbone), classes)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        maps = self.phi(image)  # (B, C, h, w)
        pooled = maps.mean((2, 3))  # (B, C)
        return {"logits": self.head(self.drop(pooled)), "features": pooled}

    def cam_layer(self) -> nn.Module:
        return backbones.last_maps(self.phi)  # the paper's ``layer4[-1]``, or its like in another backbone

    def depth_groups(self) -> dict[str, str]:
        inside = {f"phi.{name}": group for name, group in backbones.depth_groups(self.phi).items()}
        return {name: inside.get(name, "head") for name, _ in self.named_parameters()}


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> RecallOriented:
    """Build the network of a configuration."""
    if config.options:
        raise ValueError(f"recall_oriented has no options, got {', '.join(config.options)}")
    how = {"weights_file": weights_file, "size": config.image_size}
    backbone = backbones.create(config.backbone, config.weights, **how)
    return RecallOriented(backbone, classes, config.dropout)


SYSTEM = System(build)
