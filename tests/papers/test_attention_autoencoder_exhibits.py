"""What the notebooks on Thwin and Park share, from small maps and tables whose numbers are worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from skinlib.evaluation.segmentation import per_image
from skinlib.papers.attention_autoencoder import exhibits
from skinlib.papers.attention_autoencoder.exhibits import MEASURED, common, on_grid
from skinlib.papers.attention_autoencoder.plan import PROPOSED
from skinlib.training import identify


def square(side=8):
    """Two lesions: the upper left quarter, and the lower right."""
    masks = np.zeros((2, side, side), bool)
    masks[0, : side // 2, : side // 2] = masks[1, side // 2 :, side // 2 :] = True
    return masks


def cohort(ids, **columns):
    return pd.DataFrame({"image_id": list(ids), "lesion_id": np.nan, "patient_id": np.nan, "dataset": "d", **columns})


@pytest.fixture
def shown(monkeypatch):
    """Batches of masks that a test puts there, whatever run and cohort ask for them."""

    def put(masks, has_mask=None):
        n = len(masks)
        images = np.full((*masks.shape, 3), 90, np.uint8)
        has_mask = np.ones(n, bool) if has_mask is None else np.array(has_mask)
        cache = SimpleNamespace(masks=masks.astype(np.uint8), has_mask=has_mask, images=images)
        monkeypatch.setattr(exhibits, "batches_of", lambda *_, **__: SimpleNamespace(cache=cache, rows=np.arange(n)))

    return put


def network(grid=(2, 2)):
    model = lambda: lambda image: {"attention": torch.zeros(1, 1, *grid)}
    return SimpleNamespace(config=PROPOSED.replace(image_size=(8, 8)), model=model)


def test_images_know_their_part_of_the_fold(monkeypatch):
    rows = cohort("abc", mask_path=["m", None, "m"])
    split = pd.DataFrame({"image_id": list("abcabc"), "fold": [0] * 3 + [1] * 3, "part": "train val test".split() * 2})
    split.loc[3:, "part"] = "train"
    monkeypatch.setattr(identify, "cohort_of", lambda *_: rows)
    monkeypatch.setattr(identify, "split_of", lambda *_: split)
    found = exhibits.images_of(PROPOSED, SimpleNamespace(data_root="", results_root=""))
    assert found["part"].tolist() == ["train", "val", "test"] and found["has_mask"].tolist() == [1, 0, 1]


def test_the_average_outline_is_where_half_of_the_training_lesions_lie(shown):
    lesions = np.zeros((5, 2, 2), bool)
    lesions[:4, 0, 0] = True
    lesions[:2, 0, 1] = lesions[3, 1] = True  # two of three training lesions; the test lesion is three pixels
    shown(lesions, [True] * 4 + [False])
    found = exhibits.average_outline(network(), cohort("abcde", part=["train"] * 3 + ["test"] * 2))
    assert found["image_id"].tolist() == ["d"] and found["dice"].item() == pytest.approx(2 * 1 / (2 + 3))


def test_maps_are_measured_by_hand(shown, monkeypatch):
    masks = square()
    maps = {"attention": np.stack([np.where(masks[0], 3.0, 1.0), np.ones((8, 8))])}
    shown(masks)
    monkeypatch.setattr(exhibits, "maps_of", lambda *_: maps)
    found = exhibits.measure_maps([network()], cohort("ab"))
    assert found["energy"][0] == pytest.approx(48 / (48 + 48)) and found["pointing"][0] == found["iou"][0] == 1
    assert found["range"].tolist() == [2, 0] and found["constant"].tolist() == [False, True]
    assert found.loc[1, MEASURED].isna().all()
    assert set(zip(found["network"], found["kind"], found["seed"], strict=True)) == {("proposed", "attention", 0)}


def test_a_map_that_every_image_gets_is_common():
    same = np.tile(np.random.default_rng(0).random((8, 8)), (5, 1, 1))
    assert common(same) == pytest.approx(np.ones(5))
    assert common(square()) == pytest.approx([-1 / 3] * 2)  # quarters that do not meet
    assert np.isnan(common(np.ones((3, 4, 4)))).all() and np.isnan(common(same[:1])).all()


def test_a_coarse_map_of_the_mask_is_a_ceiling_and_a_flat_map_has_the_area(shown):
    masks = square()
    assert np.ptp(on_grid(masks, (1, 1))) == 0 and np.array_equal(on_grid(masks, (8, 8)) > 0, masks)
    shown(masks)
    found = exhibits.blind_maps(network(), cohort("ab")).set_index("row")
    assert found.loc["flat map", "energy"].tolist() == [0.25, 0.25]
    assert found.loc["flat map", ["pointing", "iou"]].isna().all(axis=None)
    ceiling = found.loc["mask on the map's grid"]
    assert ceiling["energy"].between(0.5, 1).all() and (ceiling["pointing"] == 1).all()
    assert ceiling["common"].tolist() == pytest.approx(common(on_grid(masks, (2, 2))))
    assert found.loc[["centred blob", "random blob"], MEASURED].notna().all(axis=None) and "seed" not in found


def test_the_gallery_has_one_scale_a_kind(shown, monkeypatch):
    shown(square())
    levels = np.array([0.2, 0.8])[:, None, None] * np.ones((2, 8, 8))
    monkeypatch.setattr(exhibits, "maps_of", lambda *_: {"attention": levels, "Grad-CAM++": 5 * levels})
    figure = exhibits.attention_gallery(network(), cohort("ab"), ["first", "second"])
    assert [axis.images[0].get_clim() for axis in figure.axes[2:6]] == [(0, 1)] * 2 + [(0, 4)] * 2
    assert [axis.get_title() for axis in figure.axes[:2]] == ["first", "second"]


def test_disturbed_images_have_predictions_and_the_dice_of_the_raw_outline(monkeypatch):
    masks, about = square(), {"view": "mean", "part": "test", "fold": 0, "system": "s", "seed": 0}

    def poorer(run, test, kind, level):
        found = masks & (level < 10)
        outlines = pd.concat([per_image(m, masks, list("ba"), stage=s) for m, s in ((found, "raw"), (masks, "post"))])
        return cohort("ab", **about), None if run.config.variant == "baseline" else outlines

    monkeypatch.setattr(exhibits, "predict_corrupted", poorer)
    runs = [SimpleNamespace(config=PROPOSED.replace(variant=name)) for name in ("baseline", "proposed")]
    found = exhibits.predict_disturbed(runs, cohort("ab"), {"blur": (0.1,), "hair": (10,)})
    assert found.groupby(["network", "kind"])["dice"].mean()["proposed"].to_dict() == {"blur": 1, "hair": 0}
    assert found.loc[found["network"] == "baseline", "dice"].isna().all()
