"""Training visits that a system draws up itself: views counted exactly instead of drawn, and a share of the images."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from skinlib.data.splits import groups
from skinlib.provenance import generator

# (degrees, left-right, up-down): the image turned, then mirrored where there is -1.
_TURNS = tuple((angle, 1, 1) for angle in range(0, 360, 45))
_HALF = range(0, 180, 45)
VIEWS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "identity": _TURNS[:1],
    "right_angles": _TURNS[::2],
    # The 16 symmetries of an octagon; each mirroring has half of the turns, for an up-down mirror image is a left-right
    # one turned by 180.
    "octagon": (*_TURNS, *((angle, -1, 1) for angle in _HALF), *((angle, 1, -1) for angle in _HALF)),
}


def visits(views: Iterable[str]) -> dict[str, np.ndarray]:
    """Return a visit for every view of every image, from the key of `VIEWS` of each image.

    ``row`` (n,) int64 are positions 0 to N - 1, each as often as it has views; ``angle`` (n,) float32 radians; ``flip``
    (n, 2) float32 of 1 and -1.
    """
    names = list(views)
    if unknown := sorted(set(names) - set(VIEWS)):
        raise ValueError(f"no views {', '.join(unknown)}; there are {', '.join(VIEWS)}")
    chosen = np.array([view for name in names for view in VIEWS[name]], np.float32).reshape(-1, 3)
    return {
        "row": np.repeat(np.arange(len(names)), [len(VIEWS[name]) for name in names]),
        "angle": chosen[:, 0] * np.float32(math.pi / 180),
        "flip": chosen[:, 1:],
    }


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
