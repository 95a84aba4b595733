"""Evidence: per-image measures next to the exhibits, from which the tables can be made again without an image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from skinlib.exhibits.write import target
from skinlib.training import stored


def keep(frame: pd.DataFrame, *, paper: str, name: str, study) -> pd.DataFrame:
    """Write per-image measures and return them as they were written, so that exhibits and evidence agree to the digit.

    Parameters
    ----------
    frame
        With image_id; numbers are kept to six significant digits.
    study
        Has name (of the profile), profile, results_root and dataset.

    Returns
    -------
    DataFrame
        What reading ``<results_root>/<profile>/<paper>/evidence/<name>[-<dataset>].csv.gz`` gives.
    """
    return stored.read(stored.write(frame, _file(paper, name, study)))


def earlier(paper: str, name: str, study, *, row: str) -> pd.DataFrame:
    """Return a row's measures that were kept before: of a run restored from evidence, which cannot be measured again.

    Raises
    ------
    FileNotFoundError, KeyError
        When none were kept, or none of that row.
    """
    path = _file(paper, name, study)
    found = stored.read(path).query("row == @row")
    if found.empty:
        raise KeyError(f"{path} has no row {row!r}; delete the folder of its run and train it again")
    return found


def _file(paper: str, name: str, study) -> Path:
    path = target(study, paper=paper, exhibit=f"evidence/{name}")
    return path.with_name(f"{path.name}{stored.TABLE}")
