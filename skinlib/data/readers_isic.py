"""HAM10000 and the ISIC challenges 2016 to 2019, each in the folders and files of its official archives.

HAM10000 may have the official 8-column metadata or the Kaggle copy's 7 columns, and its images in one or two folders.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from skinlib.data import readers_files as files
from skinlib.data.cards import CARDS
from skinlib.data.readers_files import DataError, Findings, some

ATTRIBUTES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
WORDS = {"train": "Training", "val": "Validation", "test": "Test"}
_HAM_COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
# Of images: the two part folders or one of all; else they lie flat next to the metadata.
_HAM_FOLDERS = ("HAM10000_images*", "images", "ISIC2018_Task3_Training_Input")
_HAM_MASKS = "HAM10000_segmentations_lesion_tschandl*"


def ham10000(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of HAM10000."""
    base = root / "ham10000"
    table = _ham_metadata(base, findings)
    if table is None:
        raise DataError(f"HAM10000_metadata.csv is not in {base}: put it there, or run `skinlib data get ham10000`.")
    images = files.index_images(files.folders(base, *_HAM_FOLDERS) or [base], findings)
    return files.attach(table, images, files.index_masks(base, findings, _HAM_MASKS), findings)


def _ham_metadata(base: Path, findings: Findings) -> pd.DataFrame | None:
    path = files.find_table(base, "HAM10000_metadata", suffixes=(".csv", ".tab", ""))
    return None if path is None else _ham_table(path, findings)


def _ham_table(path: Path, findings: Findings) -> pd.DataFrame:
    table = files.read_table(path, findings, required=_HAM_COLUMNS)
    files.need_ids(table, "lesion_id", path, findings)
    table["age"] = files.numbers(table["age"], f"{path.name} column age", findings)
    table = table.reindex(columns=[*_HAM_COLUMNS, "dataset"])  # the Kaggle copy lacks the source clinic
    return table.rename(columns={"dx": "diagnosis", "localization": "site", "dataset": "source"})


def isic2016(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2016: label files without a header, training says benign/malignant and test says 0/1."""
    base, parts = root / "isic2016", []
    codes = {"0": "benign", "1": "malignant", "0.0": "benign", "1.0": "malignant"}
    words = {part: WORDS[part] for part in ("train", "test")}
    for part, word, path in _label_files(base, "ISBI2016_ISIC_Part3_{}_GroundTruth", words, findings):
        table = files.read_table(path, findings, required=("image_id", "diagnosis"), header=False)
        table["diagnosis"] = table["diagnosis"].replace(codes)
        # The archives of both parts hold the same pictures.
        data = files.folders(base, *(f"ISBI2016_ISIC_Part{number}_{word}_Data" for number in "13"))[:1]
        masks = files.index_masks(base, findings, f"ISBI2016_ISIC_Part1_{word}_GroundTruth")
        parts.append(files.attach(table, files.index_images(data, findings), masks, findings, part=part))
    return _join(parts, base).assign(source="isic_archive")


def isic2017(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2017; what is neither melanoma nor seborrheic keratosis is a nevus."""
    base, parts = root / "isic2017", []
    named = ("melanoma", "seborrheic_keratosis")
    words = WORDS | {"test": "Test_v2"}
    for part, word, path in _label_files(base, "ISIC-2017_{}_Part3_GroundTruth", words, findings):
        table = files.read_table(path, findings, required=("image_id", *named))
        marks = [files.numbers(table[c], f"{path.name} column {c}", findings) for c in named]
        table["nevus"] = (1 - marks[0] - marks[1]).astype("str")
        table = _with_diagnosis(table, (*named, "nevus"), path, findings)
        folder = f"ISIC-2017_{word}_Data"
        meta_path = files.find_table(base, name := f"{folder}_metadata") or files.find_table(base / folder, name)
        if meta_path:
            names = {"image_id": "image_id", "age_approximate": "age", "sex": "sex"}
            table = _left_join(table, _renamed(meta_path, names, findings), meta_path.name, findings)
        masks = files.index_masks(base, findings, f"ISIC-2017_{word}_Part1_GroundTruth")
        images = files.index_images(files.folders(base, folder), findings)
        parts.append(files.attach(table, images, masks, findings, part=part))
    return _join(parts, base).assign(source="isic_archive")


def isic2018_task12(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2018 Tasks 1 and 2: no diagnosis; columns ``attribute_<name>`` hold the paths of Task 2's masks.

    Validation and test are read where their folders are there; their masks were not part of the challenge.
    """
    base, parts = root / "isic2018", []
    for part, word in WORDS.items():
        data = files.folders(base, f"ISIC2018_Task1-2_{word}_Input")
        if not data and part != "train":
            continue
        images = files.index_images(data, findings)
        masks = files.index_masks(base, findings, f"ISIC2018_Task1_{word}_GroundTruth*") or {}
        table = pd.DataFrame({"image_id": pd.Series(sorted({*images, *masks}), dtype="str")})
        where = files.folders(base, f"ISIC2018_Task2_{word}_GroundTruth*")
        for name in ATTRIBUTES:
            found = files.index_images(where, findings, ending=f"_attribute_{name}")
            table[f"attribute_{name}"] = table["image_id"].map(found).astype("str")
        parts.append(files.attach(table, images, masks, findings, part=part))
    return _join(parts, base).assign(source="isic_archive")


def isic2018_task3(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of ISIC 2018 Task 3; the training images, their masks and clinical columns are HAM10000's."""
    base, ham, parts = root / "isic2018", root / "ham10000", []
    classes = CARDS["isic2018_task3"].classes
    for part, word, path in _label_files(base, "ISIC2018_Task3_{}_GroundTruth", WORDS, findings):
        if "dx" in files.read_text(path, nrows=0):  # Harvard Dataverse gives the test labels in HAM10000's codes
            table = _ham_table(path, findings)
            table["diagnosis"] = table["diagnosis"].str.upper()
        else:
            table = files.read_table(path, findings, required=("image", *classes)).rename(columns={"image": "image_id"})
            table = _with_diagnosis(table, classes, path, findings)
        data, masks = files.folders(base, f"ISIC2018_Task3_{word}_Input", f"ISIC2018_Task3_{word}_Images"), None
        if part == "train":
            data = data or files.folders(ham, *_HAM_FOLDERS) or [ham]
            table = _with_lesions(table, root, findings)
            masks = files.index_masks(ham, findings, _HAM_MASKS)
        images = files.index_images(data, findings)
        parts.append(files.attach(table, images, masks, findings, part=part))
    return _join(parts, base)


def _with_lesions(table: pd.DataFrame, root: Path, findings: Findings) -> pd.DataFrame:
    """Clinical columns from HAM10000's metadata; lesion ids from the official groupings where that file is there."""
    meta = _ham_metadata(root / "ham10000", findings)
    if meta is not None:
        table = _left_join(table, meta.drop(columns="diagnosis"), "HAM10000_metadata.csv", findings)
    path = files.find_table(root / "isic2018", "ISIC2018_Task3_Training_LesionGroupings")
    if path is None:
        if meta is None:
            findings.gaps.append("train: neither HAM10000_metadata nor LesionGroupings is there: splits would leak")
        return table
    lesions = _renamed(path, {"image": "image_id", "lesion_id": "lesion_id"}, findings)
    return _left_join(table.drop(columns="lesion_id", errors="ignore"), lesions, path.name, findings)


def isic2019(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of the ISIC 2019 training part; the source is the prefix of the lesion id (HAM, BCN, MSK4)."""
    base, classes = root / "isic2019", CARDS["isic2019"].classes
    path = files.find_table(base, "ISIC_2019_Training_GroundTruth")
    if path is None:
        raise DataError(f"ISIC_2019_Training_GroundTruth.csv is not in {base}: put the official files there.")
    table = files.read_table(path, findings, required=("image", *classes)).rename(columns={"image": "image_id"})
    # A row marked UNK belongs to none of the eight classes and is reported as such.
    table = _with_diagnosis(table, classes, path, findings)
    meta_path = files.find_table(base, "ISIC_2019_Training_Metadata")
    if meta_path is None:
        findings.gaps.append("train: ISIC_2019_Training_Metadata.csv not found, so no lesion ids: splits would leak")
    else:
        names = {"image": "image_id", "age_approx": "age", "sex": "sex", "anatom_site_general": "site"}
        meta = _renamed(meta_path, names | {"lesion_id": "lesion_id"}, findings)
        if meta["lesion_id"].isna().all():
            findings.gaps.append(f"train: no image has a lesion id in {meta_path.name}: splits would leak")
        meta["source"] = files.clean(meta["lesion_id"].astype("str").str.replace("_.*", "", regex=True))
        table = _left_join(table, meta, meta_path.name, findings)
    images = files.index_images(files.folders(base, "ISIC_2019_Training_Input"), findings)
    return files.attach(table, images, None, findings, part="train")


def _label_files(base: Path, stem: str, words: dict[str, str], findings: Findings) -> Iterator[tuple[str, str, Path]]:
    """Yield (part, word, label file) of each part; one without a label file is a gap and left out."""
    for part, word in words.items():
        path = files.find_table(base, stem.format(word), suffixes=(".csv", ".tab"))
        if path:
            yield part, word, path
        else:
            findings.gaps.append(f"{part}: label file {stem.format(word)}.csv not found, the whole part is left out")


def _join(parts: list[pd.DataFrame], base: Path) -> pd.DataFrame:
    if not parts:
        raise DataError(f"No part of the set is in {base}: put the official files there (data/README.md lists them).")
    return pd.concat(parts, ignore_index=True)


def _with_diagnosis(table: pd.DataFrame, classes: tuple[str, ...], path: Path, findings: Findings) -> pd.DataFrame:
    return table[["image_id"]].assign(diagnosis=files.one_hot(table, classes, path.name, findings))


def _renamed(path: Path, names: dict[str, str], findings: Findings) -> pd.DataFrame:
    """Columns of a table under the cohort's names, the age as a number."""
    table = files.read_table(path, findings, required=tuple(names))[list(names)].rename(columns=names)
    return table.assign(age=files.numbers(table["age"], f"{path.name} age", findings)) if "age" in table else table


def _left_join(table: pd.DataFrame, meta: pd.DataFrame, what: str, findings: Findings) -> pd.DataFrame:
    twice = meta["image_id"].duplicated()
    if twice.any():
        findings.faults.append(f"{what}: {int(twice.sum())} image ids are in it twice")
    if len(alone := table.loc[~table["image_id"].isin(meta["image_id"]), "image_id"]):
        findings.gaps.append(f"{what}: {len(alone)} images are not in it: {some(alone)}")
    return table.merge(meta[~twice], on="image_id", how="left")
