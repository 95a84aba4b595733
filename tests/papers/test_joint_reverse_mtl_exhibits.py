"""The multi-task paper's exhibits from small tables whose numbers are worked out by hand."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from skinlib.evaluation.segmentation import per_image
from skinlib.exhibits.ladder import verdicts
from skinlib.exhibits.published import published
from skinlib.papers.joint_reverse_mtl import arms, shown
from skinlib.papers.joint_reverse_mtl import corners as corner_views
from skinlib.papers.joint_reverse_mtl import figures as pictures
from skinlib.papers.joint_reverse_mtl import gates as gated
from skinlib.papers.joint_reverse_mtl import models as models_of
from skinlib.papers.joint_reverse_mtl import tables as paper
from skinlib.papers.joint_reverse_mtl.corners import corner_features, corner_scores
from skinlib.papers.joint_reverse_mtl.external import external_set
from skinlib.papers.joint_reverse_mtl.gates import gates
from skinlib.papers.joint_reverse_mtl.plan import ALONE, PROPOSED
from skinlib.papers.joint_reverse_mtl.speed import REPEATS, timings

FEW = {"n_boot": 200, "seed": 0}
TIMES = 6  # eight images, so often
LABEL = np.tile([0, 0, 0, 0, 0, 0, 1, 1], TIMES)
GOOD = [0.1, 0.1, 0.2, 0.2, 0.6, 0.1, 0.9, 0.4]  # of eight: one false alarm, one melanoma missed


@dataclasses.dataclass
class Drawn:
    """A run whose scores, and of whose lesion of 8 pixels the part found, are given by hand."""

    config: object
    p: list
    found: list
    metrics: dict
    gradients: pd.DataFrame = None

    def predictions(self, view="mean"):
        p = np.tile(np.array(self.p, float), TIMES)
        columns = self._key(len(p)) | {"view": view, "label": LABEL, "p_benign": 1 - p, "p_malignant": p}
        return pd.DataFrame(columns)

    def segmentation(self, stage="raw"):
        truth = np.zeros((len(LABEL), 4, 8), bool)
        truth[:, 0] = True
        masks = truth.copy()
        for k, pixels in enumerate(self.found * (len(LABEL) // len(self.found))):
            masks[k, 0, pixels:] = False
        scores = per_image(masks, truth, [f"i{k}" for k in range(len(LABEL))])
        return pd.DataFrame(self._key(len(LABEL))).join(scores.drop(columns="image_id"))

    def _key(self, n):
        columns = {"image_id": [f"i{k}" for k in range(n)], "lesion_id": np.nan, "patient_id": np.nan}
        return columns | {"dataset": "isic2016", "split": "official", "part": "test", "seed": self.config.seed}


def run(variant="mtl0", seed=0, p=GOOD, found=(8,) * 8, seconds=10.0, **changes):
    config = PROPOSED.replace(variant=variant, seed=seed, losses=ALONE.get(variant, PROPOSED.losses), **changes)
    metrics = {"parameters": 100 + len(variant), "train_seconds": seconds, "epochs": 2, "predict_test_seconds": 1.0}
    return Drawn(config, list(p), list(found), metrics | {"images": 40})


@pytest.fixture
def runs():
    named = {"cls/resnet50/none": ("cls", {}), "cls/mobilenetv2_100/imagenet": ("cls", {"weights": "imagenet"})}
    named = {name: run(kind, **more) for name, (kind, more) in named.items()}
    named |= {"seg": run("seg", found=[8, 8, 8, 8, 8, 8, 4, 4])}
    named |= {"mtl0": run("mtl0", found=[4] * 8), "mtl2": run("mtl2"), "mtl3": run("mtl3", p=[0.1] * 6 + [0.9] * 2)}
    named |= {"mtl4/clean": run("mtl4"), "mtl4/as_published": run("mtl4", p=[0.6] * 6 + [0.9] * 2)}
    named |= {"control/shuffled": run("mtl2", found=[4] * 8), "corner/zeros": run("mtl3")}
    return {f"{name}/seed0": one for name, one in named.items()} | {"mtl3/seed1": run("mtl3", seed=1)}


def value(frame, row, metric, column="ours"):
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def benign_of(runs):
    return arms.always_benign(arms.row(runs, "cls/resnet50/none").diagnosis, PROPOSED)


def test_rows_are_the_classifiers_the_unet_and_the_steps_in_order(runs):
    rows = arms.ladder(runs)
    assert list(rows) == ["cls", "cls, mobilenetv2_100, weights imagenet", "seg", "mtl0", "mtl2", "mtl3", "mtl4"]
    assert rows["seg"].diagnosis is None and rows["cls"].outline is None
    assert arms.before(rows) == {
        "mtl0": ("cls", "seg"), "mtl2": ("mtl0", "mtl0"), "mtl3": ("mtl2", "mtl2"), "mtl4": ("mtl3", "mtl3")
    }  # fmt: skip
    assert arms.last(rows) == "mtl4" and len(rows["mtl3"].runs) == 2


def test_networks_are_paired_on_the_seeds_that_both_have(runs):
    control, against = arms.beside(runs, "mtl4/clean", "mtl3")
    assert {run.config.seed for run in (*control.runs, *against.runs)} == {0}
    assert all(len(row.runs) == 1 for row in arms.data_arms(runs).values())
    with pytest.raises(KeyError, match="no seed in common"):
        arms.beside({"a/seed0": runs["mtl0/seed0"], "b/seed1": runs["mtl3/seed1"]}, "a", "b")


def table3(runs):
    rows = {name: row for name, row in arms.ladder(runs).items() if name in ("cls", "seg", "mtl0", "mtl2")}
    benign = arms.always_benign(rows["cls"].diagnosis, PROPOSED)
    return models_of.table3(rows, benign, arms.before(rows), **FEW)


def test_table3_by_hand(runs):
    table = table3(runs)
    counts = {name: value(table, "cls", name) for name in ("tn", "fp", "fn", "tp")}
    assert counts == {"tn": 5 * TIMES, "fp": TIMES, "fn": TIMES, "tp": TIMES}
    assert value(table, "cls", "weighted_recall") == pytest.approx(6 / 8)
    assert value(table, "cls", "fp_rate") == pytest.approx(1 / 6) and value(table, "cls", "recall") == 0.5
    # F1 of benign 10/12, of melanoma 2/4, weighted 6 to 2
    assert value(table, "cls", "weighted_f1") == pytest.approx((6 * 10 / 12 + 2 * 2 / 4) / 8)
    # half a lesion found: Dice 2 * 4 / 12; six of eight images are perfect
    assert value(table, "seg", "dice") == pytest.approx((6 + 2 * 2 / 3) / 8)
    assert value(table, "seg", "dice_pooled") == pytest.approx(2 * 56 / (2 * 56 + 8))
    assert value(table, "mtl0", "iou") == 0.5 and value(table, "mtl0", "empty_predictions") == 0


def test_the_majority_class_flatters_the_weighted_recall(runs):
    table = table3(runs)
    assert value(table, "always benign", "weighted_recall") == 0.75 and value(table, "always benign", "recall") == 0
    assert value(table, "always benign", "weighted_recall") == value(table, "cls", "weighted_recall")


def test_each_step_is_compared_with_the_one_before_and_judged(runs):
    table = table3(runs)
    assert value(table, "mtl0", "dice_change") == pytest.approx(2 / 3 - (6 + 4 / 3) / 8)
    assert value(table, "mtl0", "recall_change") == 0
    assert value(table, "mtl2", "dice_change") == pytest.approx(1 / 3)
    assert verdicts(table).loc["mtl2", "dice"] == "helps" and verdicts(table).loc["mtl0", "dice"] == "harms"
    assert verdicts(table).loc["mtl0", "recall"] == "no evidence"


def test_the_published_rows_that_we_lack_stay_and_ours_meet_theirs_by_name(runs):
    theirs = set(map(tuple, published(paper.PAPER, "table3")[["row", "metric"]].to_numpy()))
    rows = arms.ladder({name: run for name, run in runs.items() if name.endswith("seed0")})
    ours = models_of.table3(rows, arms.always_benign(rows["cls"].diagnosis, PROPOSED), arms.before(rows), **FEW)
    met = theirs & set(map(tuple, ours[["row", "metric"]].to_numpy()))
    assert {row for row, _ in theirs - met} == {"mtl1"}  # these runs have none


def test_counts_of_several_seeds_are_said_to_be_means(runs):
    rows = {"mtl3": arms.row(runs, "mtl3"), "mtl2": arms.row(runs, "mtl2")}  # two seeds, and one
    cells = pd.DataFrame([one for name, row in rows.items() for one in models_of.measured(name, row, **FEW)])
    # seed 0 finds every melanoma, seed 1 one of two
    assert value(cells, "mtl3", "tp") == 1.5 * TIMES and value(cells, "mtl3", "tp", "note") == "mean over seeds"
    assert value(cells, "mtl2", "tp", "note") == "" and value(cells, "mtl3", "recall", "note") == ""


def test_the_shared_network_is_judged_against_the_two_it_would_replace(runs):
    rows = arms.ladder(runs)
    pair = arms.against_single({name: rows[name] for name in ("cls", "seg", "mtl0", "mtl2")})
    frame = models_of.controls(pair, benign_of(runs), **FEW)
    assert set(frame["row"]) == {"mtl2", "always benign"}
    assert value(frame, "mtl2", "recall_change") == 0
    assert value(frame, "mtl2", "dice_change") == pytest.approx(1 - (6 + 4 / 3) / 8)
    abroad = {"cls": rows["cls"], "seg": rows["seg"], "proposed": rows["mtl2"]}
    table = models_of.table4(abroad, benign_of(runs), **FEW)
    for metric in ("weighted_f1_change", "dice_change"):
        assert value(table, "proposed", metric) == value(frame, "mtl2", metric)
    assert "dice_change" not in set(models_of.table4({"seg": rows["seg"]}, None, **FEW)["metric"])


def test_a_network_has_one_colour_in_outlines_and_boxes(runs):
    table = arms.ladder(runs)["seg"].outline.table
    axis = pictures.boxes({"ISIC 2016": {"seg": table, "mtl3": table}}).axes[0]
    drawn = [to_hex(box.get_facecolor()) for box in axis.patches]
    assert drawn == [to_hex(pictures.LINES[name]["colors"]) for name in ("U-Net alone", "multi-task")]


def test_confusion_matrices_stand_in_lines(runs):
    rows = {name: arms.ladder(runs)[name] for name in ("cls", "mtl0", "mtl2", "mtl4")}
    figure = pictures.matrices(rows, columns=3)
    assert [axis.get_title() for axis in figure.axes] == ["cls", "mtl0", "mtl2", "mtl4", "", ""]
    assert [axis.axison for axis in figure.axes] == [True] * 4 + [False] * 2
    assert figure.axes[0].texts[0].get_text().startswith(str(5 * TIMES))
    assert [bool(axis.get_ylabel()) for axis in figure.axes[:4]] == [True, False, False, True]


def test_a_control_that_harms_is_said_to_harm(runs):
    frame = models_of.controls(arms.controls(runs), benign_of(runs), **FEW)
    assert verdicts(frame).loc["control/shuffled", "dice"] == "harms"
    assert set(frame["row"]) == {"control/shuffled", "always benign"}


def test_leaked_and_clean_melanomas_apart_by_hand(runs):
    known = [f"i{k}" for k in range(6, len(LABEL), 8)]  # the melanomas that are found
    added = pd.DataFrame({"image_id": [*known[1:], "i6@isic2017", "new", "i0"], "row": "mtl4, as published"})
    leaked = arms.leaked(runs, added)
    assert set(leaked) == set(known)  # i0 is benign in the test part
    rows = arms.data_arms(runs)
    frame = shown.mtl4_leakage(rows, {"mtl4, as published": TIMES + 2}, leaked, benign_of(runs), **FEW)
    assert value(frame, "mtl4, clean", "recall_leaked") == 1 and value(frame, "mtl4, clean", "recall_clean") == 0
    assert value(frame, "mtl4, as published", "added") == TIMES + 2
    assert value(frame, "mtl4, as published", "specificity_change") == pytest.approx(-5 / 6)
    nothing = shown.mtl4_leakage(rows, {}, np.array([], object), benign_of(runs), **FEW)
    assert np.isnan(value(nothing, "mtl3", "recall_leaked"))
    assert value(nothing, "mtl3", "recall_leaked", "note") == "no test melanoma is leaked"
    assert "recall_leaked_change" not in set(nothing["metric"])


def test_what_the_leak_does_is_a_change_between_arms_of_each_kind_of_melanoma(runs):
    leaked = np.array([f"i{k}" for k in range(7, len(LABEL), 8)], object)  # the melanomas that the clean arm misses
    frame = shown.mtl4_leakage(arms.data_arms(runs), {}, leaked, benign_of(runs), **FEW)
    assert value(frame, "mtl4, as published", "recall_leaked_change") == 1
    assert value(frame, "mtl4, as published", "recall_clean_change") == 0
    found = verdicts(frame).loc["mtl4, as published"]
    assert (found["recall_leaked"], found["recall_clean"]) == ("helps", "no evidence")
    assert value(frame, "mtl4, clean", "recall_leaked_change") == -1  # against mtl3, which finds all


def test_the_majority_class_stands_beside_the_weights_of_the_losses_and_the_literature(runs):
    runs["lambda/0.9-0.1/seed0"] = run("mtl3", **{"p": [0.1] * 8})
    runs["lambda/0.9-0.1/seed0"].config = PROPOSED.replace(losses={"dice": 0.9, "cross_entropy": 0.1})
    swept = shown.lambda_sweep(shown.sweep_rows(runs), benign_of(runs), **FEW)
    for metric in ("recall", "weighted_f1"):
        assert value(swept, "always benign", metric) == value(swept, "dice 0.9, cross entropy 0.1", metric)
    one = paper.table1({"cls": arms.ladder(runs)["cls"]}, benign_of(runs), **FEW)
    assert value(one, "ours: always benign, classification", "accuracy") == 0.75


def test_dominance_is_the_ratio_of_the_norms(runs):
    for seed, norm in ((0, 3.0), (1, 5.0)):
        rows = [(e, term, n, 0.5) for e in (0, 1, 2) for term, n in (("dice", 1.0), ("cross_entropy", norm))]
        runs[f"mtl3/seed{seed}"].gradients = pd.DataFrame(rows, columns=["epochs", "term", "norm", "cosine"])
    frame = shown.dominance(shown.gradients(runs, ["mtl3"]), dataset="isic2016")
    assert value(frame, "mtl3, early", "norm_ratio") == 4
    assert value(frame, "mtl3, early", "norm_ratio", "note").startswith("after epoch 1 of 2")  # not of 0
    assert (value(frame, "mtl3, after", "norm_ratio", "low"), value(frame, "mtl3, after", "norm_ratio", "high")) == (
        3,
        5,
    )
    assert value(frame, "mtl3, middle", "cosine") == 0.5


def corners(rng, sign):
    """Thirty images of each class seen three times; black corners where ``sign`` says so."""
    image_id = np.repeat([f"i{k:02d}" for k in range(60)], 3)
    label = np.repeat(np.arange(60) % 2, 3)
    images = rng.uniform(0.4, 0.6, (180, 20, 24, 3)).astype(np.float32)
    if sign:
        images[(label == 1) & (np.arange(180) % 3 == 0), :6, :6] = 0
    return images, label, image_id


def test_corners_are_a_shortcut_only_where_they_carry_a_sign(runs):
    rng = np.random.default_rng(0)
    found = {}
    for sign in (True, False):
        images, label, image_id = corners(rng, sign)
        score = corner_scores(corner_features(images), label, image_id)
        seen = pd.DataFrame({"image_id": image_id, "label": label, "fill": "zeros", "score": score})
        frame = shown.corner_shortcut(seen, {}, benign_of(runs), dataset="d", **FEW)
        found[sign] = value(frame, "corners alone, zeros", "roc_auc")
    assert found[True] > 0.6 and abs(found[False] - 0.5) < 0.15


def test_fillings_are_compared_with_reflection(runs):
    ids, label = [f"t{k}" for k in range(20)], np.arange(20) % 2
    seen = pd.DataFrame({"image_id": ids, "label": label, "fill": "zeros", "score": 0.2 + 0.6 * label})
    frame = shown.corner_shortcut(seen, arms.fillings(runs), benign_of(runs), dataset="isic2016", **FEW)
    assert value(frame, "always benign", "specificity") == 1
    assert value(frame, "network, zeros", "recall_change") == -0.5  # reflection finds both melanomas, zeros one
    assert "network, reflection" not in set(frame.loc[frame["metric"].str.endswith("_change"), "row"])


def test_a_longer_trained_unet_is_paired_with_the_ladders_on_common_seeds(runs):
    runs |= {"seg/seed1": run("seg", seed=1)}
    runs |= {"longer/seg/64px-80/seed0": run("seg", image_size=(64, 96), keep="last", precision="fp32")}
    even = {"views": {"benign": "right_angles", "malignant": "right_angles"}}
    runs |= {"longer/seg/64px-80-right_angles/seed0": run("seg", options=even)}
    runs |= {"longer/seg/64px-800/seed0": run("seg", image_size=(64, 96))}
    rows = arms.longer(runs)
    wanted = ["seg", "seg/64px-80", "seg/64px-80-right_angles", "seg/64px-800"]
    assert list(rows) == wanted and len(rows["seg"].runs) == 1
    table = models_of.longer(rows, **FEW)
    # two of eight outlines of the ladder's U-Net have Dice 2/3, all of the longer trained one 1
    assert value(table, "seg/64px-80", "dice_change") == pytest.approx(2 / 8 / 3)
    assert verdicts(table).loc["seg/64px-80", "dice"] == "helps"
    assert value(table, "seg/64px-80-right_angles", "dice_change") == 0  # against the one whose name it continues
    assert value(table, "seg/64px-800", "dice_change") > 0  # 800 visits do not continue the name of 80
    trained = "40 visits at 64 x 96, more views of melanomas, rate 0.003 to 0.0003, fp32; last epoch"
    assert trained in value(table, "seg/64px-80", "dice", "note")
    assert "as many views of each image" in value(table, "seg/64px-80-right_angles", "dice", "note")
    assert "epoch of the lowest validation loss" in value(table, "seg", "dice", "note")


def test_cases_are_the_best_the_median_and_the_worst():
    found = [8] + [6] * 22 + [5, 4] + [3] * 22 + [1]  # of 48: the best first, the worst last
    cases = pictures.cases(arms.row({"seg/seed0": run("seg", found=found)}, "seg"), each=1)
    assert dict(zip(cases["case"], cases["image_id"], strict=True)) == {
        "best 1": "i0", "median 1": "i23", "worst 1": "i47"
    }  # fmt: skip


def test_one_network_against_two_by_hand(runs):
    speed = {"cls": (30, 10), "seg": (10, 20), "mtl3": (20, 60)}  # milliseconds an image: a step, a prediction
    rows = [
        (name, work, images, repeat, slow * each * images, "here")
        for repeat, slow in ((1, 1), (2, 3), (3, 2))  # the machine is busy in the second repeat: the ratios stay
        for name, both in speed.items()
        for work, images, each in zip(("train", "predict"), (10, 64), both, strict=True)
    ]
    timed = pd.DataFrame(rows, columns=["network", "work", "images", "repeat", "milliseconds", "machine"])
    frame = paper.cost(arms.ladder(runs), timed)
    assert value(frame, "cls", "train_seconds") == pytest.approx(2 * 0.030 * 20)  # 40 visits in two epochs
    assert value(frame, "cls", "train_seconds", "high") == pytest.approx(3 * 0.030 * 20)
    assert value(frame, paper.SINGLE, "predict_seconds") == pytest.approx(2 * 0.030 * len(LABEL))
    for column in ("ours", "low", "high"):
        assert value(frame, "mtl3", "train_seconds_ratio", column) == pytest.approx(0.5)
        assert value(frame, "mtl3", "predict_seconds_ratio", column) == pytest.approx(2)
    assert value(frame, "mtl3", "parameters_ratio") == pytest.approx(104 / 206)


def test_networks_are_timed_in_turn():
    small = PROPOSED.replace(image_size=(32, 32), precision="fp32", options={"widths": [4, 4, 8, 8, 8, 8]})
    alone = {"variant": "cls", "backbone": "mobilenetv3_small_050", "losses": ALONE["cls"], "options": {}}
    found = timings({"cls": small.replace(**alone), "mtl3": small}, device="cpu")
    turns = list(zip(found["repeat"], found["network"], found["work"], strict=True))
    assert turns == [
        (k, name, work) for k in range(1, REPEATS + 1) for name in ("cls", "mtl3") for work in ("train", "predict")
    ]
    assert (found["milliseconds"] > 0).all() and set(found["images"]) == {10, 64}
    assert found["machine"].iloc[0].endswith("mobilenetv3_small_050, 32 x 32 px, fp32")


def test_claims_carry_our_cells_and_leave_the_external_set_open(runs):
    theirs = set(map(tuple, published(paper.PAPER, "claims")[["row", "metric"]].to_numpy()))
    about = {"n": 8, "dataset": "isic2016", "split": "official", "note": "below 1"}
    rows = [("mtl3", f"{work}_seconds_ratio", value) for work, value in (("train", 0.8), ("predict", 0.9))]
    timed = pd.DataFrame([{"row": row, "metric": metric, "ours": ours} | about for row, metric, ours in rows])
    good = pd.DataFrame([{"row": "mtl4", "metric": "share", "ours": 0.7} | about])
    frame = paper.claims(table3(runs), pd.DataFrame(columns=["row", "metric", "ours"]), timed, good)
    assert value(frame, "training", "seconds") == 0.8 and value(frame, "inference", "seconds") == 0.9
    assert value(frame, "most test images", "dice_above") == 0.7
    assert value(frame, "seg, section 4.1", "dice") == value(table3(runs), "seg", "dice")
    assert not frame["row"].str.contains("ph2").any()
    assert set(map(tuple, frame[["row", "metric"]].to_numpy())) <= theirs


def test_quoted_rows_stay_empty_with_a_reason(runs):
    rows = arms.ladder(runs)
    five = paper.table5({"Proposed MTL": rows["mtl4"]}, arms.always_benign(rows["cls"].diagnosis, PROPOSED), **FEW)
    assert value(five, "Proposed MTL", "recall") == 0.5
    assert value(five, "MTL [47]", "recall", "note") == paper.QUOTED
    one = paper.table1({"seg": rows["seg"]}, benign_of(runs), **FEW)
    assert value(one, "ours: seg, segmentation", "recall") == pytest.approx((6 + 2 * 0.5) / 8)


def test_views_are_counted_by_hand():
    cohort = pd.DataFrame({"dataset": "isic2016", "official_split": ["train"] * 3 + ["test"] * 2})
    cohort["diagnosis"] = ["benign", "benign", "malignant", "benign", "malignant"]
    frame = paper.table2(cohort, {"benign": "right_angles", "malignant": "octagon"})
    assert value(frame, "isic2016 train, augmented", "n") == 2 * 4 + 16
    assert value(frame, "isic2016, augmented", "n") == 24 + 2 and value(frame, "isic2016", "n") == 5
    assert "ph2" not in set(frame["row"])


def test_gates_are_compared_with_the_trained_one():
    first, second = (run("mtl2", found=[k] * 8).segmentation() for k in (8, 4))
    frame = gates(pd.concat([first.assign(gate="sigmoid"), second.assign(gate="ones")]), **FEW)
    assert value(frame, "gate sigmoid", "dice") == 1
    assert value(frame, "gate ones", "dice_change") == pytest.approx(-1 / 3)
    assert "harms" in value(frame, "gate ones", "dice_change", "note")


def test_gates_of_several_seeds_are_drawn_together():
    tables = [
        run("mtl2", seed, found=[pixels] * 8).segmentation().assign(gate=gate)
        for seed, ones in ((0, 4), (1, 8))
        for gate, pixels in (("sigmoid", 8), ("ones", ones))
    ]
    frame = gates(pd.concat(tables), **FEW)
    assert value(frame, "gate ones", "dice_change") == pytest.approx(-1 / 6)
    assert "no evidence" in value(frame, "gate ones", "dice_change", "note")  # one seed of two does not mind


def test_gates_are_those_of_drawn_neighbours_and_scores_stay_with_their_images(monkeypatch):
    trained, asked = run("mtl2", found=[4] * 8), []
    trained.model = types.SimpleNamespace
    truth = np.zeros((len(LABEL), 4, 8), np.uint8)
    truth[np.arange(len(LABEL)), np.arange(len(LABEL)) % 4] = 1
    cache = types.SimpleNamespace(masks=truth)
    seen = types.SimpleNamespace(cache=cache, rows=np.arange(len(LABEL)))
    monkeypatch.setattr(gated, "batches_of", lambda *args, **options: seen)

    def outputs(model, batches, **options):
        asked.append(model.gate)
        return types.SimpleNamespace(masks=batches.cache.masks[batches.rows] > 0)

    monkeypatch.setattr(gated, "outputs", outputs)
    test = trained.predictions()[["image_id", "dataset", "label"]].assign(mask_path="m.png")
    without = test.tail(1).assign(image_id="unmasked", mask_path=None)
    found = gated.gate_scores([trained], pd.concat([without, test]))
    assert asked == ["shuffled", "ones"] and list(dict.fromkeys(found["gate"])) == ["sigmoid", *asked]
    mine = found[found["gate"] == "shuffled"]
    assert set(mine["image_id"]) == set(test["image_id"]) and list(mine["image_id"]) != list(test["image_id"])
    assert (mine["dice"] == 1).all()
    kept = found[found["gate"] == "sigmoid"]
    assert kept["dice"].to_numpy() == pytest.approx(2 / 3)  # as stored with the run


def test_the_corners_of_unturned_images_are_the_yardstick(monkeypatch):
    part = pd.DataFrame({"image_id": [f"t{k}" for k in range(20)], "label": np.arange(20) % 2})
    asked = {}

    def views_of(config, part, fill, results_root):
        asked.setdefault(fill, []).append(set(config.options["views"].values()))
        row = np.repeat(np.arange(len(part)), 1 if asked[fill][-1] == {"identity"} else 4)
        return np.random.default_rng(0).uniform(size=(len(row), 16, 16, 3)), row

    monkeypatch.setattr(corner_views, "views_of", views_of)
    table = corner_views.corner_table(PROPOSED, part, ["reflection", "zeros"], "results")
    assert table["fill"].value_counts().to_dict() == {"reflection": 80, "zeros": 80, "unturned": 20}
    assert asked["reflection"][0] == {"identity"} and len(asked["reflection"]) == 2


def test_without_ph2_the_reason_is_said(tmp_path):
    cohort, said = external_set(tmp_path)
    assert cohort is None and "ph2/" in said and said.startswith("not run")


def test_outlines_of_another_size_and_empty_ones_can_be_drawn():
    image, mask = np.full((48, 64, 3), 120, np.uint8), np.zeros((12, 16), bool)
    mask[3:8, 4:9] = True
    one = {"image": image, "title": "t", "lines": {"truth": mask, "multi-task": ~mask & False, "U-Net alone": mask}}
    figure = pictures.outlines([one], columns=1)
    drawn = figure.axes[0].collections
    assert len(drawn) == 2  # the empty one has no line
    low, high = drawn[0].get_paths()[0].get_extents().get_points()
    assert low == pytest.approx([4 * 4 - 0.5, 3 * 4 - 0.5], abs=2.1) and high == pytest.approx([9 * 4, 8 * 4], abs=2.6)
