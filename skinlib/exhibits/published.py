"""The papers' own numbers: data typed in from the texts, one CSV an exhibit, never inside code."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from skinlib.paths import project_root

COLUMNS = ["row", "metric", "published", "source", "note"]
CORRECTED = "published_corrected"  # a further column: what the printed number must have meant, such as swapped columns
KEY = ["row", "metric"]


def folder(paper: str) -> Path:
    """Return the folder with the published numbers of ``paper``.

    Raises
    ------
    ValueError
        When there is none; the message names the papers there are.
    """
    top = project_root() / "data" / "published"
    path = top / paper
    if not paper or not path.is_dir():
        have = ", ".join(sorted(found.name for found in top.glob("*") if found.is_dir()))
        raise ValueError(f"no published numbers for paper {paper!r} under {top}; there are {have or 'none'}")
    return path


def exhibits(paper: str) -> list[str]:
    """Return the names of the exhibits of ``paper``, in reading order (``table2`` before ``table10``)."""

    def order(name: str) -> list:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

    return sorted((path.stem for path in folder(paper).glob("*.csv")), key=order)


def published(paper: str, exhibit: str) -> pd.DataFrame:
    """Return one published exhibit as a long table, in the order of the paper; an exhibit of ours alone has no rows.

    Parameters
    ----------
    paper
        Key of the paper, such as ``recall_oriented``.
    exhibit
        Name of the table or figure, such as ``table3``.

    Returns
    -------
    DataFrame
        Columns row, metric, published (float; NaN where the text has no number), source (where it stands in the
        paper), note ("" where there is nothing to say), and `CORRECTED` where the file has it. Shares are fractions in
        [0, 1], times are seconds.

    Raises
    ------
    ValueError
        When the paper is unknown, a column is missing, a value is no number, a cell is given twice,
        or a cell has neither a number nor a note.
    """
    path = folder(paper) / f"{exhibit}.csv"
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS).astype({"published": float})
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if [name for name in frame if name != CORRECTED] != COLUMNS:
        raise ValueError(f"{path} has columns {', '.join(frame.columns)}; it needs {', '.join(COLUMNS)}")
    values = _numbers(frame["published"])
    broken = frame[values.isna() & (frame["published"] != "")]
    if len(broken):
        raise ValueError(f"{path}: {broken['published'].iloc[0]!r} is no number; put words into the note")
    if len(twice := frame[frame.duplicated(KEY)]):
        raise ValueError(f"{path}: row {twice['row'].iloc[0]!r}, metric {twice['metric'].iloc[0]!r} is given twice")
    silent = frame[values.isna() & (frame["note"] == "")]
    if len(silent):
        raise ValueError(f"{path}: row {silent['row'].iloc[0]!r} has neither a number nor a note")
    frame = frame.assign(published=values)
    return frame.assign(**{CORRECTED: _numbers(frame[CORRECTED])}) if CORRECTED in frame else frame


def _numbers(words: pd.Series) -> pd.Series:
    return pd.to_numeric(words.where(words != "", None), errors="coerce").astype(float)
