"""From the plan's runs to the rows that the tables of the ensemble paper compare, and who is paired with whom.

A network is trained once a fold, a head also once a seed; all are tested on the same images. A *draw* is one of these
pairs of fold and seed. Tables hold every draw and scores are never pooled over draws: intervals draw lesions and draws.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from skinlib.data.cards import CARDS
from skinlib.evaluation import tables
from skinlib.reporting.arms import Runs, rows
from skinlib.training.runs import Run

MELANOMA = "mel"
DRAW = ["fold", "seed"]
KEYS = ["image_id", *DRAW]


class Row(NamedTuple):
    """One system in a table.

    Attributes
    ----------
    test, val
        Prediction tables of all its draws; ``val`` is empty where a split has no validation part.
    runs
        All its runs.
    shared
        There is one network a fold, which stands beside every seed of another row: members and what is made of them.
    note
        Put into the notes of its cells.
    """

    test: pd.DataFrame
    val: pd.DataFrame
    runs: tuple[Run, ...] = ()
    shared: bool = False
    note: str = ""


def row(runs: Runs, name: str, *, shared: bool = False, note: str = "") -> Row:
    """Return what the plan calls ``<name>``, with or without ``/fold<k>`` and ``/seed<s>`` behind it, all of them.

    Raises
    ------
    KeyError
        When there is no such run.
    """
    pattern = re.compile(re.escape(name) + r"(/fold\d+)?(/seed\d+)?")
    group = tuple(run for key, run in runs.items() if pattern.fullmatch(key))
    if not group:
        raise KeyError(f"no run {name} among {', '.join(runs) or 'no runs'}")
    test, val = (pd.concat([rows(run, part) for run in group], ignore_index=True) for part in ("test", "val"))
    return Row(test, val, group, shared, note)


def there(runs: Runs, start: str) -> list[str]:
    """Return the names of the plan that begin with ``start``, without fold and seed, each once."""
    return list(dict.fromkeys(re.sub(r"(/fold\d+)?(/seed\d+)?$", "", key) for key in runs if key.startswith(start)))


def members(runs: Runs, arm: str = "") -> dict[str, Row]:
    """Return member -> row, by name, of the plan's members or those of a harder test (``leaky``, ``source/<name>``)."""
    start = f"{arm}/member/" if arm else "member/"
    return {
        name.removeprefix(start): row(runs, name, shared=True, note=_of(runs, name))
        for name in sorted(there(runs, start))
    }


def _of(runs: Runs, name: str) -> str:
    config = next(run.config for key, run in runs.items() if key == name or key.startswith(f"{name}/"))
    start = "from scratch" if config.weights == "none" else f"weights {config.weights}"
    return f"{config.backbone}, {start}, {config.image_size[0]} px"


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose ``seed`` names the draw: what the shared functions call a seed is one of ours."""
    return table.assign(seed=1000 * table["fold"] + table["seed"])


def paired(after: Row, before: Row) -> tuple[Row, Row]:
    """Return two rows on the draws that both have; a shared row is repeated for every seed of one that is not.

    Raises
    ------
    KeyError
        When they have no draw in common.
    """
    a, b = _repeated(after, before), _repeated(before, after)
    common = set(_draws(a.test)) & set(_draws(b.test))
    if not common:
        raise KeyError(f"no fold and seed in common: {sorted(set(_draws(a.test)))} and {sorted(set(_draws(b.test)))}")
    return _kept(a, common), _kept(b, common)


def _draws(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[DRAW])


def _repeated(one: Row, other: Row) -> Row:
    if not one.shared or other.shared:
        return one
    seeds = sorted(other.test["seed"].unique())
    test, val = (pd.concat([table.assign(seed=seed) for seed in seeds]) for table in (one.test, one.val))
    return one._replace(test=test, val=val, shared=False)


def _kept(one: Row, draws: set) -> Row:
    test, val = (table[_draws(table).isin(list(draws))].reset_index(drop=True) for table in (one.test, one.val))
    return one._replace(test=test, val=val)


def only(one: Row, fold: int) -> Row:
    """Return a row's draws of one fold."""
    return _kept(one, {draw for draw in _draws(one.test) if draw[0] == fold})


def melanoma(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of diagnoses as the question "melanoma or not": its score is the probability of melanoma."""
    return tables.to_binary(table, [MELANOMA])


def malignant(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of diagnoses of one data set as the question "malignant or not"; a binary one as it is."""
    if "p_malignant" in table:
        return table
    return tables.to_binary(table, CARDS[table["dataset"].iloc[0]].malignant)


def run_tables(found: Mapping[str, Row]) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Return name -> validation rows and name -> test rows, as the functions of decision-level fusion take them."""
    return {name: one.val for name, one in found.items()}, {name: one.test for name, one in found.items()}
