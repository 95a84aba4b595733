"""What `skinlib evaluate TABLE.csv` prints: metrics, threshold, intervals and fairness of anyone's prediction table."""

import numpy as np
import pandas as pd

from skinlib.evaluation import calibration, fairness, metrics, tables, thresholds
from skinlib.evaluation.reading import check
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import bootstrap_ci, unmoved

UNPOOLED = ("system", "seed", "view")


def evaluate(table, *, groups=(), malignant=(), recall=0.85, n=2000, level=0.95, seed=0):
    """Evaluate a prediction table.

    Parameters
    ----------
    table : prediction table with labels, one row an image and part. Rows of part val choose the threshold; the parts
        test and external are evaluated; where there is neither, val, and else train. Without `part` all rows are
        evaluated, at threshold 0.5.
    groups : names of columns for the fairness tables
    malignant : classes that count as malignant where the table holds diagnoses and no `p_malignant`
    recall : gamma of the threshold rule;  n, level, seed : of the bootstrap (by patient, else lesion, else image)

    Returns
    -------
    dict of DataFrames
        rows : part, n, clusters, and the rows of each class
        threshold : t, low, high, feasible, chosen_on, recall, precision, f1 there (binary tables)
        metrics : part, metric, value, low, high, n, threshold, note
        reliability : by part (binary tables)
        classes, confusion : by part, for three classes or more
        fairness <column>, gaps <column> : by part, for each of `groups` (binary tables)

    Raises
    ------
    PredictionTableError
        The table is faulty, repeats an image in a part, mixes systems, seeds or views, or lacks a group column.
    """
    _check_one_model(check(table), groups)
    table = table.reset_index(drop=True)
    binary = _binary(table, malignant)
    if binary is None and groups:
        raise tables.PredictionTableError(["fairness needs a binary question: name the malignant classes"])
    parts = _evaluated_parts(table)
    bootstrap = {"n": n, "level": level, "seed": seed}
    several = len(tables.classes(table)) > 2
    result = {"rows": _rows(table)}
    scored, t = [], None
    if binary is not None:
        result["threshold"], t = _threshold(binary, recall, bootstrap, in_sample=parts[0][0] == "val")
        scored = [(name, part, binary.loc[part.index]) for name, part in parts]
    found = [
        _intervals(name, rows, metrics.BINARY, metrics.binary, threshold=t, bootstrap=bootstrap)
        for name, _, rows in scored
    ]
    if several:
        found += [
            _intervals(name, part, metrics.MULTICLASS, metrics.multiclass, threshold=None, bootstrap=bootstrap)
            for name, part in parts
        ]
    result["metrics"] = pd.concat(found, ignore_index=True)
    if scored:
        result["reliability"] = _stack((name, calibration.reliability(rows)) for name, _, rows in scored)
    if several:
        result["classes"] = _stack((name, metrics.per_class(part).reset_index()) for name, part in parts)
        result["confusion"] = _stack((name, metrics.confusion(part).reset_index()) for name, part in parts)
    for column in groups:
        result |= _fairness(column, scored, bootstrap | {"threshold": t})
    return result


def _check_one_model(table, groups):
    findings = [f"no column {column} to group by" for column in groups if column not in table]
    for column in UNPOOLED:
        if column in table and table[column].nunique() > 1:
            findings.append(
                f"{table[column].nunique()} values of {column}: keep one, or average the probabilities first"
            )
    key = [column for column in ("image_id", "part") if column in table]
    if table.duplicated(key).any():
        findings.append(f"an image stands several times by {', '.join(key)}: average its rows first")
    if findings:
        raise tables.PredictionTableError(findings)


def _binary(table, malignant):
    """The table as benign against malignant, or None where it holds diagnoses and nobody said which are malignant."""
    if malignant:
        return tables.to_binary(table, malignant)
    if "malignant" in tables.classes(table):
        return table
    if len(tables.classes(table)) == 2:
        raise tables.PredictionTableError([f"no p_malignant among {tables.classes(table)}: name the malignant class"])
    return None


def _evaluated_parts(table):
    if "part" not in table:
        return [("all", table)]
    present = dict(list(table.groupby("part", sort=False)))
    kept = [name for name in ("test", "external") if name in present] or ["val" if "val" in present else "train"]
    return [(name, present[name]) for name in kept]


def _rows(table):
    names = tables.classes(table)
    counted = table if "part" in table else table.assign(part="all")
    rows = []
    for part, inside in counted.groupby("part", dropna=False, sort=False):
        classes = np.bincount(tables.labels(inside), minlength=len(names))
        rows.append((part, len(inside), len(set(tables.clusters(inside))), *classes))
    return pd.DataFrame(rows, columns=["part", "n", "clusters", *names])


def _threshold(binary, recall, bootstrap, *, in_sample):
    """Threshold table of one row, and the threshold; `in_sample`: what it is used on are the rows that choose it."""
    columns = ["t", "low", "high", "feasible", "chosen_on", "gamma", "recall", "precision", "f1", "note"]
    validation = binary[binary["part"] == "val"] if "part" in binary else binary.iloc[:0]
    nothing = (0.5, np.nan, np.nan, np.nan, "nothing", recall, np.nan, np.nan, np.nan)
    if validation.empty:
        return pd.DataFrame([(*nothing, "no validation rows: 0.5 is a convention")], columns=columns), 0.5
    try:
        best = thresholds.choose_threshold(validation, recall=recall)
        interval = thresholds.threshold_interval(
            validation, groups=tables.clusters(validation), recall=recall, **bootstrap
        )
    except UndefinedMetricError as error:
        return pd.DataFrame([(*nothing, f"0.5 is a convention: {error}")], columns=columns), 0.5
    notes = [] if best.feasible else [f"no threshold reaches recall {recall}: the one of highest recall"]
    notes += ["no test rows: what is measured at it is of the rows that chose it"] * in_sample
    figures = (best.t, interval.low, interval.high, best.feasible, f"{len(validation)} val rows", recall)
    return pd.DataFrame([(*figures, best.recall, best.precision, best.f1, "; ".join(notes))], columns=columns), best.t


def _intervals(part, rows, names, build, *, threshold, bootstrap):
    """Each metric of one part with its interval; one that does not exist is NaN with the reason."""
    units = tables.clusters(rows)
    lines = []
    for name in names:
        metric = build(name) if threshold is None else build(name, threshold)
        value, low, high, note = metric(rows), np.nan, np.nan, ""
        if name not in fairness.COUNTS:
            try:
                value, low, high = bootstrap_ci(metric, rows, groups=units, **bootstrap)
                note = unmoved(low, high)
            except UndefinedMetricError as error:
                note = str(error)
        lines.append((part, name, value, low, high, len(rows), np.nan if threshold is None else threshold, note))
    return pd.DataFrame(lines, columns=["part", "metric", "value", "low", "high", "n", "threshold", "note"])


def _fairness(column, scored, options):
    found = [(name, fairness.by_group(rows, column, **options)) for name, _, rows in scored]
    between = [(name, fairness.gaps(rows, column, **options)) for name, _, rows in scored]
    return {f"fairness {column}": _stack(found), f"gaps {column}": _stack(between)}


def _stack(frames):
    return pd.concat([frame.assign(part=name) for name, frame in frames], ignore_index=True)
