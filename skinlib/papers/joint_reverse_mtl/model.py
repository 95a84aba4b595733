"""Multi-task U-Net with joint reverse optimisation (Al-masni et al., Bioengineering 11(11), 1173, 2024).

The claim: one network that outlines a lesion and diagnoses it does both better when each task feeds the other. The
decoder's lesion map tells the classifier where to look; the classifier's fully connected layers gate, channel by
channel, the last two decoder levels, which therefore run twice (eq. 2: X_L = ReLU(W_L * [X_{L-1} . FC_cls] + b_L)).

Variants, each the one before with one idea more (section 4.2; notebook 22 counts their parameters):

- ``cls``: a ResNet-50 alone, head 2048-128-64-K. ``seg``: the U-Net alone.
- ``mtl0``: pooled maps of the last encoder level into fully connected layers 320-128-64-K.
- ``mtl1``: connects the last two decoder levels with the classifier: their maps times the predicted lesion
  probability at their own resolution, a 3x3 convolution to 32 channels each, the mean under the same probability.
- ``mtl2``: the reverse connection; and the encoder level before the last joins the classifier.
- ``mtl3``: CBAM on the last two encoder levels, in the classifier's branch only ("directly attach their outputs to the
  classification sub-module"). ``mtl4``: the network of ``mtl3``, trained with more melanomas.

Departures, where the text is silent or cannot be meant:

- Eq. 2 calls FC_cls "the weights", which cannot depend on the image: the gate is the sigmoid of a linear map of the
  layer's activations (without the map, after ReLU, it could not fall below 0.5). Its 16,512 + 4,160 weights are what
  the published count of MTL2 leaves. ``gate: relu`` is the literal, unbounded reading.
- Eq. 2 is a convolution with ReLU, so the gate multiplies what enters a level's first 3x3 convolution: up-sampled and
  skip maps, 128 and 64 channels, the "same number of features k" as the two fully connected layers.
- The two passes share all weights, batch norm's too, and keep separate statistics. The first pass draws the map that
  the classifier reads, the second the segmentation. The first map has no loss but ``first_dice``, by default off.
- The classifier's gradient flows into the map, and the segmentation's through the gate, as an autograd framework does.
- Solved for against the published counts: 32 channels of the lesion convolutions, reduction 10 of CBAM.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from skinlib.config import RunConfig
from skinlib.images.visits import visits as chosen_views
from skinlib.models import backbones
from skinlib.models.blocks import CBAM, ConvBlock, MaskedFeatures, UpBlock
from skinlib.models.system import Network, System
from skinlib.training import losses

VARIANTS = ("cls", "seg", "mtl0", "mtl1", "mtl2", "mtl3", "mtl4")
WIDTHS = (32, 64, 128, 256, 320, 320)  # section 3.4.1, as in nnU-Net
HEAD = (128, 64)  # of cls: ours, the multi-task head's widths; 23.78 M (published 23.84)
REDUCTION = 10  # of CBAM: ours, 41,864 parameters for two modules (published + 0.04 M); 16 would give 26,480


def _another_image(gate: torch.Tensor) -> torch.Tensor:
    if len(gate) < 2:
        raise ValueError("gates are shuffled between the images of a batch; give at least two images")
    return gate.roll(1, 0)  # batches are in random order in training: the neighbour is a random other image


# What eq. 2's dot product multiplies with, from the linear map of a fully connected layer's activations.
GATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,  # the proposed one
    "relu": torch.relu,  # the literal, unbounded reading
    "shuffled": lambda x: _another_image(x.sigmoid()),  # control: says nothing of this image
    "detached": lambda x: x.sigmoid().detach(),  # control: the mask's loss does not reach the classifier
    "ones": torch.ones_like,  # control: runs twice, ungated
    "forward": torch.sigmoid,  # control: gates the classifier's own activations; same parameters, nothing runs back
}


class UNet(Network):
    """The segmentation network: six levels, strided convolutions down, transposed convolutions up (section 3.4.1).

    Returns ``mask`` (B, 2, H, W), logits of skin and lesion; no class logits. The 1x1 convolution ends the decoder.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, *, passes: int = 1):
        super().__init__()
        if len(widths) < 3:
            raise ValueError(f"the U-Net needs at least three levels, got widths {list(widths)}")
        down = enumerate(zip((3, *widths[:-1]), widths, strict=True))
        self.encoder = nn.ModuleList(ConvBlock(i, o, stride=2 if level else 1) for level, (i, o) in down)
        up = range(len(widths) - 2, -1, -1)
        self.decoder = nn.ModuleList(UpBlock(widths[k + 1], widths[k], passes=passes if k < 2 else 1) for k in up)
        self.to_mask = nn.Conv2d(widths[0], 2, 1)

    def encode(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of every level, finest first: (B, 32, H, W) ... (B, 320, H/32, W/32)."""
        step = 2 ** (len(self.encoder) - 1)
        if image.shape[2] % step or image.shape[3] % step:
            raise ValueError(f"the U-Net needs sides divisible by {step}, got {tuple(image.shape[2:])}")
        maps = []
        for block in self.encoder:
            maps.append(block(maps[-1] if maps else image))
        return maps

    def coarse(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the decoder's maps before its last two levels: (B, 128, H/4, W/4)."""
        x = maps[-1]
        for level, skip in zip(self.decoder[:-2], maps[-2:1:-1], strict=True):
            x = level(x, skip)
        return x

    def fine(self, x: torch.Tensor, maps: Sequence[torch.Tensor], gates: Sequence[torch.Tensor] = ()):
        """Return the last two levels' maps, (B, 64, H/2, W/2), (B, 32, H, W), and mask logits; gated: second pass."""
        second, first = self.decoder[-2:]
        gate2, gate1 = gates or (None, None)
        half = second(x, maps[1], gate2, turn=int(bool(gates)))
        full = first(half, maps[0], gate1, turn=int(bool(gates)))
        return (half, full), self.to_mask(full)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        maps = self.encode(image)
        return {"mask": self.fine(self.coarse(maps), maps)[1]}

    def cam_layer(self) -> nn.Module:
        return self.encoder[-1]  # both tasks read its maps


class MultiTask(UNet):
    """MTL0 to MTL4. ``gate`` is a key of `GATES` and may be set on a trained network to ask what its gates carry."""

    def __init__(self, variant: str, classes: int, *, widths: Sequence[int], gate: str, dropout: float):
        step = VARIANTS.index(variant) - VARIANTS.index("mtl0")
        super().__init__(widths, passes=2 if step >= 2 else 1)
        self.gate = gate if step >= 2 else None
        ends = [widths[-1], widths[-2]] if step >= 2 else [widths[-1]]  # encoder levels that the classifier reads
        hidden = (2 * widths[1], 2 * widths[0])  # k of eq. 2: what enters the last two decoder levels; 128, 64
        pooled = sum(ends) + (2 * widths[0] if step >= 1 else 0)
        self.fc = nn.ModuleList(nn.Linear(*size) for size in ((pooled, hidden[0]), hidden, (hidden[1], classes)))
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.lesion = nn.ModuleList(MaskedFeatures(w, widths[0]) for w in (widths[1], widths[0]) if step >= 1)
        self.gates = nn.ModuleList(nn.Linear(k, k) for k in hidden if step >= 2)
        self.cbam = nn.ModuleList(CBAM(w, REDUCTION) for w in ends if step >= 3)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        maps = self.encode(image)
        x = self.coarse(maps)
        fine, first_mask = self.fine(x, maps)  # first pass: eq. 1
        lesion = first_mask.float().softmax(1)[:, 1:]  # (B, 1, H, W)
        ends = [maps[-1], maps[-2]] if self.gates else [maps[-1]]
        if self.cbam:
            ends = [attend(end) for attend, end in zip(self.cbam, ends, strict=True)]
        pooled = [end.mean((2, 3)) for end in ends]
        if self.lesion:
            pooled += [pool(maps, lesion) for pool, maps in zip(self.lesion, fine, strict=True)]
        pooled = torch.cat(pooled, 1)  # (B, 320 [+ 320 + 64])
        logits, gates = self._diagnose(pooled)
        output = {"logits": logits, "features": pooled}
        if not self.gates or self.gate == "forward":
            return output | {"mask": first_mask}
        mask = self.fine(x, maps, gates)[1]  # second pass: eq. 2
        return output | {"mask": mask, "first_mask": first_mask, "gates": torch.cat(gates, 1)}

    def shared(self) -> list[nn.Parameter]:
        return list(self.encoder.parameters())

    def _diagnose(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        gates = []
        for level, fc in enumerate(self.fc[:-1]):
            x = self.drop(fc(x).relu())  # (B, 128), then (B, 64)
            if self.gates:
                gates.append(GATES[self.gate](self.gates[level](x)))
                x = x * gates[-1] if self.gate == "forward" else x
        return self.fc[-1](x), gates


class Classifier(Network):
    """The single-task baseline: a backbone, pooling, fully connected layers 128-64-K (section 4.1)."""

    def __init__(self, backbone: nn.Module, classes: int, dropout: float):
        super().__init__()
        self.backbone = backbone
        layers = [nn.Linear(backbones.width(backbone), HEAD[0]), nn.ReLU(), nn.Dropout(dropout)]
        layers += [nn.Linear(*HEAD), nn.ReLU(), nn.Dropout(dropout), nn.Linear(HEAD[1], classes)]
        self.head = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor, meta: torch.Tensor | None = None, *, features=None) -> dict:
        pooled = self.backbone(image).mean((2, 3))  # (B, 2048)
        return {"logits": self.head(pooled), "features": pooled}

    def cam_layer(self) -> nn.Module:
        return backbones.last_maps(self.backbone)


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> nn.Module:
    """Build a variant; ``options``: ``widths`` of the levels, ``gate``. Only ``cls`` reads backbone and weights."""
    if config.variant not in VARIANTS:
        raise ValueError(f"no variant {config.variant!r}; there are {', '.join(VARIANTS)}")
    known = ["views"] if config.variant == "cls" else ["views", "widths"]
    known += ["gate"] if VARIANTS.index(config.variant) >= VARIANTS.index("mtl2") else []
    if unknown := sorted(set(config.options) - set(known)):
        raise ValueError(f"variant {config.variant} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    if config.variant == "cls":
        how = {"weights_file": weights_file, "size": config.image_size}
        backbone = backbones.create(config.backbone, config.weights, **how)
        return Classifier(backbone, classes, config.dropout)
    if config.weights != "none":
        raise backbones.WeightsUnavailable(f"variant {config.variant} has no published weights; choose weights none")
    widths, gate = config.options.get("widths", WIDTHS), config.options.get("gate", "sigmoid")
    if gate not in GATES:
        raise ValueError(f"no gate {gate!r}; there are {', '.join(GATES)}")
    if config.variant == "seg":
        return UNet(widths)
    return MultiTask(config.variant, classes, widths=widths, gate=gate, dropout=config.dropout)


def first_dice(config: RunConfig, weights: torch.Tensor | None) -> losses.Term:
    """Return the term of the first pass's map: Dice, as of the segmentation output."""
    return lambda output, batch: losses.dice({"mask": output["first_mask"]}, batch)


def visits(part: pd.DataFrame, config: RunConfig) -> dict[str, np.ndarray] | None:
    """Return the chosen views of the training images (section 3.2), None where the configuration chooses none."""
    views = config.options.get("views")  # diagnosis, or "added" of another set -> key of skinlib.images.visits.VIEWS
    if views is None:
        return None
    kind = part["diagnosis"]
    return chosen_views((kind.mask(part["added"], "added") if "added" in part else kind).map(views))


SYSTEM = System(build, losses={"first_dice": first_dice}, mask_losses=("first_dice",), visits=visits)
