"""From named runs to arms: who is averaged, which rows choose the threshold, and the paper's own contradictions."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from skinlib.config import RunConfig
from skinlib.exhibits.arms import rounded, rows
from skinlib.exhibits.ladder import in_words, verdicts
from skinlib.figures.results import changes
from skinlib.papers.recall_oriented import arms
from skinlib.papers.recall_oriented import tables as paper
from skinlib.papers.recall_oriented.claims import arithmetic, contradictions
from skinlib.papers.recall_oriented.official import OFFICIAL, official_counts, official_test

BASE = RunConfig(folds=2, tta="flips", image_size=(48, 48))


@dataclasses.dataclass
class Drawn:
    """A run with predictions given by hand: part -> view -> scores of malignant; the last half is malignant."""

    config: RunConfig
    scores: dict
    metrics: dict = dataclasses.field(default_factory=lambda: {"best_epoch": 3})

    def predictions(self, view="mean"):
        tables = []
        for part, views in self.scores.items():
            p = np.array(views[view])
            ids = [f"{part}{'' if part == 'test' else self.config.fold}-{k}" for k in range(len(p))]
            columns = {"image_id": ids, "lesion_id": ids, "patient_id": np.nan, "dataset": "ham10000"}
            columns |= {"split": "grouped", "part": part, "fold": self.config.fold, "seed": self.config.seed}
            columns |= {"view": view, "label": (np.arange(len(p)) >= len(p) / 2).astype(int)}
            tables.append(pd.DataFrame(columns | {"p_benign": 1 - p, "p_malignant": p}))
        return pd.concat(tables, ignore_index=True)


def run(fold=0, seed=0, *, test, val, **changes):
    scores = {"test": {"mean": test, "identity": [p / 2 for p in test]}, "val": {"mean": val, "identity": val}}
    return Drawn(BASE.replace(fold=fold, seed=seed, **changes), scores)


@pytest.fixture
def runs():
    first = run(test=[0.1, 0.3, 0.6, 0.8], val=[0.11, 0.2, 0.3, 0.7])
    second = run(1, test=[0.2, 0.1, 0.2, 0.6], val=[0.1, 0.4, 0.5, 0.9])
    named = {"proposed/fold0/seed0": first, "proposed/fold1/seed0": second}
    steps = ("baseline", "lr_and_schedule", "lr_only", "schedule_only", "smoothing_only", "weights_only")
    return named | {f"{name}/seed0": run(test=[0.1, 0.2, 0.3, 0.4], val=[0.1] * 4) for name in steps}


def test_the_final_system_is_the_mean_of_the_folds_by_hand(runs):
    final, val = arms.final(runs)
    assert final.table["p_malignant"].tolist() == pytest.approx([0.15, 0.2, 0.4, 0.7])
    assert (final.table["fold"] == -1).all() and set(val["fold"]) == {0, 1} and len(val) == 8
    # out of fold: benign 0.11, 0.2, 0.1, 0.4 and malignant 0.3, 0.7, 0.5, 0.9; recall 0.85 needs all four: t <= 0.3,
    # and of these 0.22 to 0.3 call one benign image; F1 ties go to the lowest
    assert final.threshold == 0.22


def test_without_views_the_threshold_is_of_the_same_kind(runs):
    assert arms.averaged(runs, view="identity").arm.table["p_malignant"].tolist() == pytest.approx(
        [0.075, 0.1, 0.2, 0.35]
    )


def test_one_fold_chooses_on_its_own_rows(runs):
    single, val = arms.one_fold(runs)
    assert val["image_id"].tolist() == ["val0-0", "val0-1", "val0-2", "val0-3"] and single.threshold == 0.22
    assert single.table["p_malignant"].tolist() == pytest.approx([0.05, 0.15, 0.3, 0.4])


def test_every_seed_has_its_own_ensemble_and_threshold(runs):
    more = {f"proposed/fold{k}/seed1": run(k, 1, test=[0.5] * 4, val=[0.1, 0.2, 0.8, 0.9]) for k in (0, 1)}
    final, val = arms.final(runs | more)
    assert final.threshold == {0: 0.22, 1: 0.22}
    assert final.table.groupby("seed").size().to_dict() == {0: 4, 1: 4} and len(val) == 16
    assert final.table.loc[final.table["seed"] == 1, "p_malignant"].tolist() == [0.5] * 4


def test_steps_and_additions_name_what_the_tables_take(runs):
    steps = arms.steps(runs)
    assert tuple(steps) == paper.STEPS
    assert [steps[name].threshold for name in paper.STEPS[:3]] == [0.5] * 3
    assert steps[paper.STEPS[2]].table.equals(steps[paper.STEPS[3]].table)
    alone, before = arms.additions(runs)
    assert list(alone) == list(before) == list(arms.ALONE)
    with pytest.raises(KeyError, match="no run plain/seed<n>"):
        arms.plain(runs)


def test_backbones_are_found_by_name_and_averaged_over_seeds():
    found = {
        f"backbone/resnet50/none/seed{s}": run(0, s, test=[0.1] * 4, val=[0.2] * 4, weights="none") for s in (0, 1)
    }
    found["backbone/resnet50/none/seed1"].metrics["best_epoch"] = 6
    (row, one), *rest = arms.backbones(found).items()
    assert rest == [] and row == "ResNet50, from scratch, 48 px"
    assert one.best_epoch == 4.5 and len(one.test.table) == 8 and set(one.val["part"]) == {"val"}


def test_scores_are_those_that_the_evidence_keeps():
    table = pd.DataFrame({"p_benign": [0.123456, 0.000054321], "p_malignant": [0.87654, 0.99995], "label": [0, 1]})
    assert rounded(table)["p_malignant"].tolist() == [0.8765, 1.0]
    assert rounded(table)["p_benign"].tolist() == [0.1235, 0.000054]


def test_a_plain_run_is_turned_to_benign_and_malignant():
    names = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")
    p = np.full((7, 7), 0.05) + 0.65 * np.eye(7)
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(7)], "label": range(7), "seed": 0, "part": "test"})
    table = table.assign(lesion_id=table["image_id"], dataset="ham10000", split="grouped")
    table[[f"p_{name}" for name in names]] = p
    one = types.SimpleNamespace(config=BASE.replace(label_space="diagnosis"), predictions=lambda view: table)
    arm, classes = arms.plain({"plain/seed0": one})
    assert arm.table["label"].tolist() == [1, 0, 1, 1, 0, 0, 0] and arm.threshold == 0.5
    assert arm.table["p_malignant"].tolist() == pytest.approx([0.8, 0.15, 0.8, 0.8, 0.15, 0.15, 0.15])
    rows = paper.diagnoses("plain", classes, n_boot=50).set_index("metric")
    assert rows.loc[["accuracy", "macro_auc"], "ours"].tolist() == [1, 1] and set(rows["row"]) == {"plain, 7 classes"}


def test_another_cohort_is_scored_at_the_old_threshold(runs):
    table = rows(runs["proposed/fold0/seed0"], "test")
    arm = arms.elsewhere(runs, {0: [table, table.assign(p_malignant=1.0, p_benign=0.0)]}, split="official")
    assert arm.table["p_malignant"].tolist() == pytest.approx([0.55, 0.65, 0.8, 0.9]) and arm.threshold == 0.22
    assert set(arm.table["split"]) == {"official"}


def test_verdicts_are_read_from_the_notes():
    notes = {"roc_auc_change": "helps (p = 0.0010, Holm over 5)", "recall_change": "no evidence (p = 0.5000)"}
    frame = pd.DataFrame({"row": "a", "metric": list(notes), "note": list(notes.values())})
    extra = pd.DataFrame({"row": ["b", "b", "a"], "metric": ["roc_auc_change", "recall_change", "roc_auc"]})
    extra["note"] = ["harms (p = 0.0100)", "not defined: one class", ""]
    table = verdicts(pd.concat([frame, extra]))
    assert table.loc["a"].to_dict() == {"roc_auc": "helps", "recall": "no evidence"}
    assert table.loc["b"].to_dict() == {"roc_auc": "harms", "recall": "not defined"}
    assert in_words(table)[1] == "b: harms: roc_auc; not defined: recall"
    cells = pd.concat([frame, extra]).assign(ours=0.1, low=0.0, high=0.2)
    drawn = changes(cells, table, ("roc_auc", "recall"))
    assert [axis.get_xlabel() for axis in drawn.axes] == ["change in ROC-AUC", "change in recall"]


def test_the_printed_tables_contradict_each_other():
    found = contradictions().set_index("what")[["says", "says there"]].to_numpy().tolist()
    assert [0.9262, 0.8838] in found and [35, 59] in found and [250, 200] in found  # Table 3 and Table 8
    assert [5, 8] in found  # stopped at epoch 5 with patience 7
    assert [8070, 8061] in found and [288, 307] in found  # the split that is called predefined
    wrong = arithmetic().set_index(["exhibit", "row", "metric"])
    assert wrong.loc[("table3", "final", "specificity")].tolist() == [0.7927, 0.7925]
    assert wrong.loc[("table4", "+ 3-fold CV", "precision")].tolist() == [0.51, 0.503]
    assert ("table4", "baseline", "precision") not in wrong.index  # 0.5446 is 0.545 in three decimals


def test_the_official_test_part_is_found_or_said_to_be_missing(tmp_path):
    assert official_counts() == {"official train": (8061, 1954), "official test": (1205, 307)}
    cohort, said = official_test(tmp_path, trained_on="ham10000")
    assert cohort is None and said.startswith("NOT RUN: the official test images")
    cohort, said = official_test(tmp_path, trained_on=OFFICIAL)
    assert cohort is None and "already" in said


def test_the_official_test_part_is_read(tmp_path):
    from skinlib.data.synthetic import synthesise

    synthesise(tmp_path, datasets=["isic2018_task3"], images=60, size=32)
    cohort, said = official_test(tmp_path, trained_on="ham10000")
    assert set(cohort["official_split"]) == {"test"} and set(cohort["label"]) == {0, 1}
    assert f"{len(cohort)} of 1512 official test images" in said
