"""PH2: one folder an image; the table as text with fields split on ``||``, or as a spreadsheet."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from skinlib.data.readers_files import DataError, Findings, attach, folders, index_images, some, with_columns

DIAGNOSIS = {"0": "common_nevus", "1": "atypical_nevus", "2": "melanoma"}
CRITERIA = (
    "histological_diagnosis", "asymmetry", "pigment_network", "dots_globules", "streaks", "regression_areas",
    "blue_whitish_veil", "colors",
)  # fmt: skip
COLORS = ("white", "red", "light_brown", "dark_brown", "blue_gray", "black")
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def ph2(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of PH2; the dermoscopic criteria keep the letters of the official table, ``colors`` its digits (1 white to
    6 black), separated by blanks.
    """
    bases = [root / "ph2", *folders(root / "ph2", "*")]
    readers = {"txt": _from_text, "xlsx": _from_sheet}
    tables = [(base / f"PH2_dataset.{kind}", kind) for base in bases for kind in readers]
    path, kind = next(((path, kind) for path, kind in tables if path.is_file()), (None, None))
    if path is None:
        raise DataError(f"PH2_dataset.txt (or .xlsx) is not in {root / 'ph2'} or one folder deeper: put it there.")
    table = readers[kind](path, findings)[["image_id", "diagnosis", *CRITERIA]]
    cases = [case for b in bases for folder in folders(b, "PH2 Dataset images") for case in folders(folder, "*")]
    images = [f for case in cases for f in folders(case, f"{case.name}_Dermoscopic_Image")]
    masks = [f for case in cases for f in folders(case, f"{case.name}_lesion")]
    found = index_images(images, findings), index_images(masks, findings, ending="_lesion")
    return attach(table, *found, findings).assign(source="hospital_pedro_hispano")


def _from_text(path: Path, findings: Findings) -> pd.DataFrame:
    """The rows of ``PH2_dataset.txt`` that begin with ``||``; a blank field stays in its place."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    rows = [line.removeprefix("||").removesuffix("||").split("||") for line in lines if line.startswith("||")]
    rows = [[cell.strip() for cell in row] for row in rows]
    if uneven := [row[0] for row in rows if _is_image(row) and len(row) != len(rows[0])]:
        findings.faults.append(f"{path.name}: rows with another number of fields than the header: {some(uneven)}")
    table = _table(rows).rename(columns={"name": "image_id"})
    table = with_columns(table, ("image_id", "clinical_diagnosis", *CRITERIA), path, findings)
    table["diagnosis"] = table["clinical_diagnosis"].map(lambda code: DIAGNOSIS.get(code, code), na_action="ignore")
    table["colors"] = table["colors"].str.split().str.join(" ").astype("str")
    return table


def _from_sheet(path: Path, findings: Findings) -> pd.DataFrame:
    """The first sheet of ``PH2_dataset.xlsx``: diagnosis and colours are columns marked with X there."""
    try:
        rows = _read_sheet(path)
    except (zipfile.BadZipFile, ElementTree.ParseError, IndexError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is no sheet of a spreadsheet program ({error}); put the official one there") from error
    start = next((i for i, row in enumerate(rows) if "image_name" in map(_name, row)), None)
    if start is None:
        raise DataError(f"{path} has no row with the header 'Image Name': it is not the official PH2 table.")
    classes = tuple(DIAGNOSIS.values())
    table = _table(rows[start:]).rename(columns={"image_name": "image_id"})
    table = with_columns(table, ("image_id", *classes, *COLORS, *CRITERIA[:-1]), path, findings)
    crossed = table[[*classes, *COLORS]].apply(lambda column: column.str.upper() == "X").fillna(False).astype(bool)
    marks = crossed[list(classes)]
    one = marks.sum(axis=1) == 1
    if uneven := table["image_id"][~one].tolist():
        findings.faults.append(f"{path.name}: rows that do not mark exactly one diagnosis: {some(uneven)}")
    table["diagnosis"] = marks.idxmax(axis=1).astype("str").where(one)
    table["asymmetry"] = table["asymmetry"].str.removesuffix(".0")
    digits = [str(i + 1) for i in range(len(COLORS))]
    table["colors"] = [
        " ".join(digit for digit, mark in zip(digits, row, strict=True) if mark)
        for row in crossed[list(COLORS)].to_numpy()
    ]
    return table


def _name(header: str) -> str:
    """A header as a column name: ``Dots/Globules\\n(A/AT/T)`` -> ``dots_globules``."""
    return re.sub(r"[^a-z0-9]+", "_", header.split("(")[0].strip().lower()).strip("_")


def _table(rows: list[list[str]]) -> pd.DataFrame:
    """The rows of images under their header, the first row; short ones are filled with blanks, long ones cut."""
    header = [_name(cell) for cell in rows[0]] if rows else []
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
