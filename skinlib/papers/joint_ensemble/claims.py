"""The ensemble paper's sentences as numbers: what reaches a printed figure, ambiguous lesions, and what is followed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, ratio
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits import multiclass
from skinlib.exhibits.estimates import Arm, cell, compare, judge, measure, origin
from skinlib.exhibits.ladder import CHANGE
from skinlib.exhibits.published import published
from skinlib.papers.joint_ensemble.arms import KEYS, MELANOMA, Row, drawn, melanoma, paired
from skinlib.papers.joint_ensemble.tables import OVER_ALONE, OVER_MEMBER

AMBIGUOUS = 0.25  # the share of lesions whose two likeliest classes lie closest: ours, for the paper defines none
FOUND = 0.90  # sensitivity for melanoma at which false positives are counted; ours
FUSION = "fusion on - off, ambiguous lesions"
METADATA = "metadata on - off, borderline lesions"
FOLLOWED = ("asymmetry", "border")


def margins(table: pd.DataFrame) -> np.ndarray:
    """Return (N,) how far the likeliest class lies above the second: near 0 where a table cannot decide."""
    values, _ = tables.probabilities(table)
    top = np.sort(values, axis=1)[:, -2:]
    return top[:, 1] - top[:, 0]


def ambiguous(one: Row, judge_: Row, share: float = AMBIGUOUS) -> Row:
    """Return a row on the test images that a judge finds ambiguous; validation rows stay whole.

    Each draw has its own limit: the ``share`` quantile of the judge's margins on its validation rows. The judge is
    neither of the systems that are compared, or one of them would be tested on what it itself cannot tell.
    """
    one, judge_ = paired(one, judge_)
    val, test = (table.assign(margin=margins(table)) for table in (drawn(judge_.val), drawn(judge_.test)))
    tables.require_validation(val, "a margin")
    limit = val.groupby("seed")["margin"].quantile(share)
    near = judge_.test.loc[(test["margin"] <= test["seed"].map(limit)).to_numpy(), KEYS]
    return one._replace(test=one.test.merge(near, on=KEYS, validate="one_to_one"))


def at_sensitivity(one: Row, sensitivity: float = FOUND) -> Arm:
    """Return the melanoma question of a row, each draw called at the highest threshold that still finds this share.

    Thresholds come from all validation rows.
    """
    val = melanoma(drawn(one.val))
    tables.require_validation(val, "a threshold")
    scores = val[val["label"] == 1].groupby("seed")["p_malignant"]
    chosen = scores.agg(lambda p: np.sort(p)[::-1][int(np.ceil(sensitivity * len(p))) - 1])
    return Arm(melanoma(drawn(one.test)), chosen.to_dict())


def false_positives(on: Row, off: Row, judge_: Row, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare the share of ambiguous lesions that are falsely called melanoma, fusion on and off.

    Rows ``fusion on``, ``fusion off`` and their difference; the sensitivity on the same lesions stands beside it,
    because fewer alarms are no gain where more melanomas are missed. ``off`` is the proposed head on the best member
    alone: anything less would take the metadata and the views away with the fusion. The p of their difference is in
    ``p``, for `judged`.
    """
    on, off = paired(on, off)
    arms = [at_sensitivity(ambiguous(one, judge_)) for one in (on, off)]
    note = f"lesions of lowest margin ({AMBIGUOUS:.0%} on validation rows); threshold: {FOUND:.0%} of melanomas there"
    note = _notes(note, f"off: {off.note}" if off.note else "")
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [
        found | {"note": note}
        for name, arm in zip(("fusion on, ambiguous lesions", "fusion off, ambiguous lesions"), arms, strict=True)
        for found in measure(name, arm, ("fp_rate", "recall"), **boot)
    ]
    fewer, found = compare(FUSION, *arms, ("fp_rate", "recall"), **boot)
    words = _notes(fewer["note"], note, "share of the images that show no melanoma")
    (found,) = judge([found])
    cells += [fewer | {"metric": "false_positives", "note": words}]
    return pd.DataFrame([*cells, found | {"metric": "melanoma_recall", "note": _notes(found["note"], note)}])


def borderline(on: Row, off: Row, judge_: Row, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare the accuracy on borderline lesions with and without metadata, paired; p as in `false_positives`."""
    on, off = paired(on, off)
    arms = [drawn(ambiguous(one, judge_).test) for one in (on, off)]
    note = f"lesions of lowest margin ({AMBIGUOUS:.0%} on validation rows)"
    boot = {"n_boot": n_boot, "seed": seed}
    cells = []
    for name, arm in zip(("metadata on, borderline lesions", "metadata off, borderline lesions"), arms, strict=True):
        cells += multiclass.measure(name, arm, ("accuracy",), note=note, **boot)
    (change,) = multiclass.compare(METADATA, *arms, ("accuracy",), **boot)
    return pd.DataFrame([*cells, change | {"metric": "accuracy", "note": _notes(change["note"], note)}])


def judged(*frames: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of `false_positives` and `borderline` with verdicts, adjusted by Holm over both sentences.

    The paper's two sentences on lesions that are hard to tell are one family: either alone could be luck. The melanoma
    recall beside the false positives is no sentence of the paper and keeps the verdict that it has.
    """
    cells = pd.concat(frames, ignore_index=True)
    asked = cells["p"].notna()
    cells.loc[asked, "note"] = [one["note"] for one in judge(cells[asked].to_dict("records"), together=True)]
    return cells.drop(columns="p")


def _notes(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def followed(kept: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Correlate asymmetry and border of the test lesions with what the system says and looks at.

    Parameters
    ----------
    kept
        A row a test image, means over draws: ``<measure>`` as measured, ``predicted_<measure>`` of branch B,
        ``p_melanoma``, and where there are maps ``band``, the share of their sum at the border.

    Returns
    -------
    DataFrame
        Rows ``attributes`` (the melanoma score: does the diagnosis follow the measure?), ``branch B`` and ``Grad-CAM++
        at the border``; metrics asymmetry and border; correlation of ranks, with its cluster bootstrap interval and the
        verdict whether it lies above 0.
    """
    sources = {"attributes": lambda name: "p_melanoma", "branch B": lambda name: f"predicted_{name}"}
    sources |= {"Grad-CAM++ at the border": lambda name: "band"}
    words = {"attributes": "of the melanoma score", "branch B": "of what branch B predicts"}
    cells = []
    for row, column in sources.items():
        for name in FOLLOWED:
            if column(name) not in kept:
                continue
            table = kept.dropna(subset=[name, column(name)]).reset_index(drop=True)
            note = f"rank correlation {words.get(row, 'of the share of the map')} with the measure"
            ranks = _ranks(table[name], table[column(name)])
            try:
                value, low, high = bootstrap_ci(ranks, table, groups=tables.clusters(table), n=n_boot, seed=seed)
            except UndefinedMetricError as error:
                cells.append(cell(row, name, np.nan, note=f"{note}: not defined, {error}", **origin(kept)))
                continue
            said = "follows" if low > 0 else "runs against" if high < 0 else "no evidence that it follows"
            cells.append(cell(row, name, value, low=low, high=high, note=f"{note}: {said}", **origin(table)))
    return pd.DataFrame(cells)


def _ranks(a: pd.Series, b: pd.Series) -> Metric:
    """Correlation of ranks, which are those of the whole table in every resample."""
    x, y = (ranks.rank().to_numpy() for ranks in (a, b))

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        mean = lambda values: ratio(counts @ values, counts.sum(axis=1))
        mean_x, mean_y = mean(x), mean(y)
        spread = (mean(x**2) - mean_x**2) * (mean(y**2) - mean_y**2)
        return ratio(mean(x * y) - mean_x * mean_y, np.sqrt(np.maximum(spread, 0)))

    return Metric("rank correlation", weighted)


def reached(one: Mapping, printed: float) -> str:
    """Say by rule whether a value reaches a printed figure: reached, not reached, or open, by its interval."""
    if one["low"] == one["high"]:
        return "open: every resample is alike"
    if one["low"] >= printed:
        return f"reached: the interval lies above {printed:g}"
    if one["high"] < printed:
        return f"not reached: the interval lies below {printed:g}"
    return f"open: the interval holds {printed:g}, or there is none"


def claims(
    table: pd.DataFrame,
    special: pd.DataFrame,
    speed: pd.DataFrame,
    *,
    cohort: pd.DataFrame,
    paper: str = "joint_ensemble",
) -> pd.DataFrame:
    """Put a number beside every sentence that can have one.

    Parameters
    ----------
    table
        Our cells of ``members_vs_fusion``.
    special
        Those of `judged` and `followed`.
    speed
        Those of ``throughput``.
    cohort
        image_id, diagnosis, dataset: a row an image of the whole set.
    """
    printed = published(paper, "claims").set_index(["row", "metric"])["published"]
    known = table.set_index(["row", "metric"])
    wanted = {("proposed", name): ("proposed", name) for name in ("accuracy", "roc_auc")}
    wanted |= {("proposed", name): ("proposed", name) for name in ("melanoma_recall", "melanoma_specificity")}
    wanted |= {(OVER_MEMBER, name): ("proposed", name + CHANGE) for name in ("accuracy", "roc_auc")}
    differs = {OVER_MEMBER: "the member has one view and no metadata"}
    if (OVER_ALONE, "accuracy" + CHANGE) in known.index:
        wanted |= {(OVER_ALONE, name): (OVER_ALONE, name + CHANGE) for name in ("accuracy", "roc_auc")}
    cells = []
    for key, source in wanted.items():
        one, figure = known.loc[source].to_dict(), printed.get(key, np.nan)
        said = reached(one, figure) if np.isfinite(figure) else ""
        note = _notes(one["note"], said, differs.get(key[0], ""))
        cells.append({"row": key[0], "metric": key[1]} | one | {"note": note})
    cells += _fast(speed, printed["proposed", "images_per_second"])
    return pd.concat([pd.DataFrame(cells), special, pd.DataFrame(_of_data(cohort, printed))], ignore_index=True)


def _fast(speed: pd.DataFrame, printed: float) -> list[dict]:
    """Return the cell of the full ensemble's speed: on a GPU, where it was timed on one, for the printed figure is."""
    timed = speed[speed["metric"].eq("images_per_second") & speed["ours"].notna()]
    timed = timed[timed["row"].str.startswith("ensemble, ")]
    on_gpu = timed["row"].str.endswith("GPU")
    cells = []
    for one in timed.loc[on_gpu.sort_values(ascending=False, kind="stable").index].head(1).to_dict("records"):
        said = reached(one, printed) if on_gpu.any() else "not comparable: printed of a GPU, timed on a CPU"
        cells.append(one | {"row": "proposed", "note": f"{one['row']}; {one['note']}; {said}"})
    return cells


def _of_data(cohort: pd.DataFrame, printed: pd.Series) -> list[dict]:
    """Return the number of images and classes, and the share of melanoma that the three printed rates need."""
    about = {"n": len(cohort), "dataset": cohort["dataset"].iloc[0], "split": "all"}
    accuracy, recall, specificity = (
        printed["proposed", name] for name in ("accuracy", "melanoma_recall", "melanoma_specificity")
    )
    needed = (specificity - accuracy) / (specificity - recall)  # accuracy = p recall + (1 - p) specificity
    share = float((cohort["diagnosis"] == MELANOMA).mean())
    said = "one operating point" if abs(share - needed) < 0.01 else "no operating point of these data"
    return [
        cell("data, HAM10000 and ISIC 2018", "images", float(len(cohort)), **about),
        cell("classes", "n", float(cohort["diagnosis"].nunique()), **about),
        cell("melanoma", "share", share, note=f"the printed rates need {needed:.3f}: {said}", **about),
    ]
