"""Training images that are added to a cohort from another data set, and what they share with its test part."""

from pathlib import Path

import pandas as pd

from skinlib.data import checks, readers
from skinlib.data.readers_files import DataError
from skinlib.provenance import file_digest

EXTRAS = ("isic2017_melanomas", "isic2017_melanomas_new")


def extra_training(name: str, cohort: pd.DataFrame, root: str | Path, *, allow_missing: bool = False) -> pd.DataFrame:
    """Return the rows that a configuration's ``extra_training`` adds to the training part of a cohort.

    ``isic2017_melanomas`` are all melanomas of ISIC 2017's training and validation parts (404 in the official set), as
    paper 001 adds them to ISIC 2016; many of them are images of ISIC 2016, test images among them.
    ``isic2017_melanomas_new`` are those that repeat no image of the cohort, which must have two classes.

    They have the cohort's columns and labels, ``source`` "isic2017", ``official_split`` "train", ``added`` True, and
    ``repeats`` as `repeats` returns them. An id that the cohort has too gets the suffix ``@isic2017``.
    """
    if name not in EXTRAS:
        raise ValueError(f"no extra training images {name!r}; choose one of {', '.join(EXTRAS)}")
    labels = cohort.groupby("label")["diagnosis"].first()
    if list(labels.index) != [0, 1] or labels[1] not in ("malignant", "melanoma"):
        got = ", ".join(map(str, labels))
        raise DataError(f"{name} needs a cohort of two classes, the second malignant; got {got}")
    added = readers.read("isic2017", root, allow_missing=allow_missing)
    added = added[(added["diagnosis"] == "melanoma") & added["official_split"].isin(["train", "val"])]
    added = added.assign(repeats=repeats(added, cohort), diagnosis=labels[1], label=1, official_split="train")
    added = added.assign(dataset=cohort["dataset"].iloc[0], source="isic2017", added=True)
    if name.endswith("_new"):
        return added[added["repeats"].isna()].reset_index(drop=True)
    ids = added["image_id"]
    added["image_id"] = ids.mask(ids.isin(cohort["image_id"]), ids + "@isic2017")
    return added.reset_index(drop=True)


def repeats(added: pd.DataFrame, cohort: pd.DataFrame) -> pd.Series:
    """Return for each added image the ``official_split`` of the cohort's image that it repeats, blank for none.

    The same picture is one of the same id, else of the same bytes, else of a perceptual hash at most 4 bits away.
    """
    part = cohort.set_index("image_id")["official_split"]
    found = added["image_id"].map(part)
    digests = pd.Series(part.to_numpy(), cohort["image_path"].map(file_digest))
    found = found.fillna(added["image_path"].map(file_digest).map(digests[~digests.index.duplicated()]))
    both = pd.concat([added.assign(dataset="added"), cohort.assign(dataset="cohort")], ignore_index=True)
    near = checks.near_duplicates(both)
    near = near[(near["dataset_a"] == "added") & (near["dataset_b"] == "cohort")]
    nearest = near.drop_duplicates("image_a").set_index("image_a")["image_b"].map(part)
    return found.fillna(added["image_id"].map(nearest).astype("str"))
