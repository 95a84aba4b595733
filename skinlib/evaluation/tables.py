"""The prediction table: reading a file, checking it, and the columns that every metric needs.

Columns: `image_id, label, p_<class>...`, and where known `lesion_id, patient_id, dataset, split, part, fold, system,
seed, view`. `label` is the index of the class in the order of the `p_` columns. The positive class of a binary question
is `malignant`; `to_binary` makes that column from a table of diagnoses. In a file with `p_malignant` and `p_benign` the
label 1 is malignant, whatever the order of the columns.
"""

import numpy as np
import pandas as pd

from skinlib.data.splits import units

SUM_TOLERANCE = 0.01  # two probabilities printed with two decimals may miss 1 by this much


class PredictionTableError(ValueError):
    """A prediction table that cannot be used; `findings` lists every fault."""

    def __init__(self, findings, where="prediction table"):
        self.findings = list(findings)
        super().__init__(f"{where}: " + "; ".join(self.findings))


class TestDataError(ValueError):
    """Something was to be chosen (threshold, temperature, weights) on rows that are there to test it."""

    __test__ = False  # keeps pytest from reading the name as a test class


def classes(table):
    """Names of the classes, in the order of the `p_` columns."""
    return tuple(column[2:] for column in table.columns if column.startswith("p_"))


def probabilities(table):
    """Class probabilities (N, K) of a table, float64, and the K names of the classes, in order.

    `PredictionTableError` for fewer than two `p_` columns, values missing or outside [0, 1], rows that do not sum to 1.
    """
    names = classes(table)
    findings = probability_findings(table, names)
    if findings:
        raise PredictionTableError(findings)
    return table[[f"p_{name}" for name in names]].to_numpy(float), names


def labels(table):
    """Class indices (N,) of a table; `PredictionTableError` where one is missing or no index into the `p_` columns."""
    findings = label_findings(table, classes(table))
    if findings:
        raise PredictionTableError(findings)
    return table["label"].to_numpy(int)


def scores(table):
    """Score of the positive class, `p_malignant`: (N,) float64 in [0, 1]; `PredictionTableError` without it."""
    values, names = probabilities(table)
    if "malignant" not in names:
        raise PredictionTableError([f"no column p_malignant among {list(names)}: name malignant classes (to_binary)"])
    return values[:, names.index("malignant")]


def outcome(table):
    """The binary question of a table: `y` (N,) of 0 and 1 (1 = malignant) and its score (N,) in [0, 1]."""
    p = scores(table)
    return (labels(table) == classes(table).index("malignant")).astype(int), p


def to_binary(table, malignant):
    """Collapse a table of diagnoses: `label` 0 or 1, `p_malignant` the sum over the classes that `malignant` names."""
    values, names = probabilities(table)
    unknown = sorted(set(malignant) - set(names))
    if unknown or not 0 < len(set(malignant)) < len(names):
        raise PredictionTableError([f"malignant classes {unknown or 'are none or all'}; the table has {list(names)}"])
    inside = np.isin(names, list(malignant))
    result = table.drop(columns=[f"p_{name}" for name in names])
    if "label" in table:
        result["label"] = inside[labels(table)].astype(int)
    result["p_malignant"] = values[:, inside].sum(axis=1).clip(0, 1)
    result.insert(result.columns.get_loc("p_malignant"), "p_benign", 1 - result["p_malignant"])
    return result


def clusters(table):
    """Independent units (N,) of a table (`skinlib.data.splits.units`): patients, else lesions, else images.

    Rows of one image (several views, seeds, folds) always share a unit unless their ids disagree.
    """
    keys = [name for name in ("image_id", "lesion_id", "patient_id") if name in table]
    if "image_id" not in keys:
        table = table.assign(image_id=[f"row:{i}" for i in range(len(table))])
    return units(table).to_numpy(object)


def cluster_codes(groups, rows):
    """Cluster of each row as an int array (rows,) without gaps; None: every row alone; a missing cluster is its own."""
    if groups is None:
        return np.arange(rows)
    if len(groups) != rows:
        raise ValueError(f"{len(groups)} clusters given for {rows} rows")
    codes, known = pd.factorize(np.asarray(groups, dtype=object))
    return np.where(codes < 0, len(known) + np.cumsum(codes < 0) - 1, codes)


def aligned(a, b, by=()):
    """Rows of b in the order of a, matched by image_id and `by`, and by seed and fold where those repeat.

    `PredictionTableError` where the tables hold different images or labels, or an image several times. Arrays (N,) are
    in the same order already.
    """
    if not isinstance(a, pd.DataFrame):
        if len(a) != len(b):
            raise ValueError(f"paired arrays differ in length: {len(a)} and {len(b)}")
        return b
    key = ["image_id", *by]
    findings = [f"no column {name} to match the rows by" for name in key if name not in a or name not in b]
    if findings:
        raise PredictionTableError(findings)
    repeated = lambda: a.duplicated(key).any() or b.duplicated(key).any()
    for name in ("seed", "fold"):
        if name in a and name in b and name not in key and repeated():
            key.append(name)
    if repeated():
        raise PredictionTableError(["paired tables need one row per image_id, seed and fold; filter or average first"])
    first, second = pd.MultiIndex.from_frame(a[key]), pd.MultiIndex.from_frame(b[key])
    if len(first) != len(second) or not first.isin(second).all():
        raise PredictionTableError([f"paired tables hold different rows: {len(first)} and {len(second)} by {key}"])
    ordered = b.iloc[second.get_indexer(first)]
    if "label" in a and not np.array_equal(a["label"].to_numpy(), ordered["label"].to_numpy()):
        raise PredictionTableError(["paired tables give the same image different labels"])
    return ordered


def require_validation(table, purpose):
    """Refuse a table on which nothing may be chosen: `TestDataError` for rows of part test or external,
    `PredictionTableError` for others that are not of part val, no rows, or no column `part`.
    """
    if "part" not in table:
        raise PredictionTableError([f"no column part: {purpose} is chosen on rows of part val, so they must be marked"])
    parts = set(table["part"].map(lambda part: str(part).strip().lower()))
    if found := sorted(parts & {"test", "external"}):
        raise TestDataError(f"{purpose} must not be chosen on {' and '.join(found)} rows; pass rows of part val only")
    if parts != {"val"}:
        raise PredictionTableError([f"{purpose} is chosen on rows of part val, found {sorted(parts) or 'no rows'}"])


def probability_findings(table, names):
    """Faults (list of sentences) of the columns `p_<name>`."""
    columns = [f"p_{name}" for name in names]
    if len(set(columns)) < 2 or len(set(columns)) != len(columns):
        return [f"needs two or more different p_<class> columns, found {columns}"]
    text = [column for column in columns if not pd.api.types.is_numeric_dtype(table[column])]
    if text:
        return [f"{column} is no number column" for column in text]
    values = table[columns].to_numpy(float)
    missing, outside = ~np.isfinite(values), (values < 0) | (values > 1)
    off = ~missing.any(axis=1) & ~outside.any(axis=1) & (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE)
    findings = []
    for index, column in enumerate(columns):
        if missing[:, index].any():
            findings.append(f"{column} missing or not finite in {missing[:, index].sum()} rows")
        if outside[:, index].any():
            findings.append(f"{column} outside [0, 1] in {outside[:, index].sum()} rows")
    if off.any():
        findings.append(f"probabilities of {off.sum()} rows do not sum to 1 (first: row {np.flatnonzero(off)[0]})")
    return findings


def label_findings(table, names):
    """Faults (list of sentences) of the column `label`, an index into the classes ``names``."""
    if "label" not in table:
        return ["no column label"]
    column = table["label"]
    numbers = pd.to_numeric(column, errors="coerce")
    known = numbers.isin(range(len(names)))
    unknown = sorted({str(label) for label in column[column.notna() & ~known]})
    findings = [f"label missing in {column.isna().sum()} rows"] if column.isna().any() else []
    if unknown and len(names) > 1:  # else the columns of the classes are told first
        findings.append(f"unknown labels {unknown[:5]}: none of {', '.join(names)}, no index below {len(names)}")
    return findings
