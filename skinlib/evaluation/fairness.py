"""Metrics by group (skin tone, sex, age band), their gaps, and what gap the data could have shown at all.

Every group keeps its row: a missing value is the group "missing", and a group too small for a metric is shown with its
counts and a note. Intervals and gaps come from one cluster bootstrap of the whole table, so a lesion photographed in
two groups is drawn in both at once. The paper calls a gap significant above 0.02 (ROC-AUC) or 0.05 (others); those
flags are kept beside a test.

Source: Rumale et al. 2026, "Fairness analysis", Tables 7 and 8; the groups, tests and smallest detectable gap are ours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from skinlib.evaluation import metrics, tables
from skinlib.evaluation.delong import delong_unpaired
from skinlib.evaluation.grouping import group_key, group_order
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import holm, percentile_interval, resamples, two_sided_p, unmoved

METRICS = ("roc_auc", "recall", "precision", "f1", "fn_rate", "fn", "fp")
COUNTS = ("tp", "fn", "tn", "fp")
FLAGS = {"roc_auc": 0.02}  # the paper's limit; 0.05 for all others
OTHER_FLAG = 0.05
SMALLEST = 10
GROUP_COLUMNS = ["group", "metric", "value", "low", "high", "n", "clusters", "positives", "negatives", "note"]
GAP_COLUMNS = (
    "metric first second value_first value_second gap low high p p_holm test flag_limit flagged detectable note"
).split()


def smallest_detectable_gap(standard_error, *, alpha=0.05, power=0.8):
    """Gap that a two-sided test at level alpha finds with the given power.

        gap = (z_{1 - alpha/2} + z_{power}) * SE        (2.80 * SE at 0.05 and 0.8)

    Parameters
    ----------
    standard_error : of the estimated gap, in units of the metric. For two rates of independent rows
        SE = sqrt(p1 (1 - p1) / n1 + p2 (1 - p2) / n2); `gaps` takes the spread of the cluster bootstrap instead, which
        holds the correlation within lesions.
    """
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * standard_error)


@dataclass(frozen=True)
class _Group:
    """Rows of one group with what decides whether a metric can be shown for it."""

    name: str
    rows: np.ndarray
    table: pd.DataFrame
    units: np.ndarray
    y: np.ndarray
    p: np.ndarray
    threshold: float

    @property
    def figures(self):
        positives = int(self.y.sum())
        return len(self.y), len(set(self.units)), positives, len(self.y) - positives

    def shortage(self, metric, smallest):
        """Why the metric is not shown, or an empty string."""
        n, _, positives, negatives = self.figures
        called = int((self.p >= self.threshold).sum())
        short = [
            f"{count} {what}" for what, count in _needs(metric, n, positives, negatives, called) if count < smallest
        ]
        return f"counts only: {', '.join(short)} (fewer than {smallest})" if short else ""


def _needs(metric, n, positives, negatives, called):
    needs = [("rows", n)]
    if metric in ("roc_auc", "average_precision", "balanced_accuracy", "recall", "fn_rate", "f1"):
        needs.append(("malignant", positives))
    if metric in ("roc_auc", "average_precision", "balanced_accuracy", "specificity"):
        needs.append(("benign", negatives))
    if metric == "precision":
        needs.append(("called malignant", called))
    return needs


def _groups(table, group, threshold, clusters):
    """The groups of a table by name, and the clusters (N,) of its rows."""
    y, p = tables.outcome(table)
    key = group_key(table, group)
    units = tables.clusters(table) if clusters is None else table[clusters].to_numpy()
    members = [(name, np.flatnonzero(key == name)) for name in group_order(table, group)]
    return {
        name: _Group(name, rows, table.iloc[rows], units[rows], y[rows], p[rows], threshold) for name, rows in members
    }, units


def _replicates(groups, units, names, *, threshold, n, seed):
    """Bootstrap replicates (n,) of each metric in each group, drawn together: {(group, metric): array}."""
    wanted = {name: metrics.binary(name, threshold) for name in names if name not in COUNTS}
    drawn = {(group, name): [] for group in groups for name in wanted}
    for counts in resamples(units, len(units), n, seed):
        for (group, name), values in drawn.items():
            values.append(wanted[name].weighted(groups[group].table, counts[:, groups[group].rows]))
    return {pair: np.concatenate(values) for pair, values in drawn.items()}


def _interval(replicates, level):
    """Percentile interval and what to say of it, or NaN and the reason."""
    try:
        low, high, _ = percentile_interval(replicates, level)
    except UndefinedMetricError as error:
        return np.nan, np.nan, f"no interval: {error}"
    return low, high, unmoved(low, high)


def by_group(
    table, group, *, threshold=0.5, names=METRICS, clusters=None, n=2000, level=0.95, seed=0, smallest=SMALLEST
):
    """Metrics of each group with cluster bootstrap intervals.

    Parameters
    ----------
    table : prediction table, binary
    group : column name, or a tuple of names for intersections
    threshold : a row is called where its score >= threshold
    names : keys of `metrics.BINARY`; counts (tp, fn, tn, fp) get no interval
    clusters : column of the independent unit; None: patient, else lesion, else image (`tables.clusters`)
    n, level, seed : of the bootstrap
    smallest : fewest rows (and malignant or benign rows, where the metric divides by them) for a metric to be shown

    Returns
    -------
    DataFrame, a row a group ("all" first, "missing" last) and metric: group, metric, value, low, high, n, clusters,
    positives, negatives, note. A metric that is not shown is NaN and the note says why.

    Raises
    ------
    PredictionTableError
        The table or the group column is faulty.
    """
    members, units = _groups(table, group, threshold, clusters)
    y, p = tables.outcome(table)
    members = {"all": _Group("all", np.arange(len(y)), table, units, y, p, threshold)} | members
    replicates = _replicates(members, units, names, threshold=threshold, n=n, seed=seed)
    rows = []
    for member in members.values():
        point = metrics.binary_metrics(member.y, member.p, threshold)
        for name in names:
            value, low, high, note = point[name], np.nan, np.nan, ""
            if name not in COUNTS:
                note = member.shortage(name, smallest)
                value = np.nan if note else value
                if not note:
                    low, high, note = _interval(replicates[member.name, name], level)
            rows.append((member.name, name, value, low, high, *member.figures, note))
    return pd.DataFrame(rows, columns=GROUP_COLUMNS)


def gaps(
    table,
    group,
    *,
    reference=None,
    threshold=0.5,
    names=METRICS,
    clusters=None,
    n=2000,
    level=0.95,
    seed=0,
    smallest=SMALLEST,
):
    """Gap of each group to a reference group, metric by metric, with interval, test, and the paper's flag.

    The test is an unpaired clustered DeLong for roc_auc and the cluster bootstrap (two-sided) for the others; `p_holm`
    is adjusted over the rows of the table (recall and fn_rate are one test). `flagged` is the paper's rule |gap| >
    `flag_limit`, no test.

    Parameters
    ----------
    reference : name of the first group; None: the largest group that is not "missing"
    others : as in `by_group`; counts (tp, fn, tn, fp) have no gap and are left out

    Returns
    -------
    DataFrame: metric, first, second, value_first, value_second, gap = first - second, low, high, p, p_holm, test,
    flag_limit, flagged, detectable (`smallest_detectable_gap`), note

    Raises
    ------
    PredictionTableError
        The reference is no group of the table, or as in `by_group`.
    """
    members, units = _groups(table, group, threshold, clusters)
    known = [name for name in members if name != "missing"] or list(members)
    reference = reference or max(known, key=lambda name: len(members[name].rows))
    if reference not in members:
        raise tables.PredictionTableError([f"no group {reference!r} in {group}: {list(members)}"])
    replicates = _replicates(members, units, names, threshold=threshold, n=n, seed=seed)
    first, rows = members[reference], []
    for second in members.values():
        if second is first:
            continue
        for name in names:
            if name not in COUNTS:
                shortage = first.shortage(name, smallest) or second.shortage(name, smallest)
                drawn = replicates[first.name, name] - replicates[second.name, name]
                rows.append(_gap_row(first, second, name, shortage=shortage, drawn=drawn, level=level))
    result = pd.DataFrame(rows, columns=[column for column in GAP_COLUMNS if column != "p_holm"])
    twin = (result["metric"] == "fn_rate") & ("recall" in names)  # 1 - recall: the same test, counted once
    result["p_holm"] = holm(result["p"].where(~twin).to_numpy(float))
    of_recall = result[result["metric"] == "recall"].set_index("second")["p_holm"]
    result.loc[twin, "p_holm"] = result.loc[twin, "second"].map(of_recall).astype(float)
    return result[GAP_COLUMNS]


def _gap_row(first, second, name, *, shortage, drawn, level):
    limit = FLAGS.get(name, OTHER_FLAG)
    test = "clustered DeLong" if name == "roc_auc" else "cluster bootstrap"
    if shortage:
        return (name, first.name, second.name, *[np.nan] * 6, test, limit, False, np.nan, shortage)
    values = [metrics.binary_metrics(member.y, member.p, member.threshold)[name] for member in (first, second)]
    gap = values[0] - values[1]
    low, high, note = _interval(drawn, level)
    p, detectable = np.nan, np.nan
    if not np.isnan(low):
        p, untested = _test(first, second, name, drawn)
        note = untested or note
        detectable = smallest_detectable_gap(np.nanstd(drawn, ddof=1))
    flagged = bool(abs(gap) > limit)
    return (name, first.name, second.name, *values, gap, low, high, p, test, limit, flagged, detectable, note)


def described(gap, words):
    """Note of a row of `gaps`: `words`, where there is a test to speak of, and what the row says itself."""
    return "; ".join(filter(None, [words if np.isfinite(gap.p) else "", gap.note]))


def _test(first, second, name, drawn):
    """p of the gap and an empty note, or NaN and the reason."""
    if name != "roc_auc":
        return two_sided_p(drawn), ""
    try:
        return delong_unpaired(first.y, first.p, second.y, second.p, groups=(first.units, second.units))[3], ""
    except UndefinedMetricError as error:
        return np.nan, f"no test: {error}"
