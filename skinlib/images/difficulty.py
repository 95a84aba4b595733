"""What makes a lesion hard to see, a row an image: its size, its contrast to the skin, what lies over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skinlib.images.cache import read_mask
from skinlib.images.lesion import artefact_table


def difficulty_table(cohort: pd.DataFrame, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure the images ``ids`` of a cohort, in their order (all without ``ids``).

    Returns
    -------
    DataFrame
        ``image_id, area`` (share of the image that the lesion covers, 0..1), and ``hair, ruler, contrast, note`` of
        `skinlib.images.lesion.artefact_table`. Without a mask area and contrast are missing.
    """
    table = artefact_table(cohort, ids)
    paths = cohort.set_index("image_id")["mask_path"].reindex(table["image_id"])
    area = [read_mask(path).mean() if isinstance(path, str) else np.nan for path in paths]
    table.insert(1, "area", area)
    return table


def thirds(values: pd.Series, names: Sequence[str], *, within: pd.Series | None = None) -> pd.Series:
    """Sort images, id -> measure, into three strata by the terciles of the measure: id -> name, the lowest third first.

    The terciles are those of ``within``, such as the training part's, or of the images themselves. Images without the
    measure have no stratum.
    """
    if len(names) != 3:
        raise ValueError(f"three strata need three names, got {list(names)}")
    known = values.dropna().sort_values(kind="stable")
    low, high = (values if within is None else within).dropna().quantile([1 / 3, 2 / 3])
    return pd.Series(np.select([known <= low, known <= high], names[:2], names[2]), known.index)
