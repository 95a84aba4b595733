"""Every table of results/reference is computed again from the evidence beside it; none was made by older code."""

import shutil
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from recompute import FROM_PIXELS, KNOWN, PAPERS, Known, broken_verdicts, differences, unlike_published

from skinlib.config import RunConfig, load_profile
from skinlib.data.cards import CARDS, class_names
from skinlib.exhibits import write as tables
from skinlib.papers import plan_of
from skinlib.papers.recall_oriented.plan import plan
from skinlib.paths import project_root, read_json, write_atomic, write_json
from skinlib.provenance import code_fingerprint
from skinlib.training import stored
from skinlib.workflow import reference

FOLDER = project_root() / "results" / "reference"
PROFILES = [name for name in ("sample", "real") if (FOLDER / name).is_dir()]
TABLES = [(name, path) for name in PROFILES for path in sorted((FOLDER / name).glob("*/*.csv"))]
PROVEN = [(name, path) for name, path in TABLES if (FOLDER / name / reference.EVIDENCE).is_dir()]
PAPER = "recall_oriented"


@pytest.fixture(scope="session")
def known():
    return {(name, paper): kind(FOLDER / name) for name, _ in PROVEN for paper, kind in KNOWN.items()}


@pytest.mark.parametrize("profile", ["sample", "real"])
def test_a_reference_is_whole(profile):
    if profile not in PROFILES:
        pytest.skip(f"results/reference/{profile} is not published yet: make reproduce, then make publish")
    folder = FOLDER / profile
    records = {path: read_json(path) for path in folder.glob("*/*.json") if path.parent.name != reference.EVIDENCE}
    assert records
    assert [path.stem for path, record in records.items() if record["stale"]] == []
    if load_profile(profile)["data"]["kind"] == "synthetic":
        assert not (folder / reference.EVIDENCE).exists(), "drawn data need no evidence"
        return
    behind = {run for record in records.values() for run in record["runs"]}
    assert behind == {path.name for path in (folder / reference.EVIDENCE).iterdir() if path.is_dir()}
    assert [path.name for path in folder.rglob("*.safetensors")] == []
    names = read_json(folder / reference.EVIDENCE / reference.NAMES)
    assert behind == {run for paper in names.values() for run in paper.values()}
    for paper, runs in names.items():
        planned = plan_of(paper, load_profile(profile))
        assert set(runs) == set(planned), "no run of the plan may be left out"
        files = {name: folder / reference.EVIDENCE / run / "config.json" for name, run in runs.items()}
        other = [name for name, file in files.items() if RunConfig.from_json(file.read_text()) != planned[name]]
        assert other == [], "these were trained by other settings than the plan has today"


def test_references_are_small():
    assert reference.size_of(FOLDER) <= reference.MOST_BYTES


@pytest.mark.parametrize(("profile", "path"), PROVEN, ids=[f"{name}-{path.stem}" for name, path in PROVEN])
def test_a_table_follows_from_its_evidence(profile, path, known):
    again = PAPERS[path.parent.name][path.stem](known[profile, path.parent.name])
    assert differences(pd.read_csv(path), again, pixels=FROM_PIXELS.get(path.stem)) == []


@pytest.mark.parametrize(("profile", "path"), TABLES, ids=[f"{name}-{path.stem}" for name, path in TABLES])
def test_a_table_has_every_published_cell_and_verdicts_by_rule(profile, path):
    stored = pd.read_csv(path)
    assert unlike_published(stored, path.parent.name, path.stem.partition("-")[0]) == []
    assert broken_verdicts(stored) == []


def drawn(config, *, part, prefix, images, lesions):
    """A prediction table of a configuration's classes; the true class lies one logit higher."""
    classes = class_names(config.dataset, config.label_space)
    noise = np.random.default_rng([config.seed, config.fold or 0, len(config.variant), len(part)])
    label = np.arange(images) % len(classes)
    score = noise.normal(size=(images, len(classes))) + 1.5 * np.eye(len(classes))[label]
    p = np.exp(score) / np.exp(score).sum(1, keepdims=True)
    columns = {
        "image_id": [f"{prefix}{k}" for k in range(images)],
        "lesion_id": [f"{prefix}{k % lesions}" for k in range(images)],
    }
    columns |= {"patient_id": np.nan, "dataset": config.dataset, "split": config.split, "part": part}
    columns |= {"fold": -1 if config.fold is None else config.fold, "system": config.system, "seed": config.seed}
    scores = {f"p_{name}": p[:, k] for k, name in enumerate(classes)}
    return pd.concat([pd.DataFrame(columns | {"view": v, "label": label} | scores) for v in ("mean", "identity")])


def store(config, folder):
    """Write what a finished run leaves, but for its weights."""
    parts = [drawn(config, part="test", prefix="t", images=140, lesions=100)]
    if config.label_space == "malignancy":  # the same test images have the same truth in both label spaces
        card = CARDS[config.dataset]
        diagnosis = [card.classes[k % len(card.classes)] for k in range(140)]
        parts[0]["label"] = np.tile([int(code in card.malignant) for code in diagnosis], 2)
    if config.fold is not None:
        parts.append(drawn(config, part="val", prefix=f"v{config.fold}-", images=80, lesions=60))
    metrics = {"code": code_fingerprint(config.system), "best_epoch": 2, "epochs": 3, "images": 30}
    metrics |= {"train_seconds": 2.5, "predict_test_seconds": 0.5, "parameters": 7}
    write_atomic(folder / "config.json", config.to_json())
    write_json(folder / "environment.json", {"processor": "one", "threads": 2, "gpu": None})
    write_atomic(folder / "history.csv", "epoch,train_loss\n0,1.0\n")
    stored.write(pd.concat(parts), folder / stored.PREDICTIONS)
    write_json(folder / "metrics.json", metrics)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results of a plan whose runs are drawn: two exhibits, not yet published."""
    tmp_path = tmp_path_factory.mktemp("results")
    profile = load_profile("smoke")
    runs = {}
    for number, (name, config) in enumerate(plan(profile).items()):
        store(config, tmp_path / "runs" / f"run{number}")
        runs[name] = reference.runs.load(tmp_path / "runs" / f"run{number}")
    study = types.SimpleNamespace(
        name="smoke", profile=profile, results_root=tmp_path, dataset=profile["dataset"], synthetic=True, seed=0
    )
    source = Known(tmp_path)
    source.__dict__["runs"] = runs  # not published yet, so not found by name
    for name in ("table3", "fig7"):
        frame = tables.exhibit(PAPERS[PAPER][name](source), paper=PAPER, exhibit=name, missing="not run")
        tables.write(frame, paper=PAPER, exhibit=name, study=study, runs=list(runs.values()), notebook="24")
    return tmp_path


@pytest.fixture
def results(made, tmp_path):
    """A copy of them to spoil."""
    shutil.copytree(made, tmp_path / "results")
    return tmp_path / "results"


def publish(results, **options):
    where = {"plans": {PAPER: plan(load_profile("smoke"))}, "run_store": results / "runs"}
    return reference.publish(results / "smoke", results / "reference", **where | options)


def found(folder, name="table3"):
    """A published table, and the same from its evidence."""
    stored = pd.read_csv(folder / PAPER / f"{name}.csv")
    return stored, PAPERS[PAPER][name](Known(folder))


def test_what_is_published_is_found_again_and_changes_are_noticed(results):
    folder = publish(results)
    for name in ("table3", "fig7"):
        stored, again = found(folder, name)
        assert differences(stored, again) == [] and broken_verdicts(stored) == []
    stored, again = found(folder)
    changed = stored.copy()
    changed.loc[changed["metric"] == "roc_auc", "ours"] += 1e-4
    assert len(differences(changed, again)) == 3  # final, plain and their difference
    assert differences(stored[stored["row"] != "plain"], again)[0].endswith("computed, not stored")
    one = (stored["row"] == "final") & (stored["metric"] == "recall")
    assert differences(stored.assign(low=stored["low"].mask(one, 0.0)), again) != []
    assert unlike_published(stored, PAPER, "table3") == []
    assert (
        unlike_published(stored.assign(published=stored["published"] + 1e-3), PAPER, "table3")[0] == "final / accuracy"
    )
    assert unlike_published(stored[stored["metric"] != "tp"], PAPER, "table3") == ["final / tp"]
    said = stored["note"].str.replace("no evidence", "helps").str.replace("harms", "helps")
    assert broken_verdicts(stored.assign(note=said)) != []


def test_a_changed_prediction_is_noticed(results):
    folder = publish(results)
    (run,) = [run for name, run in Known(folder).runs.items() if name == "plain/seed0"]
    rows = stored.read(run.path / stored.PREDICTIONS)
    classes = [name for name in rows if name.startswith("p_")]
    rows.loc[0, classes] = [1.0] + [0.0] * (len(classes) - 1)
    stored.write(rows, run.path / stored.PREDICTIONS)
    assert differences(*found(folder)) != []


def test_older_code_failed_plans_and_size_are_refused(results, monkeypatch):
    folder = publish(results)
    before = sorted(path.name for path in folder.rglob("*"))
    record = results / "smoke" / PAPER / "table3.json"
    written = read_json(record)
    write_json(record, written | {"stale": "older code"})
    with pytest.raises(reference.NotPublishable, match="table3: made from runs of older code"):
        publish(results)
    write_json(record, written)
    metrics = results / "runs" / "run0" / "metrics.json"
    old = read_json(metrics)
    write_json(metrics, old | {"code": old["code"] | {"training/fit.py": "other"}})
    with pytest.raises(reference.NotPublishable, match=r"run0 \(training/fit.py changed since\)"):
        publish(results)
    write_json(metrics, old)
    with pytest.raises(reference.NotPublishable, match="is not in today's plan"):
        publish(results, plans={PAPER: {}})
    monkeypatch.setattr(reference, "MOST_BYTES", 1000)
    with pytest.raises(reference.NotPublishable, match="1,000 are allowed"):
        publish(results)
    assert sorted(path.name for path in folder.rglob("*")) == before
    with pytest.raises(reference.NotPublishable, match="make reproduce PROFILE=sample"):
        reference.publish(results / "sample", results / "reference", plans={PAPER: {}}, run_store=results / "runs")


def test_a_paper_is_published_without_touching_another(results):
    folder = publish(results)
    before = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.csv")}
    other = results / "smoke" / "other"
    shutil.copytree(results / "smoke" / PAPER, other)
    plans = {"other": plan(load_profile("smoke"))}
    assert publish(results, plans=plans) == folder
    for name in ("table3", "fig7"):
        assert (folder / PAPER / f"{name}.csv").read_bytes() == before[f"{PAPER}/{name}.csv"]
    names = read_json(folder / reference.EVIDENCE / reference.NAMES)
    assert names[PAPER] == names["other"]
    assert {path.name for path in folder.iterdir()} == {PAPER, "other", reference.EVIDENCE}
    assert differences(*found(folder)) == []


def test_runs_are_restored_from_evidence_but_for_their_weights(results):
    write_atomic(results / "smoke" / PAPER / "evidence" / "ita.csv.gz", "measured")
    folder, store = publish(results), results / "empty" / "runs"
    mine = store / read_json(folder / reference.EVIDENCE / reference.NAMES)[PAPER]["plain/seed0"]
    write_atomic(mine / "config.json", "mine")
    made = reference.restore(folder, store.parent)
    assert (store.parent / "smoke" / PAPER / "evidence" / "ita.csv.gz").read_text() == "measured"
    assert mine not in made and [path.name for path in mine.iterdir()] == ["config.json"]
    for path in made:
        again, before = reference.runs.load(path), reference.runs.load(folder / reference.EVIDENCE / path.name)
        assert (again.config, again.metrics, again.stale) == (before.config, before.metrics, ())
        assert again.restored
        pd.testing.assert_frame_equal(again.predictions("identity"), before.predictions("identity"))
        pd.testing.assert_frame_equal(again.history, before.history)
    with pytest.raises(reference.runs.RunMissing, match=r"no model\.safetensors.*train the run again"):
        again.model()
    assert reference.restore(folder, store.parent) == []
    with pytest.raises(reference.NotPublishable, match="keeps no evidence"):
        reference.restore(results / "reference" / "other", store.parent)


def test_restored_runs_are_published_as_they_were(results):
    folder = publish(results)
    before = {path.name: path.read_bytes() for path in (folder / reference.EVIDENCE).rglob("*.csv.gz")}
    shutil.rmtree(results / "runs")
    reference.restore(folder, results)
    publish(results)
    assert {path.name: path.read_bytes() for path in (folder / reference.EVIDENCE).rglob("*.csv.gz")} == before


def test_exhibits_can_be_kept_without_evidence(results):
    folder = publish(results, evidence=False)
    assert {path.name for path in (folder / PAPER).glob("*.csv")} == {"table3.csv", "fig7.csv"}
    assert not (folder / reference.EVIDENCE).exists() and not (folder / PAPER / reference.EVIDENCE).exists()


def drawing(colours):
    """A picture of as many grays."""
    gray = np.resize(np.linspace(0, 255, colours).astype(np.uint8), (32, 32))
    return Image.fromarray(np.stack([gray] * 3, axis=-1))


def test_a_picture_is_kept_with_fewer_colours(results):
    for name, colours in (("fig7", 250), ("table3", 40)):
        drawing(colours).save(results / "smoke" / PAPER / f"{name}.png")
    folder = publish(results)
    many, few = (Image.open(folder / PAPER / f"{name}.png").convert("RGB") for name in ("fig7", "table3"))
    assert len(many.getcolors()) == reference.MOST_COLOURS and len(few.getcolors()) == 40
    before = np.asarray(drawing(250), float)
    assert np.abs(np.asarray(many, float) - before).max() <= 3  # of 255: a gray goes to one near it
    kept = [(folder / PAPER / f"{name}.png").read_bytes() for name in ("fig7", "table3")]
    for name, content in zip(("fig7", "table3"), kept, strict=True):
        (results / "smoke" / PAPER / f"{name}.png").write_bytes(content)
    publish(results)
    assert [(folder / PAPER / f"{name}.png").read_bytes() for name in ("fig7", "table3")] == kept  # once is enough


def test_a_picture_of_drawn_images_is_kept_where_none_of_real_ones_is(results):
    for name in ("fig7", "table3"):
        drawing(4).save(results / "smoke" / PAPER / f"{name}.png")
    other = results / "reference" / "real" / PAPER
    other.mkdir(parents=True)
    drawing(4).save(other / "fig7.png")

    def pictures(**options):
        return {path.stem for path in publish(results, **options).rglob("*.png")}

    assert pictures(evidence=False) == {"fig7", "table3"}  # the other profile has no evidence either
    (other.parent / reference.EVIDENCE).mkdir()
    assert pictures(evidence=False) == {"table3"} and pictures() == {"fig7", "table3"}
