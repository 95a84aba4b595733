"""Exhibits as tables: ours joined with the published numbers, cut for a figure, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

from skinlib.exhibits.published import CORRECTED, KEY, published, refuse
from skinlib.exhibits.score import CELLS

COLUMNS = [*CELLS[:8], "published", *CELLS[8:]]
WORDS = [*KEY, "dataset", "split", "note", "family", "verdict"]


def exhibit(ours: pd.DataFrame, *, paper: str, exhibit: str, missing: str | None = None) -> pd.DataFrame:
    """Join our cells, as `skinlib.exhibits.score` makes them, with the published ones, of which none is dropped.

    ``missing`` is the reason in every cell that has no number of ours and no note ("not run: no weights"). The
    published cells come in the paper's order, then ours alone. A cell that is given twice or has neither a number nor
    a reason, and an unknown column, is a ValueError.
    """
    name = f"{paper}/{exhibit}"
    if not {*KEY, "ours"} <= set(ours) <= set(CELLS):
        raise ValueError(f"{name}: our table has {', '.join(ours)}; it needs row, metric, ours, of {', '.join(CELLS)}")
    refuse(ours[ours.duplicated(KEY)], f"{name}: {{}} is given twice by us")
    theirs = published(paper, exhibit).drop(columns="source").rename(columns={"note": "theirs"})
    keys = pd.concat([theirs[KEY], ours[KEY]]).drop_duplicates()
    frame = keys.merge(ours.reindex(columns=CELLS), on=KEY, how="left").merge(theirs, on=KEY, how="left")
    numbers = [column for column in COLUMNS if column not in WORDS]
    frame[numbers] = frame[numbers].astype(float)
    note, printed = (frame[column].astype(object).where(frame[column].notna(), "") for column in ("note", "theirs"))
    silent = frame["ours"].isna() & (note == "")
    if not missing:
        reason = f"({silent.sum()} such) has no number of ours and no reason in its note; give one, or pass"
        refuse(frame[silent], f"{name}: {{}} {reason} missing='not run: ...'")
    note = note.where(~silent, missing or "")
    joined = ["; ".join(filter(None, [a, f"paper: {b}" if b else ""])) for a, b in zip(note, printed, strict=True)]
    columns = [*COLUMNS, CORRECTED] if CORRECTED in frame else COLUMNS
    return frame.assign(note=joined)[columns].reset_index(drop=True)


def select(frame: pd.DataFrame, metrics: Sequence[str], *, rows: Sequence[str] | None = None) -> pd.DataFrame:
    """Return some cells of an exhibit, for the figure that draws them (``fig3`` is cut from ``table1``)."""
    kept = frame["metric"].isin(list(metrics)) & (True if rows is None else frame["row"].isin(list(rows)))
    return frame[kept].reset_index(drop=True)


def show(frame: pd.DataFrame, *, digits: int = 3, wide: bool = False) -> pd.io.formats.style.Styler:
    """Return an exhibit for the eye: rounded, ours with its interval, the published number next to it.

    Shares have ``digits`` decimals, counts none. ``wide``: a row of the exhibit a line, not a cell.
    """
    if frame.empty:
        return _escaped(frame[["row", "metric", "ours", "published", "n", "note"]]).hide(axis="index")
    values = frame[["ours", "low", "high", "published"]]
    whole = values.groupby(frame["metric"]).transform(lambda x: bool((x.dropna() % 1 == 0).all())).all(axis=1)
    lines = [
        [_interval(one.ours, one.low, one.high, places), _number(one.published, places), _number(one.n, 0)]
        for one, places in zip(frame.itertuples(), whole.map({True: 0, False: digits}), strict=True)
    ]
    cells = frame.assign(**pd.DataFrame(lines, frame.index, ["ours", "published", "n"]))
    if not wide:
        shown = cells[["row", "metric", "ours", "published", "n", "note"]]
        return _escaped(shown.rename(columns={"ours": "ours [low, high]"})).hide(axis="index")
    rows, metrics = frame["row"].drop_duplicates(), frame["metric"].drop_duplicates()
    table = cells.pivot(index="row", columns="metric", values=["ours", "published"]).swaplevel(axis=1)
    empty = table.columns[(table.fillna("") == "").all()]
    columns = [(metric, side) for metric in metrics for side in ("ours", "published") if (metric, side) not in empty]
    return _escaped(table.loc[list(rows), columns].fillna("").rename_axis(index=None, columns=(None, None)))


def _escaped(table: pd.DataFrame) -> pd.io.formats.style.Styler:
    """Return a table for a page on which names and notes, which may be a user's, are text."""
    return table.style.format(escape="html").format_index(escape="html").format_index(escape="html", axis="columns")


def _number(value: float, digits: int) -> str:
    if pd.isna(value):
        return ""
    places = Decimal(1).scaleb(-digits if abs(value) < 100 else 0)
    return f"{Decimal(repr(float(value))).quantize(places, ROUND_HALF_UP):,}"  # 0.8785 to 0.879, as the papers round


def _interval(value: float, low: float, high: float, digits: int) -> str:
    text = _number(value, digits)
    return text if pd.isna(low) or not text else f"{text} [{_number(low, digits)}, {_number(high, digits)}]"
