import numpy as np
import pandas as pd
import pytest
import torch
from toy_problem import CPU, Toy, batches, config

from skinlib.images.batches import Batches
from skinlib.training import runs
from skinlib.training.predict import outputs, predict
from skinlib.training.symmetries import undo, views
from skinlib.training.tables import KEYS, ensemble, prediction_table

COLUMNS = [*KEYS, "split", "part", "fold", "system", "seed", "view", "label", "p_benign", "p_malignant"]


def test_the_views_are_the_symmetries_by_name():
    image = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    assert [name for name, _ in views(image, "none")] == ["identity"]
    flips = dict(views(image, "flips"))
    assert list(flips) == ["identity", "left_right", "up_down"]
    assert torch.equal(flips["left_right"][..., 0], image[..., 3])
    assert torch.equal(flips["up_down"][..., 0, :], image[..., 3, :])
    square = dict(views(image, "d4"))
    assert len({value.numpy().tobytes() for value in square.values()}) == len(square) == 8
    for value in square.values():  # a group: every view of a view is a view
        again = {other.numpy().tobytes() for _, other in views(value, "d4")}
        assert again == {other.numpy().tobytes() for other in square.values()}
    assert torch.equal(square["identity"], image) and torch.equal(square["rot180"], image.flip((2, 3)))


def test_probabilities_are_the_softmax_of_every_view_and_their_mean():
    model, val = Toy().eval(), batches(11, batch_size=4)
    found = outputs(model, val, tta="flips", where=CPU).probabilities
    assert list(found) == ["mean", "identity", "left_right", "up_down"]
    image = torch.cat([batch["image"] for batch in val.epoch(0, CPU.device)])
    with torch.no_grad():
        wanted = {name: model(view)["logits"].softmax(1).numpy() for name, view in views(image, "flips")}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6)
    np.testing.assert_allclose(found["mean"], sum(wanted.values()) / 3, atol=1e-6)
    assert found["mean"].shape == (11, 2)


def test_a_network_of_tables_has_one_view():
    class Table(torch.nn.Module):
        def forward(self, image, meta=None, *, features=None):
            return {"logits": features}

    rows = {"features": np.log(np.array([[1.0, 3.0], [1.0, 1.0]], np.float32))}
    found = outputs(Table(), Batches(None, np.arange(2), rows, batch_size=2), tta="d4", where=CPU).probabilities
    assert list(found) == ["mean", "identity"]
    np.testing.assert_allclose(found["mean"], [[0.25, 0.75], [0.5, 0.5]])
    rows["features"][0] = np.nan
    with pytest.raises(FloatingPointError, match="no numbers: are its weights damaged"):
        outputs(Table(), Batches(None, np.arange(2), rows, batch_size=2), tta="none", where=CPU)


# Masks.


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_every_view_is_undone(tta):
    image = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    for name, view in views(image, tta):
        assert torch.equal(undo(view, name), image), name


class Pixels(torch.nn.Module):
    """Outlines pixel by pixel, without logits: lesion where the red channel is high, in one channel or two."""

    def __init__(self, channels: int = 1):
        super().__init__()
        self.channels = channels

    def forward(self, image, meta=None, *, features=None):
        logits = 30 * (image[:, :1] - 0.3)
        return {"mask": logits if self.channels == 1 else torch.cat([0.5 - logits, 0.5 + 0 * logits], 1)}


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
@pytest.mark.parametrize("channels", [1, 2])
def test_masks_lie_on_their_images_in_every_view(tta, channels):
    val = batches(7, batch_size=4, normalisation="none")
    found = outputs(Pixels(channels), val, tta=tta, where=CPU, masks=True).masks
    assert found.dtype == bool and np.array_equal(found, val.cache.images[..., 0] / 255 > 0.3)


@pytest.mark.parametrize(("p", "tta", "seen"), [(0.9, "none", 1), (0.9, "flips", 1), (0.6, "flips", 0), (0.9, "d4", 0)])
def test_probabilities_of_masks_are_averaged_before_the_cut(p, tta, seen):
    """A network that sees a lesion in the left half, whatever the image: probability p there and 0 elsewhere."""

    class Left(torch.nn.Module):
        def forward(self, image, meta=None, *, features=None):
            logits = torch.full_like(image[:, :1], -50.0)
            logits[..., : image.shape[3] // 2] = np.log(p / (1 - p))
            return {"mask": logits}

    found = outputs(Left(), batches(2), tta=tta, where=CPU, masks=True).masks
    # Flips make 2 p / 3 of the left half and p / 3 of the right one, d4 makes p / 2 of both.
    assert (found[..., :8] == bool(seen)).all() and not found[..., 8:].any()


def test_a_network_without_logits_has_no_probabilities_and_a_table_all_the_same():
    found = outputs(Pixels(), batches(5), tta="flips", where=CPU)
    assert found.masks is None and list(found.probabilities) == ["mean", "identity", "left_right", "up_down"]
    assert {values.shape for values in found.probabilities.values()} == {(5, 0)}
    cohort = pd.DataFrame({"image_id": list("abcde"), "label": [0, 1, 0, 1, 0]})
    rows = prediction_table(cohort, {"mean": found.probabilities["mean"]}, config(), part="test", split="grouped")
    assert list(rows) == COLUMNS[:-2] and rows["image_id"].to_list() == list("abcde")


@pytest.fixture(scope="module")
def strangers(data_root):
    """Ten images of somebody else: ids and paths, nothing more."""
    files = sorted((data_root / "ham10000").rglob("*.jpg"))[:10]
    return pd.DataFrame({"image_id": [f"mine{i}" for i in range(10)], "image_path": [str(file) for file in files]})


def test_images_without_labels_get_a_table_and_views_on_demand(finished_run, strangers):
    table = predict(finished_run, strangers)
    assert list(table) == COLUMNS and table["image_id"].to_list() == strangers["image_id"].to_list()
    assert set(table["part"]) == {"external"} and set(table["view"]) == {"mean"}
    assert table[["label", "lesion_id", "patient_id", "dataset"]].isna().all().all()
    np.testing.assert_allclose(table["p_benign"] + table["p_malignant"], 1, atol=1e-6)
    assert table["p_malignant"].nunique() > 1
    views_too = predict(finished_run, strangers, tta="d4", keep_views=True)
    wide = views_too.pivot(index="image_id", columns="view", values="p_malignant")
    assert views_too["view"].unique()[0] == "mean" and wide.shape == (10, 9)
    np.testing.assert_allclose(wide["mean"], wide.drop(columns="mean").mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(table.set_index("image_id")["p_malignant"], wide["identity"], atol=1e-6)


def test_a_finished_run_predicts_what_it_stored(finished_run, data_root):
    cohort = runs.cohort_of(finished_run.config, data_root)
    for view, tta in (("mean", finished_run.config.tta), ("identity", "none")):
        stored = finished_run.predictions(view)
        rows = cohort[cohort["image_id"].isin(stored["image_id"])]
        again = predict(finished_run, rows, tta=tta).set_index("image_id").loc[stored["image_id"]]
        np.testing.assert_allclose(again["p_malignant"], stored["p_malignant"], atol=2e-6)
        assert again["label"].to_list() == stored["label"].to_list()


def member(p: list[float], ids: str = "abc", view: str = "mean", fold: int = 0) -> pd.DataFrame:
    values = {"image_id": list(ids), "view": view, "fold": fold, "label": [0, 1, 0], "p_benign": [1 - x for x in p]}
    return pd.DataFrame(values | {"p_malignant": p})


def test_an_ensemble_is_the_mean_for_each_image_and_members_that_saw_other_images_are_none():
    second = member([0.8, 0.2, 0.4], fold=1).iloc[[2, 0, 1]]
    found = ensemble([member([0.2, 0.4, 0.6]), second]).set_index("image_id")
    assert found["p_malignant"].to_dict() == pytest.approx({"a": 0.5, "b": 0.3, "c": 0.5})
    assert found["p_benign"].to_dict() == pytest.approx({"a": 0.5, "b": 0.7, "c": 0.5})
    assert found["label"].to_dict() == {"a": 0, "b": 1, "c": 0} and set(found["fold"]) == {-1}
    both = lambda p: pd.concat([member(p), member([x / 2 for x in p], view="identity")])
    apart = ensemble([both([0.2, 0.4, 0.6]), both([0.4, 0.4, 0.4])])
    assert apart[apart["view"] == "identity"]["p_malignant"].to_list() == pytest.approx([0.15, 0.2, 0.25])
    same = [0.1] * 3
    for other in (member(same, ids="abd"), member(same).iloc[:2], member(same, view="identity")):
        with pytest.raises(ValueError, match="differ in their images"):
            ensemble([member([0.2, 0.4, 0.6]), other])
