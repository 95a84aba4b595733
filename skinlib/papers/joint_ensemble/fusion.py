"""What follows the pooled features of several backbones: reduction, metadata, a shared layer and two branches."""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn

from skinlib.data import demographics
from skinlib.images import abcd
from skinlib.images.batches import Batches
from skinlib.models.system import Network

META_WIDTH = 32  # of the metadata branch's two layers; ours
FAR = 10.0  # deviations: a feature that hardly fires in training must not decide alone where it does; ours


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
        total, reduction = sum(widths), design["reduction"]
        self.seed, self.reduced = seed, total
        self.register_buffer("centre", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        self.attention = Attention(widths, design["width"]) if widths and reduction == "attention" else None
        if self.attention is not None:
            self.reduced = design["width"]
        pca = widths and reduction == "pca"
        self.reduced = design["components"] if pca else self.reduced
        self.register_buffer("components", torch.zeros(self.reduced, total) if pca else None)
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
