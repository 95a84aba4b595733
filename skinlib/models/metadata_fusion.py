"""How clinical answers meet image features: the published ways, each (features, answers) -> features.

``m`` is the number of metadata columns. All of them act on what a backbone gives, so any backbone will do.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import nn

COMBINATION = 0.8  # Pacheco & Krohling 2020: the image's share of the concatenated features
SLOTS = 32  # MetaBlock acts on the pooled vector laid out as (C, 32), as in its authors' code


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers with a ReLU after each but the last, scale-preserving at the start (He et al. 2015): ours,
    for under torch's own start a stack of four gives features near 0, and whatever they multiply with them.
    """
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(sizes):
        linear = nn.Linear(inside, outside)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Concat(nn.Module):
    """Reduced image features next to the answers (Pacheco & Krohling 2020): (B, C), (B, m) -> (B, reduced + m).

    The reducer is Linear, batch norm, ReLU, dropout 0.5, as wide as makes the image `COMBINATION` of the whole.
    """

    def __init__(self, channels: int, m: int):
        super().__init__()
        reduced = round(m * COMBINATION / (1 - COMBINATION))
        self.reduce = nn.Sequential(nn.Linear(channels, reduced), nn.BatchNorm1d(reduced), nn.ReLU(), nn.Dropout(0.5))
        self.width = reduced + m

    def forward(self, pooled: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.reduce(pooled), table], 1)


class MetaNet(nn.Module):
    """sigmoid(W2 ReLU(W1 u)) multiplies the maps channel by channel (Li et al. 2020): (B, C, h, w) -> the same.

    W1 and W2 are its 1x1 convolutions over the answers; 64 channels between them.
    """

    def __init__(self, channels: int, m: int, hidden: int = 64):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(m, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, maps: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return maps * self.gate(table)[:, :, None, None]


class MetaBlock(nn.Module):
    """sigmoid(tanh(f(u) V) + g(u)) takes the place of the features V (Pacheco & Krohling 2021): (B, 32 C) -> the same.

    f and g are each a linear map of the answers with batch norm, one value for each of the C rows of V (B, C, 32).

    Raises ValueError when the features cannot be laid out in rows of 32.
    """

    def __init__(self, features: int, m: int):
        super().__init__()
        if features % SLOTS:
            raise ValueError(f"MetaBlock lays features out in rows of {SLOTS}; {features} features do not fit")
        rows = features // SLOTS
        self.f = nn.Sequential(nn.Linear(m, rows), nn.BatchNorm1d(rows))
        self.g = nn.Sequential(nn.Linear(m, rows), nn.BatchNorm1d(rows))

    def forward(self, pooled: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        v = pooled.unflatten(1, (-1, SLOTS))  # (B, C, 32)
        return (torch.tanh(v * self.f(table)[..., None]) + self.g(table)[..., None]).sigmoid().flatten(1)


class VisuallyGuided(nn.Module):
    """Metadata guided by visual features (after Pundhir et al. 2022): (B, C), (B, m) -> (B, 1024).

    From the words "visually aware metadata-guided supervision" only, for the text could not be had: the image's
    features decide, by a sigmoid gate, which metadata features pass, and both are concatenated. Its numbers are this
    reading's and not the authors'.
    """

    width = 1024

    def __init__(self, channels: int, m: int, hidden: int = 512):
        super().__init__()
        self.image, self.meta = nn.Linear(channels, hidden), mlp((m, 128, hidden))
        self.gate = nn.Linear(hidden, hidden)

    def forward(self, pooled: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        seen = self.image(pooled).relu()
        return torch.cat([seen, self.gate(seen).sigmoid() * self.meta(table)], 1)
