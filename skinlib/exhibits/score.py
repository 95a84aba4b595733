"""Rows x metrics -> cells: values with intervals, paired changes with verdicts, values by group.

Cells are a DataFrame: row, metric, ours, low, high, n, dataset, split, note, and of a change p, p_adjusted, family,
verdict and units, the number of paired trainings.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.evaluation import fairness, mrmc, statistics
from skinlib.evaluation.resampled import UndefinedMetricError, mean_over
from skinlib.exhibits.scored import Scored, pair

CELLS = "row metric ours low high n dataset split note p p_adjusted family verdict units".split()
CHANGE = "_change"
LEAST_UNITS = 5  # paired trainings behind a verdict
ALPHA = 0.05
UNTESTED = "nothing differs, so nothing is tested"
LESS_IS_BETTER = ("fn", "fp", "fn_rate", "fp_rate", "false_positives", "ece", "brier", "hd95", "hd95_share")
OPPOSITE = {"recall": "specificity", "sensitivity": "specificity"}
Metrics = Sequence[str] | Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Boot:
    """How the bootstrap is done: ``n`` resamples of an interval, ``n_p`` where a p value is printed, the seed."""

    n: int = 2000
    n_p: int = 10_000
    seed: int = 0


def cells(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Return cells of mappings with row, metric, ours, and whatever of the other columns is known."""
    frame = pd.DataFrame(list(rows)).reindex(columns=CELLS)
    words = ["row", "metric", "note", "family", "verdict"]
    return frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "") for name in words})


def counts(values: Mapping[tuple[str, str], float | tuple | list], *, about: Mapping | None = None) -> pd.DataFrame:
    """Return cells that need no resampling: (row, metric) -> number; or (number, low, high); or a list of numbers, one
    a training, whose mean and range are kept; or columns of a cell. ``about`` is n, dataset, split, note of all.
    """
    rows = []
    for (row, metric), value in values.items():
        if isinstance(value, list):
            value = (np.mean(value), *((min(value), max(value)) if len(value) > 1 else (np.nan, np.nan)))
        if isinstance(value, tuple):
            value = dict(zip(("ours", "low", "high"), value, strict=True))
        elif not isinstance(value, Mapping):
            value = {"ours": value}
        rows.append({"row": row, "metric": metric, **(about or {}), **value})
    return cells(rows)


def noted(frame: pd.DataFrame, words: Mapping[str, str]) -> pd.DataFrame:
    """Return cells with words added to the notes of some metrics: metric -> words."""
    added = frame["metric"].map(words).fillna("")
    return frame.assign(note=[_joined(*both) for both in zip(frame["note"], added, strict=True)])


def score(rows: Mapping[str, Scored], metrics: Metrics, boot: Boot) -> pd.DataFrame:
    """Return each metric of each row with its 95 % cluster bootstrap interval over patients or lesions and trainings.

    Counts have no interval. ``threshold`` is the mean over units, with its range. A metric that does not exist for
    these rows is an empty cell whose note says so. ``metrics`` are as `Scored.metric` takes them; a mapping renames:
    name in the exhibit -> metric.
    """
    return cells([_value(row, one, *each, boot) for row, one in rows.items() for each in _named(metrics)])


def _named(metrics: Metrics) -> list[tuple[str, str]]:
    if isinstance(metrics, Mapping):
        return list(metrics.items())
    return [(name.removeprefix("mean:") if isinstance(name, str) else name.name, name) for name in metrics]


def _value(row: str, one: Scored, name: str, metric: str, boot: Boot) -> dict:
    cell = {"row": row, "metric": name, "units": one.trainings, **one.origin()}
    if metric == "threshold":
        each = one.thresholds()
        ours, varies = float(np.round(each.mean(), 10)), {"low": each.min(), "high": each.max()}
        if each.nunique() <= 1:
            return cell | {"ours": ours, "note": one.note}
        return cell | {"ours": ours, "note": _joined(one.note, "range over seeds")} | varies
    if cell["n"] == 0:
        return cell | {"ours": np.nan, "note": _joined(one.note, "no such image")}
    table, formula, note = one.decided(), one.metric(metric), one.note
    value, low, high = formula(table), np.nan, np.nan
    if cell["n"] < one.least:
        note = _joined(note, f"fewer than {one.least} images: no interval")
    elif metric not in fairness.COUNTS:
        try:
            value, low, high = statistics.bootstrap_ci(formula, table, **one.resampled(), n=boot.n, seed=boot.seed)
        except UndefinedMetricError as error:
            note = _joined(note, f"no interval: {error}")
    return cell | {"ours": value, "low": low, "high": high, "note": _joined(note, statistics.unmoved(low, high))}


def _joined(*words: str) -> str:
    return "; ".join(filter(None, words))


def changes(
    pairs: Mapping[str, tuple[Scored, Scored]],
    metrics: Metrics,
    boot: Boot,
    *,
    family: str,
    suffix: str = CHANGE,
    leak: bool = False,
) -> pd.DataFrame:
    """Return the paired change of each metric, after minus before, with p, p adjusted by Holm, and a verdict.

    With several paired trainings interval and p are those of `skinlib.evaluation.mrmc`, over trainings and patients;
    with one pair those of the cluster bootstrap over patients. Holm runs over the rows given, for each metric apart; a
    step that cannot move a metric is not among them. Sensitivity without specificity is a ValueError.

    ``pairs`` are row -> (after, before). The plan of the paper says which ``family`` is ``primary``, what it claims.
    The ``suffix`` of a metric is "" for a row that is itself a difference. A ``leak`` *inflates* or *deflates*.
    """
    names = [metric for _, metric in _named(metrics)]
    for one, other in OPPOSITE.items():
        if one in names and other not in names:
            raise ValueError(f"a change of {one} without {other} says nothing; ask for both")
    found = [
        _change(pair(*both), metric, boot) | {"row": row, "metric": name, "family": family}
        for row, both in pairs.items()
        for name, metric in _named(metrics)
    ]
    judged = judge(cells(found), leak=leak)
    return judged.assign(metric=judged["metric"] + suffix)


def _change(both: tuple[Scored, Scored], metric: str, boot: Boot) -> dict:
    after, before = both
    cell = {"units": after.trainings, **after.origin()}
    a, b, formula = after.decided(), before.decided(), after.metric(metric)
    nested = after.nested and bool(after.units)  # then the outer units are the independent trainings
    try:
        if (after.table[after.units[0]].nunique() if nested else after.trainings) <= 1:
            value, low, high, p = statistics.paired_bootstrap(
                formula, a, b, **after.resampled(), n=boot.n_p, seed=boot.seed
            )
            cell |= {"ours": value, "low": low, "high": high}
            return cell | ({"note": UNTESTED} if low == high == 0 else {"p": p})
        inner = dataclasses.replace(after, units=()).metric(metric)
        inner = mean_over(inner, list(after.units[1:])) if nested and len(after.units) > 1 else inner
        found = mrmc.compare(a, b, inner, unit=after.units[:1] if nested else after.units)
        value = float(formula(a)) - float(formula(b))
    except UndefinedMetricError as error:
        return cell | {"ours": np.nan, "note": f"not defined: {error}"}
    each = np.asarray(found.each, float)
    if not each.any() and found.standard_error == 0:
        return cell | {"ours": 0.0, "low": 0.0, "high": 0.0, "note": UNTESTED}
    agree = max(int((each > 0).sum()), int((each < 0).sum()))
    note = f"{agree} of {len(each)} trainings agree in sign" if len(each) < LEAST_UNITS else ""
    tested = {"ours": value, "low": found.low, "high": found.high, "p": found.p}
    return cell | tested | {"units": len(each), "note": note}


def judge(frame: pd.DataFrame, *, leak: bool = False, over: Sequence[str] = ("family", "metric")) -> pd.DataFrame:
    """Return changes with ``p_adjusted``, by Holm within each family and metric, and ``verdict``.

    Claims of several metrics on the same images are one family where ``over`` is ``("family",)``.

    *helps* or *harms* where at least five paired trainings put the interval on one side of 0 and the adjusted p is
    below 0.05, else *no evidence*; *trade* where sensitivity is bought with specificity or the other way; "" with fewer
    trainings, whose number the column ``units`` has. A leak *inflates* or *deflates*.
    """
    judged = frame.assign(p_adjusted=frame.groupby(list(over), sort=False)["p"].transform(statistics.holm))
    judged = judged.assign(verdict=[_verdict(one, leak) for one in judged.itertuples()])
    names = judged["metric"].str.removesuffix(CHANGE)
    for one, other in OPPOSITE.items():
        for row in judged.loc[names == one, "row"]:
            mine = judged["row"].eq(row) & names.isin((one, other))
            if {"helps", "harms"} <= set(judged.loc[mine, "verdict"]):
                judged.loc[mine, "verdict"] = "trade"
    return judged


def _verdict(cell, leak: bool) -> str:
    if pd.isna(cell.p):
        return ""
    if cell.units < LEAST_UNITS:
        return "one run each" if cell.units == 1 else ""
    if cell.p_adjusted >= ALPHA or cell.low <= 0 <= cell.high:
        return "no evidence"
    up = cell.low > 0
    if leak:
        return "inflates" if up else "deflates"
    return "helps" if up != (cell.metric.removesuffix(CHANGE) in LESS_IS_BETTER) else "harms"


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of an exhibit's changes: a row a step, a column a metric; "" where there is none."""
    tested = frame[frame["metric"].str.endswith(CHANGE)].assign(metric=lambda t: t["metric"].str.removesuffix(CHANGE))
    wide = tested.pivot(index="row", columns="metric", values="verdict")
    wide = wide.loc[tested["row"].drop_duplicates(), tested["metric"].drop_duplicates()]
    return wide.rename_axis(index=None, columns=None).fillna("not compared")


def gaps(pairs: Mapping[str, tuple[Scored, Scored]], metrics: Metrics, boot: Boot, *, note: str = "") -> pd.DataFrame:
    """Return the first minus the second of rows on other images, such as validation and test, with intervals.

    Nothing is paired: the two are resampled independently of each other.
    """
    found = []
    for (row, both), (name, metric) in itertools.product(pairs.items(), _named(metrics)):
        first, second = (one.metric(metric)(one.decided()) for one in both)
        draws = [
            statistics.bootstrap_distribution(
                one.metric(metric), one.decided(), **one.resampled(), n=boot.n, seed=boot.seed + k
            )
            for k, one in enumerate(both, 1)
        ]
        low, high, _ = statistics.percentile_interval(draws[0] - draws[1])
        cell = {"row": row, "metric": name, "ours": first - second, "low": low, "high": high, "note": note}
        found.append(cell | {"units": both[1].trainings} | both[1].origin())
    return cells(found)


def by_group(
    one: Scored, column: str, metrics: Sequence[str], boot: Boot, *, reference: str = "", prefix: str = ""
) -> pd.DataFrame:
    """Return metrics of calls for each group of a column, as `skinlib.evaluation.fairness` has them, as cells.

    ``one`` has the predictions of one training, each image once, at one threshold. ``reference`` adds the rows "gap",
    the reference minus the other group ("gap to <group>" of several), with p, and what gap could have been found with
    a power of 0.8 in the note. Images without a group are not in a gap.
    """
    options = {"threshold": float(one.thresholds().iloc[0]), "n": boot.n, "seed": boot.seed}
    found = fairness.by_group(one.table, column, names=metrics, **options)
    notes = [_joined(c.note, f"{c.positives} malignant, {c.clusters} patients or lesions") for c in found.itertuples()]
    values = found.rename(columns={"group": "row", "value": "ours"}).assign(note=notes)
    known = one.table[one.table[column].notna()]
    if reference and set(known[column]) > {reference}:
        gap = fairness.gaps(known, column, reference=reference, names=metrics, **options)
        words = "{} minus {}; {}; a gap of {:.4f} could be found (power 0.8)"
        told = [words.format(reference, c.second, c.test, c.detectable) for c in gap.itertuples()]
        notes = [_joined(*both) for both in zip(np.where(gap["p"].notna(), told, ""), gap["note"], strict=True)]
        rows = "gap to " + gap["second"] if gap["second"].nunique() > 1 else "gap"
        gap = gap.rename(columns={"gap": "ours", "p_holm": "p_adjusted"}).assign(row=rows, note=notes, n=len(known))
        values = pd.concat([values, gap.assign(family="side")])
    about = {key: one.origin()[key] for key in ("dataset", "split")}
    return cells(values.assign(row=prefix + values["row"], **about).to_dict("records"))


def step_by_step(rows: Mapping[str, Scored]) -> dict[str, tuple[Scored, Scored]]:
    """Return each row but the first with the one before it, for `changes`."""
    return {after: (rows[after], rows[before]) for before, after in itertools.pairwise(rows)}


def each_training(rows: Mapping[str, Scored], metrics: Metrics) -> pd.DataFrame:
    """Return every training apart, without intervals: row, the columns of its units, and a column a metric."""
    lines = []
    for row, one in rows.items():
        for key, unit in one.each_unit() if one.units else [((), one)]:
            single = dataclasses.replace(unit, units=())
            table = single.decided()
            values = {name: single.metric(metric)(table) for name, metric in _named(metrics)}
            lines.append({"row": row, **dict(zip(one.units, key, strict=True)), **values})
    return pd.DataFrame(lines)
