"""Pictures for the eye in a notebook: a figure as an image, a mask as an outline, a few rows as a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure
from scipy.ndimage import binary_erosion

from skinlib.images.skin_tone import read_pair
from skinlib.reporting.figures_images import image_grid
from skinlib.reporting.figures_style import stamp

LINE = (86, 180, 233)  # the outline's blue, RGB


def picture(figure: Figure, study=None, *, dpi: int = 100) -> Image:
    """Return a figure as a PNG that a notebook shows, stamped where the study's data are synthetic.

    The figures of this room belong to no window, and Jupyter shows such a figure as text.

    Parameters
    ----------
    study
        None for a figure that no data are in.
    """
    if study is not None and study.synthetic:
        stamp(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return Image(data=buffer.getvalue())


def outlined(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return a copy of an image with the border of its mask drawn in blue, one pixel wide inside the mask.

    Parameters
    ----------
    image
        (H, W, 3) uint8, RGB.
    mask
        (H, W) bool, or None: the image comes back as it is.
    """
    drawn = np.array(image)
    if mask is not None:
        drawn[mask & ~binary_erosion(mask)] = LINE
    return drawn


def sheet(
    rows: pd.DataFrame, titles: Sequence[str] = (), *, columns: int = 6, size: int = 128, title: str = ""
) -> Figure:
    """Return a contact sheet of cohort rows in their order, masks outlined, the longer side shrunk to ``size`` pixels.

    Parameters
    ----------
    titles
        One a row; without them the diagnosis, where the set has one.
    """
    if not len(titles) and rows["diagnosis"].notna().all():
        titles = list(rows["diagnosis"])
    pairs = [read_pair(row, size=size) for row in rows.itertuples(index=False)]
    return image_grid([outlined(*pair) for pair in pairs], titles, columns=columns, title=title)
