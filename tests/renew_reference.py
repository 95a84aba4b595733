"""Makes the tables of the reference again from the evidence beside them: ``python tests/renew_reference.py``.

For when the way in which a table is computed or worded has changed and no run has. Cells that need pixels stay, and so
do the reasons of published cells that have no number of ours. Pictures are made by notebooks alone.
"""

import re
import sys

import known
import numpy as np
import pandas as pd
from recompute import FROM_PIXELS, KNOWN, PAPERS

from skinlib.config import load_profile
from skinlib.exhibits import write as tables
from skinlib.paths import project_root, write_atomic
from skinlib.workflow import reference

FOLDER = project_root() / "results" / "reference"
EMPTY = "no number of ours"


def renewed(stored: pd.DataFrame, ours: pd.DataFrame, *, paper: str, exhibit: str) -> pd.DataFrame:
    """Return an exhibit with our cells computed again.

    Parameters
    ----------
    stored
        The exhibit as it lies in the reference.
    ours
        Long frame of our cells.
    """
    names = stored["row"] + " / " + stored["metric"]
    pixels = FROM_PIXELS.get(exhibit)
    kept = stored[names.str.contains(re.compile(pixels))] if pixels else stored.iloc[:0]
    frame = tables.exhibit(ours, paper=paper, exhibit=exhibit.partition("-")[0], missing=EMPTY)
    silent = frame["note"].str.startswith(EMPTY)
    reasons = stored.set_index(["row", "metric"])["note"].fillna("")
    said = [reasons.get(key, "") for key in zip(frame["row"], frame["metric"], strict=True)]
    frame["note"] = frame["note"].where(~silent, said)
    frame, known_before = frame.set_index(["row", "metric"]), stored.set_index(["row", "metric"])
    if pixels:
        frame = frame.reindex(known_before.index)
        frame.update(kept.set_index(["row", "metric"]))
    before = known_before.reindex(frame.index)
    frame["note"] = frame["note"].fillna("")
    more = [bool(b) and str(a).startswith(b) for a, b in zip(before["note"], frame["note"], strict=True)]
    frame["note"] = before["note"].where(more, frame["note"])  # of a table that was cut from another, its notes too
    for name in tables.NUMBERS:  # evidence has fewer digits than the run that the table was made of
        frame[name] = before[name].where(np.isclose(before[name], frame[name], rtol=2e-5, atol=1e-9), frame[name])
    return frame.reset_index()[tables.COLUMNS]


def main() -> None:
    for folder in sorted(path for path in FOLDER.iterdir() if (path / reference.EVIDENCE).is_dir()):
        known.BOOT["n_boot"] = load_profile(folder.name)["bootstrap"]
        for paper, kind in KNOWN.items():
            runs = kind(folder)
            for path in sorted((folder / paper).glob("*.csv")):
                stored = pd.read_csv(path)
                frame = renewed(stored, PAPERS[paper][path.stem](runs), paper=paper, exhibit=path.stem)
                write_atomic(path, frame.to_csv(index=False, float_format="%.6g"))
                print(f"{folder.name}/{paper}/{path.stem}: {len(frame)} cells", file=sys.stderr)


if __name__ == "__main__":
    main()
