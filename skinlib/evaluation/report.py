"""What `skinlib evaluate TABLE.csv` reads and prints: anyone's prediction table, all its faults in one error, and its
metrics, threshold, intervals and fairness.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from skinlib.data.readers_files import IDS, DataError, as_numbers, clean, read_text, spellings
from skinlib.evaluation import fairness, metrics, tables, thresholds
from skinlib.evaluation.resampled import Metric, UndefinedMetricError
from skinlib.evaluation.statistics import bootstrap_distribution
from skinlib.evaluation.tables import PredictionTableError, classes, label_findings, probability_findings

PARTS = ("train", "val", "test", "external")
ROW_KEY = ("image_id", "view", "system", "seed", "fold")
TEXT_COLUMNS = ("image_id", "lesion_id", "patient_id", "dataset", "split", "part", "system", "view", "label")
UNPOOLED = ("system", "seed", "view")
MOST_DRAWN, FEW = 100_000_000, 200  # rows of all resamples together, for tables of a million rows; least resamples
THRESHOLD_COLUMNS = "t low high feasible chosen_on gamma recall precision f1 note".split()


def check(table, *, where="prediction table"):
    """Raise one `PredictionTableError` that lists every fault of a labelled table; return the table.

    An image may be there once per view, system, seed and fold.
    """
    has = f"; it has {', '.join(map(str, table.columns))}"
    findings = [f"no column {name}{has}" for name in ("image_id", "label") if name not in table]
    if "part" in table and not table["part"].isin(PARTS).all():
        unknown = sorted({str(part) for part in table["part"].fillna("blank")} - {*PARTS})
        findings.append(f"part is {', '.join(unknown[:5])} in some rows, not one of {', '.join(PARTS)}")
    if table.empty:
        findings.append("no rows")
    if "image_id" in table:
        known = table["image_id"].notna()
        if not known.all():
            findings.append(f"image_id missing in {(~known).sum()} rows")
        key = [name for name in ROW_KEY if name in table]
        repeated = table["image_id"][table.duplicated(key) & known]
        if len(repeated):
            findings.append(f"{len(repeated)} rows repeat the same {', '.join(key)}, first image {repeated.iloc[0]}")
    findings += probability_findings(table, classes(table))
    findings += [line for name in IDS if name in table for line in spellings(table[name])]
    if "label" in table:
        findings += label_findings(table, classes(table))
    if findings:
        raise PredictionTableError(findings, where)
    return table


def read_predictions(path):
    """Read a prediction table that anyone may have written, a CSV file, plain or compressed.

    Labels may be class names or indices. `p_malignant` as the only score gets `p_benign = 1 - p_malignant`. The table
    comes back checked, with ids as text; `PredictionTableError` lists every fault found, see `check`.
    """
    path = Path(path)
    try:
        given = read_text(path)
    except DataError as error:
        raise PredictionTableError([str(error)], path.name) from error
    spelt = {name.lower(): name for name in given}
    given = given.rename(columns={spelt[k]: k for k in (*TEXT_COLUMNS, *ROW_KEY) if k not in given and k in spelt})
    table = given.apply(lambda column: column.mask(column == "") if column.name == "image_id" else clean(column))
    findings = []
    if "part" in table:
        table["part"] = table["part"].str.lower()
    elif "split" in table and table["split"].str.lower().isin(("val", "test")).any():
        findings.append("the column split says val or test, and there is no column part: rename it")
    for column in [name for name in table.columns if name.startswith("p_")]:
        numbers = as_numbers(table[column])
        bad = table[column][numbers.isna() & table[column].notna()]
        if len(bad):
            findings.append(f"{column}: {len(bad)} values are no numbers, first {bad.iloc[0]!r}")
        table[column] = numbers.mask(numbers.sub(1).between(0, 1e-5), 1.0)  # single precision rounds
    for column in table.columns.difference([*TEXT_COLUMNS, *table.filter(regex="^p_")]):
        if table[column].dropna().str.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?").all():  # 0012 is a code
            table[column] = pd.to_numeric(table[column])
    if classes(table) == ("malignant",):
        table.insert(table.columns.get_loc("p_malignant"), "p_benign", 1 - table["p_malignant"])
    if classes(table) == ("malignant", "benign"):  # 1 means malignant, whatever the order of the columns
        table["p_benign"], table["p_malignant"] = table.pop("p_benign"), table.pop("p_malignant")
    if "label" in table:
        named = given["label"].isin(classes(table))  # a class may be called UNK
        if not named.any() and len(classes(table)) > 2 and "malignant" in classes(table):
            findings.append("label is a number, and p_malignant one of several classes: write the names of classes")
        table["label"] = given["label"].where(named, table["label"])
        table["label"] = _label_indices(table["label"], classes(table))
    try:
        check(table, where=path.name)
    except PredictionTableError as error:
        findings += error.findings
    if findings:
        raise PredictionTableError(findings, path.name)
    return table.astype({"label": int})


def _label_indices(column, names):
    """Indices of labels given as names or numbers; what is neither stays as it is, to be reported.

    Where all classes are numbers, so are the labels that name them: of the classes 01 and 02 the label 1.0 is 01.
    """
    numbered = dict(zip(pd.to_numeric(pd.Series(names), errors="coerce"), range(len(names)), strict=True))
    if names and not any(map(np.isnan, numbered)) and len(numbered) == len(names):
        found = pd.to_numeric(column, errors="coerce").map(numbered)
        return found.astype(object).fillna(column.map("no class {}".format, na_action="ignore"))
    indices = {name: index for index, name in enumerate(names)}
    given = column.map(lambda label: indices.get(label, label)).astype(object)
    numbers = pd.to_numeric(given, errors="coerce")
    return numbers if (numbers.notna() | given.isna()).all() else given


def evaluate(table, *, groups=(), malignant=(), recall=0.85, n=2000, level=0.95, seed=0):
    """Evaluate a labelled prediction table, a row an image and part.

    Rows of part val choose the threshold, a score that reaches a recall; test and external are evaluated, else val,
    else train. Without `part` all rows are evaluated, at threshold 0.5. `groups` are columns for the fairness tables;
    `malignant` the classes that count as malignant where the table holds diagnoses and no `p_malignant`; `n, level,
    seed` those of the bootstrap (by patient, else lesion, else image).

    Returns a dict of DataFrames: rows (of each part, cluster and class) and metrics; of binary tables threshold,
    reliability, and for each of `groups` fairness <column> and gaps <column>; for three classes or more classes and
    confusion. A `PredictionTableError` refuses a table that is faulty, repeats an image in a part, mixes systems, seeds
    or views, or lacks a group column.
    """
    _check_one_model(check(table), groups)
    table = table.reset_index(drop=True)
    binary = _binary(table, malignant)
    if binary is None and groups:
        raise PredictionTableError(["fairness needs a binary question: name the malignant classes"])
    parts, bootstrap = _evaluated_parts(table), {"n": n, "level": level, "seed": seed}
    bootstrap["n"] = max(min(n, FEW), min(n, MOST_DRAWN // len(table)))
    result, lines, scored = {"rows": _rows(table).assign(resamples=bootstrap["n"])}, [], {}
    if binary is not None:
        result["threshold"], t = _threshold(binary, recall, bootstrap, in_sample="val" in parts)
        scored = {name: binary.loc[part.index] for name, part in parts.items()}
        wanted = [metrics.binary(name, t) for name in metrics.BINARY]
        lines += [line for name, rows in scored.items() for line in _intervals(name, rows, wanted, t, bootstrap)]
    if len(classes(table)) > 2:
        wanted = [metrics.multiclass(name) for name in metrics.MULTICLASS]
        lines += [line for name, rows in parts.items() for line in _intervals(name, rows, wanted, np.nan, bootstrap)]
    result["metrics"] = pd.DataFrame(lines, columns="part metric value low high n threshold note".split())
    if scored:
        result["reliability"] = _each(scored, thresholds.reliability)
    if len(classes(table)) > 2:
        result["classes"] = _each(parts, lambda rows: metrics.per_class(rows).reset_index())
        result["confusion"] = _each(parts, lambda rows: metrics.confusion(rows).reset_index())
    for column in groups:
        how = {"n": bootstrap["n"], "seed": seed, "threshold": t}
        found = {name: fairness.grouped(rows, column, **how) for name, rows in scored.items()}
        how = {"table": binary, "group": column, "level": level}
        result[f"fairness {column}"] = _each(found, lambda drawn, how=how: fairness.by_group(**how, found=drawn))
        result[f"gaps {column}"] = _each(found, lambda drawn, how=how: fairness.gaps(**how, found=drawn))
    return result


def _check_one_model(table, groups):
    findings = [f"no column {column} to group by" for column in groups if column not in table]
    findings += [line for column in groups if column in table for line in spellings(table[column])]
    for column in UNPOOLED:
        if column in table and (number := table[column].nunique(dropna=False)) > 1:
            findings.append(f"{number} values of {column}: keep one, or average the probabilities first")
    key = [column for column in ("image_id", "part") if column in table]
    if table.duplicated(key).any():
        findings.append(f"an image is there several times by {', '.join(key)}: average its rows first")
    if findings:
        raise PredictionTableError(findings)


def _binary(table, malignant):
    """The table as benign against malignant, or None where it holds diagnoses and none was named malignant."""
    if malignant:
        return tables.to_binary(table, malignant)
    if "malignant" in classes(table):
        return table
    if len(classes(table)) == 2:
        raise PredictionTableError([f"no p_malignant among {classes(table)}: name the malignant class"])
    return None


def _evaluated_parts(table):
    if "part" not in table:
        return {"all": table}
    present = dict(iter(table.groupby("part", sort=False)))
    kept = [name for name in ("test", "external") if name in present] or ["val" if "val" in present else "train"]
    return {name: present[name] for name in kept}


def _rows(table):
    names, rows = classes(table), []
    for part, inside in (table if "part" in table else table.assign(part="all")).groupby("part", sort=False):
        of_classes = np.bincount(tables.labels(inside), minlength=len(names))
        rows.append((part, len(inside), len(set(tables.clusters(inside))), *of_classes))
    return pd.DataFrame(rows, columns=["part", "n", "clusters", *names])


def _threshold(binary, recall, bootstrap, *, in_sample):
    """Threshold table of one row, and the threshold; `in_sample`: what it is used on are the rows that choose it."""
    rows = binary[binary["part"] == "val"] if "part" in binary else binary.iloc[:0]
    try:
        if rows.empty:
            raise UndefinedMetricError("no validation rows")
        best = thresholds.choose_threshold(rows, recall=recall, step=None)
        seen = set(tables.clusters(rows)) & set(tables.clusters(binary[binary["part"] != "val"]))
        how = bootstrap | {"groups": tables.clusters(rows), "recall": recall, "step": None}
        interval = thresholds.threshold_interval(rows, **how)
    except UndefinedMetricError as error:
        line = (0.5, np.nan, np.nan, np.nan, "nothing", recall, *[np.nan] * 3, f"0.5 is a convention: {error}")
        return pd.DataFrame([line], columns=THRESHOLD_COLUMNS), 0.5
    notes = [] if best.feasible else [f"no threshold reaches recall {recall}: the one of highest recall"]
    notes += [f"{len(seen)} patients, lesions or images of the val rows are in other parts too"] * bool(seen)
    notes += ["no test rows: what is measured at it is of the rows that chose it"] * in_sample
    line = (*interval, best.feasible, f"{len(rows)} val rows", recall, best.recall, best.precision, best.f1)
    return pd.DataFrame([(*line, "; ".join(notes))], columns=THRESHOLD_COLUMNS), best.t


def _intervals(part, rows, wanted, threshold, bootstrap):
    """Each metric of one part with its interval; one that does not exist is NaN with the reason."""
    how = {"groups": tables.clusters(rows), "n": bootstrap["n"], "seed": bootstrap["seed"]}
    together = Metric("all", lambda rows, counts: np.stack([one.weighted(rows, counts) for one in wanted], axis=1))
    for metric, drawn in zip(wanted, bootstrap_distribution(together, rows, **how).T, strict=True):
        value, low, high, note = metric(rows), np.nan, np.nan, ""
        if np.isnan(value):
            note = f"{metric.name} does not exist for this table"
        elif metric.name not in fairness.COUNTS:
            low, high, note = fairness.interval(drawn, bootstrap["level"])
        yield part, metric.name, value, low, high, len(rows), threshold, note


def _each(parts, make):
    return pd.concat([make(rows).assign(part=name) for name, rows in parts.items()], ignore_index=True)
