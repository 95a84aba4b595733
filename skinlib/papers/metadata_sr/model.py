"""Clinical metadata and a super-resolution task next to the image (Khurshid, Vatsa & Singh, 2024).

The claim: features that must also redraw the image at twice its size separate skin lesions better, and metadata weigh
them: FV = FV_image . FV_meta (eq. 2). Six-class diagnosis of smartphone images.

Variants, each over any timm backbone:

- ``image``: no metadata. ``metadata``: no image; the proposed metadata branch and classifier.
- ``concat``, ``metanet``, ``metablock``, ``pundhir``: the baselines of Table 1 (`skinlib.models.metadata_fusion`).
- ``proposed``: eq. 2. The auxiliary task comes with the option ``target``, for any variant that sees an image.

Departures, where the text is silent or cannot be meant:

- "An adaptive convolution layer before the flattening layer": a 1x1 convolution to the 512 channels of the metadata
  branch, then the mean over the map. ``adaptive: "kernel"`` is the literal reading, a kernel as large as the map.
- The target of super-resolution is computed from the input itself, so it holds no detail that the input lacks.
- Nothing of the decoder but the number six is published: see `skinlib.models.superres`. A prediction skips it.
- Blanks are filled in by `skinlib.models.imputation`, fitted on the training rows, "a neural network based imputation"
  not described; nothing tells the network which cells were filled.
- timm's VGG has two wide layers in front of the pooling: left out, as in the baselines' code; its 7x7 map is flattened.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from skinlib.config import RunConfig
from skinlib.data import clinical
from skinlib.images.batches import Batches
from skinlib.models import backbones, superres
from skinlib.models.imputation import Imputer
from skinlib.models.metadata_fusion import Concat, MetaBlock, MetaNet, VisuallyGuided, mlp
from skinlib.models.system import Network, System

VARIANTS = ("image", "metadata", "concat", "metanet", "metablock", "pundhir", "proposed")
META = (64, 128, 256, 512)  # Experimental setup
HIDDEN = 256  # of the classifier's first layer: ours
FUSIONS = {"concat": Concat, "metanet": MetaNet, "metablock": MetaBlock, "pundhir": VisuallyGuided}
OPTIONS = {
    "encoding": "cleaned",  # of skinlib.data.clinical
    "imputation": "autoencoder",  # of skinlib.models.imputation
    "target": None,  # of skinlib.models.superres.TARGETS; None: no auxiliary task
    "adaptive": "pool",  # pool | kernel
    "teacher_steps": 300,  # of a teacher trained here
    "rows": "with_image",  # with_image | all; only of metadata
}


class MetadataSR(Network):
    """All variants. ``imputer`` and a teacher that is trained here are fitted by `prepare`, before training."""

    def __init__(self, config: RunConfig, classes: int, *, weights_file: Path | None):
        super().__init__()
        options, channels, m, kernel = OPTIONS | dict(config.options), 0, 0, 1
        self.variant, self.target, self.seed, self.side = config.variant, options["target"], config.seed, 1
        self.normalisation, self.teacher_steps = config.normalisation, options["teacher_steps"]
        if self.variant != "metadata":
            how = {"weights_file": weights_file, "size": config.image_size}
            self.backbone = backbones.create(config.backbone, config.weights, **how)
            if hasattr(self.backbone, "pre_logits"):  # VGG
                self.backbone.pre_logits, self.side = nn.Identity(), 7
            channels = backbones.width(self.backbone)
        if self.variant != "image":
            blocks, scale = clinical.blocks(options["encoding"]), options["encoding"] == "cleaned"
            self.imputer = Imputer(blocks, method=options["imputation"], scale=scale, seed=config.seed)
            m = len(self.imputer.mean)
        if options["adaptive"] == "kernel":
            stride = 32 * (superres.SCALE if self.target == "native" else 1)  # native: images of twice the input's size
            kernel = [-(-side // stride) for side in config.image_size]
        if self.variant in ("metadata", "proposed"):
            self.meta = mlp((m, *META))
            self.head = nn.Sequential(nn.Linear(META[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
            self.adapt = nn.Conv2d(channels, META[-1], kernel) if self.variant == "proposed" else None
        else:
            flat = channels * self.side**2
            inside = channels if self.variant == "metanet" else flat
            self.fusion = FUSIONS[self.variant](inside, m) if self.variant in FUSIONS else None
            self.head = nn.Linear(getattr(self.fusion, "width", flat), classes)
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        if self.target is not None:
            self.decoder = superres.Decoder(backbones.width(self.backbone), double_last=self.target != "self")
        self.teacher = superres.teacher(self.target) if self.target in superres.TEACHERS else None

    def prepare(self, batches: Batches, device: torch.device) -> None:
        """Fit the imputation on the training rows, and train a teacher on the training images where one is wanted."""
        if hasattr(self, "imputer"):
            self.imputer.fit(torch.from_numpy(batches.columns["meta"]))
        if self.target == "ninasr_here":
            epochs = (batches.epoch(epoch, device) for epoch in itertools.count())
            images = (superres.pixels(batch["image"], self.normalisation) for epoch in epochs for batch in epoch)
            superres.train_teacher(self.teacher.to(device), images, steps=self.teacher_steps, seed=self.seed)

    def forward(self, image: torch.Tensor | None, meta: torch.Tensor | None = None, *, features=None) -> dict:
        """Return ``logits``, ``features`` (the fused vector) and, unless predicting, ``superres`` (B, 3, 2H, 2W)."""
        if image is None and self.variant != "metadata":
            raise ValueError(f"variant {self.variant} needs images")
        if meta is None and self.variant != "image":
            raise ValueError(f"variant {self.variant} needs metadata, encoded by skinlib.data.clinical")
        if self.target == "native":
            image = superres.reduce(image)
        maps = None if self.variant == "metadata" else self.backbone(image)  # (B, C, H/32, W/32)
        fused = self.fuse(maps, None if self.variant == "image" else self.imputer(meta))
        output = {"logits": self.head(self.drop(fused)), "features": fused}
        if self.target is not None and not torch.is_inference_mode_enabled():  # a validation loss wants it, a diagnosis
            output |= self._redraw(maps, image)
        return output

    def fuse(self, maps: torch.Tensor | None, table: torch.Tensor | None) -> torch.Tensor:
        """Return the fused features of maps (B, C, h, w) and complete, scaled answers (B, m)."""
        if self.variant == "metadata":
            return self.meta(table)
        if self.variant == "proposed":
            return self.adapt(maps).mean((2, 3)) * self.meta(table)  # eq. 2, (B, 512)
        if self.variant == "metanet":
            maps = self.fusion(maps, table)
        pooled = F.adaptive_avg_pool2d(maps, self.side).flatten(1)
        return pooled if self.variant in ("image", "metanet") else self.fusion(pooled, table)

    def _redraw(self, maps: torch.Tensor, image: torch.Tensor) -> dict[str, torch.Tensor]:
        drawn, scale = self.decoder(maps), 1 if self.target == "self" else superres.SCALE
        if drawn.shape[2:] != (scale * image.shape[2], scale * image.shape[3]):
            raise ValueError(f"super-resolution needs sides divisible by 32, got {tuple(image.shape[2:])}")
        if self.teacher is None:
            return {"superres": drawn}
        with torch.no_grad():
            return {"superres": drawn, "enlarged": self.teacher(superres.pixels(image, self.normalisation)).clamp(0, 1)}

    def shared(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())

    def cam_layer(self) -> nn.Module:
        return backbones.last_maps(self.backbone)


def build(config: RunConfig, classes: int, *, weights_file: Path | None = None) -> MetadataSR:
    """Build a variant with options of `OPTIONS`; raises ValueError for what does not go together."""
    if config.variant not in VARIANTS:
        raise ValueError(f"no variant {config.variant!r}; there are {', '.join(VARIANTS)}")
    if unknown := sorted(set(config.options) - set(OPTIONS)):
        raise ValueError(f"metadata_sr has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}")
    options = OPTIONS | dict(config.options)
    known = {"target": (None, *superres.TARGETS), "adaptive": ("pool", "kernel"), "rows": ("with_image", "all")}
    for name, values in known.items():
        if options[name] not in values:
            raise ValueError(f"option {name} is {options[name]!r}; choose one of {', '.join(map(str, values))}")
    if config.variant == "metadata" and options["target"] is not None:
        raise ValueError("variant metadata sees no image, so it has no super-resolution; leave the option target out")
    if config.variant != "metadata" and options["rows"] == "all":
        raise ValueError(f"variant {config.variant} reads images: rows without one cannot be used; leave rows out")
    if ("superres" in config.losses) != (options["target"] is not None):
        raise ValueError("the loss superres and the option target go together; give both or neither")
    return MetadataSR(config, classes, weights_file=weights_file)


def columns(cohort: pd.DataFrame, config: RunConfig, runs: Path) -> dict[str, np.ndarray]:
    """Return the encoded answers, with their blanks; the network fills them in."""
    if config.variant == "image":
        return {}
    return {"meta": clinical.encode(cohort, config.options.get("encoding", OPTIONS["encoding"]))}


def one_against_rest(config: RunConfig, weights: torch.Tensor | None) -> Callable:
    """Return eq. 3 to the letter: -sum_i (w_i y_i log p_i + (1 - y_i) log(1 - p_i)), p the softmax; mean over images.

    Weights are on the true class only; a cross entropy, as the text calls it, has no second sum.
    """

    def term(output: dict, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        logs = output["logits"].float().log_softmax(1)
        truth = F.one_hot(batch["label"], logs.shape[1])
        weight = 1.0 if weights is None else weights.to(logs.device)
        others = torch.log1p(-logs.exp().clamp(max=1 - 1e-6))
        return -(weight * truth * logs + (1 - truth) * others).sum(), logs.new_tensor(float(len(logs)))

    return term


SYSTEM = System(
    build,
    losses={"superres": superres.squared_error, "eq3": one_against_rest},
    columns=columns,
    reads_images=lambda config: config.variant != "metadata",
    reads_every_row=lambda config: config.options.get("rows") == "all",
)
