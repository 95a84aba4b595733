"""Reading and checking a prediction table that anyone may have written: all its faults in one error."""

from pathlib import Path

import pandas as pd

from skinlib.evaluation.tables import PredictionTableError, classes, label_findings, probability_findings

PARTS = ("train", "val", "test", "external")
ROW_KEY = ("image_id", "view", "system", "seed", "fold")
TEXT_COLUMNS = ("image_id", "lesion_id", "patient_id", "dataset", "split", "part", "system", "view", "label")


def check(table, *, where="prediction table"):
    """Raise one `PredictionTableError` that lists every fault of a labelled table; return the table.

    Faults: missing columns, unknown parts, missing or repeated ids (an image may stand once per view, system, seed and
    fold), missing or unknown labels, probabilities that are missing, outside [0, 1] or do not sum to 1.
    """
    findings = [f"no column {name}" for name in ("image_id", "label") if name not in table]
    if "part" in table and not table["part"].isin(PARTS).all():
        unknown = sorted({str(part) for part in table["part"][~table["part"].isin(PARTS)]})
        findings.append(f"part is {unknown[:5]} in some rows, not one of {', '.join(PARTS)}")
    if table.empty:
        findings.append("no rows")
    if "image_id" in table:
        findings += _id_findings(table)
    findings += probability_findings(table, classes(table))
    if "label" in table:
        findings += label_findings(table, len(classes(table)))
    if findings:
        raise PredictionTableError(findings, where)
    return table


def read_predictions(path):
    """Read a prediction table that anyone may have written.

    Labels may be class names or indices. `p_malignant` as the only score gets `p_benign = 1 - p_malignant`.

    Parameters
    ----------
    path : CSV file, plain or compressed

    Returns
    -------
    DataFrame, checked; `label` int, `p_` columns float64, ids as text

    Raises
    ------
    PredictionTableError
        With every fault found, see `check`.
    FileNotFoundError
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str))
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise PredictionTableError([f"not a CSV table ({error})"], path.name) from error
    if "part" in table:
        table["part"] = table["part"].str.strip().str.lower()
    findings = []
    for column in [name for name in table.columns if name.startswith("p_")]:
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = numbers.isna() & table[column].notna()
        if bad.any():
            findings.append(f"{column}: {bad.sum()} values are no numbers, first {table[column][bad].iloc[0]!r}")
        table[column] = numbers.astype(float)
    if classes(table) == ("malignant",):
        table.insert(table.columns.get_loc("p_malignant"), "p_benign", 1 - table["p_malignant"])
    if "label" in table:
        table["label"] = _label_indices(table["label"], classes(table))
    try:
        check(table, where=path.name)
    except PredictionTableError as error:
        findings += error.findings
    if findings:
        raise PredictionTableError(findings, path.name)
    return table.astype({"label": int})


def _label_indices(column, names):
    """Indices of labels given as names or numbers; what is neither stays as it is, to be reported."""
    indices = {name: index for index, name in enumerate(names)}
    given = column.map(lambda label: indices.get(label, label)).astype(object)
    numbers = pd.to_numeric(given, errors="coerce")
    return numbers if (numbers.notna() | given.isna()).all() else given


def _id_findings(table):
    findings = []
    if table["image_id"].isna().any():
        findings.append(f"image_id missing in {table['image_id'].isna().sum()} rows")
    key = [name for name in ROW_KEY if name in table]
    repeated = table.duplicated(key) & table["image_id"].notna()
    if repeated.any():
        first = table["image_id"][repeated].iloc[0]
        findings.append(f"{repeated.sum()} rows repeat the same {', '.join(key)}, first image {first}")
    return findings
