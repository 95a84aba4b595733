"""The papers' own numbers: data typed in from the texts, one CSV an exhibit, never inside code."""

import re
from pathlib import Path

import pandas as pd

from skinlib.paths import project_root

COLUMNS = ["row", "metric", "published", "source", "note"]
CORRECTED = "published_corrected"  # a further column: what the printed number must have meant, such as swapped columns
KEY = ["row", "metric"]


def folder(paper: str) -> Path:
    """Return the folder with the published numbers of ``paper``; of an unknown one a ValueError names those there."""
    top = project_root() / "data" / "published"
    if not paper or not (top / paper).is_dir():
        have = ", ".join(sorted(found.name for found in top.glob("*") if found.is_dir()))
        raise ValueError(f"no published numbers for paper {paper!r} under {top}; there are {have or 'none'}")
    return top / paper


def exhibits(paper: str) -> list[str]:
    """Return the names of the exhibits of ``paper``, in reading order (``table2`` before ``table10``)."""
    digits = lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return sorted((path.stem for path in folder(paper).glob("*.csv")), key=digits)


def published(paper: str, exhibit: str) -> pd.DataFrame:
    """Return one published exhibit as a long table, in the order of the paper; an exhibit of ours alone has no rows.

    ``published`` is NaN where the text has no number, ``source`` the place in the paper; shares are 0 to 1, times are
    seconds. An unknown paper, a file of another form, or a cell given twice or without number and note is a ValueError.
    """
    path = folder(paper) / f"{exhibit}.csv"
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS).astype({"published": float})
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if [name for name in frame if name != CORRECTED] != COLUMNS:
        raise ValueError(f"{path} has columns {', '.join(frame.columns)}; it needs {', '.join(COLUMNS)}")
    numbers = [name for name in ("published", CORRECTED) if name in frame]
    typed, frame[numbers] = frame["published"], frame[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    refuse(frame[frame["published"].isna() & (typed != "")], f"{path}: {{}} is no number; put words into the note")
    refuse(frame[frame.duplicated(KEY)], f"{path}: {{}} is given twice")
    refuse(frame[frame["published"].isna() & (frame["note"] == "")], f"{path}: {{}} has neither a number nor a note")
    return frame


def refuse(cells: pd.DataFrame, words: str) -> None:
    """Raise a ValueError that names the first of these cells, where there is any."""
    if len(cells):
        raise ValueError(words.replace("{}", f"row {cells['row'].iloc[0]!r}, metric {cells['metric'].iloc[0]!r}"))
