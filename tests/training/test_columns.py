"""Columns of a system's own: they reach the batches, enter the id, and what is fitted sees training rows only."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from skinlib import models
from skinlib.config import RunConfig
from skinlib.data import clinical, readers, splits
from skinlib.data.synthetic import synthesise
from skinlib.models.imputation import Imputer
from skinlib.papers.metadata_sr import model as metadata_sr
from skinlib.training import build, runs
from skinlib.training.features import batches_of
from skinlib.training.predict import predict

TINY = RunConfig(
    system="metadata_sr", variant="concat", dataset="pad_ufes_20", label_space="diagnosis", image_size=(32, 32),
    backbone="test_resnet", weights="none", folds=2, epochs=1, batch_size=16, precision="fp32",
)  # fmt: skip
ALONE = TINY.replace(variant="metadata")


@pytest.fixture(scope="module")
def pad_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pad")
    synthesise(root, datasets=("pad_ufes_20",), images=96, size=32, seed=0)
    return root


@pytest.fixture(scope="module")
def ensure(pad_root, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    return lambda config, **o: runs.ensure(config, data_root=pad_root, results_root=results, device="cpu", **o)


def id_of(config, root, results) -> str:
    return runs.identify(config, data_root=root, results_root=results, device="cpu").id


@pytest.fixture
def changed(pad_root, tmp_path):
    shutil.copytree(pad_root, tmp_path / "changed")
    return tmp_path / "changed"


def edit(root: Path, **values) -> None:
    path = next(root.rglob("metadata.csv"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, value in values.items():
        table.loc[0, name] = value
    table.to_csv(path, index=False)


def test_the_fit_sees_the_training_rows_alone_and_is_stored(ensure, pad_root):
    run = ensure(TINY)
    prepared = runs.identify(TINY, data_root=pad_root, results_root=run.path.parents[1], device="cpu")
    alone, everyone = (Imputer(clinical.blocks(), seed=0) for _ in range(2))
    alone.fit(torch.from_numpy(clinical.encode(splits.part(prepared.cohort, prepared.split, 0, "train"))))
    everyone.fit(torch.from_numpy(clinical.encode(prepared.cohort)))
    stored = run.model().imputer.state_dict()
    for name, values in alone.state_dict().items():
        torch.testing.assert_close(stored[name], values, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(stored["mean"], everyone.state_dict()["mean"])


def test_another_cohort_meets_the_stored_fit(ensure, pad_root):
    run, cohort = ensure(TINY), runs.cohort_of(TINY, pad_root)
    mine = run.predictions("identity").set_index("image_id")
    rows, probabilities = cohort[cohort["image_id"].isin(mine.index)], [c for c in mine if c.startswith("p_")]
    for some in (rows, rows.iloc[::-1], rows.iloc[:3]):  # whatever rows come along
        again = predict(run, some).set_index("image_id")
        np.testing.assert_allclose(again[probabilities], mine.loc[some["image_id"], probabilities], atol=2e-4)
    np.testing.assert_array_equal(batches_of(run, rows).columns["meta"], clinical.encode(rows))


def test_what_is_seen_of_the_answers_enters_the_id(pad_root, changed, tmp_path):
    variants = {variant: TINY.replace(variant=variant) for variant in ("concat", "metadata", "image")}
    before = {variant: id_of(config, pad_root, tmp_path) for variant, config in variants.items()}
    edit(changed, itch="UNK")
    after = {variant: id_of(config, changed, tmp_path) for variant, config in variants.items()}
    assert {variant for variant in variants if before[variant] != after[variant]} == {"concat", "metadata"}


def test_biopsed_does_not_enter_the_id(pad_root, changed, tmp_path):
    before = pd.read_csv(next(pad_root.rglob("metadata.csv")), dtype=str).loc[0, "biopsed"]
    edit(changed, biopsed="False" if before == "True" else "True")
    assert id_of(TINY, changed, tmp_path) == id_of(TINY, pad_root, tmp_path)


def test_a_run_without_images_needs_none(ensure, pad_root, changed, tmp_path):
    run = ensure(ALONE)
    assert {"test_balanced_accuracy", "val_auc"} <= set(run.metrics)
    assert len(predict(run, runs.cohort_of(ALONE, pad_root).drop(columns="image_path").assign(image_path=np.nan))) == 96
    for file in sorted(changed.rglob("*.png"))[:30]:
        file.unlink()
    everyone = ALONE.replace(options={"rows": "all"})
    assert id_of(everyone, changed, tmp_path) == id_of(everyone, pad_root, tmp_path)
    assert len(runs.cohort_of(everyone, changed)) == 96
    assert len(runs.cohort_of(ALONE.replace(allow_missing=True), changed)) == 66
    assert not (tmp_path / "cache").exists()


def test_a_run_of_either_arm_trains_on_everything_but_the_test_part(ensure):
    configs = (ALONE.replace(split=arm, fold=None, test_share=0.4) for arm in ("leaky", "clean"))
    leaky, clean = (ensure(config).predictions() for config in configs)
    assert set(leaky["part"]) == {"test"} and leaky["image_id"].tolist() == clean["image_id"].tolist()


def test_an_interrupted_run_keeps_what_was_fitted(pad_root, tmp_path, monkeypatch):
    config, seen = TINY.replace(epochs=2), []
    prepare = metadata_sr.MetadataSR.prepare

    def counted(self, batches, device):
        seen.append(len(batches.rows))
        prepare(self, batches, device)

    monkeypatch.setattr(metadata_sr.MetadataSR, "prepare", counted)
    fit = build.fit
    monkeypatch.setattr(build, "fit", lambda *a, **o: (fit(*a, **o, stop_after=1), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        runs.ensure(config, data_root=pad_root, results_root=tmp_path, device="cpu")
    monkeypatch.setattr(build, "fit", fit)
    resumed = runs.ensure(config, data_root=pad_root, results_root=tmp_path, device="cpu")
    assert len(seen) == 1 and resumed.model().imputer.deviation.max() > 1


def test_columns_of_another_length_are_refused(monkeypatch, pad_root):
    short = dataclasses.replace(metadata_sr.SYSTEM, columns=lambda cohort, config, runs: {"meta": np.zeros((3, 2))})
    monkeypatch.setattr(metadata_sr, "SYSTEM", short)
    cohort = readers.read("pad_ufes_20", pad_root)
    with pytest.raises(ValueError, match=r"metadata_sr gives columns of other lengths than the 96 rows: \{'meta': 3\}"):
        models.columns(TINY, cohort, Path())


def test_a_system_that_says_nothing_has_no_columns_and_reads_images_alone():
    plain, system = RunConfig(), models.system_of(RunConfig())
    assert models.columns(plain, pd.DataFrame({"image_id": ["a"]}), Path()) == {}
    assert system.reads_images(plain) and not system.reads_every_row(plain) and not system.reads_features(plain)
    assert system.parents(plain) == {} and models.chosen_visits(plain, pd.DataFrame()) is None
