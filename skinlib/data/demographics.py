"""Age, sex and site of a lesion as numbers, for networks; unknown is a category and never a guess.

How a diagnosis was confirmed (``dx_type``) and which clinic the image is from (``source``) are no features: the first
gives the label away, the second says how a collection was put together.
"""

import numpy as np
import pandas as pd

from skinlib.data.readers_files import DataError, some

SEXES = ("female", "male")
SITES = (
    "abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand", "lower extremity", "neck", "scalp",
    "trunk", "upper extremity",
)  # fmt: skip
AGE_CENTRE, AGE_SCALE = 50.0, 20.0  # years, fixed: nothing is fitted, so nothing can leak
_LEVELS = {"sex": (*SEXES, "unknown"), "site": (*SITES, "unknown")}
COLUMNS = ("age", "age unknown", *(f"{name} {level}" for name, levels in _LEVELS.items() for level in levels))


def encode(cohort: pd.DataFrame) -> np.ndarray:
    """Return (N, 20) float32 in the order of `COLUMNS`: (age in years - 50) / 20, 0 where unknown; the rest 0 or 1.

    A missing column, or a sex or site that is not listed here, is a ``DataError``.
    """
    if lacking := sorted({"age", "sex", "site"} - set(cohort)):
        raise DataError(f"metadata need the columns age, sex and site; missing: {', '.join(lacking)}")
    age = pd.to_numeric(cohort["age"]).to_numpy(float)
    blocks = [np.where(np.isnan(age), 0, (age - AGE_CENTRE) / AGE_SCALE)[:, None], np.isnan(age)[:, None]]
    strange = []
    for name, levels in _LEVELS.items():
        value = cohort[name].astype(object).fillna("unknown")
        if (wrong := ~value.isin(levels)).any():
            strange.append(f"{name}: {some(value[wrong].unique())}; give {', '.join(levels)}")
        blocks.append(value.to_numpy()[:, None] == np.array(levels, object))
    if strange:
        raise DataError("metadata that skinlib.data.demographics does not list", strange)
    return np.concatenate(blocks, axis=1).astype(np.float32)
