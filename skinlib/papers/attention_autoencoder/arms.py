"""From the plan's runs to the tables that the exhibits of Thwin and Park compare: test rows of each variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data.cards import SELECTIONS, class_names
from skinlib.exhibits.arms import Runs, by_seed, names, outlines, part, seeds_of
from skinlib.training.runs import Run
from skinlib.training.segment import trained_on_masks

LADDER = ("baseline", "attention", "autoencoder", "proposed")
STEPS = (
    ("attention", "baseline"), ("autoencoder", "baseline"), ("proposed", "baseline"), ("proposed", "attention"),
    ("proposed", "autoencoder"),
)  # fmt: skip
MAJORITY = "always the most frequent class"
STAGES = ("raw", "postprocessed")

Stages = Mapping[str, pd.DataFrame]


def codes(config: RunConfig) -> dict[str, str]:
    """Return the paper's name of each class -> its code in the data set: scc -> akiec where that stands in."""
    return dict(zip(SELECTIONS[config.label_space], class_names(config.dataset, config.label_space), strict=True))


def ladder(runs: Runs) -> dict[str, pd.DataFrame]:
    """Return variant -> prediction table of the test part, all seeds; those variants that the plan has."""
    return {name: part(runs, name, "test") for name in LADDER if name in names(runs)}


def runs_of(runs: Runs, wanted: Iterable[str]) -> list[Run]:
    """Return the runs of several names of the plan, all seeds."""
    return [run for name in wanted for run in by_seed(runs, name)]


def outlining(runs: Runs, wanted: Iterable[str] = LADDER) -> dict[str, dict[str, pd.DataFrame]]:
    """Return variant -> stage (raw, postprocessed) -> mask scores of the test part; {} of a set without masks."""
    groups = {name: by_seed(runs, name) for name in wanted if name in names(runs)}
    return {
        name: {stage: outlines(group, stage=stage) for stage in STAGES}
        for name, group in groups.items()
        if trained_on_masks(group[0].config)
    }


def majority(runs: Runs, variant: str = "baseline") -> pd.DataFrame:
    """Return the table that calls every test image the class most frequent among the validation rows."""
    first = {name: run for name, run in runs.items() if run.config.seed == by_seed(runs, variant)[0].config.seed}
    validation, table = part(first, variant, "val"), part(first, variant, "test")
    scores = [name for name in table if name.startswith("p_")]
    most = int(validation["label"].value_counts().sort_index().idxmax())
    return table.assign(**{name: float(k == most) for k, name in enumerate(scores)})


def common_seeds(runs: Runs, wanted: Iterable[str]) -> set[int]:
    """Return the seeds that all of some names of the plan have.

    Raises
    ------
    KeyError
        When they have none in common: there is nothing to pair.
    """
    wanted = list(wanted)
    if not (seeds := set.intersection(*(seeds_of(runs, name) for name in wanted))):
        raise KeyError(f"{', '.join(wanted)} have no seed in common")
    return seeds


def with_seeds(table: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    """Return the rows of some seeds."""
    return table[table["seed"].isin(seeds)].reset_index(drop=True)


def first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table's first seed, by image id."""
    return table[table["seed"] == table["seed"].min()].sort_values("image_id").reset_index(drop=True)


def for_each_seed(table: pd.DataFrame, seeds: Iterable[int]) -> pd.DataFrame:
    """Repeat a table that knows no seed for each of some, so that it can be paired with networks of several."""
    return pd.concat([table.assign(seed=seed) for seed in sorted(seeds)], ignore_index=True)


def counts(cohort: pd.DataFrame, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what is kept of the cohort: image_id, lesion_id, diagnosis, part, and has_mask, 0 or 1."""
    of = pd.concat([rows[["image_id"]].assign(part=name) for name, rows in parts.items()])
    kept = cohort[["image_id", "lesion_id", "diagnosis"]].assign(has_mask=cohort["mask_path"].notna().astype(int))
    return kept.merge(of, on="image_id").sort_values("image_id", ignore_index=True)


def matrix(table: pd.DataFrame) -> np.ndarray:
    """Return the confusion matrix (K, K) of a table, a row a true class, summed over its seeds."""
    scores = [name for name in table if name.startswith("p_")]
    called = table[scores].to_numpy().argmax(1)
    found = np.zeros((len(scores), len(scores)), int)
    np.add.at(found, (table["label"].to_numpy(int), called), 1)
    return found
