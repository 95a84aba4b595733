"""The whole way, with real runs: what fails is named and loses nothing else, what is done stays, the rest goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from skinlib.config import load_profile
from skinlib.paths import read_json
from skinlib.workflow import reproduce
from skinlib.workflow.work import Work

PROFILE = """
name: tiny
papers: [recall_oriented]
data: {kind: real, datasets: [ham10000]}
dataset: ham10000
stale: retrain
bootstrap: 2
threads: 1
jobs: 2
together: true
minutes: 1
disk_gb: 0.001
notebooks: {time_limit_minutes: 2}
recall_oriented:
  {precision: fp32, split: grouped, image_size: [16, 16], backbone: test_resnet, weights: none, folds: 2, seeds: [0],
   epochs: 1, lr: 0.003, plain_epochs: 1, visits: 16, tta: none, ladder: {},
   comparison: {image_size: [16, 16], epochs: 1, backbones: [[test_efficientnet, WEIGHTS]]}}
"""


def notebook(folder, stem, *, needs, source, paper="recall_oriented"):
    folder.mkdir(exist_ok=True)
    parameters = nbformat.v4.new_code_cell('profile = ""\ndata_root = ""\nresults_root = ""')
    parameters.metadata["tags"] = ["parameters"]
    card = {"papers": [paper], "needs": needs, "minutes": {}}
    made = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(source)], metadata={"skinlib": card})
    nbformat.write(made, folder / f"{stem}.ipynb")


@pytest.fixture
def place(tmp_path, data_root):
    notebook(tmp_path / "notebooks", "00_alone", needs="none", source="1 + 1")
    notebook(tmp_path / "notebooks", "24_with_runs", needs="plan", source="2 + 2")
    names = {"results": tmp_path / "out #1: ü", "notebooks": tmp_path / "notebooks", "data": data_root}
    return {"profile": str(tmp_path / "tiny.yaml")} | {name: str(path) for name, path in names.items()}


def times(work: Work) -> dict[str, int]:
    """Return finished run -> when its last file was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (work.results / "runs").glob("*/metrics.json")}


@pytest.mark.timeout(900)  # three calls: a minute on an idle machine
def test_an_interrupt_ends_after_the_run_in_hand_the_rest_goes_on_and_a_failed_run_costs_no_other(
    place, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("SKINLIB_WEIGHTS", str(tmp_path))
    (tmp_path / "test_efficientnet.safetensors").write_text("half a download")
    profile = PROFILE.replace("WEIGHTS", "imagenet")
    Path(place["profile"]).write_text(profile)  # all runs in one process
    work = Work.open(**place)
    words = [word for name, value in place.items() for word in (f"--{name}", value)]
    line = [sys.executable, "-m", "skinlib.workflow.cli", "notebooks", "reproduce", *words, "--only", "24"]
    interrupted = subprocess.Popen(line, env=os.environ | {"OMP_NUM_THREADS": "1"})

    def wait_for(condition):
        while not condition():
            time.sleep(0.01)
            assert interrupted.poll() is None

    wait_for(lambda: times(work))  # the first run is finished
    interrupted.send_signal(signal.SIGINT)
    wait_for(work.stop_file.is_file)
    finished = times(work)
    assert interrupted.wait(120) == 1
    first = times(work)
    assert 1 <= len(finished) <= len(first) <= len(finished) + 1 < 9
    assert "skinlib: interrupted; the same call goes on" in capfd.readouterr().err

    assert reproduce.reproduce(Work.open(**place), cores=2) == 1
    shown = capfd.readouterr()
    failed = next(entry for name, entry in planned(work).items() if "imagenet" in name)
    reason = "test_efficientnet.safetensors is no whole safetensors file"
    assert f"1 of 10 runs failed: {failed['id']} ({tmp_path}/{reason}" in shown.err
    assert "notebooks: 1 ok, 1 not run" in shown.out
    second = times(work)
    assert len(second) == len(planned(work)) - 1 == 9 and first.items() <= second.items()

    Path(place["profile"]).write_text(profile.replace("together: true\n", ""))  # each run in its own process
    assert reproduce.reproduce(Work.open(**place, only="24"), cores=2) == 1
    shown = capfd.readouterr().err
    assert f"skinlib: {tmp_path}/{reason}" in shown and str(work.run_stamp(failed)) in shown and times(work) == second


def planned(work: Work) -> dict[str, dict]:
    return read_json(work.plan_file)["recall_oriented"]


def test_a_paper_without_its_data_costs_its_own_notebooks_alone(place, tmp_path, capfd):
    lacking = "joint_reverse_mtl"
    profile = yaml.safe_load(PROFILE.replace("WEIGHTS", "none"))
    profile |= {"papers": [lacking, "recall_oriented"], lacking: load_profile("smoke")[lacking]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(profile))
    source = "from skinlib.study import begin\nstudy = begin(profile, '', data_root, results_root)\n"
    source += f"[study.run(planned.config) for planned in study.plan('{lacking}')]"
    notebook(tmp_path / "notebooks", "22_lacks", needs="plan", source=source, paper=lacking)
    assert reproduce.reproduce(Work.open(**place, only="22"), cores=2) == 1
    shown = capfd.readouterr().out
    reason = f"is not under {place['data']}: the folder isic2016/ is missing."
    said = next(line for line in shown.splitlines() if line.startswith(f"{lacking} is left out: ISIC 2016"))
    assert said.endswith(reason) and "10 runs planned in " in shown
    row = next(line for line in shown.splitlines() if line.split()[:2] == ["22_lacks", "failed"])
    assert "DataError: ISIC 2016" in row and reason in row
    work = Work.open(**place)
    assert list(read_json(work.plan_file)) == ["recall_oriented"]
    assert (len(work.jobs(["recall_oriented"])), work.jobs([lacking])) == (1, {})
