"""Which network of each system the notebooks across systems look at, and the one question that all can answer.

A system that joins adds a line to the two tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data import splits
from skinlib.data.cards import CARDS, class_names, relabel
from skinlib.evaluation.tables import to_binary
from skinlib.exhibits.arms import rows
from skinlib.exhibits.estimates import Arm
from skinlib.provenance import generator
from skinlib.training.runs import Run, cohort_of, split_of

# Paper -> name in the pictures -> how the network's name begins in the plan.
NETWORKS = {
    "recall_oriented": {"final system, one fold": "proposed/"},
    "joint_reverse_mtl": {"classifier alone": "cls/", "multi-task": "mtl3/"},
    "attention_autoencoder": {"baseline": "baseline/", "proposed": "proposed/"},
    "joint_ensemble": {"first member": "member/", "fused": "proposed/"},
    "metadata_sr": {"Visual [14]": "pundhir/", "proposed": "proposed/"},
}
# Paper -> how the name of its proposed network begins, of the systems whose own notebooks do not ask the same.
OTHERS = {
    "joint_reverse_mtl": "mtl3/",
    "attention_autoencoder": "proposed/",
    "joint_ensemble": "proposed/",
    "metadata_sr": "proposed/",
}
# The same of those that read images: a head reads features, the network that was trained jointly from there images.
SEEING = OTHERS | {"joint_ensemble": "joint/"}
MELANOMA = "mel"


def first_of(plan: Mapping[str, RunConfig], prefix: str, seed: int = 0) -> RunConfig:
    """Return a plan's first run of a seed whose name begins so: the first fold or split, on the first backbone.

    Raises
    ------
    KeyError
        When the plan has none.
    """
    found = [config for name, config in plan.items() if name.startswith(prefix) and config.seed == seed]
    if not found:
        raise KeyError(f"no run {prefix}... of seed {seed} among {', '.join(plan) or 'no runs'}")
    return found[0]


def test_images(run: Run, study, *, most: int | None = None) -> pd.DataFrame:
    """Return a run's own test images by id, at random ``most`` of them, labelled as the run's classes.

    Parameters
    ----------
    study
        Has data_root, results_root and seed.
    """
    config = run.config
    cohort = relabel(cohort_of(config, study.data_root), config.label_space)
    split = split_of(config, study.data_root, study.results_root)
    test = splits.part(cohort, split, config.fold, "test").sort_values("image_id", ignore_index=True)
    kept = generator(study.seed, 42).permutation(len(test))[:most]
    return test.iloc[np.sort(kept)].reset_index(drop=True)


def asked(config: RunConfig) -> list[str]:
    """Return the classes that count as yes: the malignant ones, or melanoma where every class is malignant."""
    classes = class_names(config.dataset, config.label_space)
    named = [name for name in classes if name in CARDS[config.dataset].malignant] or ["malignant"]
    return named if set(named) < set(classes) else [MELANOMA]


def binary(run: Run) -> Arm:
    """Return one network's answers on its test images, of the image as it is: yes from a probability of one half on."""
    table = rows(run, "test", "identity")
    return Arm(to_binary(table, asked(run.config)))


def sample_of(cohort: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return every k-th row by image id, at most ``most``."""
    rows = cohort.sort_values("image_id")
    return rows.iloc[:: -(-len(rows) // most)].reset_index(drop=True)
