"""``read(name, root)``: a data set in its official layout becomes a cohort, a table with one row an image.

Reading gathers everything that is wrong and says it at once. Faults (duplicated ids, unknown classes, missing columns,
values out of range) always raise; gaps (images or parts that are not on disk) raise unless ``allow_missing=True``.
"""

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from skinlib.data import readers_sets
from skinlib.data.cards import CARDS, Card
from skinlib.data.readers_files import AGES, IDS, DataError, Findings, is_synthetic, some, spellings

READERS = {name: getattr(readers_sets, name) for name in CARDS}  # each set's own function
COLUMNS = (
    "image_id", "image_path", "mask_path", "dataset", "source", "diagnosis", "label", "patient_id", "lesion_id", "age",
    "sex", "site", "skin_type", "official_split",
)  # fmt: skip
_NUMBERS = ("label", "age", "skin_type")  # the other columns are text


def read(name: str, root: str | Path, *, allow_missing: bool = False, need_images: bool = True) -> pd.DataFrame:
    """Read one data set as a cohort.

    Parameters
    ----------
    name : key of ``CARDS``.
    root : the data root, the folder that holds the folder of the set.
    allow_missing : go on with the images that are there; what is missing is listed in ``cohort.attrs["findings"]``.
    need_images : False keeps the rows whose image is not on disk, ``image_path`` missing: for what reads the table.

    Returns a table sorted by image id, index 0..n-1, columns ``COLUMNS`` and then the set's own clinical columns.
    ``label`` is the index of ``diagnosis`` in the card's classes (int64; missing where a set has none), ``age``
    in years, ``sex`` male or female, ``skin_type`` Fitzpatrick 1 to 6, paths absolute. What is unknown is missing.

    Raises DataError (with every finding in ``.findings``: any fault, or any gap without ``allow_missing``).
    """
    card, root = CARDS[name], Path(root).absolute()
    if not (root / card.folder).is_dir():
        raise DataError(f"{card.title} is not under {root}: the folder {card.folder}/ is missing.")
    findings = Findings()
    rows = READERS[name](root, findings)
    _report_gaps(rows, card, findings, official=not is_synthetic(root), need_images=need_images)
    cohort = _as_cohort(rows, card)
    _validate(cohort, card, findings)
    if findings.faults or (findings.gaps and not allow_missing):
        advice = "" if findings.faults else " Pass allow_missing=True to go on with what is there."
        raise DataError(
            f"{card.title} under {root / card.folder} cannot be used as it is.{advice}",
            dict.fromkeys([*findings.faults, *findings.gaps]),
        )
    if need_images:  # without its image a row is useless; without its mask it is where the mask is the only target
        useful = cohort["image_path"].notna() & (bool(card.classes) | cohort["mask_path"].notna())
        cohort = cohort[useful].reset_index(drop=True)
    if cohort.empty:
        raise DataError(f"{card.title}: none of its images is under {root}.", findings.gaps)
    cohort.attrs["findings"] = [*findings.gaps, *findings.notes]
    return cohort


def _report_gaps(rows: pd.DataFrame, card: Card, findings: Findings, *, official: bool, need_images: bool) -> None:
    """What is on disk against the label rows and, for real data, against the official counts of the card."""
    for part, of_part in rows.groupby("part", sort=False):
        where = "" if part == "all" else f"{part}: "
        here = of_part["image_path"].notna()
        found = int(here.sum()) if need_images else len(of_part)
        expected = card.expected(part) if official else None
        wanted = len(of_part) if expected is None else expected
        if found != wanted or found != len(of_part):
            absent = of_part.loc[~here & need_images, "image_id"].dropna()
            tail = f"; {len(absent)} labelled ids have no image: {some(absent)}" if len(absent) else ""
            what = "images" if need_images else "rows"
            findings.gaps.append(f"{where}found {found} of {wanted} {what} ({len(of_part)} label rows){tail}")
        unmasked = of_part.loc[here & of_part["mask_path"].isna(), "image_id"]
        if part in findings.masked and len(unmasked):
            findings.gaps.append(f"{where}{len(unmasked)} images have no mask: {some(unmasked)}")
        if official and len(of_part) == expected:
            labelled = of_part["diagnosis"].value_counts() if part in card.counts else {}
            counts = [(c, labelled.get(c, 0), n) for c, n in card.counts.get(part, {}).items()]
            if wrong := [f"{c} {got} instead of {n}" for c, got, n in counts if got != n]:
                findings.gaps.append(f"{where}the classes are not counted as in the official set: {', '.join(wrong)}")
    if lost := findings.without_row:
        findings.gaps.append(f"{len(lost)} images have no label row: {some(lost)}")


def _as_cohort(rows: pd.DataFrame, card: Card) -> pd.DataFrame:
    """The contract's columns in order, then the set's own; no value is invented, what is not there is missing."""
    table = rows.reindex(columns=list(dict.fromkeys([*COLUMNS, *rows])))
    table = table.assign(dataset=card.name, official_split=rows["part"].where(rows["part"] != "all"))
    labels = table["diagnosis"].map({code: index for index, code in enumerate(card.classes)})
    table["label"] = labels.astype("int64" if labels.notna().all() else "float64")
    table = table.astype({c: "float64" if c in _NUMBERS else "str" for c in COLUMNS if c != "label"})
    table = table.assign(sex=table["sex"].str.lower(), site=table["site"].str.lower()).drop(columns="part")
    return table.sort_values("image_id", ignore_index=True, kind="stable")


def _validate(cohort: pd.DataFrame, card: Card, findings: Findings) -> None:
    """Add what pandera finds, one line a column and check, with the first image ids, and ids in two spellings."""
    findings.faults += [line for name in IDS for line in spellings(cohort[name])]
    columns = {
        "image_id": pa.Column("str", unique=True),
        "sex": pa.Column("str", pa.Check.isin(["male", "female"]), nullable=True),
        "official_split": pa.Column("str", pa.Check.isin(["train", "val", "test"]), nullable=True),
        "age": pa.Column("float64", pa.Check.in_range(*AGES), nullable=True),
        "skin_type": pa.Column("float64", pa.Check.isin([1, 2, 3, 4, 5, 6]), nullable=True),
    }
    if card.classes:
        columns["diagnosis"] = pa.Column("str", pa.Check.isin(list(card.classes)))
    try:
        pa.DataFrameSchema(columns).validate(cohort, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        for (column, check), group in cases.groupby(["column", "check"], sort=True):
            at = group["index"].dropna().astype(int)
            ids = some(cohort.loc[at, "image_id"].dropna().unique())
            values = some(group["failure_case"].dropna().unique())
            what = {"field_uniqueness": "duplicated", "not_nullable": "missing"}.get(check, f"not allowed ({check})")
            findings.faults.append(f"{column}: {len(group)} values {what}: {values or 'blank'} at {ids or 'no id'}")
