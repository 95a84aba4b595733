"""Runs on some of a set's diagnoses: their cohort and split, and a network of several tasks trained on a share."""

import numpy as np
import pandas as pd
import pytest
import torch

from skinlib.data import splits
from skinlib.data.cards import class_names
from skinlib.images.visits import nested_share
from skinlib.training import predict, runs

CODES = ("bcc", "akiec", "mel")


@pytest.fixture(scope="module")
def config(tiny_config):
    return tiny_config.replace(
        system="attention_autoencoder", label_space="bcc_scc_mel", visits=8, epochs=1, lr=1e-3, class_weights=True,
        options={"latent": 16, "share": 0.6}, normalisation="none",
        losses={"cross_entropy": 1.0, "dice": 0.5, "mask_cross_entropy": 0.5, "reconstruction": 0.1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(config, data_root, results_root):
    return runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")


def test_the_split_is_that_of_all_diagnoses_less_the_others(config, data_root, results_root):
    cohort = runs.cohort_of(config, data_root)
    assert set(cohort["diagnosis"]) == set(CODES)
    assert [CODES[k] for k in cohort["label"]] == cohort["diagnosis"].tolist()
    whole = runs.split_of(config.replace(label_space="diagnosis"), data_root, results_root)
    chosen = runs.split_of(config, data_root, results_root)
    assert len(whole) > len(chosen) == config.folds * len(cohort)
    both = chosen.merge(whole, on=["image_id", "fold"], suffixes=("", "_of_all"))
    assert len(both) == len(chosen) and (both["part"] == both["part_of_all"]).all()
    splits.check(chosen)
    two = runs.split_of(config.replace(label_space="malignancy"), data_root, results_root)
    assert splits.fingerprint(two) == splits.fingerprint(whole)


def test_the_run_folder_of_several_tasks(run, config):
    table = run.predictions()
    assert [c for c in table if c.startswith("p_")] == [f"p_{code}" for code in CODES]
    assert CODES == class_names(config.dataset, config.label_space)
    np.testing.assert_allclose(table[[f"p_{code}" for code in CODES]].sum(axis=1), 1, atol=1e-5)
    assert set(run.history) >= {f"{part}_{name}" for part in ("train", "val") for name in config.losses}
    for stage in ("raw", "postprocessed"):
        assert run.segmentation(stage)["image_id"].tolist() == table["image_id"].tolist()
    asked = run.gradients
    assert set(asked["term"]) == set(config.losses) and asked["epochs"].max() == 1
    assert (asked.loc[asked["term"] == "reconstruction", "norm"] > 0).all()
    assert run.model()(torch.zeros(1, 3, 32, 32))["attention"].shape == (1, 1, 1, 1)


def test_a_share_trains_on_its_lesions_and_is_judged_on_all(run, config, data_root, results_root):
    prepared = runs.identify(config, data_root=data_root, results_root=results_root, device="cpu")
    part = splits.part(prepared.cohort, prepared.split, config.fold, "train")
    assert len(nested_share(part, 0.6, 0)) < len(part)
    whole = runs.identify(config.replace(options={"latent": 16}), data_root=data_root, results_root=results_root)
    assert prepared.id != whole.id and splits.fingerprint(prepared.split) == splits.fingerprint(whole.split)
    assert set(run.predictions()["image_id"]) == set(prepared.split.query("fold == 0 and part != 'train'")["image_id"])


def test_segment_and_predict_take_any_cohort_of_the_same_classes(run, data_root):
    scores, masks = predict.segment(run, runs.cohort_of(run.config, data_root).head(3))
    assert scores["stage"].tolist() == ["raw"] * 3 + ["postprocessed"] * 3
    assert all(mask.shape == (32, 32) for mask in masks.values())


def test_level_0_of_a_corruption_is_the_run_itself_and_more_is_not(run, data_root):
    test = run.predictions("identity").query("part == 'test'").reset_index(drop=True)
    cohort = runs.cohort_of(run.config, data_root).set_index("image_id").loc[test["image_id"]].reset_index()
    names = [f"p_{code}" for code in CODES]
    clean, masks = predict.predict_corrupted(run, cohort, "noise", 0)
    assert clean["image_id"].tolist() == test["image_id"].tolist() and (clean["part"] == "test").all()
    np.testing.assert_allclose(clean[names], test[names], atol=1e-5)
    assert len(masks) == 2 * len(test)
    noisy, poorer = predict.predict_corrupted(run, cohort, "noise", 0.3)
    assert np.abs(noisy[names].to_numpy() - clean[names].to_numpy()).max() > 1e-4
    assert poorer["image_id"].tolist() == masks["image_id"].tolist()


def test_another_set_brings_its_own_codes_into_the_runs_classes(run, data_root, monkeypatch):
    own = runs.cohort_of(run.config, data_root)
    other = own.head(3).assign(
        dataset="isic2019", diagnosis=["SCC", "MEL", "BCC"], lesion_id=[own["lesion_id"][0], "new1", "new2"],
        image_id=["x1", own["image_id"][1], "x3"],
    )  # fmt: skip
    more = other.assign(image_id=["y1", "y2", "y3"], lesion_id=["new3", "new4", np.nan])
    both = pd.concat([other, more], ignore_index=True)
    monkeypatch.setattr(predict.readers, "read", lambda name, root, allow_missing: both)
    found, left_out = predict.cohort_elsewhere(run, "isic2019", data_root)
    assert left_out == 2  # one lesion and one image are the run's own
    assert found["image_id"].tolist() == ["x3", "y1", "y2", "y3"] and found["label"].tolist() == [0, 1, 2, 0]
    table = predict.predict(run, found)
    assert set(table["part"]) == {"external"} and set(table["dataset"]) == {"isic2019"}
    assert [c for c in table if c.startswith("p_")] == [f"p_{code}" for code in CODES]
    with pytest.raises(ValueError, match="isic2016 has no bcc, scc, mel"):
        predict.cohort_elsewhere(run, "isic2016", data_root)
