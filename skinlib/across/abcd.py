"""Are the ABCD measures right? The same lesions at several resolutions, and lesions with marked structures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data.pictures import read_mask
from skinlib.images import abcd

SIZES = (128, 256, 512)  # pixels of the longer side
STREAKS = "streaks"  # the marked structure that speaks of the border
ALLOWED = 0.05  # relative change over the sizes


def at_sizes(name: str, image: np.ndarray, mask: np.ndarray, sizes: Sequence[int] = SIZES) -> list[dict]:
    """Measure a lesion at every size that its image has, shrunk from there: image_id, size and the measures."""
    rows, longer = [], max(mask.shape)
    for size in [size for size in sizes if size <= longer]:
        wide = tuple(max(1, round(side * size / longer)) for side in mask.shape[::-1])
        small = np.asarray(Image.fromarray(image).resize(wide, Image.Resampling.BOX))
        inside = np.asarray(Image.fromarray(mask).resize(wide, Image.Resampling.NEAREST))
        if inside.any():
            rows.append({"image_id": name, "size": size} | abcd.measure(small, inside))
    return rows


def unchanged(values: pd.Series, reference: pd.Series) -> pd.Series:
    """Return (N,) bool: within `ALLOWED` of the lesion's own reference or, where that is small, of the median one."""
    size = reference.abs()
    return (values - reference).abs() <= ALLOWED * size.clip(lower=size.median())


def marked(cohort: pd.DataFrame, most: int) -> pd.DataFrame:
    """Measure lesions whose structures were marked (ISIC 2018 Task 2): ``most`` at even steps of ids, and all streaks.

    Streaks are rare: a sample would hold a handful. Returns the measures, for each structure whether its mask has a
    pixel (0 or 1), and ``sampled``: 1 at even steps, 0 of a lesion that is there for its streaks alone.
    """
    columns = [name for name in cohort if name.startswith("attribute_")]
    rows = cohort.dropna(subset=["mask_path", *columns]).sort_values("image_id") if columns else cohort.head(0)
    rows = rows[rows[columns].map(lambda path: Path(path).is_file()).all(axis=1)]
    if rows.empty:
        return pd.DataFrame()
    rows = rows.assign(sampled=(np.arange(len(rows)) % max(1, -(-len(rows) // most)) == 0).astype(int))
    rows = rows[(rows["sampled"] == 1) | rows[f"attribute_{STREAKS}"].map(_has_pixel).astype(bool)]
    found = {name.removeprefix("attribute_"): rows[name].map(_has_pixel).to_numpy() for name in columns}
    return abcd.abcd_table(rows).assign(**found, sampled=rows["sampled"].to_numpy())


def _has_pixel(path: str) -> int:
    return int(read_mask(path).any())
