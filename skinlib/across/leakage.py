"""What one part of the data knows of another: mates of one lesion, copies that look alike, and a nearest neighbour."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import uniform_filter

from skinlib.data import splits
from skinlib.data.pictures import read_image

SURROUNDINGS = 9  # pixels of the local mean that `likeness` takes off, of a picture of 64


def mates(cohort: pd.DataFrame, split: pd.DataFrame, *, fold: int = 0, part: str = "test") -> tuple[int, int]:
    """Return how many images of a part have an image of the same lesion or patient in training, and its images.

    The groups are those of the cohort, whatever the split calls a group.
    """
    group = splits.groups(cohort).set_axis(cohort["image_id"])
    rows = split[split["fold"] == fold]
    trained = set(group[rows.loc[rows["part"] == "train", "image_id"]])
    held = group[rows.loc[rows["part"] == part, "image_id"]]
    return int(held.isin(trained).sum()), len(held)


def _small(paths: Sequence[str], side: int, mode: str, workers: int = 4) -> Iterator[np.ndarray]:
    """Yield each image shrunk to a square of ``side`` pixels, float64."""

    def shrink(path: str) -> np.ndarray:
        image = Image.fromarray(read_image(path, side=64)).convert(mode)  # a JPEG decodes to an eighth for nothing
        return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float64)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(shrink, paths)


def thumbnails(cohort: pd.DataFrame) -> np.ndarray:
    """Return (N, 16 * 16 * 3) float, 0 to 255: each image shrunk to a square of 16 pixels, RGB."""
    return np.stack([image.ravel() for image in _small(cohort["image_path"], 16, "RGB")])


def nearest(cohort: pd.DataFrame, features: np.ndarray, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Classify each test image like its nearest training image; labels are 0 benign and 1 malignant.

    The score is d0 / (d0 + d1), from the Euclidean distances to the nearest benign and the nearest malignant training
    image; above 0.5 the nearest neighbour is malignant. ``features`` (N, D) are rows as in the cohort, ``train`` and
    ``test`` row positions. Returns ``image_id, label, p_benign, p_malignant, neighbour`` (image id), ``mate`` (the
    neighbour is of the same group).
    """
    label, group = cohort["label"].to_numpy(), splits.groups(cohort).to_numpy()
    a, b = features[test], features[train]
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squared, 0))  # (test, train)
    d0, d1 = (distance[:, label[train] == value].min(axis=1) for value in (0, 1))
    score = np.divide(d0, d0 + d1, out=np.full(len(test), 0.5), where=d0 + d1 > 0)
    closest = np.asarray(train)[distance.argmin(axis=1)]
    table = cohort[["image_id", "label"]].iloc[test].reset_index(drop=True)
    table = table.assign(p_benign=1 - score, p_malignant=score, neighbour=cohort["image_id"].to_numpy()[closest])
    return table.assign(mate=group[closest] == group[test])


def likeness(pairs: pd.DataFrame, cohort: pd.DataFrame) -> np.ndarray:
    """Return the correlation of the fine structure of the two pictures of each pair, (N,) in [-1, 1].

    Each picture becomes 64 x 64 grey pixels less their local mean over 9 x 9; what is left is texture, hair, the teeth
    of a ruler and the line of a border. Light and exposure drop out. A picture that was shifted or turned is not found.
    NaN where a picture has no fine structure at all. ``pairs`` are as `skinlib.data.checks` returns them, ``cohort``
    has all their images. Source: ours.
    """
    ends = [list(zip(pairs[f"dataset_{side}"], pairs[f"image_{side}"], strict=True)) for side in "ab"]
    paths = cohort.set_index(["dataset", "image_id"])["image_path"]
    wanted, fine = list(dict.fromkeys([*ends[0], *ends[1]])), {}
    for key, grey in zip(wanted, _small([paths[key] for key in wanted], 64, "L"), strict=True):
        detail = grey - uniform_filter(grey, SURROUNDINGS)
        detail = (detail - detail.mean()).ravel()
        length = np.linalg.norm(detail)
        fine[key] = detail / length if length > 0 else np.full(detail.size, np.nan)
    r = np.array([fine[a] @ fine[b] for a, b in zip(*ends, strict=True)], dtype=np.float64)
    return r.clip(-1, 1)  # rounding: a copy is exactly 1
