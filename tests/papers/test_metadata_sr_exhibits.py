"""What the metadata paper's notebooks share, from small tables whose numbers are worked out by hand."""

import types

import numpy as np
import pandas as pd
import pytest
import torch
from comparing import value
from torch import nn

from skinlib import models
from skinlib.data import clinical, readers
from skinlib.data.cards import class_names
from skinlib.data.synthetic import synthesise
from skinlib.exhibits.published import published
from skinlib.exhibits.runs import Planned, Runs
from skinlib.exhibits.score import Boot, changes, score
from skinlib.explain.run_maps import OfImage
from skinlib.explain.shap_values import image_shap
from skinlib.figures.flow import trace
from skinlib.figures.shap import largest, single
from skinlib.papers.metadata_sr import exhibits as paper
from skinlib.papers.metadata_sr.plan import CONTROLS, FAMILIES, PROPOSED

CLASSES = class_names("pad_ufes_20")
LABEL = np.tile(np.arange(6), 8)  # eight images a class: one melanoma is worth 1/48 of balanced accuracy
PHI = "mobilenetv2_100/imagenet"
FEW = Boot(n=50, n_p=50)


def wrong(**places):
    """The calls of a classifier that is right but for some images: true class -> (how many, class called instead)."""
    calls = np.array(LABEL)
    for true, (n, called) in places.items():
        calls[np.flatnonzero(LABEL == CLASSES.index(true))[:n]] = CLASSES.index(called)
    return calls


def predictions(calls, split=0, seed=0):
    p = np.full((len(LABEL), 6), 0.06)
    p[np.arange(len(LABEL)), calls] = 0.7
    ids = [f"i{k}-{split}" for k in range(len(LABEL))]
    columns = {"image_id": ids, "lesion_id": np.nan, "patient_id": ids, "dataset": "pad_ufes_20", "split": "patient"}
    columns |= {"part": "test", "seed": seed, "view": "mean", "label": LABEL}
    return pd.DataFrame(columns | {f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)})


def runs_of(calls, splits=(0, 1)):
    """Runs of Table 1 on one backbone: method -> calls; every split has test images of its own."""
    planned = [
        Planned(f"{method}/{split}", split, {"arm": "method", "method": method, "backbone": PHI, "split_seed": split,
                                             "seed": 0})
        for method in calls for split in splits
    ]  # fmt: skip
    opened = lambda one: types.SimpleNamespace(
        predictions=lambda view: predictions(calls[one.labels["method"]], one.labels["split_seed"])
    )
    return Runs(tuple(planned), opened)


def test_a_row_is_the_mean_over_splits_and_seeds_and_nothing_is_pooled():
    row = paper.scored(runs_of({"image": wrong(MEL=(3, "NEV"))}), note="said")
    assert row.units == ("split_seed", "seed") and row.trainings == 2
    row.table.loc[row.table["split_seed"] == 1, [f"p_{c}" for c in CLASSES]] = 0.1 + 0.4 * np.eye(6)[LABEL]
    cells = score({"x": row}, paper.METRICS, FEW)
    assert value(cells, "x", "balanced_accuracy") == pytest.approx((1 - 3 / 48 + 1) / 2)
    assert value(cells, "x", "roc_auc", "n") == 2 * len(LABEL) and value(cells, "x", "accuracy", "note") == "said"
    assert value(cells, "x", "accuracy", "units") == 2
    opened = types.SimpleNamespace(predictions=lambda view: predictions(LABEL))
    leak = Runs((Planned("leak", None, {"seed": 0}),), lambda one: opened)
    assert paper.scored(leak).units == ("seed",)


def test_the_primary_family_is_proposed_against_each_published_rival_on_its_backbone():
    calls = {"image": wrong(MEL=(8, "NEV")), "pundhir": wrong(MEL=(1, "NEV")), "without": LABEL, "proposed": LABEL}
    pairs = paper.rivals(runs_of(calls))
    assert list(pairs) == ["Proposed - No metadata, MobileNet-V2", "Proposed - Visual, MobileNet-V2"]
    found = changes(pairs, paper.METRICS, FEW, family=FAMILIES["table1"])
    assert value(found, "Proposed - No metadata, MobileNet-V2", "balanced_accuracy_change") == pytest.approx(1 / 6)
    assert set(found["family"]) == {"primary"} and paper.rivals(runs_of({"image": LABEL})) == {}


def test_only_the_papers_backbone_with_its_weights_meets_a_published_row():
    theirs = set(published("metadata_sr", "table1")["row"])
    assert {f"{paper.WORDS[name]}, {paper.in_words(PHI)}" for name in paper.WORDS if name != "without"} <= theirs
    assert paper.in_words("resnet50/none") == "ResNet-50, from scratch"
    assert "without the task" in set(published("metadata_sr", "ablation")["row"])
    assert len({row for row, _ in CONTROLS.values()}) == len(CONTROLS)


def test_roc_of_a_class_is_the_mean_of_the_splits_curves():
    weak = wrong(MEL=(8, "NEV"))  # no melanoma is called: all eight share the low score with the 40 others
    both = runs_of({"proposed": LABEL, "image": weak})
    perfect, none = (paper.scored(both.where(method=name)) for name in ("proposed", "image"))
    assert (paper.mean_roc(perfect, "MEL") == 1).all()
    mixed = perfect.where(perfect.table["split_seed"] == 0).table, none.where(none.table["split_seed"] == 1).table
    half = paper.Scored(pd.concat(mixed, ignore_index=True), units=("split_seed", "seed"))
    assert paper.mean_roc(half, "MEL")[0] == 0.5 and paper.mean_roc(half, "MEL")[-1] == 1
    assert np.isnan(paper.mean_roc(half.where(half.table["label"] != CLASSES.index("MEL")), "MEL")).all()
    rows = [*CLASSES, *(f"{code}, No metadata" for code in CLASSES)]
    areas = pd.DataFrame({"row": rows, "ours": np.linspace(0, 1, 12)})
    figure = paper.rocs({"Proposed": perfect, "No metadata": none}, areas)
    words = [text.get_text() for text in figure.axes[5].get_legend().get_texts()]
    assert len(figure.axes) == 6 and words == ["Proposed: 0.455", "No metadata: 1.000"]


def test_neighbours_are_other_patients_images():
    names = {"image_id": list("abcde"), "patient_id": ["1", "1", "2", "3", "4"]}
    cohort = pd.DataFrame(names | {"diagnosis": ["BCC", "BCC", "BCC", "SCC", "SCC"]})
    near = paper.neighbours(cohort, np.array([[0.0], [1.0], [4.0], [6.0], [20.0]])).set_index("image_id")
    assert near.loc["a", "own"] == "c" and near.loc["a", "d_own"] == 4  # b is the same patient
    assert near.loc["c", "other"] == "d" and near.loc["c", "other_diagnosis"] == "SCC"
    assert near.loc["c", "far"] == "a" and near.loc["d", "d_far"] == 14
    alone = paper.neighbours(cohort.iloc[:2], np.array([[0.0], [1.0]]))
    assert alone["d_own"].isna().all() and (alone["other_diagnosis"] == "").all()


def test_a_network_that_cannot_be_had_is_named(monkeypatch):
    monkeypatch.delenv("SKINLIB_WEIGHTS", raising=False)
    assert paper.find_teacher("bilinear") == paper.find_teacher("ninasr_here") == ""
    assert "edsr_baseline_x2.safetensors" in paper.find_teacher("edsr")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    synthesise(root, datasets=["pad_ufes_20"], images=60, size=32)
    return readers.read("pad_ufes_20", root)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of an untrained small network."""
    path = tmp_path_factory.mktemp("results") / "runs" / "x"

    def run(target):
        side = 64 if target == "native" else 32  # images of twice the input's size
        config = PROPOSED.replace(backbone="test_resnet", weights="none", image_size=(side, side))
        config = config.replace(options={"target": target})
        model = models.build(config).eval()
        return types.SimpleNamespace(config=config, path=path, model=lambda: model)

    return run


@pytest.mark.parametrize(("target", "given", "wanted"), [("bilinear", 32, 64), ("native", 32, 64), ("self", 32, 32)])
def test_a_network_redraws_chosen_images_and_only_those(small, cohort, target, given, wanted):
    chosen = cohort.iloc[[0, 2]]
    drawn = dict(paper.redraw(small(target), chosen))
    assert list(drawn) == list(chosen["image_id"])
    one = drawn[chosen["image_id"].iloc[1]]
    shapes = {name: tuple(image.shape) for name, image in one.items()}
    assert shapes == {"input": (3, given, given), "target": (3, wanted, wanted), "drawn": (3, wanted, wanted)}
    if target == "bilinear":  # the target is the enlarged input
        enlarged = torch.nn.functional.interpolate(one["input"][None], scale_factor=2, mode="bilinear")[0]
        torch.testing.assert_close(one["target"], enlarged)


def test_one_image_is_timed_step_by_step(small, cohort):
    timed = paper.latency(small("bilinear"), cohort.head(1), repeats=2)
    assert len(timed) == 2 and (timed[["image", "network"]] > 0).all(axis=None)
    assert "test_resnet, 32 px" in timed["machine"].iloc[0]


def test_the_data_flow_shows_where_metadata_come_in(small):
    steps = trace(small("bilinear").model(), (32, 32), meta=torch.zeros(1, len(clinical.columns())))
    names, sources = [step["name"] for step in steps], {step["name"]: step.get("source") for step in steps}
    assert names[0] == "image" and names.index("metadata") == names.index("imputer") - 1
    assert names.count("metadata") == 1 and names[-1] == "superres"
    wanted = {"adapt": "backbone", "meta": "imputer", "decoder": "backbone", "logits": "head", "superres": "decoder"}
    assert {name: sources[name] for name in wanted} == wanted
    assert sources["head"] is None and sources["backbone"] is None  # a product is no box's output


def test_codes_are_read_as_the_answers_that_they_stand_for(cohort):
    codes = paper.coded(cohort)
    assert list(codes) == list(clinical.questions()) and not codes.isna().any().any()
    assert np.array_equal(paper.encoded(codes.to_numpy()), clinical.encode(cohort), equal_nan=True)


def test_every_code_has_words_and_the_last_says_not_asked(cohort):
    codes, levels = paper.coded(cohort), paper.levels()
    assert set(codes) - set(levels) == {"age", "diameter_1", "diameter_2"}
    assert all(codes[name].max() < len(words) and words[-1] == "not asked" for name, words in levels.items())
    blank = np.isnan(clinical.encode(cohort)[:, clinical.blocks()["smoke"]]).all(1)
    assert blank.any() and set(codes.loc[blank, "smoke"]) == {len(levels["smoke"]) - 1}


class Linear(nn.Module):
    """Two classes; the answer turns the sign."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image, meta=None):
        score = (image * self.weight).sum((1, 2, 3)) * (1 if meta is None else meta[:, 0])
        return {"logits": torch.stack([-score, 2 * score], 1)}


def test_gradient_shap_of_a_linear_model_is_weight_times_difference():
    torch.manual_seed(0)
    weight, image, background = torch.randn(3, 4, 4), torch.rand(3, 4, 4), torch.rand(3, 4, 4)
    found = image_shap(Linear(weight), image, background[None], 1, samples=8)
    assert found == pytest.approx((2 * weight * (image - background)).numpy(), abs=1e-5)
    held = OfImage(Linear(weight), torch.tensor([[-1.0]]))
    assert image_shap(held, image, background[None], 1, samples=8) == pytest.approx(-found, abs=1e-5)


def test_the_largest_inputs_come_first_and_a_patients_bars_are_those_that_move_most_with_the_answer_in_words():
    rows = [("x", "age", 50.0, 4.0), ("x", "itch", 1.0, -6.0), ("x", "image", 0.0, 1.0)]
    rows += [("y", "age", 60.0, 0.0), ("y", "itch", 0.0, 1.0), ("y", "image", 1.0, 0.5)]
    table = pd.DataFrame(rows, columns=["image_id", "input", "value", "of_mel"])
    table = table.assign(level=[pd.NA, "True", pd.NA, pd.NA, "False", pd.NA])
    assert list(largest(table, 2)["input"].drop_duplicates()) == ["itch", "age"]
    assert len(largest(table, 5)) == 6
    figure = single(table, {"called mel": ("x", "mel")}, unit="points", most=2)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["itch: True", "age: 50"]
    assert [bar.get_width() for bar in axis.patches] == [-6.0, 4.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["raises", "lowers"]


def test_the_function_is_the_network_on_its_own_rows(cohort, monkeypatch):
    """The image's vector taken aside, the answers decoded: the same probabilities as of the whole network."""
    small = {"backbone": "test_resnet", "weights": "none", "image_size": (64, 64)}
    config = PROPOSED.replace(**small, options={}, losses={"cross_entropy": 0.5})
    torch.manual_seed(0)
    model = models.build(config).eval()
    model.imputer.fit(torch.from_numpy(clinical.encode(cohort)))
    image = torch.rand(len(cohort), 3, 64, 64)  # maps of several positions

    monkeypatch.setattr(paper, "batches_of", lambda *_: types.SimpleNamespace(epoch=lambda *_: [{"image": image}]))
    run = types.SimpleNamespace(model=lambda: model)
    codes = paper.coded(cohort)
    codes.insert(0, "image", np.arange(len(cohort), dtype=float))
    found = paper.fused_function(run, cohort)(codes.to_numpy())
    with torch.inference_mode():
        wanted = model(image, torch.from_numpy(clinical.encode(cohort)))["logits"].softmax(1).numpy() * 100
    assert found == pytest.approx(wanted, abs=1e-3)
