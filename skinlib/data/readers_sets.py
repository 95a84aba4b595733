"""The readers: each makes rows of a data set from the folders and files of its official archives."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from skinlib.data import readers_files as files
from skinlib.data.cards import CARDS
from skinlib.data.readers_files import DataError, Findings, some

ATTRIBUTES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")
WORDS = {"train": "Training", "val": "Validation", "test": "Test"}
WORDS_2017 = WORDS | {"test": "Test_v2"}
_HAM_COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
_HAM_TABLE = "HAM10000_metadata", (".csv", ".tab", "")
# Of images: the two part folders or one of all; else they lie flat next to the metadata.
_HAM_FOLDERS = ("HAM10000_images*", "images", "ISIC2018_Task3_Training_Input")
_HAM_MASKS = "HAM10000_segmentations_lesion_tschandl*"
_PH2_CRITERIA = (
    "histological_diagnosis", "asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas",
    "blue_whitish_veil", "colors",
)  # fmt: skip
COLORS = ("white", "red", "light_brown", "dark_brown", "blue_gray", "black")
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# The official columns in order: name in the cohort, kind, and for a clinical feature its answers or "number".
PAD_COLUMNS = pd.read_csv(Path(__file__).with_name("pad_ufes_20.csv"), index_col="column", keep_default_na=False)
_YES_NO, _COUNTRIES, _NUMBERS = (list(PAD_COLUMNS.groupby("kind").groups[k]) for k in ("yes_no", "country", "number"))


def ham10000(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of HAM10000: metadata in the official 8 columns or the Kaggle copy's 7, images in one folder or two."""
    base = root / "ham10000"
    path = files.find_table(base, *_HAM_TABLE)
    if path is None:
        raise DataError(f"HAM10000_metadata.csv is not in {base}: put it there, or run `skinlib data get ham10000`.")
    table = _ham_table(path, findings)
    images = files.index_images(files.folders(base, *_HAM_FOLDERS) or [base], findings)
    return files.attach(table, images, files.index_masks(base, findings, _HAM_MASKS), findings)


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
    words = {"train": "Training", "test": "Test"}
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
    for part, word, path in _label_files(base, "ISIC-2017_{}_Part3_GroundTruth", WORDS_2017, findings):
        table = files.read_table(path, findings, required=("image_id", *named))
        marks = [files.numbers(table[c], f"{path.name} column {c}", findings) for c in named]
        table["nevus"] = (1 - marks[0] - marks[1]).astype("str")
        table = _diagnoses(table, (*named, "nevus"), path, findings)
        folder = f"ISIC-2017_{word}_Data"
        meta_path = files.find_table(base, name := f"{folder}_metadata") or files.find_table(base / folder, name)
        if meta_path:
            meta = _renamed(meta_path, {"age_approximate": "age", "sex": "sex"}, findings)
            table = _left_join(table, meta, meta_path.name, findings)
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
            table = files.read_table(path, findings, required=("image_id", *classes))
            table = _diagnoses(table, classes, path, findings)
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
    if ham := files.find_table(root / "ham10000", *_HAM_TABLE):
        table = _left_join(table, _ham_table(ham, findings).drop(columns="diagnosis"), ham.name, findings)
    if path := files.find_table(root / "isic2018", "ISIC2018_Task3_Training_LesionGroupings"):
        lesions = _renamed(path, {"lesion_id": "lesion_id"}, findings)
        return _left_join(table.drop(columns="lesion_id", errors="ignore"), lesions, path.name, findings)
    if not ham:
        findings.gaps.append("train: neither HAM10000_metadata nor LesionGroupings is there: splits would leak")
    return table


def isic2019(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of the ISIC 2019 training part; the source is the prefix of the lesion id (HAM, BCN, MSK4)."""
    base, classes = root / "isic2019", CARDS["isic2019"].classes
    path = files.find_table(base, "ISIC_2019_Training_GroundTruth")
    if path is None:
        raise DataError(f"ISIC_2019_Training_GroundTruth.csv is not in {base}: put the official files there.")
    table = files.read_table(path, findings, required=("image_id", *classes))
    table = _diagnoses(table, classes, path, findings)  # a row marked UNK is of none of the eight, and a fault
    if meta_path := files.find_table(base, "ISIC_2019_Training_Metadata"):
        names = {"age_approx": "age", "sex": "sex", "anatom_site_general": "site", "lesion_id": "lesion_id"}
        meta = _renamed(meta_path, names, findings)
        if meta["lesion_id"].isna().all():
            findings.gaps.append(f"train: no image has a lesion id in {meta_path.name}: splits would leak")
        meta["source"] = files.clean(meta["lesion_id"].astype("str").str.replace("_.*", "", regex=True))
        table = _left_join(table, meta, meta_path.name, findings)
    else:
        findings.gaps.append("train: ISIC_2019_Training_Metadata.csv not found, so no lesion ids: splits would leak")
    images = files.index_images(files.folders(base, "ISIC_2019_Training_Input"), findings)
    return files.attach(table, images, None, findings, part="train")


def _label_files(base: Path, stem: str, words: dict[str, str], findings: Findings) -> Iterator[tuple[str, str, Path]]:
    """Yield (part, word, label file) of each part; one without a label file is a gap and left out."""
    for part, word in words.items():
        if path := files.find_table(base, stem.format(word), suffixes=(".csv", ".tab")):
            yield part, word, path
        else:
            findings.gaps.append(f"{part}: label file {stem.format(word)}.csv not found, the whole part is left out")


def _join(parts: list[pd.DataFrame], base: Path) -> pd.DataFrame:
    if not parts:
        raise DataError(f"No part of the set is in {base}: put the official files there (data/README.md lists them).")
    return pd.concat(parts, ignore_index=True)


def _diagnoses(table: pd.DataFrame, classes: tuple[str, ...], path: Path, findings: Findings) -> pd.DataFrame:
    """The class whose column holds 1 in each row; a row with none or with several is a fault."""
    marks = np.transpose([files.numbers(table[c], f"{path.name} column {c}", findings) for c in classes])
    good = np.isin(marks, (0.0, 1.0)).all(axis=1) & (np.nansum(marks, axis=1) == 1)
    if len(ids := table.loc[~good, "image_id"]):
        findings.faults.append(f"{path.name}: {len(ids)} rows do not mark exactly one class: {some(ids)}")
    names = pd.Series(np.asarray(classes, dtype=object)[np.nan_to_num(marks).argmax(axis=1)], index=table.index)
    return table[["image_id"]].assign(diagnosis=names.astype("str").mask(~good))


def _renamed(path: Path, names: dict[str, str], findings: Findings) -> pd.DataFrame:
    """Columns of a table under the cohort's names, the age as a number."""
    names = {"image_id": "image_id"} | names
    table = files.read_table(path, findings, required=tuple(names))[list(names)].rename(columns=names)
    return table.assign(age=files.numbers(table["age"], f"{path.name} age", findings)) if "age" in table else table


def _left_join(table: pd.DataFrame, meta: pd.DataFrame, what: str, findings: Findings) -> pd.DataFrame:
    if (twice := meta["image_id"].duplicated()).any():
        findings.faults.append(f"{what}: {int(twice.sum())} image ids are in it twice")
    if len(alone := table.loc[~table["image_id"].isin(meta["image_id"]), "image_id"]):
        findings.gaps.append(f"{what}: {len(alone)} images are not in it: {some(alone)}")
    return table.merge(meta[~twice], on="image_id", how="left")


def ph2(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of PH2; the dermoscopic criteria keep the letters of the official table, ``colors`` its digits (1 white to
    6 black), separated by blanks.
    """
    bases = [root / "ph2", *files.folders(root / "ph2", "*")]
    readers = {"txt": _ph2_text, "xlsx": _ph2_sheet}
    tables = [(base / f"PH2_dataset.{kind}", kind) for base in bases for kind in readers]
    path, kind = next(((path, kind) for path, kind in tables if path.is_file()), (None, None))
    if path is None:
        raise DataError(f"PH2_dataset.txt (or .xlsx) is not in {root / 'ph2'} or one folder deeper: put it there.")
    table = readers[kind](path, findings)[["image_id", "diagnosis", *_PH2_CRITERIA]]
    where = [folder for base in bases for folder in files.folders(base, "PH2 Dataset images")]
    cases = [case for folder in where for case in files.folders(folder, "*")]
    images = [f for case in cases for f in files.folders(case, f"{case.name}_Dermoscopic_Image")]
    masks = [f for case in cases for f in files.folders(case, f"{case.name}_lesion")]
    found = files.index_images(images, findings), files.index_images(masks, findings, ending="_lesion")
    return files.attach(table, *found, findings).assign(source="hospital_pedro_hispano")


def _ph2_text(path: Path, findings: Findings) -> pd.DataFrame:
    """The rows of ``PH2_dataset.txt`` that begin with ``||``; a blank field stays in its place."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    rows = [line.removeprefix("||").removesuffix("||").split("||") for line in lines if line.startswith("||")]
    rows = [[cell.strip() for cell in row] for row in rows]
    if uneven := [row[0] for row in rows if _is_image(row) and len(row) != len(rows[0])]:
        findings.faults.append(f"{path.name}: rows with another number of fields than the header: {some(uneven)}")
    table = _ph2_rows(rows).rename(columns={"name": "image_id"})
    table = files.with_columns(table, ("image_id", "clinical_diagnosis", *_PH2_CRITERIA), path, findings)
    table["diagnosis"] = table["clinical_diagnosis"].replace(["0", "1", "2"], list(CARDS["ph2"].classes))
    table["colors"] = table["colors"].str.split().str.join(" ").astype("str")
    return table


def _ph2_sheet(path: Path, findings: Findings) -> pd.DataFrame:
    """The first sheet of ``PH2_dataset.xlsx``: diagnosis and colours are columns marked with X there."""
    try:
        rows = _read_sheet(path)
    except (zipfile.BadZipFile, ElementTree.ParseError, IndexError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is no sheet of a spreadsheet program ({error}); put the official one there") from error
    start = next((i for i, row in enumerate(rows) if "image_name" in map(_ph2_name, row)), None)
    if start is None:
        raise DataError(f"{path} has no row with the header 'Image Name': it is not the official PH2 table.")
    classes = CARDS["ph2"].classes
    table = _ph2_rows(rows[start:]).rename(columns={"image_name": "image_id"})
    table = files.with_columns(table, ("image_id", *classes, *COLORS, *_PH2_CRITERIA[:-1]), path, findings)
    crossed = table[[*classes, *COLORS]].apply(lambda column: column.str.upper() == "X").fillna(False).astype(bool)
    marks = crossed.astype(int).astype("str").assign(image_id=table["image_id"])
    table["diagnosis"] = _diagnoses(marks, classes, path, findings)["diagnosis"]
    table["asymmetry"] = table["asymmetry"].str.removesuffix(".0")
    table["colors"] = [" ".join(str(i + 1) for i in np.flatnonzero(row)) for row in crossed[list(COLORS)].to_numpy()]
    return table


def _ph2_name(header: str) -> str:
    """A header as a column name: ``Dots/Globules\\n(A/AT/T)`` -> ``dots_globules``."""
    return re.sub(r"[^a-z0-9]+", "_", header.split("(")[0].strip().lower()).strip("_")


def _ph2_rows(rows: list[list[str]]) -> pd.DataFrame:
    """The rows of images under their header, the first row; short ones are filled with blanks, long ones cut."""
    header = [_ph2_name(cell) for cell in rows[0]] if rows else []
    body = [(row + [""] * len(header))[: len(header)] for row in rows if _is_image(row)]
    return pd.DataFrame(body, columns=header, dtype="str")


def _is_image(row: list[str]) -> bool:
    return bool(row) and re.fullmatch(r"IMD\d+", row[0]) is not None


def _read_sheet(path: Path) -> list[list[str]]:
    """The cells of the first sheet of an .xlsx file, a zip of XML, as text, row by row, blank cells in their place."""
    with zipfile.ZipFile(path) as book:
        first = min(name for name in book.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name))
        sheet = ElementTree.fromstring(book.read(first))
        strings = "xl/sharedStrings.xml"
        items = ElementTree.fromstring(book.read(strings)).iter(f"{_SHEET}si") if strings in book.namelist() else ()
        shared = ["".join(t.text or "" for t in item.iter(f"{_SHEET}t")) for item in items]
    rows = []
    for row in sheet.iter(f"{_SHEET}row"):
        cells: list[str] = []
        for cell in row.iter(f"{_SHEET}c"):
            column, place = 0, re.match(r"[A-Z]{1,3}(?=\d)", cell.get("r", ""))
            for letter in place.group() if place else ():  # without its place a cell follows the one before
                column = column * 26 + ord(letter) - ord("A") + 1
            value = "".join(t.text or "" for tag in ("v", "t") for t in cell.iter(f"{_SHEET}{tag}"))
            text = shared[int(value)] if cell.get("t") == "s" and value else value
            cells += [""] * ((column or len(cells) + 1) - 1 - len(cells)) + [text.strip()]
        rows.append(cells)
    return rows


def pad_ufes_20(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of PAD-UFES-20.

    An answer ``UNK`` (asked, the patient did not know) and a blank (never asked) are both missing in their column; the
    column ``answered_unknown`` names the questions answered ``UNK``, separated by blanks, so that a published encoding
    with a category UNK can be rebuilt; ``spelt_brasil`` likewise names those whose BRAZIL is spelt BRASIL. Student
    outlines in ``masks_weak/`` go to ``weak_mask_path``: they serve to find healthy skin and are no ground truth.
    """
    bases = [root / "pad_ufes_20", *files.folders(root / "pad_ufes_20", "*")]
    base = next((folder for folder in bases if files.find_table(folder, "metadata")), None)
    if base is None:
        raise DataError(f"metadata.csv of PAD-UFES-20 is not under {root / 'pad_ufes_20'}: put it there.")
    path = files.find_table(base, "metadata")
    raw = files.read_text(path)
    table = files.with_columns(raw, PAD_COLUMNS.index, path, findings)[list(PAD_COLUMNS.index)]
    raw = raw.rename(columns=str.lower)
    table = table.assign(**files.noted(raw[[c for c in _YES_NO + _COUNTRIES if c in raw]]))
    for name in _YES_NO:
        answers = table[name].str.lower().map({"true": True, "false": False}).astype("boolean")
        if len(wrong := table.loc[answers.isna() & table[name].notna(), name]):
            findings.faults.append(f"{name}: neither True, False, UNK nor blank: {some(wrong.unique())}")
        table[name] = answers
    for name in _NUMBERS:
        table[name] = files.numbers(table[name], f"{path.name} column {name}", findings)
    for name in ("diameter_1", "diameter_2"):
        if len(wrong := table.loc[~table[name].between(*files.DIAMETERS) & table[name].notna(), name]):
            findings.faults.append(f"{path.name}, {name}: not {files.DIAMETERS} mm: {some(wrong.unique())}")
    table[_COUNTRIES] = table[_COUNTRIES].replace("BRASIL", "BRAZIL")
    # The official table names PNG files; a reduced copy may hold JPEG: the stem is the image.
    table["image_id"] = table.pop("img_id").str.replace(r"\.[A-Za-z]+$", "", regex=True)
    for name in ("patient_id", "lesion_id"):
        files.need_ids(table, name, path, findings)
    where = files.folders(base, "images", "imgs_part_*")
    where += [inner for folder in where for inner in files.folders(folder, "imgs_part_*")]
    images = files.index_images(where, findings)
    table = files.attach(table.rename(columns=PAD_COLUMNS["cohort"]), images, None, findings)
    weak = files.index_images(files.folders(base, "masks_weak"), findings, ending="_mask")
    return table.assign(source="ufes", weak_mask_path=table["image_id"].map(weak).astype("str"))
