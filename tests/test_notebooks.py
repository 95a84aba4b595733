"""The first line of a notebook: defaults resolved, and what the data are said aloud."""

import pandas as pd
import pytest

from skinlib import study as notebooks
from skinlib.data.readers_files import SYNTHETIC_MARKER
from skinlib.exhibits import write
from skinlib.training import runs

PROFILE = "name: tiny\nlike: smoke\npapers: []\ndata: {kind: real, datasets: [ham10000]}\nstale: stop\n"


@pytest.fixture
def given(tmp_path):
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    (tmp_path / "data" / "ham10000").mkdir(parents=True)
    return {"profile": str(tmp_path / "tiny.yaml"), "data_root": str(tmp_path / "data")}


def test_defaults_are_resolved_and_real_data_are_called_real(given, tmp_path, capsys):
    study = notebooks.begin(**given, results_root=str(tmp_path / "r"), seed=3, device="cpu")
    assert (study.name, study.dataset, study.seed, study.device) == ("tiny", "ham10000", 3, "cpu")
    assert (study.results_root, study.synthetic, study.notebook) == (tmp_path / "r", False, "")
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("REAL", "torch ", "device cpu")) and "SYNTHETIC" not in shown


def test_synthetic_data_are_called_so_whatever_the_profile_says(given, tmp_path, capsys):
    (tmp_path / "data" / SYNTHETIC_MARKER).write_text("{}")
    assert notebooks.begin(**given).synthetic and "SYNTHETIC" in capsys.readouterr().out


def test_another_data_set_reaches_the_plans(given, tmp_path, monkeypatch):
    (tmp_path / "data" / "ph2").mkdir()
    study = notebooks.begin(**given, dataset="ph2")
    monkeypatch.setattr(notebooks, "planned", lambda paper, profile: {paper: profile["dataset"]})
    assert study.plan("any") == {"any": "ph2"}


@pytest.mark.parametrize(("environment", "train", "stale"), [
    ({}, True, "stop"), ({"SKINLIB_TRAIN": "never"}, False, "stop"), ({"SKINLIB_STALE": "reuse"}, True, "reuse"),
])  # fmt: skip
def test_runs_are_trained_unless_the_runner_forbids_it(given, monkeypatch, environment, train, stale):
    seen = {}
    monkeypatch.setattr(runs, "ensure", lambda config, **words: seen.update(words) or "run")
    study = notebooks.begin(**given)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert study.run("config") == "run"
    assert (seen["train"], seen["stale"], seen["data_root"]) == (train, stale, study.data_root)


def test_names_and_notes_of_a_user_run_nothing_in_a_page():
    hostile = "<script>alert(1)</script>"
    cells = {"row": hostile, "metric": hostile, "ours": 0.5, "low": 0.4, "high": 0.6, "published": 0.5, "n": 9}
    frame = pd.DataFrame([cells | {"note": hostile}])
    for wide in (False, True):
        assert "<script>" not in write.show(frame, wide=wide).to_html()


def test_synthetic_data_are_drawn_where_they_are_missing(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(notebooks, "synthesise", lambda profile, root: asked.append((profile["name"], root)))
    notebooks.begin("smoke", results_root=str(tmp_path))
    assert asked == [("smoke", tmp_path / "synthetic" / "smoke")]
