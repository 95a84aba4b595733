"""Which network of each system the notebooks across systems look at, and the one question that all can answer.

A plan says so in three constants: ``LOOKED_AT``, name in the pictures -> labels of a run; ``PROPOSED_RUN``, labels of
the proposed network; ``SEEING_RUN``, labels of the proposed network that reads images, or None.
"""

import importlib
from types import ModuleType

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data import splits
from skinlib.data.cards import CARDS, class_names, relabel
from skinlib.evaluation.tables import to_binary
from skinlib.exhibits.scored import Scored
from skinlib.provenance import generator
from skinlib.training.runs import Run, cohort_of, split_of

MELANOMA = "mel"


def plan_module(paper: str) -> ModuleType:
    """Return the module with a paper's plan and its constants."""
    return importlib.import_module(f"skinlib.papers.{paper}.plan")


def proposed_runs(study, *, leave_out: str = "", seeing: bool = False) -> dict[str, Run]:
    """Return paper -> its proposed network of the study's seed, the first of the plan, for all papers of the profile.

    ``leave_out`` is a paper whose own notebooks ask the same. ``seeing`` takes the network that reads images; a paper
    whose profile trains none is left out.
    """
    found = {}
    for paper in study.profile["papers"]:
        module = plan_module(paper)
        labels = module.SEEING_RUN if seeing else module.PROPOSED_RUN
        if paper != leave_out and study.runs(paper).has(seed=study.seed, **labels):
            found[paper] = study.runs(paper, seed=study.seed, **labels).first
    return found


def test_images(run: Run, study, *, most: int | None = None) -> pd.DataFrame:
    """Return a run's own test images by id, at random ``most`` of them, labelled as the run's classes."""
    config = run.config
    cohort = relabel(cohort_of(config, study.data_root), config.label_space)
    split = split_of(config, study.data_root, study.results_root)
    test = splits.part(cohort, split, config.fold, "test").sort_values("image_id", ignore_index=True)
    kept = generator(study.seed, 42).permutation(len(test))[:most]
    return test.iloc[np.sort(kept)].reset_index(drop=True)


def outlined(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the images of a cohort that have an outline; weak ones (``weak_mask_path``) serve where no others are."""
    if cohort["mask_path"].isna().all() and "weak_mask_path" in cohort:
        cohort = cohort.assign(mask_path=cohort["weak_mask_path"])
    return cohort[cohort["mask_path"].notna()].reset_index(drop=True)


def asked(config: RunConfig) -> list[str]:
    """Return the classes that count as yes: the malignant ones, or melanoma where every class is malignant."""
    classes = class_names(config.dataset, config.label_space)
    named = [name for name in classes if name in CARDS[config.dataset].malignant] or ["malignant"]
    return named if set(named) < set(classes) else [MELANOMA]


def binary(run: Run) -> Scored:
    """Return one network's answers on its test images, of the image as it is: yes from a probability of one half on."""
    table = run.predictions("identity").query("part == 'test'").reset_index(drop=True)
    return Scored(to_binary(table, asked(run.config)))


def sample_of(cohort: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return every k-th row by image id, at most ``most``."""
    rows = cohort.sort_values("image_id")
    return rows.iloc[:: -(-len(rows) // most)].reset_index(drop=True)
