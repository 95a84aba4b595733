"""Metrics of a prediction table: for the table itself, or for many resamples of it at once.

Rules. A row is called positive where score >= threshold. A ratio whose denominator is zero is NaN, never 0 (recall
without positives, precision without positive calls). A macro average is NaN if one of its classes is. A row whose
largest probability is shared by two classes is wrong for every class (the rule of the ISIC challenges).
"""

import numpy as np
import pandas as pd

from skinlib.evaluation import resampled, tables
from skinlib.evaluation.resampled import OF_A_CLASS, Metric, class_margins, ratio


def _from_cells(formula):
    return lambda y, p, threshold, counts: formula(*resampled.weighted_cells(y.astype(bool), p, threshold, counts))


BINARY = {
    "roc_auc": lambda y, p, threshold, counts: resampled.weighted_auc(y, p, counts),
    "average_precision": lambda y, p, threshold, counts: resampled.weighted_average_precision(y, p, counts),
    "recall": _from_cells(lambda tp, fn, tn, fp: ratio(tp, tp + fn)),
    "precision": _from_cells(lambda tp, fn, tn, fp: ratio(tp, tp + fp)),
    "f1": _from_cells(lambda tp, fn, tn, fp: ratio(2 * tp, 2 * tp + fn + fp)),
    "accuracy": _from_cells(lambda tp, fn, tn, fp: ratio(tp + tn, tp + fn + tn + fp)),
    "specificity": _from_cells(lambda tp, fn, tn, fp: ratio(tn, tn + fp)),
    "balanced_accuracy": _from_cells(lambda tp, fn, tn, fp: (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2),
    "fn_rate": _from_cells(lambda tp, fn, tn, fp: ratio(fn, tp + fn)),
    "fp_rate": _from_cells(lambda tp, fn, tn, fp: ratio(fp, tn + fp)),
    "tp": _from_cells(lambda tp, fn, tn, fp: tp),
    "fn": _from_cells(lambda tp, fn, tn, fp: fn),
    "tn": _from_cells(lambda tp, fn, tn, fp: tn),
    "fp": _from_cells(lambda tp, fn, tn, fp: fp),
    "brier": lambda y, p, threshold, counts: ratio(counts @ (p - y) ** 2, counts.sum(axis=1)),
    "ece": lambda y, p, threshold, counts: resampled.weighted_ece(y, p, counts),
}


def _by_rows(formula):
    """A mean over benign and malignant, weighted by their rows, from the cells of the calls."""
    weighted = resampled.by_rows(formula)
    matrix = lambda tp, fn, tn, fp: np.stack([np.stack([tn, fp], axis=1), np.stack([fn, tp], axis=1)], axis=1)
    return _from_cells(lambda *cells: weighted(*class_margins(matrix(*cells))))


# What is called may be called at any threshold; `WEIGHTED` looks at the largest probability instead.
OF_CALLS = BINARY | {f"weighted_{name}": _by_rows(formula) for name, formula in OF_A_CLASS.items()}


def binary(name, threshold=0.5):
    """The binary metric `name` (a key of `BINARY`) at a threshold in [0, 1], ready for the bootstrap."""
    formula = BINARY[name]

    def weighted(table, counts):
        y, p = tables.outcome(table)
        return formula(y, p, threshold, counts)

    return Metric(name, weighted, tables.outcome if name == "roc_auc" else None)


def multiclass(name):
    """The multi-class metric `name` (a key of `MULTICLASS` or `WEIGHTED`), ready for the bootstrap."""
    return Metric(name, (MULTICLASS | WEIGHTED)[name])


def as_arrays(table_or_y, p=None):
    """Outcome (N,) of 0 and 1 and score (N,) in [0, 1], from a prediction table or from the two arrays themselves."""
    if isinstance(table_or_y, pd.DataFrame):
        if p is not None:
            raise ValueError("a prediction table brings its own scores: give threshold= by name")
        return tables.outcome(table_or_y)
    y, p = np.asarray(table_or_y), np.asarray(p, float)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"labels {y.shape} and scores {p.shape} must be two arrays of one length")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels must be 0 (benign) or 1 (malignant)")
    if not (np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all()):
        raise ValueError("scores must be finite and in [0, 1]")
    return y.astype(int), p


def binary_metrics(table_or_y, p=None, threshold=0.5):
    """All metrics of `BINARY` at a threshold, by name; tp, fn, tn, fp are int.

    Takes a prediction table with `p_malignant`, or labels (N,) of 0 and 1 and scores (N,) in [0, 1].
    """
    y, p = as_arrays(table_or_y, p)
    once = np.ones((1, len(y)))
    values = {name: float(formula(y, p, threshold, once)[0]) for name, formula in BINARY.items()}
    return values | {cell: int(values[cell]) for cell in ("tp", "fn", "tn", "fp")}


def predicted(table):
    """Index (N,) of the class with the largest probability; -1 where two classes share it."""
    values, _ = tables.probabilities(table)
    tied = (values == values.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, -1, values.argmax(axis=1))


def _weighted_confusion(table, counts):
    """Confusion (B, K, K + 1): truth by call, the last column holding ties."""
    size = len(tables.classes(table))
    call = predicted(table)
    cell = tables.labels(table) * (size + 1) + np.where(call < 0, size, call)
    member = cell[:, None] == np.arange(size * (size + 1))
    return (counts @ member.astype(float)).reshape(-1, size, size + 1)


def _from_matrix(formula):
    """A metric of confusion matrices, from their `class_margins`."""
    return lambda table, counts: formula(*class_margins(_weighted_confusion(table, counts)))


def _class_auc(table, counts):
    values, names = tables.probabilities(table)
    truth = tables.labels(table)
    auc = [resampled.weighted_auc((truth == k).astype(int), values[:, k], counts) for k in range(len(names))]
    return np.stack(auc, axis=1)


CLASSWISE = {name: _from_matrix(formula) for name, formula in OF_A_CLASS.items()} | {"roc_auc": _class_auc}
MULTICLASS = {
    "accuracy": _from_matrix(lambda hits, rows, calls, total: ratio(hits.sum(axis=1), total[:, 0])),
    "balanced_accuracy": lambda table, counts: CLASSWISE["recall"](table, counts).mean(axis=1),
    "macro_precision": lambda table, counts: CLASSWISE["precision"](table, counts).mean(axis=1),
    "macro_recall": lambda table, counts: CLASSWISE["recall"](table, counts).mean(axis=1),
    "macro_f1": lambda table, counts: CLASSWISE["f1"](table, counts).mean(axis=1),
    "macro_auc": lambda table, counts: CLASSWISE["roc_auc"](table, counts).mean(axis=1),
}
# Means over classes by their rows, in which a frequent class hides a rare one: weighted recall is the accuracy.
WEIGHTED = {f"weighted_{name}": _from_matrix(resampled.by_rows(formula)) for name, formula in OF_A_CLASS.items()}


def per_class(table):
    """One row a class: n, recall (sensitivity), precision, f1, specificity, roc_auc (class against the rest)."""
    once = np.ones((1, len(table)))
    values = {name: formula(table, once)[0] for name, formula in CLASSWISE.items()}
    count = np.bincount(tables.labels(table), minlength=len(tables.classes(table)))
    return pd.DataFrame({"n": count} | values, index=pd.Index(tables.classes(table), name="class"))


def confusion(table):
    """Confusion matrix: a row a true class, a column a called class, and a column `tie` if any row has one."""
    names = tables.classes(table)
    counts = _weighted_confusion(table, np.ones((1, len(table))))[0].astype(int)
    frame = pd.DataFrame(counts, index=pd.Index(names, name="true"), columns=[*names, "tie"])
    return frame if frame["tie"].any() else frame.drop(columns="tie")
