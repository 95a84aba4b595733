"""From the runs of the metadata plan to tables that can be compared.

A split has a test part of its own, so a row of an exhibit is a mean over splits and seeds: each pair of them is a
*unit*, written into the column ``seed`` of its predictions. Scores of different units are never pooled, and the
bootstrap draws patients and units together, as it does elsewhere with seeds. Patients are drawn within their rarest
class, for a resample that loses all melanomas has no balanced accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from skinlib.config import RunConfig
from skinlib.exhibits.arms import Runs, rows
from skinlib.exhibits.estimates import judge
from skinlib.exhibits.ladder import CHANGE
from skinlib.exhibits.multiclass import compare, measure, rarest
from skinlib.papers.metadata_sr.plan import DEFAULT
from skinlib.training.runs import Run

PAPER = "metadata_sr"
SPLIT = 1000  # a unit is SPLIT * split + seed
METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "roc_auc": "macro_auc"}  # theirs -> ours
WORDS = {
    "image": "No metadata",
    "concat": "Concat",
    "metanet": "MetaNet",
    "metablock": "MetaBlock",
    "pundhir": "Visual",
    "without": "Proposed without the task",
    "proposed": "Proposed",
}
BACKBONES = {
    "vgg13": "VGG-13",
    "resnet50": "ResNet-50",
    "efficientnet_b4": "EfficientNet-B4",
    "mobilenetv2_100": "MobileNet-V2",
    "densenet121": "DenseNet-121",
}
ALONE = {
    f"metadata/{DEFAULT}": "Metadata alone, the images' rows",
    "metadata/all": "Metadata alone, every row",
    "metadata_zeros/all": "Metadata alone, every row, blanks as zeros",
}

Tables = Mapping[str, pd.DataFrame]


def stem(name: str) -> str:
    """Return a name of the plan without its split and seed."""
    return re.sub(r"(/split\d+)?/seed\d+$", "", name)


def unit(config: RunConfig) -> int:
    """Return the number of a run's split and seed."""
    return SPLIT * config.split_seed + config.seed


def members(runs: Runs, *names: str) -> list[Run]:
    """Return the runs of some names, all splits and seeds."""
    return [run for key, run in runs.items() if stem(key) in names]


def tested(runs: Runs, part: str = "test") -> dict[str, pd.DataFrame]:
    """Return name without split and seed -> predictions of all its units, in the order of the plan."""
    found: dict[str, list[pd.DataFrame]] = {}
    for name, run in runs.items():
        found.setdefault(stem(name), []).append(rows(run, part).assign(seed=unit(run.config)))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}


def backbones(tables: Tables) -> list[str]:
    """Return ``<backbone>/<weights>`` of the rows of Table 1; on the first stands everything beside it."""
    found = [name.removesuffix(f"/{DEFAULT}").split("/", 1)[1] for name in tables if method(name) in WORDS]
    return list(dict.fromkeys(found))


def method(name: str) -> str:
    """Return the method of a row of Table 1, "" for any other name."""
    parts = name.split("/")
    return parts[0] if len(parts) == 5 and name.endswith(DEFAULT) and parts[0] in WORDS else ""


def backbone(phi: str) -> str:
    """Return ``<backbone>/<weights>`` in words, as Table 1 prints it where it has that backbone with those weights."""
    name, _, weights = phi.partition("/")
    start = {"imagenet": "", "none": ", from scratch"}.get(weights, f", weights {weights}")
    return BACKBONES.get(name, name) + start


def named(what: str, phi: str) -> str:
    """Return the row of Table 1 of a method, named as in `WORDS`, on a backbone."""
    return f"{what}, {backbone(phi)}"


def units(table: pd.DataFrame) -> set[int]:
    """Return the units of a table."""
    return set(table["seed"])


def of_units(table: pd.DataFrame, chosen: set[int]) -> pd.DataFrame:
    """Return the rows of some units."""
    return table[table["seed"].isin(chosen)].reset_index(drop=True)


def in_common(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Return tables cut to the units that all of them have, so that they can be paired.

    Raises
    ------
    ValueError
        When there is none.
    """
    common = set.intersection(*map(units, tables))
    if not common:
        raise ValueError("these runs have no split and seed in common; give their lists in the profile a common split")
    return [of_units(table, common) for table in tables]


def scored(row: str, table: pd.DataFrame, names: Sequence[str], **more) -> list[dict]:
    """Return the cells of `skinlib.exhibits.multiclass.measure`, patients drawn within their rarest class."""
    return measure(row, table, names, strata=rarest(table), **more)


def measured(row: str, table: pd.DataFrame, *, note: str = "", **boot) -> list[dict]:
    """Return accuracy, balanced accuracy and macro AUC of one row, named as in Table 1, with their intervals."""
    n = table["seed"].nunique()
    note = "; ".join(filter(None, [note, f"mean of {n} splits and seeds" if n > 1 else ""]))
    back = {ours: theirs for theirs, ours in METRICS.items()}
    cells = scored(row, table, list(METRICS.values()), note=note, **boot)
    return [one | {"metric": back[one["metric"]]} for one in cells]


def changes(
    pairs: Mapping[str, Sequence[pd.DataFrame]],
    *,
    names: Sequence[str] = tuple(METRICS),
    notes: Mapping[str, str] | None = None,
    **boot,
) -> list[dict]:
    """Return the cells ``<metric>_change`` of (after, before), paired on common units, each with a verdict.

    Verdicts are Holm-adjusted over the rows given, for each metric apart.
    """
    back, cells = {f"{METRICS[name]}_diff": name + CHANGE for name in names}, []
    for row, pair in pairs.items():
        after, before = in_common(*pair)
        found = compare(row, after, before, [METRICS[name] for name in names], strata=rarest(after), **boot)
        cells += [one | {"metric": back[one["metric"]]} for one in found]
    said = notes or {}
    cells = [one | {"note": "; ".join(filter(None, [one["note"], said.get(one["row"], "")]))} for one in cells]
    return judge(cells, suffix=CHANGE)


def by_unit(tables: Tables) -> pd.DataFrame:
    """Return a line a table and unit, with its metrics: how far a split and a seed alone move a number."""
    found = []
    for name, table in tables.items():
        for number in sorted(units(table)):
            mine = of_units(table, {number})
            cells = measured(name, mine, n_boot=2)
            one = {"row": name, "split": number // SPLIT, "seed": number % SPLIT}
            found.append(one | {each["metric"]: each["ours"] for each in cells})
    return pd.DataFrame(found)
