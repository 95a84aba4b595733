"""A second look at near-duplicates: do two pictures agree in what is fine, not only in what is coarse?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import uniform_filter

_SURROUNDINGS = 9  # pixels of the local mean that is taken off, of a picture of 64


def likeness(pairs: pd.DataFrame, cohort: pd.DataFrame, *, workers: int = 4) -> np.ndarray:
    """Correlation of the fine structure of the two pictures of each pair.

    Each picture becomes 64 x 64 grey pixels less their local mean over 9 x 9; what is left is texture, hair, the teeth
    of a ruler and the line of a border. Light and exposure drop out. A picture that was shifted or turned is not found.

    Parameters
    ----------
    pairs
        As `skinlib.data.checks` returns them: ``image_a, dataset_a, image_b, dataset_b``.
    cohort
        Holds every image of the pairs: ``dataset, image_id, image_path``.

    Returns
    -------
    ndarray
        (N,) in [-1, 1], in the order of the pairs; NaN where a picture has no fine structure at all.

    Source: ours.
    """
    ends = [list(zip(pairs[f"dataset_{side}"], pairs[f"image_{side}"], strict=True)) for side in "ab"]
    paths = cohort.set_index(["dataset", "image_id"])["image_path"]
    wanted = list(dict.fromkeys([*ends[0], *ends[1]]))
    with ThreadPoolExecutor(workers) as pool:
        fine = dict(zip(wanted, pool.map(_fine, [paths[key] for key in wanted]), strict=True))
    return np.array([fine[a] @ fine[b] for a, b in zip(*ends, strict=True)], dtype=np.float64)


def _fine(path: str, side: int = 64) -> np.ndarray:
    """Fine structure of a picture, (side * side,) with mean 0 and length 1, or NaN."""
    with Image.open(path) as image:
        image.draft("RGB", (side, side))
        grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX), dtype=np.float64)
    detail = grey - uniform_filter(grey, _SURROUNDINGS)
    detail = (detail - detail.mean()).ravel()
    length = np.linalg.norm(detail)
    return detail / length if length > 0 else np.full(detail.size, np.nan)


def each_once(pairs: pd.DataFrame) -> pd.DataFrame:
    """Drop pairs whose two ids were met in an earlier pair: one picture may lie in several data sets."""
    ids = [tuple(sorted(ids)) for ids in zip(pairs["image_a"], pairs["image_b"], strict=True)]
    return pairs[~pd.Series(ids, index=pairs.index, dtype=object).duplicated()]
