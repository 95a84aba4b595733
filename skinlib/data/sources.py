"""Splits that leave one source out: all images of one clinic are for testing, the others are cut into folds."""

from __future__ import annotations

import pandas as pd

from skinlib.data import splits
from skinlib.data.checks import DataError

PREFIX = "without_"  # of a configuration's split: without_rosendahl


def split(cohort: pd.DataFrame, name: str, *, folds: int, seed: int = 0) -> pd.DataFrame:
    """Return the split ``without_<source>``: that source's images are the test part of every fold.

    The rest is cut into grouped, stratified folds as `skinlib.data.splits.make` cuts it. Images of other sources that
    show a lesion or patient of the test part are left out altogether.

    Raises
    ------
    DataError
        When the cohort knows no sources, or not this one.
    """
    source = name.removeprefix(PREFIX)
    known = sorted(cohort["source"].dropna().unique()) if "source" in cohort else []
    if source not in known:
        raise DataError(f"no source {source!r} to leave out; the cohort has {', '.join(known) or 'none'}")
    group = splits.groups(cohort)
    test = (cohort["source"] == source).to_numpy()
    rest = ~test & ~group.isin(group[test]).to_numpy()
    inside = splits.make(cohort[rest], folds=folds, test=0, seed=seed)
    held = pd.DataFrame({"image_id": cohort.loc[test, "image_id"], "group": group[test], "part": "test"})
    outside = pd.concat([held.assign(fold=fold) for fold in range(folds)])
    return pd.concat([inside, outside[splits.COLUMNS]]).sort_values(["fold", "image_id"], ignore_index=True)
