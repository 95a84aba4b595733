"""PAD-UFES-20: smartphone images with a table of clinical answers."""

from pathlib import Path

import pandas as pd

from skinlib.data import readers_files as files
from skinlib.data.readers_files import DataError, Findings, some

# The official columns in order: name in the cohort, kind, and for a clinical feature its answers or "number".
COLUMNS = pd.read_csv(Path(__file__).with_name("pad_ufes_20.csv"), index_col="column", keep_default_na=False)
_YES_NO, _COUNTRIES, _NUMBERS = (list(COLUMNS.index[COLUMNS["kind"] == k]) for k in ("yes_no", "country", "number"))


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
    table = files.with_columns(raw, COLUMNS.index, path, findings)[list(COLUMNS.index)]
    raw = raw.rename(columns=str.lower)
    table = table.assign(**files.noted(raw[[c for c in _YES_NO + _COUNTRIES if c in raw]]))
    for name in _YES_NO:
        table[name] = _yes_no(table[name], name, findings)
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
    table = files.attach(table.rename(columns=COLUMNS["cohort"]), files.index_images(where, findings), None, findings)
    weak = files.index_images(files.folders(base, "masks_weak"), findings, ending="_mask")
    return table.assign(source="ufes", weak_mask_path=table["image_id"].map(weak).astype("str"))


def _yes_no(column: pd.Series, name: str, findings: Findings) -> pd.Series:
    values = column.str.lower().map({"true": True, "false": False}).astype("boolean")
    if len(wrong := column[values.isna() & column.notna()]):
        findings.faults.append(f"{name}: neither True, False, UNK nor blank: {some(wrong.unique())}")
    return values
