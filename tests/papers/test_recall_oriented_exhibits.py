"""What the notebooks on the recall-oriented paper share: who is averaged, which rows choose t*, the official test."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from skinlib.config import RunConfig
from skinlib.data.synthetic import synthesise
from skinlib.exhibits.runs import Planned, Runs
from skinlib.papers.recall_oriented import exhibits as paper
from skinlib.training.predict import cohort_elsewhere


def planned(fold, seed, test, val):
    """A run with these scores of malignant, half of them without test-time views; the last half is malignant."""

    def predictions(view="mean"):
        tables = []
        for part, p in (("test", np.array(test) / (1 if view == "mean" else 2)), ("val", np.array(val))):
            ids = [f"{part}{'' if part == 'test' else fold}-{k}" for k in range(len(p))]
            columns = {"image_id": ids, "part": part, "fold": fold, "seed": seed, "view": view}
            columns |= {"label": (np.arange(len(p)) >= len(p) / 2).astype(int), "p_benign": 1 - p, "p_malignant": p}
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    run = SimpleNamespace(seed=seed, predictions=predictions)
    return Planned(f"proposed/fold{fold}/seed{seed}", run, {"arm": "proposed", "fold": fold, "seed": seed})


FIRST = [
    planned(0, 0, [0.1, 0.3, 0.6, 0.8], [0.11, 0.2, 0.3, 0.7]),
    planned(1, 0, [0.2, 0.1, 0.2, 0.6], [0.1, 0.4, 0.5, 0.9]),
]
SECOND = [planned(k, 1, [0.5] * 4, [0.1, 0.2, 0.8, 0.9]) for k in (0, 1)]


def runs(plan):
    return Runs(tuple(plan), lambda one: one.config)


def final_system(plan, view="mean"):
    return paper.at_threshold(paper.average_folds(runs(plan), view), runs(plan).val(view))


def test_the_final_system_is_the_mean_of_the_folds_by_hand_and_every_seed_has_its_own():
    final = final_system(FIRST)
    assert final.table["p_malignant"].tolist() == pytest.approx([0.15, 0.2, 0.4, 0.7])
    # out of fold: benign 0.11, 0.2, 0.1, 0.4 and malignant 0.3, 0.7, 0.5, 0.9; recall 0.85 needs all four: t <= 0.3,
    # and of these 0.22 to 0.3 call one benign image; F1 ties go to the lowest
    assert final.threshold == {0: 0.22}
    assert final_system(FIRST, view="identity").table["p_malignant"].tolist() == pytest.approx([0.075, 0.1, 0.2, 0.35])
    both = final_system(FIRST + SECOND)
    assert both.threshold == {0: 0.22, 1: 0.22} and both.table["seed"].tolist() == [0] * 4 + [1] * 4
    assert both.table.loc[both.table["seed"] == 1, "p_malignant"].tolist() == [0.5] * 4


def test_runs_are_chosen_by_label():
    found = runs(FIRST + SECOND)
    assert [one.seed for one in found.where(fold=0)] == [0, 1]
    assert set(found.where(fold=[0, 1], seed=1).val()["fold"]) == {0, 1} and list(found.by("seed")) == [0, 1]
    assert found.has(arm="proposed", seed=1) and not found.has(arm="plain")
    with pytest.raises(KeyError, match="no run with"):
        found.where(arm="plain")


def test_what_ham10000_lacks_of_task_3_is_its_official_validation_and_test_part(tmp_path):
    synthesise(tmp_path, datasets=["isic2018_task3"], images=60, size=32)
    trained = SimpleNamespace(config=RunConfig(dataset="ham10000"))
    found, known = cohort_elsewhere(trained, "isic2018_task3", tmp_path, allow_missing=True)
    assert set(found["official_split"]) == {"val", "test"} and set(found["label"]) == {0, 1} and known == 60
