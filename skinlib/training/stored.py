"""Tables of a run on disk: whole in the run store; in the evidence that git keeps, without what stands elsewhere.

There the names of the images stand in a file beside the run folders, one for all runs of the same images, scores that
follow from counts of pixels are left out, and settings, scores and histories of all runs lie in one file, for they are
much alike. Who reads sees no difference. Where many runs of many classes are kept, probabilities may have fewer digits.
"""

from __future__ import annotations

import bz2
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from skinlib.evaluation import segmentation
from skinlib.paths import write_atomic
from skinlib.provenance import canonical_json, digest
from skinlib.training import gradients, segment

if TYPE_CHECKING:
    from skinlib.training.runs import Run

NAMES = ("image_id", "lesion_id", "patient_id")
AS_TEXT = dict.fromkeys(NAMES, str)
DIGITS = 4  # of the evidence, and of scores of masks in a run: tables made from either agree to the digit
PACKED = ".csv.bz2"  # a quarter smaller than gzip
SHARED = "images"  # the column that says which file has the names
PIXELS = "pixels"  # of a mask: with it the last count follows from the others, and compresses to nothing
DONE = "metrics.json"  # the last file to appear: a folder that has it is whole
TEXTS = "text.json.bz2"  # of the evidence: run id -> name of a text file -> text


def read(path: Path) -> pd.DataFrame:
    """Read a table of a run folder, names and scores included.

    ``path`` is that of the run store; in the evidence the table is packed otherwise.

    Raises
    ------
    ValueError
        When a table of the evidence and the names of its images do not fit each other.
    """
    path = packed(path) if packed(path).is_file() else path
    rows = pd.read_csv(path, dtype=AS_TEXT)
    if SHARED not in rows:
        return rows
    names = pd.read_csv(_names_file(path, rows[SHARED].iloc[0]), dtype=AS_TEXT)
    named = _repeated(names, len(rows))
    if len(named) != len(rows):
        raise ValueError(f"{path} has {len(rows)} rows for the {len(names)} images of its names; publish the run again")
    return completed(named.join(rows.drop(columns=SHARED)))


def unpacked(source) -> pd.DataFrame:
    """Read a table that was written as `slim` returns it, from a path or a text stream; ids stay text."""
    return completed(pd.read_csv(source, dtype=AS_TEXT))


def slim(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table of mask scores without what follows from its counts of pixels; any other as it is."""
    if not set(segmentation.COLUMNS) <= set(rows):
        return rows
    pixels = rows[list(segmentation.CELLS)].sum(axis=1)
    return rows.drop(columns=[*segmentation.FROM_CELLS, "tn"]).assign(**{PIXELS: pixels})


def completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table that `slim` made with all that it left out, scores to four decimals; any other as it is."""
    if {PIXELS, "tp", "fp", "fn"} <= set(rows):
        rows = rows.assign(tn=rows[PIXELS] - rows["tp"] - rows["fp"] - rows["fn"]).drop(columns=PIXELS)
    if set(segmentation.COLUMNS) - set(rows) != set(segmentation.FROM_CELLS):
        return rows
    scores = segmentation.from_cells(*(rows[name] for name in segmentation.CELLS))
    written = {name: _as_written(each) for name, each in scores.items()}
    about = [name for name in rows if name not in segmentation.COLUMNS]
    return rows.assign(**written)[[*about, *segmentation.COLUMNS]]


def brief(score: float, decimals: int = DIGITS) -> str:
    """Return a probability as the evidence keeps it: four decimals, below 0.001 two significant digits.

    Of three decimals, one digit below 0.01. Decimals alone make ties of what a sure network tells apart, and an AUC of
    ties is another one.
    """
    text = f"{score:.{decimals}f}"
    return text if score >= 10 ** (1 - decimals) or float(text) == score else f"{score:.{decimals - 3}e}"


def write_short(rows: pd.DataFrame, path: Path, *, decimals: int = DIGITS) -> None:
    """Write a table of a run's evidence, packed, as ``path`` in ``<evidence>/<run id>``; its names beside the folder.

    Numbers are kept to four decimals, probabilities as `brief` writes them.
    """
    names = rows[list(NAMES)].reset_index(drop=True)
    once = names.drop_duplicates(ignore_index=True)  # the views, or stages, of the same images follow each other
    if not _repeated(once, len(names)).equals(names):
        once = names
    text = once.to_csv(index=False, lineterminator="\n")
    key = digest(text)[:12]
    pack(text, _names_file(path, key))
    scores = [name for name in rows if name.startswith("p_")]
    kept = rows.assign(**{name: [brief(p, decimals) for p in rows[name]] for name in scores})
    left = slim(kept).drop(columns=list(NAMES)).assign(**{SHARED: key})
    pack(left.to_csv(index=False, float_format=f"%.{DIGITS}f", lineterminator="\n"), packed(path))


def write_run(
    run: Run, folder: str | Path, *, validation=True, single=True, postprocessed=True, decimals: int = DIGITS
) -> Path:
    """Write what is small of a run to ``folder/<id>``, probabilities as `brief` writes them.

    Scores of masks and compared gradients are among it where the run has any; the masks are not. The names of the
    images stand in ``folder``. ``validation=False`` leaves out the rows of that part, ``single=False`` those of the
    image as it is where a mean over views stands beside them, ``postprocessed=False`` scores of masks after
    post-processing.
    """
    shown = ("val", "test") if validation else ("test",)
    target = Path(folder) / run.id
    for name in ("config.json", "environment.json", DONE):
        write_atomic(target / name, (run.path / name).read_bytes())
    views = ("mean", "identity") if single and run.config.tta != "none" else ("mean",)
    tables = pd.concat([run.predictions(view) for view in views])
    write_short(tables[tables["part"].isin(shown)], target / "predictions.csv.gz", decimals=decimals)
    if exists(run.path / segment.SCORES):
        scores = read(run.path / segment.SCORES)
        stages = ("raw", "postprocessed") if postprocessed else ("raw",)
        ordered = pd.concat([scores[scores["stage"] == stage] for stage in stages])
        write_short(ordered[ordered["part"].isin(shown)], target / segment.SCORES)
    for name in ("history.csv", gradients.FILE):
        if (run.path / name).is_file():
            text = pd.read_csv(run.path / name).to_csv(index=False, float_format="%.6g", lineterminator="\n")
            write_atomic(target / name, text)
    return target


def text(path: Path) -> str:
    """Return a text file of a run folder, in the evidence from what all runs share.

    Raises
    ------
    FileNotFoundError
        When neither has it.
    """
    file = path.parents[1] / TEXTS
    if not path.is_file() and file.is_file():
        found = _texts(file, file.stat().st_mtime_ns).get(path.parent.name, {})
        if path.name in found:
            return found[path.name]
    return path.read_text(encoding="utf-8")


@functools.lru_cache(maxsize=4)
def _texts(file: Path, _modified: int) -> dict[str, dict[str, str]]:
    return json.loads(bz2.decompress(file.read_bytes()))


def copy(run: Path, folder: Path) -> Path:
    """Copy a run of the evidence to ``folder/<run id>``, its texts unpacked; the names of its images go beside it.

    A run store has no more of a run than that, but for its weights and masks.
    """
    target = folder / run.name
    for table in sorted(run.glob(f"*{PACKED}")):
        write_atomic(target / table.name, table.read_bytes())
        names = _names_file(table, pd.read_csv(table, nrows=1)[SHARED].iloc[0])
        write_atomic(folder / names.name, names.read_bytes())
    texts = _texts(run.parent / TEXTS, (run.parent / TEXTS).stat().st_mtime_ns)[run.name]
    for name in sorted(texts, key=lambda name: name == DONE):
        write_atomic(target / name, texts[name])
    return target


def exists(path: Path) -> bool:
    """Whether a run folder has a table, as the run store or as the evidence keeps it."""
    return path.is_file() or packed(path).is_file()


def pack_texts(folder: Path) -> None:
    """Move the text files of all run folders of ``folder`` into one."""
    files = sorted(file for ending in ("json", "csv") for file in folder.glob(f"*/*.{ending}"))
    found: dict[str, dict[str, str]] = {}
    for file in files:
        found.setdefault(file.parent.name, {})[file.name] = file.read_text(encoding="utf-8")
    pack(canonical_json(found), folder / TEXTS)
    for file in files:
        file.unlink()


def packed(path: Path) -> Path:
    """Return the path of a packed table: ``predictions.csv.gz`` -> ``predictions.csv.bz2``."""
    return path.with_name(path.name.partition(".")[0] + PACKED)


def pack(text: str, path: Path) -> None:
    """Write text as bzip2: the same text, the same bytes."""
    write_atomic(path, bz2.compress(text.encode()))


def _as_written(scores: np.ndarray) -> np.ndarray:
    """Return scores as a file gives them back: rounding halves as text does, not as numpy does."""
    if scores.dtype == bool:
        return scores
    return np.array([float(f"{score:.{DIGITS}f}") for score in scores])


def _names_file(path: Path, key: str) -> Path:
    return path.parents[1] / f"{SHARED}-{key}{PACKED}"


def _repeated(names: pd.DataFrame, length: int) -> pd.DataFrame:
    return pd.concat([names] * (length // len(names)), ignore_index=True)
