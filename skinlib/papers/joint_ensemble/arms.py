"""From the plan's runs to the rows that the tables of the ensemble paper compare, and who is paired with whom.

A network is trained once a fold, a head also once a seed; all are tested on the same images. A *draw* is one of these
pairs of fold and seed. Tables hold every draw and scores are never pooled over draws: intervals draw lesions, folds
and, within a fold, seeds. Folds share their test images and part of their training images, and members have one seed:
what another seed of a member would do is in no interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from skinlib.data.cards import CARDS
from skinlib.evaluation import tables
from skinlib.exhibits.arms import Runs, rows
from skinlib.exhibits.estimates import WITHIN
from skinlib.papers.joint_ensemble.model import design
from skinlib.papers.joint_ensemble.plan import VALIDATED
from skinlib.training.runs import Run

MELANOMA = "mel"
DRAW = ["fold", "seed"]
KEYS = ["image_id", *DRAW]
ABOUT = ["image_id", "lesion_id", "patient_id", "dataset", "split", "part", "fold"]


class Row(NamedTuple):
    """One system in a table.

    Attributes
    ----------
    test, val
        Prediction tables of all its draws; ``val`` is empty where a split has no validation part, and of runs on
        whose validation rows nothing is chosen: the plan's ``VALIDATED`` has the others, and evidence theirs alone.
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
    test = pd.concat([rows(run, "test") for run in group], ignore_index=True)
    validated = f"{name}/".startswith(VALIDATED)
    val = pd.concat([rows(run, "val") for run in group], ignore_index=True) if validated else test.head(0)
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


def alone(runs: Runs) -> dict[str, Row]:
    """Return ``head on <member> alone`` -> row: the proposed head with one member, metadata and views as there."""
    note = "the proposed head on one member: metadata, attributes and views as there"
    return {alone_on(name.removeprefix("only/")): row(runs, name, note=note) for name in sorted(there(runs, "only/"))}


def asked(runs: Runs, best: str) -> pd.DataFrame:
    """Return the melanoma scores by which thresholds are chosen: of the proposed head, and of that on the best member.

    Returns
    -------
    DataFrame
        A row a validation image and fold: `ABOUT`, ``label`` (1: melanoma), and ``<row>/seed<s>`` of each head. It is
        all that evidence keeps of the validation rows of heads.
    """
    parts = []
    for name, key in {"proposed": "proposed", alone_on(best): f"only/{best}"}.items():
        for run in row(runs, key).runs if there(runs, f"{key}/") else ():
            parts.append(melanoma(rows(run, "val")).assign(column=f"{name}/seed{run.config.seed}"))
    long = pd.concat(parts, ignore_index=True)
    once = long.drop_duplicates(["fold", "image_id"])[[*ABOUT, "label"]]
    wide = long.pivot(index=["fold", "image_id"], columns="column", values="p_malignant").reset_index()
    return once.merge(wide, on=["fold", "image_id"], validate="one_to_one")


def heads(runs: Runs, scores: pd.DataFrame) -> dict[str, Row]:
    """Return the proposed head and those on one member alone; of the ones in `asked`, with its validation rows.

    Parameters
    ----------
    scores
        What `asked` returned, as evidence keeps it.
    """
    found = {"proposed": row(runs, "proposed", note="the fused head")} | alone(runs)
    for name, one in found.items():
        columns = [column for column in scores if column.startswith(f"{name}/seed")]
        parts = [
            scores[[*ABOUT, "label"]].assign(
                seed=int(column.rpartition("seed")[2]), p_other=1 - scores[column], **{f"p_{MELANOMA}": scores[column]}
            )[scores[column].notna()]
            for column in columns
        ]
        found[name] = one._replace(val=pd.concat(parts, ignore_index=True)) if parts else one
    return found


def alone_on(member: str) -> str:
    """Return what the head on one member is called in the tables."""
    return f"head on {member} alone"


def usual(runs: Runs, system: str, arm: Row) -> Row:
    """Return the row of the usual split that an arm's ``system`` is compared with, in the arm's fold.

    The run of the same member, or of a head of the proposed design on the very members of the arm's.

    Raises
    ------
    KeyError
        When the plan has none.
    """
    fold = arm.runs[0].config.fold
    if system != "proposed":
        return only(row(runs, f"member/{system}", shared=True), fold)
    wanted = set(design(arm.runs[0].config)["members"])
    for name in ("proposed", "same", *there(runs, "only/"), *there(runs, "without/")):
        group = [run for key, run in runs.items() if key.startswith(f"{name}/") and run.config.fold == fold]
        if group and set(design(group[0].config)["members"]) == wanted:
            return only(row(runs, name), fold)
    raise KeyError(f"no head on {', '.join(sorted(wanted))} trained with every source, in fold {fold}")


def _of(runs: Runs, name: str) -> str:
    config = next(run.config for key, run in runs.items() if key == name or key.startswith(f"{name}/"))
    start = "from scratch" if config.weights == "none" else f"weights {config.weights}"
    return f"{config.backbone}, {start}, {config.image_size[0]} px"


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose ``seed`` names the draw: what the shared functions call a seed is one of ours."""
    return table.assign(seed=1000 * table["fold"] + table["seed"], **{WITHIN: table["fold"]})


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
    """Return a row's draws of one fold, and its runs."""
    kept = _kept(one, {draw for draw in _draws(one.test) if draw[0] == fold})
    return kept._replace(runs=tuple(run for run in one.runs if run.config.fold == fold))


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
