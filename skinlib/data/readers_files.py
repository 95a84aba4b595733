"""What all readers share: the error, the list of findings, and how files and tables are found and read."""

import csv
import io
import lzma
import os
import tarfile
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
UNKNOWN = frozenset(("", *"- -- . ? #n/a unknown unk nan nat na n/a n.a. none null (null) nil missing <na>".split()))
IDS = ("image_id", "lesion_id", "patient_id")
SEPARATORS, REST, BLANK = ",;\t", "\0rest", " \t\ufeff\u200b"  # the last cannot be seen
AGES, DIAMETERS = (0, 120), (0, 500)  # years, mm; beyond them a number is a code, such as 999 for "not known"
SPELT = {r"\.0$|\.(jpe?g|png|bmp|tiff?|webp)$": "", r"[\s_-]+": "_"}
MANY = 40  # images of one lesion or patient
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, tarfile.TarError)
SYNTHETIC_MARKER = "synthetic.json"


class DataError(ValueError):
    """Data that cannot be used as they are; ``findings`` lists everything that was found wrong, not only the first."""

    def __init__(self, message: str, findings: Iterable[str] = ()):
        self.findings = list(findings)
        super().__init__("\n  - ".join([message, *self.findings]))


@dataclass
class Findings:
    """What a reader finds wrong, and what it finds on disk."""

    faults: list[str] = field(default_factory=list)  # never forgiven: duplicates, unknown classes
    gaps: list[str] = field(default_factory=list)  # forgiven where the caller allows missing
    masked: set[str] = field(default_factory=set)  # parts that come with masks
    notes: list[str] = field(default_factory=list)  # told, never refused: no mask at all
    without_row: list[str] = field(default_factory=list)  # images that no label file names


def is_synthetic(root: str | Path) -> bool:
    """Whether the data under this root were drawn by ``skinlib.data.synthetic`` (its marker file lies there)."""
    return (Path(root) / SYNTHETIC_MARKER).is_file()


def some(values: Iterable[object], limit: int = 3) -> str:
    """The first values in order and how many more there are: ``a, b, c and 4 more``."""
    ordered = sorted(map(str, values))
    rest = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + rest


def folders(base: Path, *names: str) -> list[Path]:
    """The sub-folders of ``base`` with one of the names (a trailing ``*`` means any ending), sorted.

    Of folders whose names differ only in case the first is taken: the Kaggle copy of HAM10000 holds each image twice.
    """
    found: dict[str, Path] = {}
    for entry in sorted(os.scandir(base), key=lambda e: e.name) if base.is_dir() else ():
        low = entry.name.lower()
        if entry.is_dir() and any(fnmatchcase(low, name.lower()) for name in names):
            folder = Path(entry.path)
            while deeper := _doubled(folder, low):
                folder = deeper
            found.setdefault(low, folder)
    return list(found.values())


def _doubled(folder: Path, name: str) -> Path | None:
    """Return the folder of its own name that unpacking put into one; None where files lie next to it."""
    inside = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    deeper = [Path(entry.path) for entry in inside if entry.is_dir() and entry.name.lower() == name]
    return deeper[0] if deeper and not any(entry.is_file() for entry in inside) else None


def index_images(where: Iterable[Path], findings: Findings, *, ending: str = "") -> dict[str, str]:
    """Stem -> path of the image files in some folders: one listing a folder, whatever the file extension.

    ``ending`` (``_segmentation``, matched without regard to case) selects masks and is cut from the stem.
    """
    found: dict[str, str] = {}
    twice, where_twice = set(), set()
    for folder in where:
        for name in sorted(entry.name for entry in os.scandir(folder)):
            stem, _, suffix = name.rpartition(".")
            if f".{suffix.lower()}" not in IMAGE_SUFFIXES or name.startswith("."):
                continue
            if not stem.lower().endswith(ending) or stem.endswith("_superpixels"):
                continue
            stem = unicodedata.normalize("NFC", stem[: len(stem) - len(ending)])  # a Mac writes names decomposed
            if stem in found:
                twice.add(stem)
                where_twice |= {str(folder), str(Path(found[stem]).parent)}
            found.setdefault(stem, f"{folder}{os.sep}{name}")
    if twice:
        findings.faults.append(f"two files for one image id: {some(twice)} in {' and '.join(sorted(where_twice))}")
    return found


def index_masks(base: Path, findings: Findings, *names: str) -> dict[str, str] | None:
    """Image id -> path of its mask ``<id>_segmentation``; None where none of the mask folders is there at all."""
    if not (where := folders(base, *names)):
        findings.notes.append(f"no lesion masks: {base} has no folder {' or '.join(names)}")
    return index_images(where, findings, ending="_segmentation") if where else None


def attach(
    table: pd.DataFrame, images: dict[str, str], masks: dict[str, str] | None, findings: Findings, *, part: str = "all"
) -> pd.DataFrame:
    """Add part, image and mask paths to a label table; ``masks`` None means that their folder is not there."""
    ids = table["image_id"]
    if masks is not None:
        findings.masked.add(part)
    findings.without_row += sorted(set(images) - set(ids.dropna()))
    return table.assign(part=part, image_path=ids.map(images), mask_path=ids.map(masks or {}))


def find_table(base: Path, stem: str, suffixes: tuple[str, ...] = (".csv",)) -> Path | None:
    """A label file that lies flat in ``base`` or in the folder of the same name that the official zip makes."""
    places = [folder / f"{stem}{suffix}" for suffix in suffixes for folder in (base, base / stem)]
    return next((path for path in places if path.is_file()), None)


def clean(column: pd.Series) -> pd.Series:
    """Strings without outer blanks, letters composed (NFC); a blank and the words of `UNKNOWN` become missing."""
    stripped = column.astype("str").str.strip().str.normalize("NFC")
    return stripped.mask(stripped.str.lower().isin(UNKNOWN) | stripped.isna())


def read_text(path: Path, **options) -> pd.DataFrame:
    """Any table as text, as people save them: a cell is a string without outer blanks, a blank one "".

    Tabs, semicolons or commas separate; a byte order mark, a comma at the end of every row and blanks around names are
    no part of it. A `DataError` names a file that is no such table, or has rows longer than its header.
    """
    how = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        first = pd.read_csv(path, sep="\0", nrows=0, quoting=csv.QUOTE_NONE, **how).columns[0]
        if first.lower().startswith(("sep=", "{", "[", "# ")):  # for Excel; JSON; a comment
            raise ValueError(f"its first line, {first[:40]!r}, is no header")
        how["sep"] = max(SEPARATORS, key=first.count)
        how |= {"index_col": False} | options
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            try:
                table = pd.read_csv(path, **how)
            except pd.errors.ParserWarning:  # rows longer than the header, of which pandas would drop the rest
                names = how.pop("names", None) or list(pd.read_csv(path, nrows=0, **how).columns)
                try:
                    table = pd.read_csv(path, names=[*names, REST], **{"header": 0} | how)
                except pd.errors.ParserWarning as error:
                    raise ValueError(f"rows have several cells more than line 1, {first[:40]!r}") from error
    except (ValueError, EOFError, OSError, ImportError, pd.errors.ParserWarning, *BROKEN_ARCHIVE) as error:
        raise DataError(f"{path} is no CSV table in UTF-8 ({error}); put the right file there") from error
    table = table.rename(columns=lambda name: name.strip(BLANK)).fillna("").apply(lambda column: column.str.strip())
    given = [name.strip(BLANK) for name in next(csv.reader([first], delimiter=how["sep"])) if "header" not in options]
    if twice := [name for name in given if name and given.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]} is there twice; keep one")
    if (torn := table.apply(lambda column: column.str.contains("\n", regex=False)).any(axis=1)).any():
        raise DataError(f"{path}: row {torn.argmax() + 1} below the header has a cell of several lines: a stray quote?")
    if REST in table and (longer := table.pop(REST) != "").any():
        raise DataError(f"{path}: row {longer.argmax() + 1} below the header has more cells than it (decimal commas?)")
    unnamed = [name for name in table if name.startswith("Unnamed: ") and (table[name] == "").all()]
    return table.drop(columns=unnamed)


def read_table(path: Path, findings: Findings, *, required: tuple[str, ...], header: bool = True) -> pd.DataFrame:
    """A CSV (or tab-separated) file, see ``with_columns``; without a header ``required`` names its columns."""
    options = {"header": None, "names": list(required)} if not header else {}
    return with_columns(read_text(path, **options), required, path, findings)


def with_columns(table: pd.DataFrame, required: Iterable[str], path: Path, findings: Findings) -> pd.DataFrame:
    """The table as cleaned strings; required columns that it lacks are a fault and come back empty."""
    spelt, given = {name.lower(): name for name in table}, ", ".join(table.columns)
    spelt = {"image_id": spelt.get("image")} | spelt  # both are in official files
    table = table.rename(columns={spelt[n]: n for n in required if n not in table and spelt.get(n)})
    if lacking := [name for name in required if name not in table.columns]:
        findings.faults.append(f"{path.name}: missing column {', '.join(lacking)} (it has {given})")
    return table.assign(**dict.fromkeys(lacking, np.nan)).apply(clean)


def noted(answers: pd.DataFrame) -> dict[str, list[str]]:
    """Return of each row, as names joined by blanks, which answers are UNK (asked, not known), and which BRASIL."""
    words = {"answered_unknown": "UNK", "spelt_brasil": "BRASIL"}
    said = lambda word: (answers.apply(lambda column: column.str.upper()) == word).to_numpy(bool)
    return {note: [" ".join(answers.columns[row]) for row in said(word)] for note, word in words.items()}


def need_ids(table: pd.DataFrame, name: str, path: Path, findings: Findings) -> None:
    """Note images without a lesion or patient, of a set that knows them all, and an id that is so many images' own."""
    if len(blank := table.loc[table[name].isna(), "image_id"]):
        what = f"{len(blank)} images have no {name.replace('_', ' ')}, so splits would leak"
        findings.gaps.append(f"{path.name}: {what}: {some(blank)}")
    most = table[name].value_counts().head(1)
    if len(most) and most.iloc[0] > min(max(MANY, len(table) / 20), max(MANY / 5, len(table) / 2)):
        findings.gaps.append(f"{path.name}: {name} {most.index[0]} is that of {most.iloc[0]} rows; a code for unknown?")


def spellings(column: pd.Series) -> list[str]:
    """Say which ids or groups are one in two spellings (A and a, 7 and 7.0, P 1 and P_1, x and x.jpg), if any are."""
    names = pd.Series(column.dropna().astype(str).unique(), dtype=str)
    alike = names[names.str.lower().replace(SPELT, regex=True).duplicated(keep=False)].sort_values()
    return [f"{column.name}: {', '.join(alike[:2])}: {len(alike)} names differ in spelling alone"] if len(alike) else []


def as_numbers(column: pd.Series) -> pd.Series:
    """Strings as finite floats, with a decimal point or comma; missing what is no number or, as 1,200, may be two."""
    column = column.mask(column.str.fullmatch(r"-?[1-9]\d*,\d{3}").fillna(False).astype(bool))
    found = pd.to_numeric(column.str.replace(",", ".", regex=False), errors="coerce").astype("float64")
    return found.replace([np.inf, -np.inf], np.nan)


def numbers(column: pd.Series, what: str, findings: Findings) -> pd.Series:
    """Strings as floats; what is no number is a fault and comes back missing."""
    values = as_numbers(column)
    if len(wrong := column[values.isna() & column.notna()]):
        findings.faults.append(f"{what}: not a number: {some(wrong.unique())}")
    return values


def images_of(path: Path) -> pd.DataFrame:
    """Return a cohort without labels: the images of a folder and below, or those that a CSV lists.

    The CSV has a column ``image_path`` (relative to the CSV) and, if wanted, ``image_id`` and others. No image, no such
    column, a blank path or id, and an id twice are a ``DataError``. ``attrs["left_out"]`` names a folder's other files.
    """
    if path.is_dir():
        hidden = lambda file: any(name.startswith(".") for name in file.relative_to(path).parts)
        folder = lambda file: file.is_dir() and not file.is_symlink()
        there = sorted(file for file in path.rglob("*") if not folder(file) and not hidden(file))
        files = [str(file.absolute()) for file in there if file.suffix.lower() in IMAGE_SUFFIXES]
        cohort = pd.DataFrame({"image_path": files}, dtype=str)
        cohort.attrs["left_out"] = [file.name for file in there if file.suffix.lower() not in IMAGE_SUFFIXES]
    else:
        cohort = read_text(path).drop(columns="mask_path", errors="ignore")  # no mask is looked at
        if len({name.lower() for name in cohort}) == len(cohort.columns):
            cohort = cohort.rename(columns=str.lower)
        if "image_path" not in cohort:
            raise DataError(f"{path} has no column image_path; it has {', '.join(cohort.columns)}")
        for name in {"image_id", "image_path"} & set(cohort):
            if blank := list(np.flatnonzero(cohort[name] == "")):
                raise DataError(f"{path}: {name} is blank in row {blank[0] + 1} below the header; fill it in")
        answers = cohort.drop(columns=["image_id", "image_path"], errors="ignore")
        answers = answers.assign(**noted(answers) | dict(answers.items())).apply(clean)
        for name in {"sex", "site"} & set(answers):
            answers[name] = answers[name].str.lower()
        for name, (least, most) in {"age": AGES, "diameter_1": DIAMETERS, "diameter_2": DIAMETERS}.items():
            if name in answers:
                values = as_numbers(answers[name])
                if (wrong := answers[name].notna() & ~values.between(least, most)).any():
                    where = f"{answers.loc[wrong, name].iloc[0]!r} in row {wrong.argmax() + 1} below the header"
                    raise DataError(f"{path}: {name} is {where}; give {least} to {most}, or leave it blank")
                answers[name] = values
        # pandas tells numbers and yes-or-no answers from words
        typed = pd.read_csv(io.StringIO(answers.to_csv(index=False, na_rep="NaN")), dtype=dict.fromkeys(IDS, str))
        cohort = cohort.assign(**typed)
        cohort["image_path"] = [str((path.parent / name).absolute()) for name in cohort["image_path"]]
    if cohort.empty:
        raise DataError(f"no image in {path}; it takes {', '.join(IMAGE_SUFFIXES)}")
    if coded := [name for name in cohort["image_path"] if not name.isprintable()]:  # else no table can hold them
        raise DataError(f"{path}: {coded[0]!r} has letters that are no UTF-8, or none that can be seen; rename it")
    if "image_id" not in cohort:
        cohort["image_id"] = [Path(name).stem for name in cohort["image_path"]]
    if twice := list(cohort.loc[cohort["image_id"].duplicated(), "image_id"]):
        raise DataError(f"{path}: image_id {twice[0]!r} is there twice; list the images in a CSV with ids of your own")
    return cohort
