"""Metrics by group (skin tone, sex, age band), their gaps, and what gap the data could have shown at all.

Every group keeps its row: a missing value is the group "missing", and a group too small for a metric is shown with its
counts and a note. Values by group are fairlearn's `MetricFrame`. Intervals and gaps come from one cluster bootstrap of
the whole table, so a lesion photographed in two groups is drawn in both at once. The paper calls a gap significant
above 0.02 (ROC-AUC) or 0.05 (others); those flags are kept next to a test.

Source: Rumale et al. 2026, "Fairness analysis", Tables 7 and 8; the groups, tests and smallest detectable gap are ours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from scipy import stats

from skinlib.evaluation import metrics, tables
from skinlib.evaluation.delong import delong_unpaired
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import holm, percentile_interval, resamples, two_sided_p, unmoved

METRICS = ("roc_auc", "recall", "precision", "f1", "fn_rate", "fn", "fp")
COUNTS = ("tp", "fn", "tn", "fp")
FLAGS = {"roc_auc": 0.02}  # the paper's limit; 0.05 for all others
OTHER_FLAG = 0.05
SMALLEST = 10
MOST_GROUPS = 20
# Rows that a metric divides by, apart from all of them.
NEEDS = {
    "positives": ("roc_auc", "average_precision", "balanced_accuracy", "recall", "fn_rate", "f1"),
    "negatives": ("roc_auc", "average_precision", "balanced_accuracy", "specificity"),
    "called": ("precision",),
}
IN_WORDS = {"n": "rows", "positives": "malignant", "negatives": "benign", "called": "called malignant"}
OF_GROUPS = ["n", "clusters", "positives", "negatives"]
GAP_COLUMNS = (
    "metric first second value_first value_second gap low high p p_holm test flag_limit flagged detectable note"
).split()


def group_key(table, group):
    """Name (N,) of each row's group as text; `group` is a column, or a tuple of them for intersections ("dark, male").

    `PredictionTableError` where one is not there, or has more than 20 values (a measurement: bin it first).
    """
    columns = (group,) if isinstance(group, str) else tuple(group)
    findings = [f"no column {column} to group by" for column in columns if column not in table]
    if findings:
        raise tables.PredictionTableError(findings)
    texts = [table[column].astype(object).map(_name).where(table[column].notna(), "missing") for column in columns]
    texts = [text.replace("all", "all (a group)").astype(object) for text in texts]
    wide = [column for column, text in zip(columns, texts, strict=True) if text.nunique() > MOST_GROUPS]
    findings = [f"column {column} has more than {MOST_GROUPS} values: bin it first" for column in wide]
    if findings:
        raise tables.PredictionTableError(findings)
    return np.array([", ".join(row) for row in zip(*texts, strict=True)], dtype=object)


def _name(value):
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _in_order(names, table, group):
    """Names in the order of a categorical column, else numbers before text; "missing" last."""
    if isinstance(group, str) and isinstance(table[group].dtype, pd.CategoricalDtype):
        given = [_name(category) for category in table[group].cat.categories]
        return [name for name in [*given, "missing"] if name in names]
    number = {name: pd.to_numeric(name, errors="coerce") for name in names}
    text = {name: bool(np.isnan(number[name])) for name in names}
    return sorted(names, key=lambda name: (name == "missing", text[name], 0 if text[name] else number[name], name))


def smallest_detectable_gap(standard_error, *, alpha=0.05, power=0.8):
    """Gap that a two-sided test at level alpha finds with the given power.

        gap = (z_{1 - alpha/2} + z_{power}) * SE        (2.80 * SE at 0.05 and 0.8)

    SE is the standard error of the estimated gap. For two rates of independent rows it is sqrt(p1 (1 - p1) / n1 +
    p2 (1 - p2) / n2); `gaps` takes the spread of the cluster bootstrap, which holds the correlation within lesions.
    """
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * standard_error)


@dataclass(frozen=True)
class _Groups:
    """By group, "all" first: values and counts (a row each), (y, p, clusters) of its rows, and bootstrap replicates."""

    values: pd.DataFrame
    samples: dict
    replicates: dict

    def shortage(self, group, metric):
        """Why a metric of a group is not shown, or an empty string."""
        needed = ["n", *(name for name, users in NEEDS.items() if metric in users)]
        found = self.values.loc[group, needed].astype(int)
        short = [f"{found[name]} {IN_WORDS[name]}" for name in needed if found[name] < SMALLEST]
        return f"counts only: {', '.join(short)} (fewer than {SMALLEST})" if short else ""


def grouped(table, group, *, threshold=0.5, names=METRICS, n=2000, seed=0):
    """What `by_group` and `gaps` are made of: hand it to both as `found`, and the table is resampled once."""
    y, p = tables.outcome(table)
    units, key = tables.cluster_codes(tables.clusters(table), len(table)), group_key(table, group)

    def measured(y, p, units):
        once = np.ones((1, len(y)))
        values = {name: float(metrics.BINARY[name](y, p, threshold, once)[0]) for name in names}
        counts = {"n": len(y), "clusters": len(np.unique(units)), "positives": y.sum(), "negatives": (1 - y).sum()}
        return values | counts | {"called": int((p >= threshold).sum())}

    how = {"sensitive_features": key, "sample_params": {"units": units}}
    frame = MetricFrame(metrics=measured, y_true=y, y_pred=p, **how)
    each = {"all": frame.overall} | frame.by_group.loc[_in_order(set(key), table, group)].to_dict()
    values = pd.DataFrame.from_dict(each, orient="index")
    rows = {name: np.flatnonzero(key == name) for name in values.index} | {"all": np.arange(len(y))}
    drawn = {(name, metric): [] for name in rows for metric in names if metric not in COUNTS}
    for counts in resamples(units, len(units), n, seed):
        for (name, metric), each in drawn.items():
            each.append(metrics.BINARY[metric](y[rows[name]], p[rows[name]], threshold, counts[:, rows[name]]))
    samples = {name: (y[inside], p[inside], units[inside]) for name, inside in rows.items()}
    return _Groups(values.astype(float), samples, {pair: np.concatenate(each) for pair, each in drawn.items()})


def interval(replicates, level):
    """Percentile interval of replicates (n,) and what to say of it, or NaN and the reason: (low, high, note)."""
    try:
        low, high, _ = percentile_interval(replicates, level)
    except UndefinedMetricError as error:
        return np.nan, np.nan, f"no interval: {error}"
    return low, high, unmoved(low, high)


def by_group(table, group, *, threshold=0.5, names=METRICS, n=2000, level=0.95, seed=0, found=None):
    """Metrics (keys of `metrics.BINARY`) by group ("all" first, "missing" last), with intervals but for the counts.

    Columns: group, metric, value, low, high, n, clusters, positives, negatives, note. `group` is as in `group_key`. A
    metric of fewer than 10 rows (of malignant or benign ones where it divides by them) is NaN; the note says why.
    """
    found = found or grouped(table, group, threshold=threshold, names=names, n=n, seed=seed)
    rows = []
    for member, values in found.values.iterrows():
        for name in names:
            value, low, high, note = values[name], np.nan, np.nan, ""
            if name not in COUNTS:
                note = found.shortage(member, name)
                value = np.nan if note else value
                if not note:
                    low, high, note = interval(found.replicates[member, name], level)
            rows.append((member, name, value, low, high, *values[OF_GROUPS].astype(int), note))
    return pd.DataFrame(rows, columns=["group", "metric", "value", "low", "high", *OF_GROUPS, "note"])


def gaps(table, group, *, reference=None, threshold=0.5, names=METRICS, n=2000, level=0.95, seed=0, found=None):
    """Gap of each group to a reference group, first - second, metric by metric but for the counts.

    The test is an unpaired clustered DeLong for roc_auc and the cluster bootstrap (two-sided) for the others; `p_holm`
    is adjusted over the rows of the table (recall and fn_rate are one test). `flagged` is the paper's rule |gap| >
    `flag_limit`, no test. Without a `reference` it is the largest group that is not "missing".
    """
    names = [name for name in names if name not in COUNTS]
    found = found or grouped(table, group, threshold=threshold, names=names, n=n, seed=seed)
    members = list(found.values.index[1:])
    known = [name for name in members if name != "missing"] or members
    first = reference or max(known, key=lambda name: found.values.loc[name, "n"])
    if first not in members:
        raise tables.PredictionTableError([f"no group {first!r} in {group}: {members}"])
    rows = []
    for second in members:
        for name in names if second != first else ():
            rows.append(_gap(found, first, second, name, level))
    result = pd.DataFrame(rows, columns=GAP_COLUMNS)
    twin = (result["metric"] == "fn_rate") & ("recall" in names)  # 1 - recall: the same test, counted once
    result["p_holm"] = holm(result["p"].where(~twin).to_numpy(float))
    of_recall = result[result["metric"] == "recall"].set_index("second")["p_holm"]
    result.loc[twin, "p_holm"] = result.loc[twin, "second"].map(of_recall).astype(float)
    return result


def _gap(found, first, second, name, level):
    """A row of `gaps` without its adjusted p."""
    limit, test = FLAGS.get(name, OTHER_FLAG), "clustered DeLong" if name == "roc_auc" else "cluster bootstrap"
    shortage = found.shortage(first, name) or found.shortage(second, name)
    if shortage:
        return (name, first, second, *[np.nan] * 7, test, limit, False, np.nan, shortage)
    values = found.values.loc[[first, second], name]
    gap = values.iloc[0] - values.iloc[1]
    drawn = found.replicates[first, name] - found.replicates[second, name]
    low, high, note = interval(drawn, level)
    p, detectable = np.nan, np.nan
    if not np.isnan(low):
        detectable = smallest_detectable_gap(np.nanstd(drawn, ddof=1))
        (y1, p1, units1), (y2, p2, units2) = found.samples[first], found.samples[second]
        try:
            of_auc = name == "roc_auc"
            p = delong_unpaired(y1, p1, y2, p2, groups=(units1, units2))[3] if of_auc else two_sided_p(drawn)
        except UndefinedMetricError as error:
            note = f"no test: {error}"
    flagged = bool(abs(gap) > limit)
    return (name, first, second, *values, gap, low, high, p, np.nan, test, limit, flagged, detectable, note)
