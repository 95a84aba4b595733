"""Splits that show what leakage does: two training parts that differ in lesion-mates alone, and one test part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.data import splits
from skinlib.data.checks import DataError

ARMS = ("leaky", "clean")


def arms(cohort: pd.DataFrame, *, share: float = 0.5, seed: int = 0) -> dict[str, np.ndarray]:
    """Cut a cohort into one test part and two training parts, of which one holds the test images' mates.

    Of a random ``share`` of the groups with several images one image each is for testing and the rest are its mates.
    The clean part is every image of the other groups. In the leaky part the mates stand in the place of as many
    images of the same labels. So both parts have one size and one balance of classes, and the same test images, which
    are in neither.

    Returns
    -------
    dict
        ``test``, ``leaky``, ``clean``: row positions in the cohort.

    Raises
    ------
    DataError
        When no group has several images, or a class has more mates than other images.
    """
    rng = np.random.default_rng(seed)
    group = pd.factorize(splits.groups(cohort))[0]
    several = np.flatnonzero(np.bincount(group) > 1)
    if not len(several):
        raise DataError("no lesion or patient has several images, so nothing can leak between them")
    chosen = rng.choice(several, max(1, round(share * len(several))), replace=False)
    order = rng.permutation(len(group))  # the first image of a group in a random order is its test image
    inside = np.isin(group[order], chosen)
    first = ~pd.Series(group[order]).duplicated().to_numpy()
    test, mate, clean = order[inside & first], order[inside & ~first], order[~inside]
    label = cohort["label"].to_numpy()
    gone = []
    for value, wanted in zip(*np.unique(label[mate], return_counts=True), strict=True):
        have = clean[label[clean] == value]
        if len(have) < wanted:
            raise DataError(f"label {value} has {wanted} mates and {len(have)} other images; choose a smaller share")
        gone.append(have[:wanted])
    kept = clean[~np.isin(clean, np.concatenate(gone))]
    return {"test": np.sort(test), "leaky": np.sort(np.concatenate([kept, mate])), "clean": np.sort(clean)}


def split(cohort: pd.DataFrame, arm: str, *, share: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Return an arm of `arms` as a split of one fold, without a validation part: nothing is selected on it.

    Images of the other arm alone are not in it. Groups of the clean arm are the cohort's, of the leaky one the images.
    """
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; choose {' or '.join(ARMS)}")
    found = arms(cohort, share=share, seed=seed)
    rows = np.concatenate([found[arm], found["test"]])
    kept = cohort.iloc[rows]
    group = splits.groups(cohort, "image" if arm == "leaky" else "auto").iloc[rows]
    part = np.repeat(["train", "test"], [len(found[arm]), len(found["test"])])
    ids = {"image_id": kept["image_id"].to_numpy(), "group": group.to_numpy()}
    table = pd.DataFrame(ids | {"fold": 0, "part": part.astype(object)})
    return table.sort_values("image_id", ignore_index=True)
