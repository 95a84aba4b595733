"""What the notebooks of the ensemble paper share, from small tables whose numbers are worked out by hand."""

import types

import numpy as np
import pandas as pd
import pytest
import torch
from comparing import value

from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.evaluation.tables import TestDataError
from skinlib.evaluation.thresholds import recall_at_specificity
from skinlib.exhibits.runs import Planned, Runs
from skinlib.exhibits.score import Boot, changes, score
from skinlib.exhibits.scored import pair
from skinlib.papers.joint_ensemble import exhibits as paper
from skinlib.papers.joint_ensemble.exhibits import OF_A_MEMBER, melanoma_at, named, one_of, row

BOOT = Boot(n=200, n_p=200)
CLASSES = ("bcc", "mel", "nv")
TRUTH = np.tile([0, 1, 2, 2], 12)  # 48 images: a quarter each is bcc and mel, half nv
SURE = 0.8
RIGHT, BLIND, HALF = (0, 1, 2, 2), (0, 2, 2, 2), (0, 1, 2, 0)  # all right; misses every mel; half of nv called bcc


def table(called, fold=0, seed=0, part="test"):
    """Predictions that put ``SURE`` on the called class; ``called`` is repeated over the images."""
    p = np.full((len(TRUTH), 3), (1 - SURE) / 2)
    p[np.arange(len(TRUTH)), np.resize(called, len(TRUTH))] = SURE
    ids = [f"i{k}" for k in range(len(TRUTH))]
    columns = {"image_id": ids, "lesion_id": ids, "patient_id": np.nan, "dataset": "ham10000", "split": "grouped"}
    columns |= {"part": part, "fold": fold, "seed": seed, "label": TRUTH}
    return pd.DataFrame(columns | {f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)})


def trainings(called, folds=(0, 1), seeds=(0, 1), **more):
    return pd.concat([table(called, fold, seed, **more) for fold in folds for seed in seeds], ignore_index=True)


def test_a_class_of_one_lesion_leaves_balanced_accuracy_its_interval():
    few = row(table(RIGHT).assign(label=[0, 1] + [2] * (len(TRUTH) - 2)))
    cell = score({"one": few}, ["balanced_accuracy"], BOOT).iloc[0]
    assert 0 < cell["low"] < cell["ours"] < cell["high"] < 1


def test_seeds_of_a_fold_are_no_further_folds():
    """Two folds of which one is all right and one three quarters, with many seeds: still two units."""
    found = []
    for seeds in ((0,), range(6)):
        parts = [trainings(HALF, folds=(0,), seeds=seeds), trainings(RIGHT, folds=(1,), seeds=seeds)]
        one = pd.concat(parts).assign(lesion_id="the only one", rarest=0)  # images apart: folds alone vary
        found.append(score({"x": row(one)}, ["accuracy"], BOOT).iloc[0])
    assert [(one["low"], one["high"]) for one in found] == [(0.75, 1.0)] * 2


def test_a_member_meets_every_seed_of_a_head_and_fewer_folds_are_in_the_name():
    head, member = row(trainings(RIGHT)), row(trainings(BLIND, seeds=(0,)), OF_A_MEMBER)
    after, before = pair(head, member)
    assert len(after.table) == len(before.table) == 4 * len(TRUTH)
    frame = changes({"head": (head, member)}, {"accuracy": "accuracy"}, BOOT, family="side")
    assert value(frame, "head", "accuracy_change") == 0.25 and value(frame, "head", "accuracy_change", "units") == 2
    assert named("a", member, head) == "a" == named("a", head, head)
    assert named("a", row(trainings(BLIND, folds=(1,))), head) == "a, fold 1"
    assert named("a", row(trainings(BLIND, folds=(1,), seeds=(0,))), head) == "a, fold 1, seed 0"


def test_one_of_some_classes_by_hand():
    rows = {"blind": row(table(BLIND)), "half": row(table(HALF))}
    names = ("precision", "recall", "f1", "accuracy")
    frame = score(rows, {name: one_of(["bcc", "mel"], name) for name in names}, BOOT)
    for name, wanted in {"blind": (1, 1 / 2, 2 / 3, 3 / 4), "half": (2 / 3, 1, 0.8, 3 / 4)}.items():
        assert list(frame.loc[frame["row"] == name, "ours"]) == pytest.approx(wanted)
    torn = table(RIGHT).assign(p_bcc=0.3, p_mel=0.3, p_nv=0.4)  # the likeliest class is benign, malignant the likelier
    assert one_of(["bcc", "mel"], "recall")(torn) == 1
    both = paper.as_binary(torn, ["bcc", "mel"])
    assert one_of(["bcc", "mel"], "recall")(both) == 1 and paper.as_binary(both, ["bcc"]) is both


def test_each_training_is_called_at_its_own_threshold_and_never_by_test_rows():
    val = pd.concat([table(BLIND, 0, 0, "val"), table(RIGHT, 0, 1, "val")])
    at = lambda rows: recall_at_specificity(rows, specificity=0.95)[1]
    found = melanoma_at(row(trainings(RIGHT, folds=(0,))), val, at)
    assert found.threshold == {(0, 0): np.inf, (0, 1): SURE}  # of seed 0 the score says nothing: half would be called
    frame = score({"a": found}, ["recall", "specificity"], BOOT)
    assert value(frame, "a", "recall") == 0.5 and value(frame, "a", "specificity") == 1
    assert melanoma_at(row(table(RIGHT), OF_A_MEMBER), table(RIGHT, part="val"), lambda rows: 0.5).threshold == {0: 0.5}
    with pytest.raises(TestDataError):
        melanoma_at(found, table(RIGHT), lambda rows: 0.5)


def test_a_correlation_of_ranks_and_its_resamples():
    a = pd.Series(np.arange(20.0))
    frame = pd.DataFrame({"a": a})
    assert paper.rank_correlation(a, a**3)(frame) == pytest.approx(1)
    assert paper.rank_correlation(a, np.exp(-a))(frame) == pytest.approx(-1)
    b = pd.Series(np.random.default_rng(0).normal(size=20))
    counts = np.random.default_rng(1).multinomial(20, [1 / 20] * 20, size=5).astype(float)
    drawn = [np.corrcoef(np.repeat(a.rank(), c.astype(int)), np.repeat(b.rank(), c.astype(int)))[0, 1] for c in counts]
    assert paper.rank_correlation(a, b).weighted(frame, counts) == pytest.approx(drawn)
    with pytest.raises(UndefinedMetricError):
        bootstrap_ci(paper.rank_correlation(a, a * 0), frame, n=10)


def test_views_are_averaged_as_probabilities_and_members_by_their_weights(monkeypatch):
    """Of one member the two views give bcc 1/3 and 1, their mean is 2/3; the other member gives it 1/3."""
    network = types.SimpleNamespace(head=lambda x: x * torch.tensor([50.0, 0.0, 0.0]))
    run = lambda name: types.SimpleNamespace(name=name, predictions=lambda: table(RIGHT), model=lambda: network)
    seen = {"a": [0.0, 1.0], "b": [0.0, 0.0]}
    views = lambda one, cohort, tta: np.tile(np.array(seen[one.name])[None, :, None], (len(cohort), 1, 1))
    monkeypatch.setattr(paper.features, "pooled", views)
    groups = {name: Runs((Planned(name, None, {}),), lambda one: run(one.name)) for name in seen}
    found = paper.weighted_views(groups, {"a": 0.75, "b": 0.25}, table(RIGHT)[["image_id"]][::-1], tta="flips")
    assert found["p_bcc"].to_numpy() == pytest.approx(0.75 * 2 / 3 + 0.25 / 3)
    assert list(found["image_id"]) == list(table(RIGHT)["image_id"])


def test_a_gallery_has_a_line_a_member_and_each_its_own_scale(monkeypatch):
    images, maps = np.zeros((2, 8, 8, 3), np.uint8), np.stack([np.full((8, 8), 1.0), np.full((8, 8), 2.0)])
    masks = np.stack([np.eye(8, dtype=bool)] * 2)
    found = [("a", maps, images, masks), ("b", maps / 100, images, masks)]
    monkeypatch.setattr(paper, "member_maps", lambda *_: iter(found))
    run = lambda called: types.SimpleNamespace(predictions=lambda: table(called))
    runs = {"a": run(RIGHT), "b": run(np.roll(RIGHT, 1))}
    figure = paper.member_gallery(runs, pd.DataFrame({"image_id": ["i1", "i2"]}), ["x", "y"])
    shown = [axis.images[0].get_array() for axis in figure.axes]
    assert [axis.get_title() for axis in figure.axes] == ["x", "y", "a:\nmel", "a:\nnv", "b:\nbcc", "b:\nmel"]
    assert np.array_equal(shown[2], shown[4]) and np.array_equal(shown[3], shown[5])  # whatever the logits' size
    assert shown[3].mean() > shown[2].mean()
