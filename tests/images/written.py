"""Images and masks on disk, as a cohort."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def flat(*rgb, side=32):
    """Return an image of one colour."""
    return np.full((side, side, 3), rgb, dtype=np.uint8)


def disc(side, radius, at=(0, 0)):
    """Return the mask of a disc, its centre so many rows and columns from that of the image."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2


def write_cohort(folder: Path, pictures: dict[str, tuple[np.ndarray, np.ndarray | None]]) -> pd.DataFrame:
    """Write image id -> (image, mask of gray values or None) as PNG files and return their cohort."""
    rows = []
    for name, pair in pictures.items():
        paths = [str(folder / f"{name}{ending}.png") for ending in ("", "_mask")]
        for array, path in zip(pair, paths, strict=True):
            if array is not None:
                Image.fromarray(array).save(path)
        rows.append({"image_id": name, "image_path": paths[0], "mask_path": np.nan if pair[1] is None else paths[1]})
    return pd.DataFrame(rows)
