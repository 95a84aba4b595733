"""Runs on runs: features once a run, image and view; heads that train nothing but themselves; joint fine-tuning."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from skinlib import models
from skinlib.config import RunConfig
from skinlib.data.readers_files import DataError
from skinlib.data.splits import leave_source_out as split
from skinlib.papers.joint_ensemble.model import joint_of
from skinlib.provenance import file_digest
from skinlib.training import features, predict, runs
from skinlib.training.symmetries import views

MEMBER = RunConfig(
    system="joint_ensemble", variant="member", label_space="diagnosis", image_size=(32, 32), backbone="test_resnet",
    weights="none", folds=2, epochs=1, visits=16, batch_size=8, precision="fp32",
)  # fmt: skip
OTHER = MEMBER.replace(seed=1)
HEAD = MEMBER.replace(
    variant="fused", backbone="none", losses={"cross_entropy": 1.0, "attributes": 0.3}, visits=None, epochs=2,
    tta="flips", options={"members": {"one": MEMBER.to_dict()}, "width": 8, "hidden": [16, 8]},
)  # fmt: skip
BOTH = HEAD.replace(options=HEAD.options | {"members": {"one": MEMBER.to_dict(), "two": OTHER.to_dict()}})


@pytest.fixture(scope="module")
def place_of(data_root, tmp_path_factory):
    return {"data_root": data_root, "results_root": tmp_path_factory.mktemp("features"), "device": "cpu"}


@pytest.fixture(scope="module")
def head(place_of):
    return runs.ensure(HEAD, **place_of)


@pytest.fixture(scope="module")
def cohort(place_of):
    return runs.cohort_of(HEAD, place_of["data_root"])


def changed(run):
    return {file.name: file.stat().st_mtime_ns for file in run.path.iterdir()}


def test_a_head_trains_its_member_first_and_says_which(head, place_of):
    member = runs.ensure(MEMBER, **place_of, train=False)
    assert head.parents()["one"].id == member.id and head.metrics["parents"]["one"]["weights"] == member.weights()
    assert set(head.predictions()["part"]) == {"val", "test"} and head.history["train_attributes"].notna().all()


def test_a_member_more_trains_itself_and_a_head(head, place_of):
    member = head.parents()["one"]
    before, there = changed(member), {path.name for path in member.path.parent.glob("[0-9a-f]*")}
    both = runs.ensure(BOTH, **place_of)
    assert changed(member) == before and both.parents()["one"].id == member.id
    assert {path.name for path in member.path.parent.glob("[0-9a-f]*")} - there == {both.id, both.parents()["two"].id}
    assert both.model()(features=torch.zeros(2, 192), meta=torch.zeros(2, 20))["attention"].shape == (2, 2)


def test_features_are_those_of_the_network_and_its_views_computed_once_and_a_view_at_a_time(head, cohort, monkeypatch):
    member = head.parents()["one"]
    found = features.pooled(member, cohort, tta="flips")
    assert found.shape == (len(cohort), 3, 96) and found.dtype == np.float16
    batches, model = features.batches_of(member, cohort), member.model()
    batch = next(batches.epoch(0, torch.device("cpu")))
    with torch.no_grad():
        for v, (_, image) in enumerate(views(batch["image"], "flips")):
            wanted = model(image)["features"].numpy()
            assert np.allclose(found[: len(wanted), v], wanted, rtol=2e-3, atol=1e-4)
    assert not np.allclose(found[:, 0], found[:, 1], atol=1e-3)
    monkeypatch.setattr(features, "_compute", None)
    assert np.array_equal(features.pooled(member, cohort, tta="flips"), found)
    assert np.array_equal(features.pooled(member, cohort), found[:, :1])  # a view of those
    renamed = cohort.assign(image_id=cohort["image_id"] + "x", label=0)
    assert np.array_equal(features.pooled(member, renamed, tta="flips"), found)
    with pytest.raises(TypeError):  # other images, other features
        features.pooled(member, cohort.iloc[:5])


def test_a_killed_computation_leaves_nothing_that_looks_whole(head, cohort, monkeypatch):
    member, few = head.parents()["one"], cohort.iloc[:6]
    monkeypatch.setattr(features.np, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        features.pooled(member, few)
    monkeypatch.undo()
    folder = member.path.parents[1] / "features" / member.id
    before = set(folder.glob("*.npy"))
    assert features.pooled(member, few).shape == (6, 1, 96)
    assert len(set(folder.glob("*.npy")) - before) == 1 and not list(folder.glob("*.tmp"))


def test_a_head_predicts_any_cohort_as_it_did_its_own(head, cohort):
    mine = head.predictions().query("part == 'test'").set_index("image_id")
    again = predict.predict(head, cohort, tta="flips").set_index("image_id").loc[mine.index]
    scores = [c for c in mine if c.startswith("p_")]
    assert np.allclose(again[scores], mine[scores], atol=1e-5)
    strange = cohort.drop(columns=["label", "diagnosis", "mask_path"])
    without = predict.predict(head, strange, tta="flips").set_index("image_id")
    assert np.allclose(without.loc[mine.index, scores], mine[scores], atol=1e-5)


def test_the_single_view_of_a_head_is_the_image_as_it_is(head, cohort):
    """Not the mean over views: where systems are compared, none has its image turned."""
    rows = cohort[cohort["image_id"].isin(head.predictions("identity")["image_id"])]
    seen = features.column(head.parents(), rows, tta="flips")
    columns = models.columns(head.config, rows, head.path.parent)
    model, meta = head.model(), torch.from_numpy(columns["meta"])
    with torch.inference_mode():
        logits = [model(None, meta, features=view.float())["logits"] for view in torch.from_numpy(seen).unbind(1)]
    each = [one.softmax(1).numpy() for one in logits]
    scores = [c for c in head.predictions() if c.startswith("p_")]
    stored = lambda view: head.predictions(view).set_index("image_id").loc[rows["image_id"], scores]
    single, mean = stored("identity"), stored("mean")
    assert np.allclose(single, each[0], atol=1e-5) and np.allclose(mean, np.mean(each, 0), atol=1e-5)
    assert np.abs(single.to_numpy() - mean.to_numpy()).max() > 1e-3
    alone = predict.predict(head, rows).set_index("image_id").loc[rows["image_id"], scores]
    assert np.allclose(alone, each[0], atol=1e-5)
    kept = predict.predict(head, rows, tta="flips", keep_views=True)
    assert list(kept["view"].unique()) == ["mean", "identity", "left_right", "up_down"]


def test_a_head_has_features_too_although_it_reads_no_image(head, cohort):
    """What its two last branches read, from the features of its members."""
    fused = features.pooled(head, cohort.iloc[:6])
    assert fused.shape[:2] == (6, 1) and fused.std(0).max() > 0
    with torch.inference_mode():
        batch = next(iter(features.batches_of(head, cohort.iloc[:6]).epoch(0, torch.device("cpu"))))
        output = head.model()(None, batch.get("meta"), features=batch["features"][:, 0])  # the image as it is
    assert np.allclose(fused[:, 0], output["features"].numpy(), atol=1e-2)
    assert features.pooled(head, cohort.iloc[:6], tta="flips").shape == (6, 3, fused.shape[2])


def test_scaling_is_fitted_on_training_rows_alone(head, cohort, place_of):
    rows = runs.identify(HEAD, **place_of).split.query("fold == 0 and part == 'train'")["image_id"]
    all_of = features.pooled(head.parents()["one"], cohort, tta="flips")
    train = all_of[cohort["image_id"].isin(rows)].reshape(-1, 96).astype(np.float32)
    state = load_file(head.path / "model.safetensors")
    assert np.allclose(state["centre"], train.mean(0), atol=1e-4)
    assert not np.allclose(state["centre"], all_of.reshape(-1, 96).astype(np.float32).mean(0), atol=1e-4)


def test_the_id_of_a_head_knows_its_members(place_of):
    built_on = lambda members: HEAD.replace(options=HEAD.options | {"members": members})
    turned = dict(reversed(BOTH.options["members"].items()))
    configs = HEAD, BOTH, built_on({"one": OTHER.to_dict()}), built_on(turned)
    ids = [runs.identify(config, **place_of).id for config in configs]
    assert len(set(ids[:3])) == 3 and ids[3] == ids[1]


def test_a_head_whose_member_was_replaced_is_stale(place_of, tmp_path):
    apart = place_of | {"results_root": tmp_path}
    first = runs.ensure(HEAD, **apart)
    member = first.parents()["one"]
    file = member.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    digests = member.metrics["digests"] | {file.name: file_digest(file)}
    (member.path / "metrics.json").write_text(json.dumps(member.metrics | {"digests": digests}))
    assert runs.load(first.path).stale == ("parent one",)
    with pytest.raises(runs.StaleRun, match="other code in parent one"):
        runs.ensure(HEAD, **apart, stale="stop")
    assert runs.ensure(HEAD, **apart).stale == ()
    assert json.loads((first.path / "metrics.json").read_text())["parents"]["one"]["weights"] == member.weights()


def test_joint_begins_at_the_head_and_moves_every_member(head, cohort, place_of):
    joint = runs.ensure(joint_of(HEAD, epochs=1, visits=16, lr=1e-3, tta="none"), **place_of)
    assert {name: run.id for name, run in joint.parents().items()} == {"one": head.parents()["one"].id, "head": head.id}
    start, end = load_file(head.path / "model.safetensors"), load_file(joint.path / "model.safetensors")
    assert torch.equal(end["fused.centre"], start["centre"])  # what was fitted stays
    member = load_file(head.parents()["one"].path / "model.safetensors")
    name = "backbone.conv1.weight" if "backbone.conv1.weight" in member else next(iter(member))
    assert not torch.equal(end[name.replace("backbone.", "backbones.one.")], member[name])
    assert joint.predictions()["image_id"].tolist() == head.predictions()["image_id"].tolist()


def test_a_network_without_features_is_named(place_of, cohort):
    run = runs.ensure(MEMBER.replace(system="joint_reverse_mtl", variant="seg", losses={"dice": 1.0},
                                     backbone="unet", options={"widths": [4, 4, 8]}), **place_of)  # fmt: skip
    with pytest.raises(ValueError, match=r"\(joint_reverse_mtl, seg\) gives no features"):
        features.pooled(run, cohort)
    with pytest.raises(ValueError, match=r"\(seg\) outlines lesions and gives no probabilities"):
        predict.predict(run, cohort)


@pytest.fixture
def sources():
    lesion = np.repeat(np.arange(60), 2)
    source = np.array(["a", "b", "c"])[lesion % 3]
    source[0] = "b"  # a lesion of two sources
    ids = [f"i{k:03d}" for k in range(120)]
    return pd.DataFrame({
        "image_id": ids, "lesion_id": [f"l{k}" for k in lesion], "patient_id": np.nan, "label": lesion % 2,
        "diagnosis": "x", "source": source, "image_path": np.nan,
    })  # fmt: skip


def test_a_source_is_left_out_of_every_fold(sources):
    found = split(sources, "without_a", folds=3)
    for _, rows in found.groupby("fold"):
        parts = rows.set_index("image_id")["part"]
        assert set(parts[parts == "test"].index) == set(sources.loc[sources["source"] == "a", "image_id"])
        assert "i000" not in parts  # the lesion's other image is a test image
        assert len(parts) == 119 and parts.index.is_unique
    assert found.groupby("fold")["part"].apply(set).map({"train", "val", "test"}.__eq__).all()
    with pytest.raises(DataError, match="no source 'd' to leave out; the cohort has a, b, c"):
        split(sources, "without_d", folds=3)
    with pytest.raises(DataError, match="the cohort has none"):
        split(sources.assign(source=np.nan), "without_a", folds=3)
