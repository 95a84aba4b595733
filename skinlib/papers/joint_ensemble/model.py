"""Joint learning system (Ashok et al., Pegem Journal of Education and Instruction 13(4), 490-496, 2023).

The claim: several backbones see more than one; their pooled features, concatenated and reduced, joined by what is known
of the patient, give a diagnosis (branch A) and lesion attributes (branch B) from one joint loss. The paper draws no
figure and prints no equation; read as formulas its sections IV and V say

    f = reduce([phi_1(x), ..., phi_M(x)]),  h = dense([f, mlp(metadata)]),  logits = A(h),  attributes = B(h),
    loss = cross entropy + w * attribute loss.

Variants:

- ``member``: one backbone with pooling, dropout and a linear layer, trained alone and kept as a run of its own.
- ``fused``: everything behind the pooling, on the features of finished members. Adding or removing a member trains
  nothing else: the paper's "without requiring complete retraining".
- ``joint``: the same after the members' backbones, all trained on from where they were: "to simultaneously optimize all
  branches".

Departures, where the text is silent:

- Features are standardised by the training part before they are reduced: members differ in scale.
- "PCA or a trainable attention mechanism": PCA is fitted on training features and stays as it is, so it cannot be
  optimised "simultaneously"; attention is one softmax gate per member and image on features of a common width.
- No attribute labels exist: targets are measured on mask and image (`skinlib.images.abcd`), the loss is their squared
  error in deviations of the training part. An image without a mask, or whose lesion is cut off, is left out of it.
- Both branches read one dense layer, or branch B could not teach branch A anything where the reduction is fixed.
- Several cached views of an image are augmentation and TTA at once: training draws one of them, evaluation averages
  the probabilities of all.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from skinlib.config import RunConfig
from skinlib.data import demographics
from skinlib.images import abcd
from skinlib.models import backbones
from skinlib.models.system import Network, System
from skinlib.papers.joint_ensemble.fusion import Fused

VARIANTS = ("member", "fused", "joint")
REDUCTIONS = ("attention", "pca", "none")
DESIGN = {  # options of ``fused`` and their defaults, all ours: the paper prints no width
    "members": {},  # name -> configuration of a member, as `RunConfig.to_dict` gives it; {}: metadata alone
    "reduction": "attention",
    "components": 128,  # of pca
    "width": 256,  # to which attention projects each member
    "metadata": True,
    "attributes": True,  # branch B
    "hidden": [256, 128],  # "a few dense layers": the first is shared by both branches, each has one of the second
}


class Member(Network):
    """One backbone: pooled features and, from them, logits."""

    def __init__(self, backbone: nn.Module, classes: int, *, width: int, dropout: float):
        super().__init__()
        self.backbone = backbone
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        pooled = self.backbone(image).mean((2, 3))  # (B, C)
        return {"logits": self.head(self.drop(pooled)), "features": pooled}

    def cam_layer(self) -> nn.Module:
        return backbones.last_maps(self.backbone)

    def depth_groups(self) -> dict[str, str]:
        return _depths(self, {"backbone": self.backbone})


class Joint(Network):
    """The members' backbones and what follows them, as one network on images."""

    def __init__(self, members: Mapping[str, nn.Module], fused: Fused):
        super().__init__()
        self.backbones, self.fused = nn.ModuleDict(members), fused

    def inherit(self, weights_of: Callable[[str], Mapping[str, torch.Tensor]]) -> None:
        """Take the weights of finished runs: of each member by its name, and under ``head`` those of the fused one."""
        for name, backbone in self.backbones.items():
            own = {k.removeprefix("backbone."): t for k, t in weights_of(name).items() if k.startswith("backbone.")}
            backbone.load_state_dict(own)
        self.fused.load_state_dict(dict(weights_of("head")))

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        pooled = torch.cat([backbone(image).mean((2, 3)) for backbone in self.backbones.values()], 1)
        return self.fused(meta=meta, features=pooled)

    def cam_layers(self) -> list[nn.Module]:
        return [backbones.last_maps(backbone) for backbone in self.backbones.values()]

    def depth_groups(self) -> dict[str, str]:
        return _depths(self, {f"backbones.{name}": backbone for name, backbone in self.backbones.items()})


def _depths(network: nn.Module, parts: Mapping[str, nn.Module]) -> dict[str, str]:
    """Return parameter name -> early or late of its backbone, which ``parts`` has by its place, or head."""
    depths = {place: backbones.depth_groups(backbone) for place, backbone in parts.items()}
    inside = {f"{place}.{name}": group for place, groups in depths.items() for name, group in groups.items()}
    return {name: inside.get(name, "head") for name, _ in network.named_parameters()}


def design(config: RunConfig) -> dict:
    """Return the options of a fused or joint run (its head's) with defaults filled in; ValueError for unknown ones."""
    if config.variant == "joint":
        return design(head_of(config))
    if unknown := sorted(set(config.options) - set(DESIGN)):
        raise ValueError(f"variant fused has no option {', '.join(unknown)}; it has {', '.join(DESIGN)}")
    found = DESIGN | dict(config.options)
    if found["reduction"] not in REDUCTIONS:
        raise ValueError(f"no reduction {found['reduction']!r}; there are {', '.join(REDUCTIONS)}")
    return found


def members(config: RunConfig) -> dict[str, RunConfig]:
    """Return name -> configuration of the members of a fused or joint run, by name: the order of their features.

    A configuration that was written and read again has its names sorted, so no other order would last.
    """
    return {name: RunConfig.from_dict(values) for name, values in sorted(design(config)["members"].items())}


def head_of(config: RunConfig) -> RunConfig:
    """Return the configuration of the fused run from which a joint one begins, its only option ``head``."""
    if set(config.options) != {"head"}:
        raise ValueError(f"variant joint has the one option head, got {sorted(config.options)}; see joint_of")
    return RunConfig.from_dict(config.options["head"])


def joint_of(config: RunConfig, **changes) -> RunConfig:
    """Return the joint configuration of a fused one: the same data and design, its members' images as input."""
    sizes = {(member.image_size, member.colour, member.normalisation) for member in members(config).values()}
    if len(sizes) != 1:
        raise ValueError(f"members of a joint network read one image at one size, got {len(sizes)} kinds: {sizes}")
    size, colour, normalisation = sizes.pop()
    read = {"image_size": size, "colour": colour, "normalisation": normalisation}
    return config.replace(variant="joint", options={"head": config.to_dict()}, **(read | changes))


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> nn.Module:
    """Build a variant; options of ``fused`` are the keys of `DESIGN`. Only ``member`` reads backbone and weights."""
    if config.variant not in VARIANTS:
        raise ValueError(f"no variant {config.variant!r}; there are {', '.join(VARIANTS)}")
    if config.variant == "member":
        if config.options:
            raise ValueError(f"variant member has no options, got {', '.join(config.options)}")
        size = config.image_size
        backbone = backbones.create(config.backbone, config.weights, weights_file=weights_file, size=size)
        return Member(backbone, classes, width=_width(config.backbone, size), dropout=config.dropout)
    chosen, parts = design(config), members(config)
    widths = [_width(member.backbone, member.image_size) for member in parts.values()]
    fused = Fused(classes, widths, chosen, dropout=config.dropout, seed=config.seed)
    if config.variant == "fused":
        return fused
    create = lambda member: backbones.create(member.backbone, "none", size=member.image_size)
    return Joint({name: create(member) for name, member in parts.items()}, fused)


@functools.cache
def _width(backbone: str, size: tuple[int, int]) -> int:
    """Return the number of a member's features; on the meta device nothing is computed and no random number drawn."""
    with torch.device("meta"):
        return backbones.width(backbones.create(backbone, "none", size=size))


def attribute_loss(config: RunConfig, weights: torch.Tensor | None) -> Callable:
    """Return the loss of branch B: squared error in training deviations, over the measures that an image has."""

    def term(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        predicted, target = output["attributes"].float(), batch["attributes"]
        known = ~target.isnan()
        error = (predicted - torch.where(known, target, predicted)) / output["attribute_scale"]
        return (error**2).sum(), known.sum().float()

    return term


def parents(config: RunConfig) -> dict[str, RunConfig]:
    """Return the runs that must be finished first: the members, and the ``head`` from which ``joint`` begins."""
    if config.variant == "member":
        return {}
    return members(config) | ({"head": head_of(config)} if config.variant == "joint" else {})


def columns(cohort: pd.DataFrame, config: RunConfig, runs: Path) -> dict[str, np.ndarray]:
    """Return metadata ``meta`` (N, 20) and measured ``attributes`` (N, 5), NaN where unknown, as the design asks."""
    if config.variant == "member":
        return {}
    chosen, found = design(config), {}
    if chosen["metadata"]:
        found["meta"] = demographics.encode(cohort)
    if chosen["attributes"]:
        found["attributes"] = abcd.stored(cohort, runs.parent / "cache")[list(abcd.MEASURES)].to_numpy(np.float32)
    return found


SYSTEM = System(
    build,
    losses={"attributes": attribute_loss},
    columns=columns,
    reads_images=lambda config: config.variant != "fused",  # its batches hold its members' features instead
    parents=parents,
    reads_features=lambda config: config.variant == "fused" and bool(members(config)),
)
