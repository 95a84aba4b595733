"""The metadata paper's exhibits from small tables whose numbers are worked out by hand."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from skinlib import models
from skinlib.data import clinical
from skinlib.data.cards import class_names
from skinlib.evaluation.metrics import confusion
from skinlib.exhibits.ladder import verdicts
from skinlib.exhibits.published import published
from skinlib.figures.flow import trace
from skinlib.papers.metadata_sr import ablation as parts_of
from skinlib.papers.metadata_sr import arms, data, shown
from skinlib.papers.metadata_sr import claims as sentences
from skinlib.papers.metadata_sr import figures as pictures
from skinlib.papers.metadata_sr import tables as paper
from skinlib.papers.metadata_sr.plan import DEFAULT, PROPOSED

FEW, ENOUGH = {"n_boot": 50, "seed": 0}, {"n_boot": 400, "seed": 0}  # the second where a verdict is asked for
CLASSES = class_names("pad_ufes_20")
LABEL = np.tile(np.arange(6), 8)  # eight images a class: one melanoma is worth 1/48 of balanced accuracy
RIGHT = list(LABEL)
PHI = "mobilenetv2_100/imagenet"


def wrong(**places):
    """The calls of a classifier that is right but for some images: true class -> (how many, class called instead)."""
    calls = np.array(LABEL)
    for true, (n, called) in places.items():
        calls[np.flatnonzero(LABEL == CLASSES.index(true))[:n]] = CLASSES.index(called)
    return list(calls)


@dataclasses.dataclass
class Drawn:
    """A run whose calls are given by hand."""

    config: object
    calls: list
    metrics: dict

    def predictions(self, view="mean"):
        p = np.full((len(LABEL), 6), 0.06)
        p[np.arange(len(LABEL)), self.calls] = 0.7
        ids = [f"i{k}-{self.config.split_seed}" for k in range(len(LABEL))]
        columns = {"image_id": ids, "lesion_id": np.nan, "patient_id": ids, "dataset": "pad_ufes_20"}
        columns |= {"split": "patient", "part": "test", "seed": self.config.seed, "view": view, "label": LABEL}
        return pd.DataFrame(columns | {f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)})


def run(calls=RIGHT, split=0, seed=0, seconds=8.0, **changes):
    metrics = {"parameters": 100, "train_seconds": seconds, "epochs": 4, "predict_test_seconds": 1.0}
    return Drawn(PROPOSED.replace(split_seed=split, seed=seed, **changes), list(calls), metrics)


@pytest.fixture
def runs():
    """Two splits of the main rows, one of what stands beside; the proposed network is always right."""
    weak = wrong(MEL=(8, "NEV"), BCC=(8, "SCC"))
    main = {"image": weak, "pundhir": wrong(MEL=(1, "NEV")), "without": wrong(MEL=(3, "NEV"), SCC=(3, "BCC"))}
    main |= {"metablock": RIGHT, "proposed": RIGHT}
    named = {f"{name}/{PHI}/{DEFAULT}": calls for name, calls in main.items()}
    named |= {f"own/metablock/{PHI}/{DEFAULT}": RIGHT, f"plain/image/{PHI}/{DEFAULT}": RIGHT}
    named |= {f"metadata/{DEFAULT}": weak}
    found = {f"{name}/split{k}/seed0": run(calls, split=k) for name, calls in named.items() for k in (0, 1)}
    side = {f"control/self/{PHI}": RIGHT, f"control/native/{PHI}": weak, f"target/bicubic/{PHI}": weak}
    side |= {f"proposed/{PHI}/image/sixth": RIGHT}
    found |= {f"{name}/split0/seed0": run(calls) for name, calls in side.items()}
    return found | {f"leak/image/{arm}/seed0": run(calls) for arm, calls in (("leaky", RIGHT), ("clean", weak))}


@pytest.fixture
def tested(runs):
    return arms.tested(runs)


def value(frame, row, metric, column="ours"):
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def test_a_split_and_seed_is_a_unit_and_names_lose_both(runs, tested):
    assert arms.stem("leak/image/clean/seed0") == "leak/image/clean" and arms.stem("a/b/split3/seed12") == "a/b"
    assert arms.units(tested[f"proposed/{PHI}/{DEFAULT}"]) == {0, 1000}
    assert arms.unit(PROPOSED.replace(split_seed=2, seed=1)) == 2001
    assert arms.backbones(tested) == [PHI]
    assert arms.method(f"proposed/{PHI}/{DEFAULT}") == "proposed"
    assert arms.method(f"own/metablock/{PHI}/{DEFAULT}") == arms.method(f"proposed/{PHI}/image/sixth") == ""
    assert len(arms.members(runs, f"proposed/{PHI}/{DEFAULT}")) == 2


def test_rows_are_means_over_splits_and_nothing_is_pooled():
    """Two splits, ordered perfectly each, with scores on other scales: pooled AUC would be below 1."""
    half = pd.concat([run(split=k).predictions().assign(seed=1000 * k) for k in (0, 1)], ignore_index=True)
    half.loc[half["seed"] == 1000, [f"p_{c}" for c in CLASSES]] = 1 / 6 + 0.001 * np.eye(6)[np.array(LABEL)] - 0.001 / 6
    half.loc[half["seed"] == 0, [f"p_{c}" for c in CLASSES]] = 0.5 * np.eye(6)[np.array(LABEL)] + 0.5 / 6
    half.loc[half.index[0], [f"p_{c}" for c in CLASSES]] = [0.1, 0.9, 0, 0, 0, 0]  # one error in split 0
    cells = {one["metric"]: one for one in arms.measured("x", half, **FEW)}
    assert cells["accuracy"]["ours"] == pytest.approx((47 / 48 + 1) / 2)
    assert cells["roc_auc"]["note"] == "mean of 2 splits and seeds" and cells["accuracy"]["n"] == 96
    each = arms.by_unit({"x": half}).set_index("split")
    assert each.loc[0, "accuracy"] == pytest.approx(47 / 48) and each.loc[1, "roc_auc"] == 1


def test_runs_without_a_common_split_cannot_be_paired(tested):
    a, b = (arms.of_units(tested[f"proposed/{PHI}/{DEFAULT}"], {unit}) for unit in (0, 1000))
    with pytest.raises(ValueError, match="no split and seed in common"):
        arms.in_common(a, b)


def test_table1_by_hand(tested):
    probes = {"Probe: symptoms alone": tested[f"metadata/{DEFAULT}"]}
    table = paper.table1(tested, probes, **ENOUGH)
    assert value(table, "No metadata, MobileNet-V2", "balanced_accuracy") == pytest.approx(4 / 6)
    assert value(table, "Visual, MobileNet-V2", "balanced_accuracy") == pytest.approx(1 - 1 / 48)
    assert "description only" in value(table, "Visual, MobileNet-V2", "accuracy", "note")
    change = "balanced_accuracy_change"
    assert value(table, "Proposed - No metadata, MobileNet-V2", change) == pytest.approx(2 / 6)
    assert "helps" in value(table, "Proposed - No metadata, MobileNet-V2", change, "note")
    assert value(table, "MetaBlock, its own recipe - the paper's, MobileNet-V2", change) == 0
    assert value(table, "No metadata, a plain recipe - the paper's, MobileNet-V2", change) == pytest.approx(2 / 6)
    assert value(table, "Proposed - No metadata by a plain recipe, MobileNet-V2", change) == 0
    assert "AdamW" in value(table, "No metadata by a plain recipe, MobileNet-V2", "accuracy", "note")
    assert value(table, "Metadata alone, the images' rows", "accuracy") == pytest.approx(4 / 6)
    assert value(table, "Probe: symptoms alone", "accuracy", "note").startswith("random forest")
    within = paper.table1(tested | {f"plain/proposed/{PHI}/{DEFAULT}": tested[f"image/{PHI}/{DEFAULT}"]}, **FEW)
    row = "No metadata by a plain recipe, MobileNet-V2"
    assert value(within, f"Proposed by a plain recipe - {row}", change) == pytest.approx(-2 / 6)
    assert f"Proposed - {row}" not in set(within["row"])
    lone = paper.table1(
        {name: tested[name] for name in (f"pundhir/{PHI}/{DEFAULT}", f"plain/image/{PHI}/{DEFAULT}")}, **FEW
    )
    assert {name for name in lone["row"] if "recipe" in name} == {row}  # nothing to pair it with


def test_only_the_papers_backbone_with_its_weights_meets_a_published_row():
    theirs = set(published(arms.PAPER, "table1")["row"])
    assert {arms.named(arms.WORDS[name], PHI) for name in arms.WORDS if name != "without"} <= theirs
    assert arms.named("Proposed", "resnet50/none") == "Proposed, ResNet-50, from scratch" not in theirs


def test_table2_prints_the_recall_three_times(tested):
    table = paper.table2(tested[f"without/{PHI}/{DEFAULT}"], **FEW)
    for metric in ("recall", "sensitivity", "accuracy"):
        assert value(table, "MEL", metric) == pytest.approx(5 / 8)
    assert value(table, "NEV", "precision") == pytest.approx(8 / 11)
    assert value(table, "NEV", "specificity") == pytest.approx(37 / 40)
    theirs = published(arms.PAPER, "table2")[["row", "metric"]]
    assert len(table.merge(theirs, on=["row", "metric"])) == len(theirs) == len(table)


def test_confusion_counts_are_means_over_splits(tested):
    table = tested[f"without/{PHI}/{DEFAULT}"]
    frame = paper.fig3(table)
    assert value(frame, "MEL", "n") == 8 and value(frame, "MEL", "called_NEV") == 3
    assert value(frame, "SCC", "called_SCC") == 5 and int(confusion(table).loc["MEL", "NEV"]) == 6
    assert len(pictures.matrix(table).axes) == 1


def test_roc_of_each_class_is_the_mean_of_the_splits_curves(tested):
    perfect, weak = (tested[f"{name}/{PHI}/{DEFAULT}"] for name in ("proposed", "image"))
    frame = paper.fig4({"Proposed": perfect, "No metadata": weak}, **FEW)
    assert value(frame, "MEL", "roc_auc") == 1
    # no melanoma is called: all eight share the low score with the 40 others
    assert value(frame, "MEL, No metadata", "roc_auc") == pytest.approx(0.5)
    assert (pictures.mean_roc(perfect, "MEL") == 1).all()
    both = pd.concat([arms.of_units(perfect, {0}), arms.of_units(weak, {1000})], ignore_index=True)
    assert pictures.mean_roc(both, "MEL")[0] == 0.5 and pictures.mean_roc(both, "MEL")[-1] == 1
    assert len(pictures.rocs({"Proposed": perfect, "No metadata": weak}, frame).axes) == 6


TIMED = pd.DataFrame({"repeat": [0, 0, 1, 1, 2, 2], "step": ["image", "network"] * 3, "machine": "1 threads"})
TIMED = TIMED.assign(milliseconds=[10.0, 20.0, 10.0, 40.0, 20.0, 30.0])


def test_claims_by_hand(tested):
    frame = sentences.claims(tested, TIMED, **FEW)
    assert value(frame, "proposed", "balanced_accuracy") == 1
    assert value(frame, "proposed - Visual [14]", "balanced_accuracy") == pytest.approx(1 / 48)
    assert value(frame, "super-resolution", "effect") == pytest.approx(6 / 48)
    # 52 melanomas, a sixth of them: 9; 0.832 - 0.806
    assert value(frame, "one melanoma, the paper's test part", "balanced_accuracy") == pytest.approx(1 / 54)
    assert value(frame, "gain in melanomas, the paper's test part", "melanomas") == pytest.approx(1.4, abs=0.01)
    assert value(frame, "gain in melanomas, ours", "melanomas") == pytest.approx(1)
    assert value(frame, "every class", "specificity_above") == 1
    assert value(frame, "one image with metadata", "seconds") == pytest.approx(0.05)
    assert value(frame, "one image with metadata, image", "seconds") == pytest.approx(0.01)


def test_outperforms_counts_what_is_not_ahead(tested):
    frame = sentences.claims(tested, TIMED, **FEW)
    note = value(frame, "all backbones", "outperforms", "note")  # MetaBlock is as good: three metrics not ahead
    assert value(frame, "all backbones", "outperforms") == pytest.approx(1 - 3 / 9)
    assert "balanced_accuracy of MetaBlock, MobileNet-V2" in note and "No metadata" not in note


def test_the_share_of_errors_between_two_classes_and_the_weakest_class(tested):
    calls = wrong(BCC=(3, "SCC"), ACK=(2, "SEK"))
    table = arms.tested({"x/split0/seed0": run(calls)})["x"]
    assert sentences.confused(table)(table) == pytest.approx(3 / 5)
    few = {name: one for name, one in tested.items() if not name.startswith("proposed")}
    few[f"proposed/{PHI}/{DEFAULT}"] = table
    frame = sentences.claims(few | {f"image/{PHI}/{DEFAULT}": table}, TIMED, **FEW)
    assert value(frame, "every class but SCC", "recall_above") == pytest.approx(5 / 8)
    assert value(frame, "every class but SCC", "recall_above", "note") == "the least, of BCC"
    assert value(frame, "every class", "specificity_above") == pytest.approx(37 / 40)


def test_a_test_part_without_melanoma_says_so(tested):
    table = tested[f"proposed/{PHI}/{DEFAULT}"]
    cells = pd.DataFrame(sentences.melanomas(table[table["label"] != CLASSES.index("MEL")], 0.1))
    assert np.isnan(value(cells, "one melanoma, ours", "balanced_accuracy"))
    assert value(cells, "gain in melanomas, ours", "melanomas", "note") == "no melanoma in the test part"


def test_the_papers_contradictions_follow_from_its_numbers():
    found = sentences.contradictions().set_index("what")
    assert found.loc["best roc_auc of MobileNet-V2", ["says", "says there"]].to_list() == [0.953, 0.954]
    assert set(found.index[found.index.str.startswith("best")]) == {"best roc_auc of MobileNet-V2"}
    assert {f"accuracy of {code}" for code in CLASSES} <= set(found.index)  # a tenth of the images fits none
    assert found.loc["metrics of Table 2 that are the recall", "another place"] == "equal in 6 classes"


def test_cost_by_hand(runs, monkeypatch):
    monkeypatch.setattr(paper, "machine", lambda run: "one")
    runs[f"proposed/{PHI}/{DEFAULT}/split0/seed0"].metrics |= {"train_seconds": 24.0}
    rows = {"without the task": f"without/{PHI}/{DEFAULT}", "proposed": f"proposed/{PHI}/{DEFAULT}"}
    frame = paper.cost(runs, rows)
    assert value(frame, "proposed", "train_seconds") == pytest.approx((6 + 2) / 2)
    assert value(frame, "proposed", "train_seconds_ratio") == pytest.approx(2)
    assert "without the task" not in set(frame.loc[frame["metric"].str.endswith("_ratio"), "row"])


def test_ablation_by_hand_and_its_two_kinds_of_verdict(tested):
    frame = parts_of.ablation(tested, **ENOUGH)
    found = verdicts(frame)
    change = "balanced_accuracy_change"
    assert value(frame, "without the task", change) == pytest.approx(-6 / 48)
    assert found.loc["without the task", "balanced_accuracy"] == "harms"
    assert value(frame, parts_of.TASK, change) == pytest.approx(6 / 48)
    assert found.loc[parts_of.TASK, "balanced_accuracy"] == "helps"
    assert value(frame, parts_of.BEYOND, change) == 0
    said = "split 0 of split 0, 1; every resample alike: too few rows, or nothing to vary"
    assert value(frame, "a decoder that redraws the input", "balanced_accuracy", "note") == said
    assert "the task beside concatenation" not in set(frame["row"])
    assert parts_of.answer(found) == "an auxiliary decoder helps, its target is open (balanced_accuracy)"


@pytest.mark.parametrize(
    ("task", "beyond", "words"),
    [
        ("helps", "helps", "super-resolution helps"),
        ("helps", "no evidence", "an auxiliary decoder helps"),
        ("no evidence", "helps", "no evidence: balanced_accuracy with the task against without it"),
        ("harms", None, "harms: "),
        ("helps", None, "was not asked in this profile"),
        (None, "helps", "not asked: the profile trains no run without the task"),
    ],
)
def test_super_resolution_helps_only_if_it_beats_a_decoder(task, beyond, words):
    rows = {row: said for row, said in ((parts_of.TASK, task), (parts_of.BEYOND, beyond)) if said}
    assert words in parts_of.answer(pd.DataFrame({"balanced_accuracy": rows}))


def test_ablation_rows_are_the_published_ones():
    theirs = set(published(arms.PAPER, "ablation")["row"])
    assert {"without the task", *parts_of.CONTROLS} == theirs


def test_targets_are_compared_on_the_splits_that_all_have(tested):
    frame = parts_of.table3(tested, **FEW)
    assert value(frame, "Bilinear", "accuracy", "n") == value(frame, "Bicubic", "accuracy", "n") == len(LABEL)
    assert value(frame, "Bicubic", "accuracy_change") == pytest.approx(-2 / 6)
    assert {"Bilinear", *parts_of.TARGETS.values()} - {"NinaSR, trained here"} == set(
        published(arms.PAPER, "table3")["row"]
    )


def test_protocols_leave_out_what_has_one_only(tested):
    mates = pd.DataFrame({"protocol": ["patient/sixth", "image/sixth"], "mates": [0, 12], "n": [30, 30]})
    frame = parts_of.protocols(tested, mates.assign(dataset="pad_ufes_20"), **FEW)
    assert set(frame["row"]) == {"Proposed, patient/sixth", "Proposed, image/sixth", "patient/sixth", "image/sixth"}
    assert value(frame, "image/sixth", "share_with_mates") == pytest.approx(0.4)
    assert value(frame, "Proposed, patient/sixth", "accuracy", "n") == len(LABEL)  # the split that both have


def test_the_leak_is_the_difference_on_the_same_images(tested):
    frame = parts_of.leakage(tested, **ENOUGH)
    assert value(frame, "leaky - clean", "balanced_accuracy_change") == pytest.approx(2 / 6)
    assert verdicts(frame).loc["leaky - clean", "balanced_accuracy"] == "helps"
    assert (
        value(frame, "clean", "accuracy", "note")
        == "No metadata; every resample alike: too few rows, or nothing to vary"
    )
    empty = parts_of.leakage({name: one for name, one in tested.items() if "leak" not in name}, **FEW)
    assert len(empty) == 0 and list(empty) == ["row", "metric", "ours"]


ON_A_LINE = pd.DataFrame(
    {
        "image_id": list("abcde"),
        "patient_id": ["1", "1", "2", "3", "4"],
        "diagnosis": ["BCC", "BCC", "BCC", "SCC", "SCC"],
    }
)
PLACES = np.array([[0.0], [1.0], [4.0], [6.0], [20.0]])


def test_neighbours_are_other_patients_images():
    near = data.neighbours(ON_A_LINE, PLACES).set_index("image_id")
    assert near.loc["a", "own"] == "c" and near.loc["a", "d_own"] == 4  # b is the same patient
    assert near.loc["c", "other"] == "d" and near.loc["c", "other_diagnosis"] == "SCC"
    assert near.loc["c", "far"] == "a" and near.loc["d", "d_far"] == 14
    frame = data.fig1(near.reset_index(), dataset="pad_ufes_20")
    assert value(frame, "BCC", "nearest_is_another_class") == pytest.approx(1 / 3)  # c alone: 2 < 3
    assert value(frame, "SCC", "nearest_is_another_class") == 0.5  # d: 2 < 14; e: 16 > 14
    chosen = data.alike(near.reset_index(), (("BCC", "SCC"), ("NEV", "MEL")))
    assert chosen[["first", "second"]].to_numpy().tolist() == [["c", "d"], ["a", "c"]]


def test_imputation_is_the_mean_over_splits_weighted_by_answers():
    rows = [("age", "frequent", 4.0, 30), ("age", "frequent", 8.0, 10), ("age", "autoencoder", 2.0, 40)]
    errors = pd.DataFrame(rows, columns=["question", "method", "error", "n"])
    errors = errors.assign(pattern="alone", metric="mean_absolute_error", dataset="pad_ufes_20", split="patient")
    frame = data.imputation(errors)
    assert value(frame, "age, alone", "mean_absolute_error_frequent") == pytest.approx(5)
    assert value(frame, "age, alone", "mean_absolute_error_frequent", "high") == 8
    assert np.isnan(value(frame, "age, alone", "mean_absolute_error_autoencoder", "high"))
    assert data.won(errors).loc[("alone", "autoencoder")].to_dict() == {"better": 1, "equal": 0, "worse": 0}
    assert len(pictures.imputation(errors).axes) == 1


def test_probes_carry_the_published_names(tested):
    table = tested[f"metadata/{DEFAULT}"].assign(sees="asked", kind="forest")
    rows = data.probes_by_row(pd.concat([table, table.assign(kind="logistic"), table.assign(sees="symptoms")]))
    assert list(rows) == ["which questions were asked", "which questions were asked, logistic", "symptoms alone"]
    assert set(published(arms.PAPER, "probes")["row"]) <= set(data.PROBES.values())
    frame = data.probes(rows, {"network": table}, **FEW)
    assert value(frame, "symptoms alone", "balanced_accuracy") == pytest.approx(4 / 6)


def answers():
    """Six patients, a diagnosis each; the first was asked nothing."""
    names = {"gender": "sex", "region": "site", "fitspatrick": "skin_type"}
    columns = {names.get(q, q): [None] + ["True"] * 5 if not levels or "True" in levels else [None] + [levels[0]] * 5
               for q, levels in clinical.questions().items()}  # fmt: skip
    for number in ("age", "diameter_1", "diameter_2"):
        columns[number] = [np.nan] + [5.0] * 5
    fixed = {"image_id": list("abcdef"), "diagnosis": list(CLASSES), "dataset": "pad_ufes_20", "answered_unknown": ""}
    return pd.DataFrame(columns | fixed | {"spelt_brasil": "", "biopsed": [False, True, True, False, True, False]})


def test_blanks_and_biopsies_by_diagnosis():
    cohort = answers()
    asked = data.asked(cohort)
    assert list(asked.columns) == list(CLASSES) and (asked["ACK"] == 0).all() and (asked["MEL"] == 1).all()
    assert data.biopsied(cohort).loc["biopsed"].to_list() == [0, 1, 1, 0, 1, 0]


def test_settings_count_the_images_at_hand():
    cohort = pd.DataFrame({"diagnosis": ["MEL", "MEL", "NEV"], "at_hand": [1, 0, 1]})
    frame = paper.settings(cohort, PROPOSED)
    assert value(frame, "data", "images") == 2 and value(frame, "data, MEL", "images") == 1
    assert value(frame, "metadata", "columns_literature") == 81 and value(frame, "metadata", "columns_cleaned") == 80
    theirs = published(arms.PAPER, "settings").dropna(subset="published").set_index(["row", "metric"])["published"]
    mine = frame.set_index(["row", "metric"])["ours"]
    same = theirs.index.intersection(mine.index)
    differ = {key for key in same if mine[key] != pytest.approx(theirs[key])}
    assert {key for key in differ if key[0] not in ("data",) and "images" not in key} == set()


def test_psnr_and_cases():
    image = torch.zeros(2, 3, 4, 4)
    assert shown.psnr(image + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1), image).tolist() == pytest.approx([20, 40])
    table = pd.DataFrame({"image_id": list("abcd"), "psnr": [10.0, 30.0, 20.0, 30.0]})
    assert shown.cases(table) == {"best": "b", "median": "c", "worst": "a"}


def test_superresolution_means_by_hand_and_says_what_has_no_value():
    table = pd.DataFrame({"row": ["proposed"] * 4 + ["self"] * 4, "psnr": [20.0, 30.0, 20.0, 30.0] * 2})
    table = table.assign(psnr_bilinear=[50.0] * 4 + [np.nan] * 4, image_id=list("abcdabcd"), dataset="pad_ufes_20")
    frame = shown.superresolution(table.assign(patient_id=table["image_id"], split="patient"), **FEW)
    assert value(frame, "proposed", "psnr") == 25 and value(frame, "self", "psnr_bilinear", "note") != ""


def test_runs_that_need_a_network_that_is_not_at_hand_are_named(monkeypatch):
    monkeypatch.delenv("SKINLIB_WEIGHTS", raising=False)
    plan = {name: PROPOSED.replace(options={"target": name}) for name in ("bilinear", "edsr", "ninasr_here")}
    lacking = shown.without_weights(plan | {"without": PROPOSED.replace(options={})})
    assert list(lacking) == ["edsr"] and "edsr_baseline_x2.safetensors" in lacking["edsr"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of an untrained small network, on three pictures."""
    folder = tmp_path_factory.mktemp("results")
    cohort = answers().iloc[:3].assign(mask_path=None, label=[0, 1, 2], patient_id=list("123"), lesion_id=list("123"))
    for k, name in enumerate(cohort["image_id"]):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    cohort["image_path"] = [str(folder / f"{name}.png") for name in cohort["image_id"]]
    config = PROPOSED.replace(backbone="test_resnet", weights="none", image_size=(32, 32))
    model = models.build(config).eval()
    return types.SimpleNamespace(config=config, path=folder / "runs" / "x", model=lambda: model), cohort


def test_a_network_redraws_chosen_images(small):
    run, cohort = small
    table, drawn = shown.redraw(run, cohort, {"a", "c"}, keep={"c"})
    assert table["image_id"].to_list() == ["a", "c"] and set(drawn) == {"c"}
    sides = {name: image.shape for name, image in drawn["c"].items()}
    assert sides == {"input": (32, 32, 3), "target": (64, 64, 3), "drawn": (64, 64, 3)}
    error = np.mean((drawn["c"]["target"] - drawn["c"]["drawn"]) ** 2)
    assert table["psnr"].iloc[1] == pytest.approx(-10 * np.log10(error), abs=1e-4)
    assert (table["psnr_bilinear"] == 120).all()  # the target is the enlargement
    assert len(pictures.drawings([drawn["c"] | {"title": "best"}]).axes) == 5


def test_one_image_is_timed_step_by_step(small):
    run, cohort = small
    timed = shown.latency(run, cohort.head(1), repeats=2)
    assert timed["repeat"].to_list() == [0, 0, 1, 1] and set(timed["step"]) == {"image", "network"}
    assert (timed["milliseconds"] > 0).all() and "test_resnet, 32 px" in timed["machine"].iloc[0]
    assert shown.prepared(cohort["image_path"].iloc[0], run.config).shape == (1, 3, 32, 32)


def test_the_data_flow_shows_where_metadata_come_in(small):
    run, _ = small
    meta = torch.zeros(1, len(clinical.columns()))
    names = [step["name"] for step in trace(run.model(), (32, 32), meta=meta)]
    assert names[0] == "image" and names.index("metadata") == names.index("imputer") - 1
    assert names.count("metadata") == 1 and names[-1] == "superres"
    sources = {step["name"]: step.get("source") for step in trace(run.model(), (32, 32), meta=meta)}
    assert {name: sources[name] for name in ("adapt", "meta", "decoder", "logits", "superres")} == {
        "adapt": "backbone", "meta": "imputer", "decoder": "backbone", "logits": "head", "superres": "decoder"
    }  # fmt: skip
    assert sources["head"] is None and sources["backbone"] is None  # a product is no box's output
