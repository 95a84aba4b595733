"""What the metadata paper's notebooks share, from small tables whose numbers are worked out by hand."""

import types

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from skinlib import models
from skinlib.data import clinical
from skinlib.data.cards import class_names
from skinlib.exhibits.published import published
from skinlib.exhibits.runs import Planned, Runs
from skinlib.exhibits.score import Boot, changes, score
from skinlib.figures.flow import trace
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


def value(frame, row, metric, column="ours"):
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def test_a_row_is_the_mean_over_splits_and_seeds_and_nothing_is_pooled():
    row = paper.scored(runs_of({"image": wrong(MEL=(3, "NEV"))}), note="said")
    assert row.units == ("split_seed", "seed") and row.trainings == 2
    row.table.loc[row.table["split_seed"] == 1, [f"p_{c}" for c in CLASSES]] = 0.1 + 0.4 * np.eye(6)[LABEL]
    cells = score({"x": row}, paper.METRICS, FEW)
    assert value(cells, "x", "balanced_accuracy") == pytest.approx((1 - 3 / 48 + 1) / 2)
    assert value(cells, "x", "roc_auc", "n") == 2 * len(LABEL) and value(cells, "x", "accuracy", "note") == "said"
    assert value(cells, "x", "accuracy", "units") == 2
    leak = Runs((Planned("leak", None, {"seed": 0}),), lambda one: types.SimpleNamespace(predictions=predictions_of))
    assert paper.scored(leak).units == ("seed",)


def predictions_of(view):
    return predictions(LABEL)


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
def small(tmp_path_factory):
    """A run of an untrained small network, on three pictures whose questions were not asked."""
    folder = tmp_path_factory.mktemp("results")
    columns = {name: [None] * 3 for name in ("sex", "site", "skin_type", *clinical.questions())}
    for number in ("age", "diameter_1", "diameter_2"):
        columns[number] = [np.nan] * 3
    names = {name: list("abc") for name in ("image_id", "patient_id", "lesion_id")}
    fixed = {"dataset": "pad_ufes_20", "answered_unknown": "", "spelt_brasil": "", "mask_path": None}
    cohort = pd.DataFrame(columns | names | fixed | {"label": [0, 1, 2]})
    for k, name in enumerate(cohort["image_id"]):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    cohort["image_path"] = [str(folder / f"{name}.png") for name in cohort["image_id"]]

    def run(target):
        side = 64 if target == "native" else 32  # images of twice the input's size
        config = PROPOSED.replace(backbone="test_resnet", weights="none", image_size=(side, side))
        config = config.replace(options={"target": target})
        model = models.build(config).eval()
        return types.SimpleNamespace(config=config, path=folder / "runs" / "x", model=lambda: model)

    return run, cohort


@pytest.mark.parametrize(("target", "given", "wanted"), [("bilinear", 32, 64), ("native", 32, 64), ("self", 32, 32)])
def test_a_network_redraws_chosen_images_and_only_those(small, target, given, wanted):
    run, cohort = small
    drawn = dict(paper.redraw(run(target), cohort, {"a", "c"}))
    assert list(drawn) == ["a", "c"]
    shapes = {name: tuple(image.shape) for name, image in drawn["c"].items()}
    assert shapes == {"input": (3, given, given), "target": (3, wanted, wanted), "drawn": (3, wanted, wanted)}
    enlarged = torch.nn.functional.interpolate(drawn["c"]["input"][None], scale_factor=2, mode="bilinear")[0]
    if target == "bilinear":  # the target is the enlarged input
        torch.testing.assert_close(drawn["c"]["target"], enlarged)


def test_one_image_is_timed_step_by_step(small):
    run, cohort = small
    timed = paper.latency(run("bilinear"), cohort.head(1), repeats=2)
    assert len(timed) == 2 and (timed[["image", "network"]] > 0).all(axis=None)
    assert "test_resnet, 32 px" in timed["machine"].iloc[0]


def test_the_data_flow_shows_where_metadata_come_in(small):
    run, _ = small
    steps = trace(run("bilinear").model(), (32, 32), meta=torch.zeros(1, len(clinical.columns())))
    names, sources = [step["name"] for step in steps], {step["name"]: step.get("source") for step in steps}
    assert names[0] == "image" and names.index("metadata") == names.index("imputer") - 1
    assert names.count("metadata") == 1 and names[-1] == "superres"
    wanted = {"adapt": "backbone", "meta": "imputer", "decoder": "backbone", "logits": "head", "superres": "decoder"}
    assert {name: sources[name] for name in wanted} == wanted
    assert sources["head"] is None and sources["backbone"] is None  # a product is no box's output
