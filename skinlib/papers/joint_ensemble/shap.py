"""What the fused head of the ensemble paper is asked for SHAP values: the image, and what is known of the patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from skinlib.across.shap_inputs import Subject
from skinlib.across.systems import proposed_runs, sample_of
from skinlib.data import demographics, splits
from skinlib.data.cards import class_names
from skinlib.training import features, runs
from skinlib.training.runs import Run

EXPLAINED, BACKGROUND = 150, 30  # rows; each explained one is asked 2^4 times the background
UNKNOWN_AGE = -1.0  # years: the number that stands for it
LEVELS = {
    "sex": (*demographics.SEXES, "unknown"),
    "site": (*demographics.SITES, "unknown"),
}


def metadata(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return age in years (-1 where unknown), and sex and site as positions in `LEVELS`."""
    found = pd.DataFrame({"age": pd.to_numeric(cohort["age"]).fillna(UNKNOWN_AGE).to_numpy(float)})
    for name, levels in LEVELS.items():
        words = cohort[name].astype(object).where(cohort[name].notna(), "unknown")
        found[name] = words.map({level: k for k, level in enumerate(levels)}).to_numpy(float)
    return found


def people(inputs: np.ndarray) -> np.ndarray:
    """Return rows (M, 3) of age, sex and site as the head reads them, (M, 20)."""
    table = pd.DataFrame({"age": np.where(inputs[:, 0] == UNKNOWN_AGE, np.nan, inputs[:, 0])})
    for k, (name, levels) in enumerate(LEVELS.items(), start=1):
        words = pd.Series(np.array(levels, object)[inputs[:, k].astype(int)])
        table[name] = words.where(words != "unknown")
    return demographics.encode(table)


def head_function(head: Run, seen: np.ndarray):
    """Return the head as a function of image (row of ``seen``), age, sex and site: (M, 4) -> percent of each class.

    Parameters
    ----------
    seen
        (N, V, C) features of its members.
    """
    model = head.model()

    @torch.inference_mode()
    def function(inputs: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(seen[inputs[:, 0].astype(int)]).float()
        meta = torch.from_numpy(people(inputs[:, 1:]))
        return model(meta=meta, features=rows)["logits"].softmax(1).numpy() * 100

    return function


def subject(study) -> Subject:
    """Return what is explained: test rows at even steps of their ids, against training rows, of the first head."""
    head = proposed_runs(study)["joint_ensemble"]
    config = head.config
    cohort = runs.cohort_of(config, study.data_root)
    split = runs.split_of(config, study.data_root, study.results_root)
    seen = features.column(head.parents(), cohort, tta=config.tta)
    place = pd.Series(np.arange(len(cohort)), index=cohort["image_id"])
    test, train = (
        sample_of(splits.part(cohort, split, config.fold, part), most)
        for part, most in (("test", EXPLAINED), ("train", BACKGROUND))
    )
    inputs, background = (
        metadata(rows).assign(image=place[rows["image_id"]].to_numpy(float)) for rows in (test, train)
    )
    order = ["image", "age", "sex", "site"]
    return Subject(
        head_function(head, seen),
        inputs[order],
        background[order],
        test[["image_id", "lesion_id", "patient_id"]].reset_index(drop=True),
        tuple(class_names(config.dataset, config.label_space)),
        LEVELS,
        (head, *head.parents().values()),
        {"dataset": config.dataset, "split": config.split},
    )
