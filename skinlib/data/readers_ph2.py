"""PH2: one folder an image; the table as text with fields split on ``||``, or as a spreadsheet."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from skinlib.data.readers_files import DataError, Findings, clean, folders, index_images, some

DIAGNOSIS = {"0": "common_nevus", "1": "atypical_nevus", "2": "melanoma"}
CRITERIA = (
    "histological_diagnosis",
    "asymmetry",
    "pigment_network",
    "dots_globules",
    "streaks",
    "regression_areas",
    "blue_whitish_veil",
    "colors",
)
COLORS = ("white", "red", "light_brown", "dark_brown", "blue_gray", "black")
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def ph2(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of PH2; the dermoscopic criteria keep the letters of the official table, ``colors`` its digits (1 white to
    6 black), separated by blanks.
    """
    bases = [root / "ph2", *folders(root / "ph2", "*")]
    base = next((b for b in bases if any(_table_file(b, kind) for kind in ("txt", "xlsx"))), None)
    if base is None:
        raise DataError(f"PH2_dataset.txt (or .xlsx) is not in {root / 'ph2'} or one folder deeper: put it there.")
    text = _table_file(base, "txt")
    table = from_text(text, findings) if text else from_sheet(_table_file(base, "xlsx"), findings)
    cases = [case for b in bases for folder in folders(b, "PH2 Dataset images") for case in folders(folder, "*")]
    images = index_images([f for case in cases for f in folders(case, f"{case.name}_Dermoscopic_Image")], findings)
    masks = index_images(
        [f for case in cases for f in folders(case, f"{case.name}_lesion")], findings, ending="_lesion"
    )
    table["image_path"], table["mask_path"] = table["image_id"].map(images), table["image_id"].map(masks)
    table.attrs["masked"] = {"all": True}
    table.attrs["without_row"] = sorted(set(images) - set(table["image_id"].dropna()))
    return table.assign(part="all", source="hospital_pedro_hispano")


def _table_file(base: Path, suffix: str) -> Path | None:
    path = base / f"PH2_dataset.{suffix}"
    return path if path.is_file() else None


def _name(header: str) -> str:
    """A header as a column name: ``Dots/Globules\\n(A/AT/T)`` -> ``dots_globules``."""
    return re.sub(r"[^a-z0-9]+", "_", header.split("(")[0].strip().lower()).strip("_")


def from_text(path: Path, findings: Findings) -> pd.DataFrame:
    """The rows of ``PH2_dataset.txt`` that begin with ``||``; a blank field stays in its place."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    rows = [
        [cell.strip() for cell in line.removeprefix("||").removesuffix("||").split("||")]
        for line in lines
        if line.startswith("||")
    ]
    header = [_name(cell) for cell in rows[0]] if rows else []
    body = [row for row in rows[1:] if re.fullmatch(r"IMD\d+", row[0])]
    uneven = [row[0] for row in body if len(row) != len(header)]
    if uneven:
        findings.faults.append(f"{path.name}: rows with another number of fields than the header: {some(uneven)}")
    body = [(row + [""] * len(header))[: len(header)] for row in body]
    table = pd.DataFrame(body, columns=header, dtype="str").rename(columns={"name": "image_id"})
    table = _require(table, ("image_id", "clinical_diagnosis", *CRITERIA), path, findings)
    table["diagnosis"] = table["clinical_diagnosis"].map(lambda code: DIAGNOSIS.get(code, code), na_action="ignore")
    table["colors"] = table["colors"].str.split().str.join(" ").astype("str")
    return table[["image_id", "diagnosis", *CRITERIA]]


def from_sheet(path: Path, findings: Findings) -> pd.DataFrame:
    """The first sheet of ``PH2_dataset.xlsx``: diagnosis and colours are columns marked with X there."""
    rows = read_sheet(path)
    start = next((i for i, row in enumerate(rows) if "image_name" in map(_name, row)), None)
    if start is None:
        raise DataError(f"{path} has no row with the header 'Image Name': it is not the official PH2 table.")
    header = [_name(cell) for cell in rows[start]]
    body = [
        (row + [""] * len(header))[: len(header)]
        for row in rows[start + 1 :]
        if row and re.fullmatch(r"IMD\d+", row[0])
    ]
    table = pd.DataFrame(body, columns=header, dtype="str").rename(columns={"image_name": "image_id"})
    classes = tuple(DIAGNOSIS.values())
    table = _require(table, ("image_id", *classes, *COLORS, *CRITERIA[:-1]), path, findings)
    marks = table[list(classes)].apply(lambda column: column.str.upper() == "X").fillna(False).astype(bool)
    uneven = table["image_id"][marks.sum(axis=1) != 1]
    if len(uneven):
        findings.faults.append(f"{path.name}: rows that do not mark exactly one diagnosis: {some(uneven)}")
    table["diagnosis"] = marks.idxmax(axis=1).astype("str").where(marks.sum(axis=1) == 1)
    table["asymmetry"] = table["asymmetry"].str.removesuffix(".0")
    colors = table[list(COLORS)].apply(lambda column: column.str.upper() == "X").fillna(False).astype(bool).to_numpy()
    table["colors"] = [" ".join(str(i + 1) for i in range(len(COLORS)) if row[i]) for row in colors]
    return table[["image_id", "diagnosis", *CRITERIA]]


def _require(table: pd.DataFrame, names: tuple[str, ...], path: Path, findings: Findings) -> pd.DataFrame:
    lacking = [name for name in names if name not in table.columns]
    if lacking:
        findings.faults.append(f"{path.name}: missing column {', '.join(lacking)}")
    for name in lacking:
        table[name] = pd.Series(float("nan"), index=table.index, dtype="str")
    return table.apply(clean)


def read_sheet(path: Path) -> list[list[str]]:
    """The cells of the first sheet of an .xlsx file as text, row by row, blank cells in their place.

    An .xlsx file is a zip of XML; this reads what the official table uses (shared and inline strings, numbers).
    """
    with zipfile.ZipFile(path) as book:
        shared = []
        if "xl/sharedStrings.xml" in book.namelist():
            shared = [
                "".join(t.text or "" for t in item.iter(f"{_SHEET}t"))
                for item in ElementTree.fromstring(book.read("xl/sharedStrings.xml")).iter(f"{_SHEET}si")
            ]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows = []
    for row in sheet.iter(f"{_SHEET}row"):
        cells: list[str] = []
        for cell in row.iter(f"{_SHEET}c"):
            column = 0
            for letter in re.match(r"[A-Z]+", cell.get("r")).group():
                column = column * 26 + ord(letter) - ord("A") + 1
            value = "".join(t.text or "" for tag in ("v", "t") for t in cell.iter(f"{_SHEET}{tag}"))
            text = shared[int(value)] if cell.get("t") == "s" and value else value
            cells += [""] * (column - 1 - len(cells)) + [text.strip()]
        rows.append(cells)
    return rows
