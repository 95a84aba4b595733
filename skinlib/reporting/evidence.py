"""Evidence: per-image measures beside the exhibits, from which the tables can be made again without an image."""

from __future__ import annotations

import gzip
import io

import pandas as pd

from skinlib.paths import write_atomic
from skinlib.reporting.tables import target

DIGITS = 4


def keep(frame: pd.DataFrame, *, paper: str, name: str, study) -> pd.DataFrame:
    """Write per-image measures and return them as they were written, so that exhibits and evidence agree to the digit.

    Parameters
    ----------
    frame
        With image_id; numbers are kept to four decimals.
    study
        Has name (of the profile), profile, results_root and dataset.

    Returns
    -------
    DataFrame
        What reading ``<results_root>/<profile>/<paper>/evidence/<name>[-<dataset>].csv.gz`` gives.
    """
    path = target(study, paper=paper, exhibit=f"evidence/{name}")
    text = frame.to_csv(index=False, float_format=f"%.{DIGITS}f", lineterminator="\n")
    write_atomic(path.with_name(f"{path.name}.csv.gz"), gzip.compress(text.encode(), mtime=0))
    return pd.read_csv(io.StringIO(text), dtype={"image_id": str, "lesion_id": str, "patient_id": str})
