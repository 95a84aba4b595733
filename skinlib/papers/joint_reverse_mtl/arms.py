"""From the plan's runs to the rows that the tables of the multi-task paper compare: a diagnosis and an outline each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from skinlib.data.cards import class_names
from skinlib.exhibits.arms import Runs, by_seed, names, outlines, part, seeds_of
from skinlib.exhibits.estimates import Arm
from skinlib.training.runs import Run
from skinlib.training.segment import trained_on_masks

CALLED = 0.5  # the paper takes the larger of two softmax outputs
BENIGN = "always benign"
# Row of Table 3 -> name in the plan; `cls` is the first classifier that the profile names.
ARM = "mtl4/clean"  # ours in the row mtl4; the published arm trains on test images
DATA_ARMS = {"mtl4, clean": ARM, "mtl4, as published": "mtl4/as_published"}
LADDER = ("seg", "mtl0", "mtl1", "mtl2", "mtl3")


class Row(NamedTuple):
    """One network in a table.

    Attributes
    ----------
    diagnosis
        Arm on the test images; None for the U-Net alone.
    outline
        Arm on the masks' scores; None for a classifier alone.
    runs
        All its seeds.
    """

    diagnosis: Arm | None
    outline: Arm | None
    runs: tuple[Run, ...] = ()


def row(runs: Runs, name: str, *, seeds: set[int] | None = None, note: str = "") -> Row:
    """Return ``<name>/seed<n>`` on the test images, all seeds or some.

    Raises
    ------
    KeyError
        When there is no such run.
    """
    group = [run for run in by_seed(runs, name) if seeds is None or run.config.seed in seeds]
    chosen = {f"{name}/seed{run.config.seed}": run for run in group}
    if not chosen:
        raise KeyError(f"no run {name} of seeds {sorted(seeds)}")
    config = group[0].config
    diagnosis = None if config.variant == "seg" else Arm(part(chosen, name, "test"), CALLED, note)
    outline = Arm(outlines(group), note=note) if trained_on_masks(config) else None
    return Row(diagnosis, outline, tuple(group))


def classifiers(runs: Runs) -> dict[str, str]:
    """Return row -> name of the classifiers: ``cls`` the first, which stands for the paper's, then the others."""
    found = [name for name in names(runs) if name.startswith("cls/")]
    words = {name: name.removeprefix("cls/").replace("/", ", weights ") for name in found}
    first, *others = sorted(found, key=lambda name: (not name.endswith("/none"), name))
    return {"cls": first} | {f"cls, {words[name]}": name for name in others}


def ladder(runs: Runs) -> dict[str, Row]:
    """Return the rows of Table 3 that the plan has, in its order: classifiers, U-Net, mtl0 to mtl4."""
    there = names(runs)
    rows = {word: row(runs, name, note=_of(runs, name)) for word, name in classifiers(runs).items()}
    rows |= {name: row(runs, name) for name in LADDER if name in there}
    if ARM in there:
        rows["mtl4"] = row(runs, ARM, note="clean arm: the added melanomas that ISIC 2016 does not have")
    return rows


def _of(runs: Runs, name: str) -> str:
    config = by_seed(runs, name)[0].config
    start = "from scratch" if config.weights == "none" else f"weights {config.weights}"
    return f"{config.backbone}, {start}"


def before(rows: Mapping[str, Row]) -> dict[str, tuple[str, str]]:
    """Return row -> the rows that its diagnosis and its outline are compared with: the step before.

    ``mtl0`` is compared with the two single-task networks.
    """
    steps = [name for name in rows if name.startswith("mtl")]
    found = {steps[0]: ("cls", "seg")} if steps else {}
    return found | {after: (first, first) for first, after in itertools.pairwise(steps)}


def always_benign(example: Arm, config) -> Arm:
    """Return the arm that calls every image benign, on the images of another arm's first seed."""
    table = example.table[example.table["seed"] == example.table["seed"].min()]
    skin, lesion = (f"p_{name}" for name in class_names(config.dataset, config.label_space))
    return Arm(table.assign(**{skin: 1.0, lesion: 0.0}), CALLED, "no network: every image is called benign")


def beside(runs: Runs, name: str, against: str) -> tuple[Row, Row]:
    """Return two names of the plan on the seeds that both have, so that they can be paired."""
    common = seeds_of(runs, name) & seeds_of(runs, against)
    if not common:
        raise KeyError(f"{name} and {against} have no seed in common")
    return row(runs, name, seeds=common), row(runs, against, seeds=common)


def last(rows: Mapping[str, Row]) -> str:
    """Return the last multi-task row: the proposed network of this profile."""
    return [name for name in rows if name.startswith("mtl")][-1]


def against_single(rows: Mapping[str, Row]) -> dict[str, tuple[Row, Row]]:
    """Return the last multi-task row with the two single-task networks that it would replace, as one row."""
    name = last(rows)
    return {name: (rows[name], rows["cls"]._replace(outline=rows["seg"].outline))}


def controls(runs: Runs) -> dict[str, tuple[Row, Row]]:
    """Return each control with the network that it is a control of, on the seeds that both have."""
    return {name: beside(runs, name, "mtl2") for name in names(runs) if name.startswith("control/")}


def data_arms(runs: Runs) -> dict[str, Row]:
    """Return ``mtl3`` and the arms of MTL4, on the seeds that all of them have."""
    there = {"mtl3": "mtl3"} | {row: name for row, name in DATA_ARMS.items() if name in names(runs)}
    seeds = set.intersection(*(seeds_of(runs, name) for name in there.values()))
    return {word: row(runs, name, seeds=seeds) for word, name in there.items()}


def fillings(runs: Runs) -> dict[str, Row]:
    """Return filling of the corners -> ``mtl3`` trained so, on the seeds that all have; ours, by reflection, first."""
    there = {"reflection": "mtl3"}
    there |= {name.removeprefix("corner/"): name for name in names(runs) if name.startswith("corner/")}
    seeds = set.intersection(*(seeds_of(runs, name) for name in there.values()))
    return {fill: row(runs, name, seeds=seeds) for fill, name in there.items()}


def longer(runs: Runs) -> dict[str, Row]:
    """Return the ladder's U-Net, then those trained for longer or at another size, on the seeds that all have."""
    there = {"seg": "seg"}
    there |= {name.removeprefix("longer/"): name for name in names(runs) if name.startswith("longer/")}
    seeds = set.intersection(*(seeds_of(runs, name) for name in there.values()))
    return {word: row(runs, name, seeds=seeds) for word, name in there.items()}


def leaked(runs: Runs, added: pd.DataFrame) -> np.ndarray:
    """Return the ids of test melanomas that are among added training images, by id: the pairs are byte-identical.

    Parameters
    ----------
    added
        As `skinlib.data.extra.extra_training` returns it; ids that the cohort has too end in ``@isic2017``.
    """
    test = part(runs, names(runs)[0], "test")
    ids = set(added["image_id"].str.removesuffix("@isic2017"))
    return np.array(sorted(set(test.loc[test["label"] == 1, "image_id"]) & ids), dtype=object)
