"""Images and masks on disk, as a cohort."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


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
