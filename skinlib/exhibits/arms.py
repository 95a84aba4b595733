"""From a plan's runs to tables that can be compared.

A run is one of the store, or evidence in results/reference opened in the same way (`skinlib.training.runs.load`).
`Runs` maps names of the plan, such as ``mtl0/seed1``, to runs; every seed that it holds is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from skinlib.paths import read_json
from skinlib.training.run import Run
from skinlib.training.stored import ENVIRONMENT

Runs = Mapping[str, Run]


def rounded(table: pd.DataFrame, decimals: int = 4) -> pd.DataFrame:
    """Return a prediction table with shorter probabilities; small ones keep their last significant digits."""
    scores = [name for name in table if name.startswith("p_")]
    return table.assign(**{name: [_shortened(p, decimals) for p in table[name]] for name in scores})


def _shortened(score: float, decimals: int) -> float:
    short = float(f"{score:.{decimals}f}")
    return short if score >= 10 ** (1 - decimals) or short == score else float(f"{score:.{decimals - 3}e}")


def rows(run: Run, part: str, view: str = "mean") -> pd.DataFrame:
    """Return the rows of one part (val, test) of a run's predictions, of one view (mean, identity)."""
    table = run.predictions(view)
    return table[table["part"] == part].reset_index(drop=True)


def by_seed(runs: Runs, name: str) -> list[Run]:
    """Return the runs ``<name>/seed<n>``, all seeds, in their order.

    Raises
    ------
    KeyError
        When there is none.
    """
    found = [run for key, run in runs.items() if key.rpartition("/seed")[0] == name]
    if not found:
        raise KeyError(f"no run {name}/seed<n> among {', '.join(runs) or 'no runs'}")
    return sorted(found, key=lambda run: run.config.seed)


def part(runs: Runs, name: str, which: str, view: str = "identity") -> pd.DataFrame:
    """Return the val or test rows of one network ``<name>/seed<n>``, all seeds; by default of the image as it is."""
    return pd.concat([rows(run, which, view) for run in by_seed(runs, name)], ignore_index=True)


def names(runs: Runs) -> list[str]:
    """Return the names of the plan without their seeds, each once."""
    return list(dict.fromkeys(key.rpartition("/seed")[0] for key in runs))


def seeds_of(runs: Runs, name: str) -> set[int]:
    """Return the seeds that a name of the plan has."""
    return {run.config.seed for run in by_seed(runs, name)}


def outlines(group: Sequence[Run], which: str = "test", stage: str = "raw") -> pd.DataFrame:
    """Return the mask scores of one part of several seeds' runs."""
    tables = [run.segmentation(stage) for run in group]
    return pd.concat([table[table["part"] == which] for table in tables], ignore_index=True)


def machine(run: Run) -> str:
    """Return in words on what a run was trained, for the note of a cost."""
    seen = read_json(run.path / ENVIRONMENT)
    where = seen["gpu"] or f"{seen['processor']}, {seen['threads']} threads"
    return f"{where}; {run.config.backbone}, {run.config.image_size[0]} px, {run.config.precision}"
