import dataclasses
import json
import shutil
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score
from toy_problem import FILES

from skinlib import provenance
from skinlib.config import Augment, RunConfig
from skinlib.data import splits
from skinlib.data.cards import class_names
from skinlib.models.backbones import WEIGHTS_FOLDER, WeightsUnavailable
from skinlib.training import build, fit, identify, runs, stored
from skinlib.training.predict import predict

MEETS = {"data": "d", "split": "s", "weights": "w", "precision": "fp32"}
# Another value for every field; those of ``weights`` and ``precision`` enter by what they resolve to.
OTHERS = {
    "system": "other", "variant": "other", "dataset": "isic2016", "allow_missing": True, "label_space": "diagnosis",
    "split": "lesion", "test_share": 0.1, "folds": 5, "fold": 1, "split_seed": 1, "image_size": (32, 48),
    "colour": "clahe", "normalisation": "none", "augment": Augment(zoom=0.1), "backbone": "resnet18", "dropout": 0.1,
    "options": {"a": 1}, "losses": {"cross_entropy": 0.5}, "class_weights": True, "label_smoothing": 0.1,
    "optimiser": "sgd", "lr": 0.1, "lr_early": 0.5, "lr_late": 0.5, "weight_decay": 0.1, "momentum": 0.5,
    "schedule": "cosine", "schedule_step": 3, "schedule_gamma": 0.5, "clip_norm": 1.0, "batch_size": 8, "epochs": 3,
    "visits": 100, "patience": 2, "seed": 1, "tta": "d4", "extra_training": "isic2017_melanomas", "keep": "last",
}  # fmt: skip


def test_every_field_is_tried():
    assert {field.name for field in dataclasses.fields(RunConfig)} == set(OTHERS) | {"weights", "precision"}


CHANGES = [({name: value}, {}) for name, value in OTHERS.items()] + [({}, {name: "x"}) for name in MEETS]


@pytest.mark.parametrize(("field", "met"), CHANGES, ids=str)
def test_the_id_changes_with_every_field_and_with_what_the_run_meets(field, met):
    assert runs.run_id(RunConfig().replace(**field), **(MEETS | met)) != runs.run_id(RunConfig(), **MEETS)


def test_the_id_is_sixteen_digits_and_the_same_on_every_machine():
    first = runs.run_id(RunConfig(), **MEETS)
    assert len(first) == 16 and int(first, 16) >= 0
    assert runs.run_id(RunConfig.from_json(RunConfig().to_json()), **MEETS) == first
    assert runs.run_id(RunConfig(weights="/a/b.safetensors", precision="auto"), **MEETS) == first


@pytest.fixture
def id_of(data_root, results_root):
    def find(config, *, data=data_root, results=results_root, device="cpu") -> str:
        return runs.identify(config, data_root=data, results_root=results, device=device).id

    return find


def test_paths_and_threads_do_not_enter_the_id(tiny_config, data_root, tmp_path, id_of):
    first = id_of(tiny_config)
    shutil.copytree(data_root, tmp_path / "moved")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert id_of(tiny_config, data=tmp_path / "moved", results=tmp_path / "r", device="auto") == first
    finally:
        torch.set_num_threads(threads)


def test_data_and_precision_enter_the_id(tiny_config, data_root, tmp_path, id_of):
    shutil.copytree(data_root, tmp_path / "changed")
    image = next((tmp_path / "changed" / "ham10000").rglob("*.jpg"))
    image.write_bytes(image.read_bytes() + b"\n")
    assert id_of(tiny_config, data=tmp_path / "changed") != id_of(tiny_config)
    fp32, bf16, auto = (id_of(tiny_config.replace(precision=name)) for name in ("fp32", "bf16", "auto"))
    assert fp32 != bf16 and auto in (fp32, bf16)


def test_weights_enter_the_id_by_their_bytes(tiny_config, tmp_path, id_of, monkeypatch):
    one, same, other = (tmp_path / name / "test_resnet.safetensors" for name in "abc")
    for path, text in ((one, b"1"), (same, b"1"), (other, b"2")):
        path.parent.mkdir()
        path.write_bytes(text)
    ids = [id_of(tiny_config.replace(weights=str(path))) for path in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    monkeypatch.setenv(WEIGHTS_FOLDER, str(one.parent))
    assert id_of(tiny_config.replace(weights="imagenet")) == ids[0]
    with pytest.raises(WeightsUnavailable):
        id_of(tiny_config.replace(weights=str(tmp_path / "gone.safetensors")))


def test_a_split_is_made_once_and_shared_by_label_spaces(tiny_config, data_root, tmp_path):
    first = runs.split_of(tiny_config, data_root, tmp_path)
    (path,) = (tmp_path / "splits").glob("*.csv")
    written = path.stat().st_mtime_ns
    again = runs.split_of(tiny_config.replace(label_space="diagnosis", seed=3), data_root, tmp_path)
    pd.testing.assert_frame_equal(first, again)
    assert path.stat().st_mtime_ns == written
    for changes in ({"split": "image"}, {"folds": 3}, {"test_share": 0.25}, {"split_seed": 1}):
        other = runs.split_of(tiny_config.replace(**changes), data_root, tmp_path)
        assert splits.fingerprint(other) != splits.fingerprint(first), changes
    assert len(list((tmp_path / "splits").glob("*.csv"))) == 5
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="is damaged or gone"):
        runs.split_of(tiny_config, data_root, tmp_path)


def test_the_cohort_has_the_labels_of_its_space(tiny_config, data_root):
    two, seven = (runs.cohort_of(tiny_config.replace(label_space=s), data_root) for s in ("malignancy", "diagnosis"))
    assert set(two["label"]) == {0, 1} and set(seven["label"]) == set(range(7))
    assert two.groupby("diagnosis")["label"].first()[["mel", "bcc", "akiec"]].to_list() == [1, 1, 1]
    assert two["image_id"].equals(seven["image_id"])


# The finished run.


def test_the_folder_holds_what_the_contract_says_and_no_pickle(finished_run):
    assert {p.name for p in finished_run.path.iterdir()} == FILES
    assert finished_run.path.name == finished_run.id and finished_run.stale == ()
    json.loads((finished_run.path / "environment.json").read_text())["packages"]["torch"]


def test_the_prediction_table_is_the_contracts(finished_run, data_root, results_root):
    table = finished_run.predictions()
    columns = ["image_id", "lesion_id", "patient_id", "dataset", "split", "part", "fold", "system", "seed", "view"]
    assert list(table) == [*columns, "label", "p_benign", "p_malignant"]
    config = finished_run.config
    split = runs.split_of(config, data_root, results_root)
    cohort = runs.cohort_of(config, data_root).set_index("image_id")
    for part in ("val", "test"):
        rows = split[(split["fold"] == 0) & (split["part"] == part)]
        assert set(table.loc[table["part"] == part, "image_id"]) == set(rows["image_id"])
    assert table["image_id"].is_unique and table["label"].to_list() == cohort.loc[table["image_id"], "label"].to_list()
    assert table["lesion_id"].to_list() == cohort.loc[table["image_id"], "lesion_id"].to_list()
    constants = table[["dataset", "split", "fold", "system", "seed", "view"]].drop_duplicates()
    assert constants.values.tolist() == [["ham10000", "grouped", 0, config.system, 0, "mean"]]
    np.testing.assert_allclose(table["p_benign"] + table["p_malignant"], 1, atol=2e-6)
    identity = finished_run.predictions("identity")
    assert identity["image_id"].equals(table["image_id"])
    assert not np.allclose(identity["p_malignant"], table["p_malignant"])


def test_the_metrics_are_those_of_the_table(finished_run):
    table, metrics = finished_run.predictions(), finished_run.metrics
    for part in ("val", "test"):
        rows = table[table["part"] == part]
        guess = rows["p_malignant"] > rows["p_benign"]
        assert metrics[f"{part}_auc"] == pytest.approx(roc_auc_score(rows["label"], rows["p_malignant"]))
        assert metrics[f"{part}_accuracy"] == pytest.approx(accuracy_score(rows["label"], guess))
        assert metrics[f"{part}_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(rows["label"], guess))
    history = finished_run.history
    assert metrics["epochs"] == len(history) == finished_run.config.epochs
    assert metrics["best_epoch"] == history["val_loss"].idxmin() + 1
    assert metrics["images"] == history["images"].sum() == 48
    model, loaded = finished_run.model(), load_file(finished_run.path / stored.WEIGHTS)
    assert not model.training and all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert metrics["code"] == provenance.code_fingerprint(finished_run.config.system)


def test_validation_images_are_as_they_are_and_class_weights_are_those_of_training_rows(
    tiny_config, data_root, results_root
):
    """The best validation loss is the weighted log loss of the stored predictions of images that nothing changed."""
    config = tiny_config.replace(class_weights=True)
    run = runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")
    cohort, split = runs.cohort_of(run.config, data_root), runs.split_of(run.config, data_root, results_root)
    weights = 1 / splits.part(cohort, split, 0, "train")["label"].value_counts()
    val = run.predictions("identity").query("part == 'val'")
    wanted = log_loss(val["label"], val[["p_benign", "p_malignant"]], sample_weight=weights[val["label"]])
    assert run.history["val_loss"].min() == pytest.approx(wanted, rel=1e-5)


def test_training_images_are_augmented_as_the_configuration_says(finished_run, data_root, results_root):
    config = finished_run.config.replace(augment=Augment(flips=False, rotation=0.0))
    untouched = runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")
    assert untouched.weights() != finished_run.weights()


def test_several_classes_have_a_macro_auc_and_a_lone_class_none():
    p, label = np.random.default_rng(0).dirichlet([1, 1, 1], 60), np.arange(60) % 3
    table = pd.DataFrame({"view": "mean", "part": "test", "label": label} | {f"p_{k}": p[:, k] for k in range(3)})
    found = build._scores(table)
    one_by_one = [roc_auc_score(label == k, (p / p.sum(1, keepdims=True))[:, k]) for k in range(3)]
    assert found["test_auc"] == pytest.approx(np.mean(one_by_one))
    assert found["test_accuracy"] == pytest.approx((p.argmax(1) == label).mean())
    assert build._scores(table[table["label"] < 2])["test_auc"] is None


def test_a_finished_run_is_found_not_trained(finished_run, data_root, results_root, monkeypatch):
    monkeypatch.setattr(build, "train", None)
    where = {"data_root": data_root, "results_root": results_root, "device": "cpu"}
    for train in (True, False):
        found = runs.ensure(finished_run.config, **where, train=train)
        assert (found.id, found.metrics) == (finished_run.id, finished_run.metrics)
    assert runs.load(finished_run.path).config == finished_run.config


def test_a_missing_run_is_an_error_where_training_is_not_wanted(tiny_config, data_root, results_root, tmp_path):
    missing = tiny_config.replace(seed=99)
    with pytest.raises(runs.RunMissing, match=r"fold 0, seed 99\) is not in .*make reproduce"):
        runs.ensure(missing, data_root=data_root, results_root=results_root, device="cpu", train=False)
    with pytest.raises(runs.RunMissing, match="holds no finished run"):
        runs.load(tmp_path)
    with pytest.raises(ValueError, match="stale='ignore' is unknown; choose retrain, stop or reuse"):
        runs.ensure(missing, data_root=data_root, results_root=results_root, stale="ignore")


# Runs made by other code.


@pytest.fixture
def older(finished_run, data_root, results_root, tmp_path):
    """Where a run lies that says that another losses.py made it."""
    folder = tmp_path / "runs" / finished_run.id
    shutil.copytree(finished_run.path, folder)
    for name in ("cache", "splits"):
        (tmp_path / name).symlink_to(results_root / name)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["code"]["training/losses.py"] = "0123456789abcdef"
    (folder / "metrics.json").write_text(json.dumps(metrics | {"test_auc": -1.0}))
    return {"data_root": data_root, "results_root": tmp_path, "device": "cpu"}


def test_a_stale_run_stops_with_the_file_or_is_reused_with_a_mark(finished_run, older):
    with pytest.raises(runs.StaleRun, match=r"other code in training/losses\.py; .*stale='reuse'"):
        runs.ensure(finished_run.config, **older, stale="stop")
    with pytest.raises(runs.RunMissing, match="was made by other code"):
        runs.ensure(finished_run.config, **older, train=False)
    for train in (True, False):  # who may not train did not delete it either
        found = runs.ensure(finished_run.config, **older, stale="reuse", train=train)
        assert (found.stale, found.metrics["test_auc"]) == (("training/losses.py",), -1.0) and not found.restored


@pytest.mark.parametrize("failing", ["fit", "outputs", "stored.write"])
def test_a_finished_run_stays_whole_until_its_replacement_is(finished_run, older, monkeypatch, failing):
    folder = older["results_root"] / "runs" / finished_run.id
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    full_disk = mock.Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(f"skinlib.training.build.{failing}", full_disk)
    with pytest.raises(OSError, match="No space left"):
        runs.ensure(finished_run.config, **older)
    assert {name: (folder / name).read_bytes() for name in before} == before
    monkeypatch.undo()
    assert runs.ensure(finished_run.config, **older, stale="reuse").metrics["test_auc"] == -1.0
    renewed = runs.ensure(finished_run.config, **older)
    assert renewed.stale == () and renewed.weights() == finished_run.weights()
    assert renewed.metrics["test_auc"] == finished_run.metrics["test_auc"]
    assert {path.name for path in folder.iterdir()} == set(before)


def test_a_damaged_or_edited_run_is_named_and_counts_as_no_finished_one(finished_run, older):
    folder = older["results_root"] / "runs" / finished_run.id
    for name in ("predictions.csv.gz", "model.safetensors", "history.csv"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-9])
        with pytest.raises(ValueError, match=rf"{name} is damaged, edited or gone; delete the folder"):
            runs.ensure(finished_run.config, **older, stale="reuse")
        (folder / name).write_bytes(whole)
    edited = json.loads((folder / "config.json").read_text()) | {"seed": 9}
    (folder / "config.json").write_text(json.dumps(edited, indent=1, sort_keys=True) + "\n")
    with pytest.raises(ValueError, match=r"config.json is damaged, edited or gone"):
        runs.ensure(finished_run.config, **older, stale="reuse")
    for parents in ('{"a": {}}', "[1]", '{"a": 1}', '{"a": {"id": 5, "weights": "0"}}'):
        (folder / "metrics.json").write_text(f'{{"code": {{}}, "parents": {parents}}}')
        with pytest.raises(ValueError, match=r"metrics.json is damaged, edited or gone"):
            runs.load(folder)


def test_changed_code_names_what_differs_came_or_went(monkeypatch):
    monkeypatch.setattr(identify.provenance, "code_fingerprint", lambda system: {"a": "1", "b": "2", "c": "3"})
    assert identify.changed_code({"a": "1", "b": "x", "d": "4"}, "any") == ("b", "c", "d")
    assert identify.changed_code({"a": "1", "b": "2", "c": "3"}, "any") == ()


# Other kinds of run.


def test_seven_classes_without_validation(tiny_config, data_root, results_root):
    config = tiny_config.replace(label_space="diagnosis", fold=None, epochs=1, visits=8)
    run = runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")
    table = run.predictions()
    assert [c for c in table if c.startswith("p_")] == [f"p_{c}" for c in class_names("ham10000", "diagnosis")]
    assert set(table["part"]) == {"test"} and set(table["fold"]) == {-1}
    assert "val_auc" not in run.metrics and "val_loss" not in run.history


def test_a_configuration_file_is_read_alone_or_in_a_plan(tmp_path, tiny_config):
    (tmp_path / "a.json").write_text(tiny_config.to_json())
    (tmp_path / "b.json").write_text(json.dumps({"id": "x", "config": tiny_config.to_dict()}))
    assert runs.read_config(tmp_path / "a.json") == runs.read_config(tmp_path / "b.json") == tiny_config
    for text, words in (('{"config": {}, "lr": 7}', "no other setting"), ('{"lr": 1, "lr": 2}', "there twice")):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            runs.read_config(tmp_path / "c.json")


def test_a_run_that_nothing_could_test_is_refused(tiny_config, data_root, tmp_path):
    with pytest.raises(ValueError, match="no image is left for validation or test"):
        runs.ensure(tiny_config.replace(fold=None, test_share=0.0), data_root=data_root, results_root=tmp_path)
    for device in ["foo", *(["cuda"] if not torch.cuda.is_available() else [])]:
        with pytest.raises(ValueError, match=r"'foo' is unknown|finds no GPU"):
            fit.place(device)


@pytest.mark.parametrize(("changes", "words"), [
    ({"losses": {"dice": 1.0}}, "the loss dice needs 'mask'; variant proposed of recall_oriented gives logits"),
    ({"system": "joint_reverse_mtl", "variant": "seg"}, "the loss cross_entropy needs 'logits'; variant seg"),
    ({"system": "joint_ensemble", "variant": "fused", "losses": {"dice": 1.0}}, "fused of joint_ensemble reads no im"),
    *[({"system": "attention_autoencoder", "options": {"latent": wrong}}, "cannot work with its options.*'latent': ")
      for wrong in ("16", 16.5, 0, None)],
    ({"visits": 3, "batch_size": 2}, "3 images in batches of 2 leave one alone"),
    ({"system": "attention_autoencoder", "options": {"share": float("nan")}}, "its options .*'share': nan"),
    ({"system": "attention_autoencoder", "options": {"share": "half"}}, r"its options \(TypeError: .*'share': 'half'"),
    ({"system": "joint_ensemble", "variant": "fused", "options": {"members": ["a"]}}, "options .*'members': ..a"),
])  # fmt: skip
def test_what_a_system_cannot_work_with_is_named_before_training(tiny_config, data_root, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        runs.ensure(tiny_config.replace(**changes), data_root=data_root, results_root=tmp_path)


def test_evidence_is_a_run_without_its_weights_and_half_of_them_predict_the_same(finished_run, data_root, tmp_path):
    kept = runs.load(stored.copy_evidence(finished_run.path, tmp_path / "runs"))
    assert {p.name for p in kept.path.iterdir()} == {p.name for p in finished_run.path.iterdir()} - {stored.WEIGHTS}
    assert (kept.config, kept.metrics, kept.stale) == (finished_run.config, finished_run.metrics, ())
    pd.testing.assert_frame_equal(kept.history, finished_run.history)
    for view in ("mean", "identity"):
        pd.testing.assert_frame_equal(kept.predictions(view), finished_run.predictions(view))
    assert kept.restored and not finished_run.restored
    with pytest.raises(runs.RunMissing, match=r"no model\.safetensors: delete the folder and train the run again"):
        kept.model()
    with pytest.raises(KeyError, match="no rows of the view 'left_right'; it has mean, identity"):
        kept.predictions("left_right")
    assert stored.halve(finished_run.path, tmp_path / "runs") == kept.path
    whole, cohort = kept.predictions(), runs.cohort_of(kept.config, data_root).merge(kept.predictions()["image_id"])
    again = predict(kept, cohort, tta="flips").set_index("image_id").loc[whole["image_id"], "p_malignant"]
    assert not kept.restored and again.to_numpy() == pytest.approx(whole["p_malignant"].to_numpy(), abs=2e-3)
    names = load_file(finished_run.path / stored.WEIGHTS)
    for odd in (lambda t: t.to(torch.int8), lambda t: t.float() + float("inf")):
        save_file({name: odd(t) for name, t in names.items()}, kept.path / stored.HALF)
        with pytest.raises(ValueError, match=r"half.safetensors is damaged .* holds no weights"):
            kept.model()
    save_file({"a": torch.full((200, 200), 1e6)}, tmp_path / stored.WEIGHTS)
    with pytest.raises(ValueError, match="a has numbers that half precision does not hold"):
        stored.halve(tmp_path, tmp_path / "runs")


def test_without_views_the_one_that_there_is_has_both_names(finished_run):
    alone = dataclasses.replace(finished_run, config=finished_run.config.replace(tta="none"))
    mean, identity = alone.predictions("mean"), alone.predictions("identity")
    assert set(identity["view"]) == {"identity"} and mean.drop(columns="view").equals(identity.drop(columns="view"))


def test_the_last_epoch_is_kept_where_nothing_is_chosen(tiny_config, data_root, tmp_path, monkeypatch):
    def trained(keep, losses):
        given = iter(losses)
        monkeypatch.setattr(fit, "evaluate", lambda *args: {"loss": next(given)})
        where = {"data_root": data_root, "results_root": tmp_path / f"{keep}{losses[0]}", "device": "cpu"}
        return runs.ensure(tiny_config.replace(keep=keep), **where)

    first, last, whole = trained("best", [1.0, 2.0]), trained("last", [1.0, 2.0]), trained("best", [2.0, 1.0])
    assert [run.metrics["best_epoch"] for run in (first, last, whole)] == [1, 2, 2]
    assert last.history["best"].all() and last.weights() == whole.weights() != first.weights()
