"""What leakage does, seen in seconds: two training parts that differ in lesion-mates alone, and a nearest neighbour."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data import splits
from skinlib.data.splits import leak_arms as arms

__all__ = ["arms", "mates", "nearest", "thumbnails"]


def mates(cohort: pd.DataFrame, split: pd.DataFrame, *, fold: int = 0, part: str = "test") -> tuple[int, int]:
    """Return how many images of a part have an image of the same lesion or patient in training, and its images.

    The groups are those of the cohort, whatever the split calls a group.
    """
    group = splits.groups(cohort).set_axis(cohort["image_id"])
    rows = split[split["fold"] == fold]
    trained = set(group[rows.loc[rows["part"] == "train", "image_id"]])
    held = group[rows.loc[rows["part"] == part, "image_id"]]
    return int(held.isin(trained).sum()), len(held)


def thumbnails(cohort: pd.DataFrame, side: int = 16, *, workers: int = 4) -> np.ndarray:
    """Return (N, side * side * 3) float, 0 to 255: each image shrunk to a square of ``side`` pixels, RGB."""

    def shrink(path: str) -> np.ndarray:
        with Image.open(path) as image:
            image.draft("RGB", (4 * side, 4 * side))  # JPEG decodes to an eighth almost for nothing
            small = image.convert("RGB").resize((side, side), Image.Resampling.BOX)
        return np.asarray(small, dtype=np.float64).ravel()

    with ThreadPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(shrink, cohort["image_path"])))


def nearest(cohort: pd.DataFrame, features: np.ndarray, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Classify each test image like its nearest training image; labels are 0 benign and 1 malignant.

    The score is d0 / (d0 + d1), from the distances to the nearest benign and the nearest malignant training image;
    above 0.5 the nearest neighbour is malignant.

    Parameters
    ----------
    features
        (N, D), rows as in the cohort; distances are Euclidean.
    train, test
        Row positions.

    Returns
    -------
    DataFrame
        ``image_id, label, p_benign, p_malignant, neighbour`` (image id), ``mate`` (the neighbour is of the same group).
    """
    label, group = cohort["label"].to_numpy(), splits.groups(cohort).to_numpy()
    a, b = features[test], features[train]
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squared, 0))  # (test, train)
    d0, d1 = (distance[:, label[train] == value].min(axis=1) for value in (0, 1))
    score = np.divide(d0, d0 + d1, out=np.full(len(test), 0.5), where=d0 + d1 > 0)
    closest = np.asarray(train)[distance.argmin(axis=1)]
    ids = cohort["image_id"].to_numpy()
    return pd.DataFrame(
        {
            "image_id": ids[test],
            "label": label[test],
            "p_benign": 1 - score,
            "p_malignant": score,
            "neighbour": ids[closest],
            "mate": group[closest] == group[test],
        }
    )
