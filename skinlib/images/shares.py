"""A share of the training images: whole lesions of every class, the smaller share inside the larger."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.data.splits import groups
from skinlib.provenance import generator


def nested_share(part: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """Return some positions in a training part, (n,) int64, ascending: ``share`` of each class's images, above 0 to 1.

    Lesions are taken whole until it is reached, at least one, in an order drawn from ``seed``: a smaller share of one
    seed lies in a larger one.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of training images is {share}; give more than 0, at most 1")
    group, chosen = groups(part).to_numpy(), []
    for label in np.unique(part["label"]):
        rows = np.flatnonzero(part["label"] == label)
        names, sizes = np.unique(group[rows], return_counts=True)
        order = generator(seed, int(label)).permutation(len(names))
        taken = np.searchsorted(np.cumsum(sizes[order]), share * len(rows) - 1e-9) + 1
        chosen.append(rows[np.isin(group[rows], names[order[:taken]])])
    return np.sort(np.concatenate(chosen))
