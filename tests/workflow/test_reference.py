"""Publishing: what becomes a reference, what is refused, and that what it keeps is whole and small."""

import json
import re
import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save

from skinlib.config import Planned, RunConfig, load_profile
from skinlib.exhibits.published import published
from skinlib.exhibits.score import ALPHA, LEAST_UNITS
from skinlib.papers import plan_of
from skinlib.paths import project_root, read_json, write_atomic, write_json
from skinlib.provenance import code_fingerprint
from skinlib.training import runs, stored
from skinlib.workflow import reference
from skinlib.workflow.catalogue import read_card
from skinlib.workflow.regression import compare_evidence

FOLDER = project_root() / "results" / "reference"
REAL = FOLDER / "real"
MADE = [path for path in sorted(REAL.glob("*/*.csv")) if "verdict" in path.read_text().partition("\n")[0]]
PAPER, CONFIG = "recall_oriented", RunConfig(precision="fp32", image_size=(32, 32))
PLANS = {PAPER: [Planned("proposed/fold0/seed0", CONFIG, {"arm": "proposed", "fold": 0, "seed": 0})]}


@pytest.fixture
def results(tmp_path):
    """Results with one exhibit, one kept table and the run behind them."""
    folder = tmp_path / "runs" / "aa"
    rows = {"image_id": ["1", "2"], "part": "test", "view": "mean", "label": [0, 1]}
    stored.write(pd.DataFrame(rows | {"p_benign": [0.9, 0.1], "p_malignant": [0.1, 0.9]}), folder / stored.PREDICTIONS)
    write_atomic(folder / stored.CONFIG, CONFIG.to_json())
    write_atomic(folder / stored.WEIGHTS, save({"a": torch.ones(200, 200), "b": torch.ones(3)}))
    write_json(folder / stored.DONE, {"code": code_fingerprint(PAPER), "epochs": 1, "images": 1})
    found = tmp_path / "mine" / PAPER
    write_atomic(found / "table3.csv", "row,metric\n")
    write_atomic(found / "table3.jpg", b"picture")
    write_json(found / "table3.json", {"stale": None, "commit": "abc", "runs": ["aa"]})
    stored.write(pd.DataFrame({"image_id": ["1"], "ita": [40.0]}), found / "evidence" / "ita.csv.gz")
    return tmp_path


def publish(results, plans=PLANS):
    return reference.publish(results, "mine", plans)


def test_a_reference_has_exhibits_kept_tables_and_runs_without_weights(results):
    final = publish(results)
    files = {str(path.relative_to(final)) for path in final.rglob("*") if path.is_file()}
    of_run = {f"evidence/aa/{name}" for name in (stored.PREDICTIONS, stored.CONFIG, stored.DONE)}
    exhibits = {f"{PAPER}/table3{end}" for end in (".csv", ".jpg", ".json")}
    assert files == of_run | exhibits | {"evidence/runs.json", f"{PAPER}/evidence/ita.csv.gz"}
    assert read_json(final / "evidence" / "runs.json") == {PAPER: {"proposed/fold0/seed0": "aa"}}
    assert runs.load(final / "evidence" / "aa").restored
    assert publish(results) == final, "publishing again replaces it"
    half = runs.load(results / "models" / "aa")
    kinds = {name: tensor.dtype for name, tensor in load_file(half.weights_file).items()}
    assert kinds == {"a": torch.float16, "b": torch.float32} and half.predictions()["label"].tolist() == [0, 1]


def test_exhibits_across_papers_have_no_runs_of_their_own(results):
    write_atomic(results / "mine" / "across" / "ledger.csv", "row,metric\n")
    write_json(results / "mine" / "across" / "ledger.json", {"stale": None, "commit": "abc", "runs": ["aa"]})
    final = publish(results, {"across": []} | PLANS)
    assert {path.name for path in (final / "across").iterdir()} == {"ledger.csv", "ledger.json"}
    assert read_json(final / "evidence" / "runs.json") == {PAPER: {"proposed/fold0/seed0": "aa"}}


@pytest.mark.parametrize(("change", "words"), [
    ({"stale": "older code"}, "made from runs of older code"), ({"commit": "abc+changes"}, r"made at abc\+changes"),
])  # fmt: skip
def test_what_may_not_become_a_reference_is_refused_and_changes_nothing(results, change, words):
    record = results / "mine" / PAPER / "table3.json"
    write_json(record, json.loads(record.read_text()) | change)
    with pytest.raises(ValueError, match=words):
        publish(results)
    assert not (results / "reference").exists()


def test_runs_of_another_plan_and_too_large_results_are_refused(results, monkeypatch):
    with pytest.raises(ValueError, match="not in the plan"):
        publish(results, plans={PAPER: [PLANS[PAPER][0]._replace(config=CONFIG.replace(seed=7))]})
    for limit in ("MOST_OF_MODELS", "MOST_BYTES"):
        monkeypatch.setattr(reference, limit, 100)
        with pytest.raises(ValueError, match="100 are allowed"):
            publish(results)


def test_restored_runs_count_as_finished(results, capsys):
    final, other = publish(results), results / "elsewhere"
    assert [path.name for path in reference.restore(final, other)] == ["aa"]
    write_json(results / "models" / "bb" / stored.DONE, read_json(final / "evidence" / "aa" / stored.DONE))
    write_atomic(results / "models" / "bb" / stored.CONFIG, CONFIG.to_json())
    (results / "runs" / "aa" / stored.WEIGHTS).unlink()
    publish(results)  # after a restore: its network stays, an older one of the system goes
    assert [path.name for path in results.glob("models/*/")] == ["aa"]
    shutil.rmtree(results / "models")
    publish(results)
    assert "aa is not among the published networks" in capsys.readouterr().out
    back = runs.load(other / "runs" / "aa")
    assert back.predictions()["p_malignant"].tolist() == [0.1, 0.9] and not back.restored
    assert (other / "mine" / PAPER / "evidence" / "ita.csv.gz").is_file()
    assert reference.restore(final, other) == [], "what is there is left alone"


def test_the_real_reference_is_whole_small_and_from_one_clean_commit():
    again = {path.stem for path in (project_root() / "notebooks").glob("*.ipynb") if read_card(path).evidence}
    records = [read_json(path) for path in REAL.glob("*/*.json") if path.parent.name != "evidence"]
    of = lambda floors: {r["commit"] for r in records if r["notebook"] in again and r["notebook"][0] in floors}
    for commits in (of("234"), of("56")):  # each published by one call
        assert len(again) >= 7 and len(commits) == 1 and not commits.pop().endswith("+changes")
    for paper, ids in read_json(REAL / "evidence" / "runs.json").items():
        assert set(ids) <= set(plan_of(paper, load_profile("real")))
        assert all((REAL / "evidence" / key / stored.DONE).is_file() for key in ids.values())
    assert reference.size_of(FOLDER) <= reference.MOST_BYTES and list(REAL.rglob("*.safetensors")) == []
    models = {each.name for each in (FOLDER.parent / "models").glob("*/")}
    assert set(re.findall("`([0-9a-f]{16})`", (FOLDER.parent / "models" / "README.md").read_text())) == models
    assert reference.size_of(FOLDER.parent / "models") <= reference.MOST_OF_MODELS


@pytest.mark.parametrize("path", MADE, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_real_table_has_every_published_cell_and_no_verdict_on_fewer_than_five_trainings(path):
    table, theirs = pd.read_csv(path), published(path.parent.name, path.stem.partition("-")[0])
    both = theirs.merge(table, on=["row", "metric"], how="left", suffixes=("_printed", ""), indicator=True)
    assert (both["_merge"] == "both").all(), "no published cell is dropped"
    assert both["published_printed"].equals(both["published"].astype(float))
    few = table[table["verdict"].isin(["helps", "harms", "no evidence", "trade", "inflates", "deflates"])]
    assert (few["units"] >= LEAST_UNITS).all()
    judged = table[table["verdict"].isin(["helps", "harms", "inflates", "deflates"])]
    assert (judged["p_adjusted"] < ALPHA).all() and (judged["low"] * judged["high"] > 0).all()


def test_evidence_that_gives_another_number_fails(tmp_path, capsys):
    source = next(path for path in MADE if path.stem == "table3" and path.parent.name == PAPER)
    found = tmp_path / PAPER / "table3.csv"
    write_atomic(found, source.read_bytes())
    assert compare_evidence(tmp_path, REAL) == 0
    table = pd.read_csv(source)
    table.loc[0, "ours"] += 0.001
    table.to_csv(found, index=False)
    assert compare_evidence(tmp_path, REAL) == 1
    assert "final::roc_auc" in capsys.readouterr().out
