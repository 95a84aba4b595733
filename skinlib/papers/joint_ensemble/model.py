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
from sklearn.decomposition import PCA
from torch import nn

from skinlib.config import RunConfig
from skinlib.data import demographics
from skinlib.images import abcd
from skinlib.images.batches import Batches
from skinlib.models import backbones
from skinlib.models.system import Network, System

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
META_WIDTH = 32  # of the metadata branch's two layers; ours
FAR = 10.0  # deviations: a feature that hardly fires in training must not decide alone where it does; ours


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


class Attention(nn.Module):
    """One softmax gate per member and image: f = sum_m a_m z_m, z_m = W_m phi_m + b_m, a = softmax(v . tanh(z_m))."""

    def __init__(self, widths: list[int], width: int):
        super().__init__()
        self.widths = widths
        self.project = nn.ModuleList(nn.Linear(one, width) for one in widths)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = features.split(self.widths, -1)
        z = torch.stack([project(part) for project, part in zip(self.project, parts, strict=True)], -2)  # (B, M, d)
        gate = self.score(z.tanh()).softmax(-2)  # (B, M, 1)
        return (gate * z).sum(-2), gate[..., 0]


def _dense(inside: int, outside: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, outside), nn.BatchNorm1d(outside), nn.ReLU(), nn.Dropout(dropout))


class Fused(Network):
    """Everything after the pooling: reduction, metadata, the shared layer and both branches.

    What is fitted on training data (`prepare`) lies in buffers: ``centre`` and ``scale`` of features (C,), the
    ``components`` of PCA (k, C), ``attribute_centre`` and ``attribute_scale`` (A,).
    """

    def __init__(self, classes: int, widths: list[int], design: Mapping, *, dropout: float, seed: int = 0):
        super().__init__()
        self.seed, total = seed, sum(widths)
        reduction = design["reduction"] if widths else "none"
        self.reduced = {"attention": design["width"], "pca": design["components"], "none": total}[reduction]
        self.register_buffer("centre", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        self.attention = Attention(widths, design["width"]) if reduction == "attention" else None
        self.register_buffer("components", torch.zeros(self.reduced, total) if reduction == "pca" else None)
        self.meta = None
        if design["metadata"]:
            layers = nn.Linear(len(demographics.COLUMNS), META_WIDTH), nn.ReLU(), nn.Linear(META_WIDTH, META_WIDTH)
            self.meta = nn.Sequential(*layers, nn.ReLU())
        first, second = design["hidden"]
        self.shared_layer = _dense(self.reduced + (META_WIDTH if self.meta else 0), first, dropout)
        self.diagnosis = nn.Sequential(_dense(first, second, dropout), nn.Linear(second, classes))
        self.attributes = None
        if design["attributes"]:
            self.attributes = nn.Sequential(_dense(first, second, dropout), nn.Linear(second, len(abcd.MEASURES)))
            self.register_buffer("attribute_centre", torch.zeros(len(abcd.MEASURES)))
            self.register_buffer("attribute_scale", torch.ones(len(abcd.MEASURES)))

    @torch.no_grad()
    def prepare(self, batches: Batches, device: torch.device) -> None:
        """Fit what is fitted, on training rows: ``batches.columns`` has features (n, V, C) and attributes (n, A)."""
        if len(self.centre):
            features = torch.as_tensor(np.asarray(batches.columns["features"])).float().flatten(0, 1)
            self.centre.copy_(features.mean(0))
            self.scale.copy_(features.std(0).clamp(min=1e-6))  # a feature that never fires stays 0
            if self.components is not None:
                if min(features.shape) < self.reduced:
                    raise ValueError(
                        f"PCA to {self.reduced} components needs as many features and training views, got "
                        f"{tuple(features.shape)}; lower components"
                    )
                found = PCA(self.reduced, random_state=self.seed).fit(self._standardised(features).numpy())
                self.components.copy_(torch.from_numpy(found.components_))
        if self.attributes is not None:
            measured = np.asarray(batches.columns["attributes"])
            if lacking := [name for name, one in zip(abcd.MEASURES, measured.T, strict=True) if np.isnan(one).all()]:
                raise ValueError(f"no training image has a mask to measure {', '.join(lacking)}; turn attributes off")
            self.attribute_centre.copy_(torch.from_numpy(np.nanmean(measured, 0)))
            self.attribute_scale.copy_(torch.from_numpy(np.nanstd(measured, 0)).clamp(min=1e-6))

    def forward(self, image=None, meta: torch.Tensor | None = None, *, features: torch.Tensor | None = None) -> dict:
        """Diagnose from pooled features (B, C), or (B, V, C) of V views, and metadata (B, 20)."""
        if features is not None and features.ndim == 3:
            if not self.training:
                return self._mean_of_views(features, meta)
            view = torch.randint(features.shape[1], (len(features),), device=features.device)
            features = features[torch.arange(len(features), device=features.device), view]
        return self._one(features, meta)

    def _mean_of_views(self, features: torch.Tensor, meta: torch.Tensor | None) -> dict:
        views = [self._one(view, meta) for view in features.unbind(1)]
        output = {name: torch.stack([view[name] for view in views]).mean(0) for name in views[0] if name != "logits"}
        probabilities = torch.stack([view["logits"].float().log_softmax(1) for view in views])
        return output | {"logits": probabilities.logsumexp(0) - np.log(len(views))}  # of the mean probability

    def _standardised(self, features: torch.Tensor) -> torch.Tensor:
        """Return features with mean 0 and deviation 1 of the training views, cut at `FAR` deviations."""
        return ((features.float() - self.centre) / self.scale).clamp(-FAR, FAR)

    def _one(self, features: torch.Tensor | None, meta: torch.Tensor | None) -> dict:
        parts, output = [], {}
        if len(self.centre):
            x = self._standardised(features)
            if self.attention is not None:
                x, output["attention"] = self.attention(x)  # (B, d), (B, M)
            elif self.components is not None:
                x = x @ self.components.T
            parts.append(x)
        if self.meta is not None:
            parts.append(self.meta(meta))
        fused = torch.cat(parts, 1)
        shared = self.shared_layer(fused)
        output |= {"logits": self.diagnosis(shared), "features": fused}
        if self.attributes is not None:
            measured = self.attributes(shared).float() * self.attribute_scale + self.attribute_centre
            output |= {"attributes": measured, "attribute_scale": self.attribute_scale}
        return output


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
