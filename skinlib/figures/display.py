"""Pictures for the eye in a notebook: a figure as an image, a mask as an outline, a few rows as a contact sheet."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.ndimage import binary_erosion

from skinlib.figures.images import image_grid
from skinlib.images.skin_tone import read_pair

LINE = (86, 180, 233)  # the outline's blue, RGB


def outlined(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return a copy of an image with the border of its mask, if any, drawn in blue, one pixel wide inside the mask."""
    drawn = np.array(image)
    if mask is not None:
        drawn[mask & ~binary_erosion(mask)] = LINE
    return drawn


def sheet(
    rows: pd.DataFrame, titles: Sequence[str] = (), *, columns: int = 6, size: int = 128, title: str = ""
) -> Figure:
    """Return a contact sheet of cohort rows in their order, masks outlined, the longer side shrunk to ``size`` pixels.

    ``titles`` are one a row; without them the diagnosis, where the set has one.
    """
    if not len(titles) and rows["diagnosis"].notna().all():
        titles = list(rows["diagnosis"])
    pairs = [read_pair(row, size=size) for row in rows.itertuples(index=False)]
    return image_grid([outlined(*pair) for pair in pairs], titles, columns=columns, title=title)
