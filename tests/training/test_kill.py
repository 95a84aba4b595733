"""A run killed with SIGKILL, wherever, ends with bit-identical weights on the CPU to one never killed."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys

import kill_jobs
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_problem import FILES, config

from skinlib.paths import write_json
from skinlib.training import runs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and forkserver")
BF16 = torch.cpu._is_avx512_bf16_supported()
PRECISIONS = ["fp32", pytest.param("bf16", marks=pytest.mark.skipif(not BF16, reason="no bf16 on this processor"))]
draw = random.Random(20)
# Where to kill, and the states that must lie on disk then.
PLACES = [({"at": "step", "epoch": e, "step": draw.randint(1, 4)}, [f"{e:04d}"] if e else []) for e in (0, 1, 2)]
PLACES += [({"at": "after the rename", "epoch": 1}, ["0001", "0002"])]
BOTH_PRECISIONS = list(PLACES)
PLACES += [({"at": "before the save", "epoch": 0}, []), ({"at": "before the save", "epoch": 2}, ["0002"])]
PLACES += [({"at": "among the files", "epoch": 1}, ["0001"])]
PLACES += [({"at": "before the rename", "epoch": 0}, []), ({"at": "before the rename", "epoch": 1}, ["0001"])]
PLACES += [({"at": "after the rename", "epoch": 0}, ["0001"]), ({"at": "while cleaning", "epoch": 1}, ["0001", "0002"])]
TWICE = [({"at": "step", "epoch": 0, "step": 2}, {"at": "after the rename", "epoch": 1}),
         ({"at": "before the rename", "epoch": 1}, {"at": "before the save", "epoch": 1})]  # fmt: skip
LATE = [{"at": name} for name in ("among the last files", "before the last file", "after the last file")]
# With validation and early best weights; without, where the last epoch is kept and every state shows in the weights.
SETTINGS = {"onecycle": {"fold": None, "schedule": "onecycle"}, "plateau": {"schedule": "plateau", "schedule_step": 0}}
name_of = lambda place: " ".join(map(str, place.values())) if isinstance(place, dict) else ""


@pytest.fixture(scope="module")
def context():
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["skinlib.training.runs", "skinlib.papers.recall_oriented.model"])
    return server


def run(context, job, *args) -> int:
    """Run a job in its own process and return how it ended."""
    process = context.Process(target=job, args=args, daemon=True)
    process.start()
    process.join(240)
    return process.exitcode


def ends_killed(context, job, *args) -> None:
    assert run(context, job, *args) == -signal.SIGKILL


def toy(precision: str, kind: str):
    return config(epochs=4, precision=precision, clip_norm=1.0, **SETTINGS[kind])


@pytest.fixture(scope="module")
def unkilled(context, tmp_path_factory):
    """Return a function that gives the files of a toy run never killed."""
    found = {}

    def files(precision: str, kind: str) -> dict[str, bytes]:
        if (precision, kind) not in found:
            folder = tmp_path_factory.mktemp("unkilled")
            assert run(context, kill_jobs.fit_toy, folder, toy(precision, kind)) == 0
            found[precision, kind] = results(folder)
        return found[precision, kind]

    return files


def results(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "history.json")}


def ends_as_unkilled(context, unkilled, folder, *, place, kept, precision) -> None:
    settings = toy(precision, "onecycle")
    ends_killed(context, kill_jobs.fit_toy, folder, settings, place)
    assert sorted(p.name for p in folder.glob("last/[0-9]*")) == kept and not (folder / "model.safetensors").exists()
    assert run(context, kill_jobs.fit_toy, folder, settings) == 0
    assert results(folder) == unkilled(precision, "onecycle")


@pytest.mark.parametrize(("place", "kept"), PLACES, ids=name_of)
def test_a_killed_run_ends_as_one_never_killed(context, unkilled, tmp_path, place, kept):
    ends_as_unkilled(context, unkilled, tmp_path, place=place, kept=kept, precision="fp32")


@pytest.mark.skipif(not BF16, reason="no bf16 on this processor")
@pytest.mark.parametrize(("place", "kept"), BOTH_PRECISIONS, ids=name_of)
def test_a_killed_run_in_half_precision_too(context, unkilled, tmp_path, place, kept):
    ends_as_unkilled(context, unkilled, tmp_path, place=place, kept=kept, precision="bf16")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("places", TWICE, ids=lambda both: " then ".join(map(name_of, both)))
def test_a_run_killed_twice_ends_as_one_never_killed(context, unkilled, tmp_path, places, precision):
    settings = toy(precision, "plateau")
    for place in places:
        ends_killed(context, kill_jobs.fit_toy, tmp_path, settings, place)
    assert run(context, kill_jobs.fit_toy, tmp_path, settings) == 0
    assert results(tmp_path) == unkilled(precision, "plateau")


def test_a_kill_from_outside_lands_anywhere(context, unkilled, tmp_path):
    """The parent kills while the child goes on: in a step, between two, or in a save."""
    settings = toy("fp32", "onecycle")
    for steps in (3, 4):
        listens, tells = context.Pipe(duplex=False)
        child = context.Process(target=kill_jobs.fit_toy, args=(tmp_path, settings, None, tells), daemon=True)
        child.start()
        tells.close()
        for _ in range(steps):
            listens.recv()
        os.kill(child.pid, signal.SIGKILL)
        child.join(240)
        assert child.exitcode == -signal.SIGKILL
    assert run(context, kill_jobs.fit_toy, tmp_path, settings) == 0
    assert results(tmp_path) == unkilled("fp32", "onecycle")


# The same through the run store, with a real network and real files.


@pytest.fixture(scope="module")
def small(tiny_config):
    return tiny_config.replace(visits=16, tta="none", fold=None)


@pytest.fixture(scope="module")
def whole(context, small, data_root, tmp_path_factory):
    """The results folder of a run never killed; its cache and split serve the others too."""
    root = tmp_path_factory.mktemp("whole")
    assert run(context, kill_jobs.ensure, small, data_root, root) == 0
    return root


def found(small, data_root, root):
    return runs.ensure(small, data_root=data_root, results_root=root, device="cpu", train=False)


def contents(run_found) -> tuple:
    history = run_found.history.drop(columns="seconds")
    return (run_found.path / "model.safetensors").read_bytes(), history.to_csv(), run_found.predictions().to_csv()


STORE = [[{"at": "step", "epoch": 1, "step": 1}, LATE[0]], [LATE[1]], [LATE[2]]]


@pytest.mark.parametrize("places", STORE, ids=lambda places: " then ".join(map(name_of, places)))
def test_a_killed_run_of_the_store_ends_as_one_never_killed(context, small, data_root, whole, tmp_path, places):
    for name in ("cache", "splits"):
        (tmp_path / name).symlink_to(whole / name)
    for place in places:
        ends_killed(context, kill_jobs.ensure, small, data_root, tmp_path, place)
        if place != LATE[-1]:
            with pytest.raises(runs.RunMissing):
                found(small, data_root, tmp_path)
    assert run(context, kill_jobs.ensure, small, data_root, tmp_path) == 0
    made = found(small, data_root, tmp_path)
    assert contents(made) == contents(found(small, data_root, whole)) and {p.name for p in made.path.iterdir()} == FILES


def test_a_state_that_other_code_left_is_dropped(context, small, data_root, whole, tmp_path):
    """A state whose weights were changed shows in the result, unless the code it is signed with is not the present."""
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("cache", "splits"):
        (killed / name).symlink_to(whole / name)
    ends_killed(context, kill_jobs.ensure, small, data_root, killed, {"at": "after the rename", "epoch": 0})
    results_of = {}
    for signed in ("as it is", "by other code", "not at all"):
        root = shutil.copytree(killed, tmp_path / signed, symlinks=True)
        (folder,) = [p for p in (root / "runs").iterdir() if p.is_dir()]
        state = folder / "last" / "0001"
        weights = load_file(state / "model.safetensors")
        save_file(weights | {"head.bias": weights["head.bias"] + 1}, state / "model.safetensors")
        if signed == "by other code":
            code = json.loads((folder / "last.json").read_text())
            write_json(folder / "last.json", code | {"training/fit.py": "0123456789abcdef"})
        if signed == "not at all":
            (folder / "last.json").unlink()
        assert run(context, kill_jobs.ensure, small, data_root, root) == 0
        results_of[signed] = contents(found(small, data_root, root))[0]
    clean = contents(found(small, data_root, whole))[0]
    assert results_of["by other code"] == results_of["not at all"] == clean and results_of["as it is"] != clean


def test_a_second_builder_waits_and_finds(context, small, data_root, whole, tmp_path):
    for name in ("cache", "splits"):
        (tmp_path / name).symlink_to(whole / name)
    events = {name: context.Event() for name in ("building", "go", "waiting", "second built")}
    args = (small, data_root, tmp_path, events)
    first = context.Process(target=kill_jobs.first_builder, args=args, daemon=True)
    second = context.Process(target=kill_jobs.second_builder, args=args, daemon=True)
    first.start()
    assert events["building"].wait(240)
    second.start()
    assert events["waiting"].wait(240)
    events["go"].set()
    first.join(240)
    second.join(240)
    assert (first.exitcode, second.exitcode) == (0, 0) and not events["second built"].is_set()
    assert contents(found(small, data_root, tmp_path)) == contents(found(small, data_root, whole))
