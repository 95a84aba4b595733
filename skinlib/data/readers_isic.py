"""The ISIC challenges 2016 to 2019, each in the folders and files of its official archives."""

from pathlib import Path

import pandas as pd

from skinlib.data import readers_ham
from skinlib.data.readers_files import (
    DataError,
    Findings,
    clean,
    find_table,
    folders,
    index_images,
    numbers,
    one_hot,
    read_table,
)

ATTRIBUTES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
WORDS = {"train": "Training", "val": "Validation", "test": "Test"}
TASK3 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
ISIC2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")


def _join(parts: list[pd.DataFrame], base: Path) -> pd.DataFrame:
    """One table of all parts; what the parts say about masks and files without a row is kept together."""
    if not parts:
        raise DataError(f"No part of the set is in {base}: put the official files there (data/README.md lists them).")
    masked = {part["part"].iloc[0]: part.attrs["masked"] for part in parts if len(part)}
    without_row = [image_id for part in parts for image_id in part.attrs["without_row"]]
    for part in parts:
        part.attrs = {}
    table = pd.concat(parts, ignore_index=True)
    table.attrs = {"masked": masked, "without_row": without_row}
    return table


def _attach(table: pd.DataFrame, part: str, images: dict[str, str], masks: dict[str, str] | None) -> pd.DataFrame:
    """Add part, image and mask paths to a label table; ``masks`` None means that their folder is not there."""
    ids = table["image_id"]
    table = table.assign(part=part, image_path=ids.map(images), mask_path=ids.map(masks or {}))
    table.attrs = {"masked": masks is not None, "without_row": sorted(set(images) - set(ids.dropna()))}
    return table


def _masks(base: Path, findings: Findings, *names: str) -> dict[str, str] | None:
    where = folders(base, *names)
    return index_images(where, findings, ending="_segmentation") if where else None


def _no_labels(part: str, stem: str, findings: Findings) -> None:
    findings.gaps.append(f"{part}: label file {stem}.csv not found, the whole part is left out")


def isic2016(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2016: label files without a header, training says benign/malignant and test says 0/1."""
    base, parts = root / "isic2016", []
    codes = {"0": "benign", "1": "malignant", "0.0": "benign", "1.0": "malignant"}
    for part in ("train", "test"):
        word = WORDS[part]
        stem = f"ISBI2016_ISIC_Part3_{word}_GroundTruth"
        path = find_table(base, stem)
        if path is None:
            _no_labels(part, stem, findings)
            continue
        table = read_table(path, findings, required=("image_id", "diagnosis"), header=False)
        table["diagnosis"] = table["diagnosis"].replace(codes)
        where = [folders(base, f"ISBI2016_ISIC_{task}_{word}_Data") for task in ("Part1", "Part3")]
        images = index_images(where[0] or where[1], findings)  # both archives hold the same pictures
        masks = _masks(base, findings, f"ISBI2016_ISIC_Part1_{word}_GroundTruth")
        parts.append(_attach(table, part, images, masks))
    return _join(parts, base).assign(source="isic_archive")


def isic2017(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2017; what is neither melanoma nor seborrheic keratosis is a nevus."""
    base, parts = root / "isic2017", []
    for part, word in {**WORDS, "test": "Test_v2"}.items():
        stem = f"ISIC-2017_{word}_Part3_GroundTruth"
        path = find_table(base, stem)
        if path is None:
            _no_labels(part, stem, findings)
            continue
        table = read_table(path, findings, required=("image_id", "melanoma", "seborrheic_keratosis"))
        marks = [numbers(table[c], f"{path.name} column {c}", findings) for c in ("melanoma", "seborrheic_keratosis")]
        table["nevus"] = (1 - marks[0] - marks[1]).astype("str")
        table["diagnosis"] = one_hot(table, ("melanoma", "seborrheic_keratosis", "nevus"), path.name, findings)
        data = folders(base, f"ISIC-2017_{word}_Data")
        table = _with_2017_metadata(table[["image_id", "diagnosis"]], base, f"ISIC-2017_{word}_Data", findings)
        masks = _masks(base, findings, f"ISIC-2017_{word}_Part1_GroundTruth")
        parts.append(_attach(table, part, index_images(data, findings), masks))
    return _join(parts, base).assign(source="isic_archive")


def _with_2017_metadata(table: pd.DataFrame, base: Path, folder: str, findings: Findings) -> pd.DataFrame:
    path = find_table(base, f"{folder}_metadata") or find_table(base / folder, f"{folder}_metadata")
    if path is None:
        return table
    meta = read_table(path, findings, required=("image_id", "age_approximate", "sex"))
    meta["age"] = numbers(meta["age_approximate"], f"{path.name} column age_approximate", findings)
    return _left_join(table, meta[["image_id", "age", "sex"]], path.name, findings)


def _left_join(table: pd.DataFrame, meta: pd.DataFrame, what: str, findings: Findings) -> pd.DataFrame:
    twice = meta["image_id"].duplicated()
    if twice.any():
        findings.faults.append(f"{what}: {int(twice.sum())} image ids stand in it twice")
    return table.merge(meta[~twice], on="image_id", how="left")


def isic2018_task12(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2018 Tasks 1 and 2: no diagnosis; columns ``attribute_<name>`` hold the paths of Task 2's masks.

    Validation and test are read where their folders are there; their masks were not part of the challenge.
    """
    base, parts = root / "isic2018", []
    for part, word in WORDS.items():
        data = folders(base, f"ISIC2018_Task1-2_{word}_Input")
        if not data and part != "train":
            continue
        images = index_images(data, findings)
        masks = _masks(base, findings, f"ISIC2018_Task1_{word}_GroundTruth*") or {}
        table = pd.DataFrame({"image_id": pd.Series(sorted({*images, *masks}), dtype="str")})
        where = folders(base, f"ISIC2018_Task2_{word}_GroundTruth*")
        for name in ATTRIBUTES:
            found = index_images(where, findings, ending=f"_attribute_{name}")
            table[f"attribute_{name}"] = table["image_id"].map(found).astype("str")
        parts.append(_attach(table, part, images, masks))
    return _join(parts, base).assign(source="isic_archive")


def isic2018_task3(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2018 Task 3; the training images, their masks and clinical columns are HAM10000's."""
    base, parts = root / "isic2018", []
    for part, word in WORDS.items():
        stem = f"ISIC2018_Task3_{word}_GroundTruth"
        path = find_table(base, stem)
        if path is None:
            _no_labels(part, stem, findings)
            continue
        table = read_table(path, findings, required=("image", *TASK3)).rename(columns={"image": "image_id"})
        table["diagnosis"] = one_hot(table, TASK3, path.name, findings)
        table = table[["image_id", "diagnosis"]]
        data = folders(base, f"ISIC2018_Task3_{word}_Input")
        if part == "train":
            table = _with_lesions(table, root, findings)
            images = index_images(data, findings) if data else readers_ham.images(root / "ham10000", findings)
            masks = readers_ham.masks(root / "ham10000", findings)
        else:
            images, masks = index_images(data, findings), None
        parts.append(_attach(table, part, images, masks))
    return _join(parts, base)


def _with_lesions(table: pd.DataFrame, root: Path, findings: Findings) -> pd.DataFrame:
    """Clinical columns from HAM10000's metadata; lesion ids from the official groupings where that file is there."""
    meta = readers_ham.metadata(root / "ham10000", findings)
    if meta is not None:
        table = _left_join(table, meta.drop(columns="diagnosis"), "HAM10000_metadata.csv", findings)
    path = find_table(root / "isic2018", "ISIC2018_Task3_Training_LesionGroupings")
    if path is None:
        return table
    groups = read_table(path, findings, required=("image", "lesion_id")).rename(columns={"image": "image_id"})
    return _left_join(
        table.drop(columns="lesion_id", errors="ignore"), groups[["image_id", "lesion_id"]], path.name, findings
    )


def isic2019(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of the ISIC 2019 training part; the source is the prefix of the lesion id (HAM, BCN, MSK4)."""
    base = root / "isic2019"
    path = find_table(base, "ISIC_2019_Training_GroundTruth")
    if path is None:
        raise DataError(f"ISIC_2019_Training_GroundTruth.csv is not in {base}: put the official files there.")
    table = read_table(path, findings, required=("image", *ISIC2019)).rename(columns={"image": "image_id"})
    # A row marked UNK belongs to none of the eight classes and is reported as such by one_hot.
    table["diagnosis"] = one_hot(table, ISIC2019, path.name, findings)
    table = table[["image_id", "diagnosis"]]
    meta_path = find_table(base, "ISIC_2019_Training_Metadata")
    if meta_path is None:
        findings.gaps.append("train: ISIC_2019_Training_Metadata.csv not found, so no lesion ids: splits would leak")
    else:
        table = _with_2019_metadata(table, meta_path, findings)
    images = index_images(folders(base, "ISIC_2019_Training_Input"), findings)
    return _join([_attach(table, "train", images, None)], base)


def _with_2019_metadata(table: pd.DataFrame, path: Path, findings: Findings) -> pd.DataFrame:
    columns = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
    meta = read_table(path, findings, required=columns)
    meta["age"] = numbers(meta["age_approx"], f"{path.name} column age_approx", findings)
    meta["source"] = clean(meta["lesion_id"].str.split("_").str[0])
    meta = meta.rename(columns={"image": "image_id", "anatom_site_general": "site"})
    return _left_join(table, meta[["image_id", "age", "sex", "site", "lesion_id", "source"]], path.name, findings)
