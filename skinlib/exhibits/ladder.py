"""Ablations: each arm beside the one before it, paired on the same images, with verdicts by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from skinlib.exhibits.estimates import Arm, compare, judge

CHANGE = "_change"


def changes(
    arms: Mapping[str, Arm], before: Mapping[str, Arm], names: Sequence[str], *, n_boot: int = 2000, seed: int = 0
) -> list[dict]:
    """Return the cells ``<metric>_change`` of each arm against the one that it is compared with.

    Verdicts are Holm-adjusted over the arms, for each metric apart.

    Parameters
    ----------
    before
        Row -> the arm that ``arms[row]`` is compared with; rows that are not in it have no change.
    """
    cells = []
    for row, arm in arms.items():
        if row in before:
            cells += compare(row, arm, before[row], names, suffix=CHANGE, n_boot=n_boot, seed=seed)
    return judge(cells, suffix=CHANGE)


def verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of an exhibit's changes, read from the notes: a row a step, a column a metric.

    helps, harms: the paired interval lies on one side of 0 and the Holm-adjusted p is below 0.05; else no evidence.
    """
    changes = frame[frame["metric"].str.endswith(CHANGE)]
    words = changes["note"].str.extract(r"\b(helps|harms|no evidence)\b \(p = ", expand=False).fillna("not defined")
    table = changes.assign(metric=changes["metric"].str.removesuffix(CHANGE), verdict=words)
    order = table["metric"].drop_duplicates()
    wide = table.pivot(index="row", columns="metric", values="verdict")
    wide = wide.loc[table["row"].drop_duplicates(), order].rename_axis(index=None, columns=None)
    return wide.fillna("not compared")  # a metric that another row has


def in_words(table: pd.DataFrame) -> list[str]:
    """Return a sentence a row of `verdicts`: what the step helps, what it harms, and what stays open."""
    sentences = []
    for row, found in table.iterrows():
        said = [f"{word}: {', '.join(found.index[found == word])}" for word in dict.fromkeys(sorted(found))]
        sentences.append(f"{row}: {'; '.join(said)}")
    return sentences


def half_widths(frame: pd.DataFrame, *, suffix: str = CHANGE) -> pd.DataFrame:
    """Return half the width of the intervals of an exhibit's changes: a smaller effect mostly goes unseen.

    Returns
    -------
    DataFrame
        A row a metric: the smallest, the median and the largest half width, and how many changes have an interval.
    """
    found = frame[frame["metric"].str.endswith(suffix)]
    half = ((found["high"] - found["low"]) / 2).groupby(found["metric"].str.removesuffix(suffix), sort=False)
    return half.agg(["min", "median", "max", "count"])
