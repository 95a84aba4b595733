"""What notebooks on the multi-task paper share, from small tables and images whose numbers are worked out by hand."""

import types

import numpy as np
import pandas as pd
import pytest
from comparing import value
from sklearn.metrics import roc_auc_score

from skinlib.evaluation.segmentation import per_image
from skinlib.exhibits.runs import Planned, Runs
from skinlib.exhibits.score import Boot, score
from skinlib.exhibits.scored import Scored
from skinlib.papers.joint_reverse_mtl import exhibits
from skinlib.papers.joint_reverse_mtl.plan import ALONE, ARMS, PROPOSED

FEW = Boot(n=100, n_p=100)
LABEL = np.tile([0, 0, 0, 0, 0, 0, 1, 1], 6)
GOOD = [0.1, 0.1, 0.2, 0.2, 0.6, 0.1, 0.9, 0.4]  # of eight: one false alarm, one melanoma missed


def key(seed=0):
    columns = {"image_id": [f"i{k}" for k in range(len(LABEL))], "lesion_id": np.nan, "patient_id": np.nan}
    return columns | {"dataset": "isic2016", "split": "official", "part": "test", "seed": seed}


def predictions(seed=0, p=GOOD):
    p = np.tile(np.array(p, float), 6)
    return pd.DataFrame(key(seed) | {"view": "mean", "label": LABEL, "p_benign": 1 - p, "p_malignant": p})


def outlines(seed=0, found=8):
    """Scores of outlines that hold so many of a lesion's 8 pixels."""
    truth = np.zeros((len(LABEL), 4, 8), bool)
    truth[:, 0] = True
    scores = per_image(truth & (np.arange(8) < found), truth, [f"i{k}" for k in range(len(LABEL))])
    return pd.DataFrame(key(seed)).join(scores.drop(columns="image_id"))


def drawn(variant, *, seeds=(0,), p=GOOD, found=8, **changes):
    """Runs of one variant, whose scores and outlines are given by hand."""
    config = PROPOSED.replace(variant=variant, losses=ALONE.get(variant, PROPOSED.losses), **changes)
    planned = tuple(Planned(f"{variant}/seed{s}", config.replace(seed=s), {"seed": s}) for s in seeds)
    opened = lambda one: types.SimpleNamespace(
        config=one.config,
        predictions=lambda view: predictions(one.config.seed, p),
        segmentation=lambda stage: outlines(one.config.seed, found),
    )
    return Runs(planned, opened)


def test_rows_have_what_their_networks_give_and_say_how_they_began():
    groups = {"cls": drawn("cls", backbone="resnet50"), "seg": drawn("seg"), "mtl0": drawn("mtl0")}
    groups["mtl4"] = drawn("mtl4", extra_training=ARMS["clean"])
    groups["mtl4, as published"] = drawn("mtl4", extra_training=ARMS["as_published"])
    groups["cls, too"] = drawn("cls", backbone="vgg11", weights="imagenet")
    calls, masks = exhibits.scored_rows(groups)
    assert set(calls) == set(groups) - {"seg"} and set(masks) == set(groups) - {"cls", "cls, too"}
    notes = {row: one.note for row, one in (calls | masks).items()}
    assert notes == {"seg": "", "mtl0": "", "mtl4": exhibits.CLEAN, "mtl4, as published": "",
                     "cls": "resnet50, from scratch", "cls, too": "vgg11, weights imagenet"}  # fmt: skip


def test_rates_and_outlines_by_hand_and_the_majority_class_that_flatters_the_weighted_rates():
    one = Scored(predictions())
    table = score({"cls": one, exhibits.BENIGN: exhibits.always_benign(one)}, exhibits.OF_CALLS, FEW)
    assert value(table, "cls", "fp_rate") == pytest.approx(1 / 6) and value(table, "cls", "recall") == 0.5
    # F1 of benign 10/12, of melanoma 2/4, weighted 6 to 2
    assert value(table, "cls", "weighted_f1") == pytest.approx((6 * 10 / 12 + 2 * 2 / 4) / 8)
    assert value(table, "cls", "weighted_recall") == value(table, exhibits.BENIGN, "weighted_recall") == 0.75
    assert value(table, exhibits.BENIGN, "recall") == 0 and value(table, exhibits.BENIGN, "specificity") == 1
    table = score({"half": Scored(outlines(found=4)), "none": Scored(outlines(found=0))}, exhibits.OF_MASKS, FEW)
    assert value(table, "half", "dice") == pytest.approx(2 / 3) and value(table, "half", "iou") == 0.5
    assert (value(table, "half", "empty_share"), value(table, "none", "empty_share")) == (0, 1)


def test_diagnoses_and_outlines_are_compared_in_one_table():
    calls = {"mtl0": (Scored(predictions(p=[0.1] * 6 + [0.9] * 2)), Scored(predictions()))}
    table = exhibits.compare(calls, {"mtl0": (Scored(outlines(found=4)), Scored(outlines()))}, FEW, family="primary")
    assert value(table, "mtl0", "recall_change") == 0.5
    assert value(table, "mtl0", "specificity_change") == pytest.approx(1 / 6)
    assert value(table, "mtl0", "dice_change") == pytest.approx(-1 / 3)
    assert set(table["verdict"]) == {"one run each"} and set(table["family"]) == {"primary"}
    assert exhibits.compare({}, {}, FEW, family="side").empty


def test_three_seeds_of_which_two_agree_get_no_verdict():
    after = pd.concat([outlines(seed, found) for seed, found in ((0, 4), (1, 8), (2, 7))])
    before = pd.concat([outlines(seed) for seed in range(3)])
    table = exhibits.compare({}, {"mtl4": (Scored(after), Scored(before))}, FEW, family="primary")
    cell = table.set_index("metric").loc["dice_change"]
    assert cell["ours"] == pytest.approx((2 / 3 + 1 + 14 / 15) / 3 - 1)
    assert (cell["verdict"], cell["units"], cell["note"]) == ("", 3, "2 of 3 trainings agree in sign")


def test_a_gallery_draws_each_outline_and_names_both_diagnoses(tmp_path, monkeypatch):
    truth = np.zeros((48, 64), bool)
    truth[12:32, 16:36] = True
    pixels = np.full((48, 64, 3), 120, np.uint8)
    monkeypatch.setattr(exhibits, "read_pair", lambda row, size: (pixels, truth))
    case = {"case": "best 1", "label": 1, "dice": 0.9, "dice_unet": 0.8, "p_malignant": 0.7, "p_malignant_cls": 0.2}
    chosen = pd.DataFrame([case], index=["i1"])
    masks = {"multi-task": {"i1": truth[::4, ::4]}, "U-Net alone": {"i1": np.zeros((12, 16), bool)}}
    axis = exhibits.gallery(chosen, pd.DataFrame({"image_id": ["i0", "i1"]}), masks, title="t").axes[0]
    words = "best 1, truth: melanoma\nDice 0.90 (U-Net 0.80)\nmelanoma score 0.70 (classifier alone 0.20)"
    assert axis.get_title() == words
    assert len(axis.collections) == 2  # truth and the multi-task network's: an empty outline has no line
    for line in axis.collections:  # of any size, they lie on the image
        low, high = line.get_paths()[0].get_extents().get_points()
        assert low == pytest.approx([15.5, 11.5], abs=2.1) and high == pytest.approx([35.5, 31.5], abs=2.1)


def test_gates_are_those_of_drawn_neighbours_and_scores_stay_with_their_images(monkeypatch):
    truth = np.zeros((len(LABEL), 4, 8), np.uint8)
    truth[np.arange(len(LABEL)), np.arange(len(LABEL)) % 4] = 1
    cache = types.SimpleNamespace(masks=truth, has_mask=np.ones(len(LABEL), bool))
    seen = types.SimpleNamespace(cache=cache, rows=np.arange(len(LABEL)))
    asked = []

    def outputs(model, batches, **options):
        asked.append(model.gate)
        return types.SimpleNamespace(masks=batches.cache.masks[batches.rows] > 0)

    monkeypatch.setattr(exhibits, "batches_of", lambda *args, **options: seen)
    monkeypatch.setattr(exhibits, "outputs", outputs)
    trained = types.SimpleNamespace(config=PROPOSED.replace(variant="mtl2"), model=types.SimpleNamespace)
    test = predictions()[["image_id", "dataset", "label"]].assign(mask_path="m.png")
    found = exhibits.gate_scores([trained], pd.concat([test.tail(1).assign(image_id="unmasked", mask_path=None), test]))
    assert asked == ["shuffled", "ones"] == list(dict.fromkeys(found["gate"]))
    mine = found[found["gate"] == "shuffled"]
    assert set(mine["image_id"]) == set(test["image_id"]) and list(mine["image_id"]) != list(test["image_id"])
    assert (found["dice"] == 1).all()


@pytest.mark.parametrize("sign", [True, False])
def test_corners_are_a_shortcut_only_where_they_carry_a_sign(sign):
    image_id, label = np.repeat([f"i{k:02d}" for k in range(60)], 3), np.repeat(np.arange(60) % 2, 3)
    images = np.random.default_rng(0).uniform(0.4, 0.6, (180, 20, 24, 3)).astype(np.float32)
    if sign:
        images[(label == 1) & (np.arange(180) % 3 == 0), :6, :6] = 0
    found = exhibits.corner_scores(exhibits.corner_features(images), label, image_id)
    auc = roc_auc_score(label, found)
    assert auc > 0.6 if sign else abs(auc - 0.5) < 0.15


def test_corners_that_tell_images_apart_say_nothing_of_a_drawn_diagnosis_for_a_fold_has_all_views():
    rng = np.random.default_rng(0)
    image = rng.permutation(np.arange(180) // 3)
    features, label = rng.normal(size=(60, 24))[image], rng.integers(0, 2, 60)[image]
    assert roc_auc_score(label, exhibits.corner_scores(features, label, image)) < 0.65


def test_the_corners_of_unturned_images_are_the_yardstick(monkeypatch):
    part, asked = pd.DataFrame({"image_id": [f"t{k}" for k in range(20)], "label": np.arange(20) % 2}), {}

    def views_of(config, part, fill, results_root):
        asked.setdefault(fill, []).append(set(config.options["views"].values()))
        row = np.repeat(np.arange(len(part)), 1 if asked[fill][-1] == {"identity"} else 4)
        return np.random.default_rng(0).uniform(size=(len(row), 16, 16, 3)), row

    monkeypatch.setattr(exhibits, "views_of", views_of)
    table = exhibits.corner_table(PROPOSED, part, ["reflection", "zeros"], "results")
    assert table["fill"].value_counts().to_dict() == {"reflection": 80, "zeros": 80, "unturned": 20}
    assert asked["reflection"][0] == {"identity"} and len(asked["reflection"]) == 2


def test_each_kind_of_network_can_be_timed():
    small = PROPOSED.replace(image_size=(32, 32), precision="fp32", options={"widths": [4, 4, 8, 8, 8, 8]})
    alone = {"variant": "cls", "backbone": "mobilenetv3_small_050", "losses": ALONE["cls"], "options": {}}
    for config in (small, small.replace(**alone), small.replace(variant="seg", losses=ALONE["seg"])):
        works = exhibits.timed_works(config, "cpu")
        assert [(name, work()) for name, work in works.items()] == [("train", None), ("predict", None)]
