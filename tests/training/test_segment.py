"""Runs whose network outlines lesions: what they store, what is read back, and their visits chosen by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import toy_masks
from sklearn.metrics import f1_score, jaccard_score
from toy_masks import toy_system  # noqa: F401 - a fixture
from toy_problem import FILES

from skinlib.config import Augment, RunConfig
from skinlib.data.readers_files import DataError
from skinlib.evaluation import segmentation
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.images.masks import postprocess
from skinlib.training import build, losses, predict, runs, stored, tables
from skinlib.training.tables import KEYS

FIRST = [*KEYS, "split", "part", "fold", "system", "seed"]
SCORES = ["dice", "iou", "mcc", "hd95", "thresholded_jaccard", "empty_prediction", "stage"]


@pytest.fixture(scope="module")
def settings(tiny_config, toy_system):  # noqa: F811
    both = {"cross_entropy": 1.0, "dice": 1.0}
    return tiny_config.replace(system=toy_system, image_size=(24, 32), lr=3e-2, losses=both)


@pytest.fixture(scope="module")
def ensure(data_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("segment")
    return lambda config: runs.ensure(config, data_root=data_root, results_root=root, device="cpu")


@pytest.fixture(scope="module")
def joint(settings, ensure):
    """A run of both tasks, averaged over flips; not to be changed."""
    return ensure(settings)


@pytest.fixture(scope="module")
def outline(settings, ensure):
    """A run of a network without logits, one mask channel, averaged over d4; not to be changed."""
    return ensure(settings.replace(losses={"dice": 1.0}, options={"logits": False, "channels": 1}, tta="d4"))


def test_every_validation_and_test_image_has_a_mask_and_a_row_of_scores(joint, outline):
    for run in (joint, outline):
        assert {path.name for path in run.path.iterdir()} == FILES | {"segmentation.csv.gz", "masks.npz"}
        predictions, table, masks = run.predictions(), run.segmentation(), run.masks()
        assert list(table)[: len(FIRST) + len(SCORES)] == FIRST + SCORES
        assert list(masks) == predictions["image_id"].to_list() == table["image_id"].to_list()
        pd.testing.assert_frame_equal(table[FIRST], predictions[FIRST])
        assert {(mask.shape, mask.dtype.name) for mask in masks.values()} == {((24, 32), "bool")}
        assert set(table["stage"]) == {"raw"} and set(run.segmentation("postprocessed")["stage"]) == {"postprocessed"}
        assert set(table["part"]) == {"val", "test"}


@pytest.mark.parametrize("stage", ["raw", "postprocessed"])
def test_the_scores_are_those_of_the_stored_masks(joint, data_root, stage):
    cohort = runs.cohort_of(joint.config, data_root)
    cache = Cache.build(cohort, joint.config.image_size, root=joint.path.parents[1] / "cache")
    truth = dict(zip(cohort["image_id"], cache.masks > 0, strict=True))
    masks, table = joint.masks(), joint.segmentation(stage)
    stacked = np.stack([masks[name] for name in table["image_id"]])
    stacked = postprocess(stacked) if stage == "postprocessed" else stacked
    true = np.stack([truth[name] for name in table["image_id"]])
    assert segmentation.pooled("iou")(table) == pytest.approx(jaccard_score(true.ravel(), stacked.ravel()))
    for row, found, mask in zip(table.itertuples(), stacked, true, strict=True):
        assert row.dice == pytest.approx(f1_score(mask.ravel(), found.ravel()), abs=0.5e-4 + 1e-9)
    assert all(np.isfinite(metric(table)) for metric in segmentation.METRICS)


def test_the_masks_are_the_networks_mean_over_the_views(joint, data_root):
    """Flips by hand: what the stored model says of the mirrored images, mirrored back."""
    cohort = runs.cohort_of(joint.config, data_root)
    cache = Cache.build(cohort, (24, 32), root=joint.path.parents[1] / "cache")
    model, masks = joint.model(), joint.masks()
    rows = np.flatnonzero(cohort["image_id"].isin(masks))[:4]
    (batch,) = Batches(cache, rows, {}, batch_size=4).epoch(0, torch.device("cpu"))
    with torch.no_grad():
        lesion = lambda image: model(image)["mask"].softmax(1)[:, 1]
        image = batch["image"]
        mean = (lesion(image) + lesion(image.flip(3)).flip(2) + lesion(image.flip(2)).flip(1)) / 3
    sure = (mean - 0.5).abs() > 1e-4
    kept = torch.from_numpy(np.stack([masks[name] for name in cohort["image_id"].iloc[rows]]))
    assert torch.equal((mean > 0.5)[sure], kept[sure]) and sure.float().mean() > 0.9


def test_metrics_name_what_the_network_has(joint, outline):
    for run in (joint, outline):
        table = run.segmentation()
        for part in ("val", "test"):
            wanted = table.loc[table["part"] == part, ["dice", "iou"]].mean()
            assert run.metrics[f"{part}_dice"] == pytest.approx(wanted["dice"], abs=1e-4)
            assert run.metrics[f"{part}_iou"] == pytest.approx(wanted["iou"], abs=1e-4)
    assert "test_auc" in joint.metrics and "test_balanced_accuracy" in joint.metrics
    assert not [name for name in outline.metrics if name.endswith(("_auc", "_accuracy"))]
    for view in ("mean", "identity"):  # without logits the prediction table has its keys alone
        assert list(outline.predictions(view)) == [*FIRST, "view", "label"]
    assert {"train_dice", "val_dice", "train_cross_entropy"} <= set(joint.history)


def test_evidence_takes_the_scores_and_leaves_the_masks(joint, tmp_path):
    kept = runs.load(stored.copy_evidence(joint.path, tmp_path))
    assert {path.name for path in kept.path.iterdir()} == FILES - {"model.safetensors"} | {"segmentation.csv.gz"}
    for stage in ("raw", "postprocessed"):
        pd.testing.assert_frame_equal(kept.segmentation(stage), joint.segmentation(stage))
    with pytest.raises(runs.RunMissing, match=r"has no masks\.npz: delete the folder"):
        kept.masks()
    with pytest.raises(KeyError, match="no rows of the stage 'final'; it has raw, postprocessed"):
        kept.segmentation("final")


def test_a_run_without_masks_has_none_to_read(finished_run, tmp_path):
    for read in (finished_run.segmentation, finished_run.masks):
        with pytest.raises(FileNotFoundError, match=r"segmentation\.csv\.gz|masks\.npz"):
            read()
    with pytest.raises(ValueError, match="was not trained on masks"):
        predict.segment(finished_run, pd.DataFrame())


def test_a_fall_while_masks_are_written_leaves_nothing_that_looks_whole(settings, ensure, monkeypatch):
    def broken(masks, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    config = settings.replace(seed=7, epochs=1, visits=8)
    with monkeypatch.context() as patch:
        patch.setattr(stored, "save_masks", broken)
        with pytest.raises(OSError, match="disk full"):
            ensure(config)
    run = ensure(config)
    assert {path.name for path in run.path.iterdir()} == FILES | {"segmentation.csv.gz", "masks.npz"}
    assert set(run.masks()) == set(run.segmentation()["image_id"])


# Other cohorts.


def test_any_cohort_can_be_outlined_with_truth_or_without(joint, data_root):
    cohort = runs.cohort_of(joint.config, data_root)
    cohort = cohort[cohort["image_id"].isin(joint.masks())].head(6).reset_index(drop=True)
    cohort.loc[4:, "mask_path"] = np.nan
    table, masks = predict.segment(joint, cohort, tta=joint.config.tta)
    assert list(masks) == cohort["image_id"].to_list()
    assert all(np.array_equal(mask, joint.masks()[name]) for name, mask in masks.items())
    assert table["image_id"].to_list() == 2 * cohort["image_id"].to_list()[:4]
    assert set(table["part"]) == {"external"} and table["stage"].to_list() == ["raw"] * 4 + ["postprocessed"] * 4
    nothing, same = predict.segment(joint, cohort[["image_id", "image_path"]], tta=joint.config.tta)
    assert nothing.empty and list(nothing) == list(table)
    assert all(np.array_equal(mask, masks[name]) for name, mask in same.items())


# The parts.


@pytest.mark.parametrize("shape", [(5, 7), (8, 16), (1, 1)])
def test_masks_come_back_bit_for_bit(tmp_path, shape):
    masks = dict(zip(["ISIC_1", "b", "ä"], np.random.default_rng(0).random((3, *shape)) < 0.5, strict=True))
    stored.save_masks(masks, tmp_path / "masks.npz")
    found = stored.load_masks(tmp_path / "masks.npz")
    assert list(found) == list(masks) and all(np.array_equal(found[name], masks[name]) for name in masks)
    with np.load(tmp_path / "masks.npz", allow_pickle=False) as file:
        assert file["packed"].shape == (3, -(-shape[0] * shape[1] // 8)) and file["packed"].dtype == np.uint8


def test_scores_by_hand_leave_images_without_a_truth_out():
    truth = np.zeros((3, 20, 20), np.uint8)
    truth[:, 5:15, 5:15] = 1
    cache = Cache(np.zeros((3, 20, 20, 3), np.uint8), truth, np.array([True, False, True]))
    predicted = truth[[2, 0]] > 0
    predicted[0, 0, 0] = True  # a speck that post-processing takes away
    predicted[1] = True
    batches = Batches(cache, np.array([2, 1]), {}, batch_size=2, masks=True)
    table = tables.mask_scores(pd.DataFrame({"image_id": ["c", "b"], "part": "val"}), predicted, batches)
    assert table[["image_id", "part", "stage"]].values.tolist() == [["c", "val", "raw"], ["c", "val", "postprocessed"]]
    assert table["dice"].to_list() == [pytest.approx(200 / 201), 1]
    assert tables.mean_mask_scores(table) == {"val_dice": pytest.approx(200 / 201), "val_iou": pytest.approx(100 / 101)}


def test_a_loss_on_masks_asks_for_masks_and_all_such_losses_are_listed(settings):
    for name in ("dice", "mask_cross_entropy", "area", "cross_entropy", "brightness"):
        asks = name not in ("cross_entropy", "brightness")
        assert losses.trained_on_masks(settings.replace(losses={name: 0, "superres": 1})) == asks
    assert not losses.trained_on_masks(RunConfig())
    """The terms that refuse a batch without masks are those that `trained_on_masks` knows."""
    names = ["cross_entropy", "dice", "mask_cross_entropy"]
    terms = losses.terms(settings.replace(losses=dict.fromkeys(names, 1.0)), np.array([0, 1]), 2)
    output = {"logits": torch.zeros(1, 2), "mask": torch.zeros(1, 1, 4, 4)}
    for name in losses.MASK_LOSSES:
        with pytest.raises(ValueError, match="needs batches with masks"):
            terms.pop(name)(output, {"label": torch.tensor([0])})
    assert [float(term(output, {"label": torch.tensor([0])})[1]) for term in terms.values()] == [1]


def test_a_systems_own_mask_loss_gets_masks_and_a_set_without_any_is_refused(settings, ensure, monkeypatch):
    run = ensure(settings.replace(losses={"area": 1.0, "brightness": 0.0}, epochs=1, visits=8))
    assert 0 < run.history["train_area"].item() < 1 and len(run.masks()) > 0
    real = Cache.build
    bare = lambda *given, **how: dataclasses.replace(real(*given, **how), has_mask=np.zeros(1, bool))
    monkeypatch.setattr(Cache, "build", bare)
    with pytest.raises(DataError, match="trains on lesion masks, and no image of ham10000 has one"):
        ensure(settings.replace(seed=99))


# Visits chosen by the system.


@pytest.fixture(scope="module")
def prepared(settings, data_root, tmp_path_factory):
    config = settings.replace(variant="chosen", augment=Augment(rotation=180.0), normalisation="none")
    return runs.identify(config, data_root=data_root, results_root=tmp_path_factory.mktemp("chosen"), device="cpu")


@pytest.fixture(scope="module")
def cache(prepared, tmp_path_factory):
    return Cache.build(prepared.cohort, (32, 32), root=tmp_path_factory.mktemp("cache"))


def test_the_training_part_is_visited_as_the_system_says(prepared, cache):
    train = build._batches(prepared, cache, "train", batch_size=8, augment=prepared.config.augment, masks=True)
    part = build.splits.part(prepared.cohort, prepared.split, 0, "train")
    once, twice = (part["label"] == 0).sum(), (part["label"] == 1).sum()
    assert train.visits == len(train.rows) == once + 2 * twice
    assert np.bincount(train.columns["label"]).tolist() == [once, 2 * twice]
    times = prepared.cohort["image_id"].iloc[train.rows].value_counts().to_dict()
    assert times == (part.set_index("image_id")["label"] + 1).to_dict()
    seen = np.concatenate([batch["index"] for batch in train.epoch(0, torch.device("cpu"))])
    assert sorted(seen) == list(range(len(train.rows)))


def test_the_chosen_views_reach_images_and_masks(prepared, cache):
    augment = Augment(flips=False, rotation=0.0)
    train = build._batches(prepared, cache, "train", batch_size=200, augment=augment, masks=True)
    (batch,) = train.epoch(0, torch.device("cpu"))
    order = batch["index"].tolist()
    malignant = int(np.flatnonzero(train.columns["label"] == 1)[0])
    again = int(np.flatnonzero(train.rows == train.rows[malignant])[1])
    for name in ("image", "mask"):
        plain, turned = (batch[name][order.index(place)] for place in (malignant, again))
        both = [plain.flip(2).rot90(quarter, (1, 2)) for quarter in (1, 3)]
        assert min((turned - one).abs().mean().item() for one in both) < 1e-3 and (turned - plain).abs().mean() > 1e-3
    pixels = torch.from_numpy(cache.images[train.rows[malignant]].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(batch["image"][order.index(malignant)], pixels, atol=1e-5, rtol=0)


def test_validation_and_other_variants_are_visited_once(prepared, cache, settings):
    val = build._batches(prepared, cache, "val", batch_size=8)
    assert len(val.rows) == len(set(val.rows)) and set(val.columns) == {"label"}
    plain = build.Prepared(prepared.id, settings, prepared.cohort, prepared.split, None)
    train = build._batches(plain, cache, "train", batch_size=8)
    assert len(train.rows) == len(set(train.rows)) and set(train.columns) == {"label"}


def test_a_run_counts_its_chosen_visits_and_profiles_cut_them(settings, ensure, data_root):
    config = settings.replace(variant="chosen", epochs=1, visits=None, class_weights=True)
    run = ensure(config)
    split = runs.split_of(config, data_root, run.path.parents[1])
    part = build.splits.part(runs.cohort_of(config, data_root), split, 0, "train")
    assert run.history["images"].item() == len(part) + (part["label"] == 1).sum()
    assert ensure(config.replace(visits=10)).history["images"].item() == 10


@pytest.mark.parametrize(("visits", "message"), [
    ({"row": [0, 1], "angle": [0.0]}, "differ in length: {'row': 2, 'angle': 1}"),
    ({"row": [0, 99]}, "positions from 0 to"), ({"row": [-1]}, "positions from 0 to"),
    ({"row": [0.0]}, "positions from 0 to"), ({"row": [0], "zoom": [1.0]}, "got row, zoom"),
    ({"angle": [0.0]}, "got angle"),
])  # fmt: skip
def test_a_faulty_list_of_visits_is_refused(prepared, cache, monkeypatch, visits, message):
    monkeypatch.setattr(toy_masks, "SYSTEM", dataclasses.replace(toy_masks.SYSTEM, visits=lambda *_: visits))
    with pytest.raises(ValueError, match=message):
        build._batches(prepared, cache, "train", batch_size=8)
