"""Two gloo processes under torchrun do together what one does alone. Where they cannot start, this fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes
from safetensors.torch import load_file
from toy_problem import CPU, FILES, batches, config

from skinlib.training import runs

SCRIPT = Path(__file__).with_name("two_processes.py")


def torchrun(*words) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_thread, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def two(data_root, tiny_config, tmp_path_factory):
    """Return the folder of what the two processes wrote, and their results folder."""
    out, results = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("results")
    (out / "tiny.json").write_text(tiny_config.to_json())
    torchrun(SCRIPT, data_root, results, out)
    return out, results


@pytest.fixture(scope="module")
def found(two):
    out, _ = two
    return [json.loads((out / f"found{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_end_with_the_same_weights_and_their_loss_curve_is_that_of_one(found, tmp_path):
    assert [(each["rank"], each["world"]) for each in found] == [(0, 2), (1, 2)]
    assert found[0]["weights"] == found[1]["weights"] and found[0]["history"] == found[1]["history"]
    alone = two_processes.fit_toy(CPU, tmp_path)[1]
    for loss in ("train_loss", "val_loss"):
        assert [row[loss] for row in found[0]["history"]] == pytest.approx([row[loss] for row in alone], abs=1e-5)
    assert len(found[0]["history"]) == len(alone) == 3


def test_the_gradient_of_a_step_is_that_of_one_process(two):
    out, _ = two
    alone = two_processes.one_step(CPU)
    for rank in range(2):
        together = load_file(out / f"gradients{rank}.safetensors")
        assert together.keys() == alone.keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(together[name], gradient, atol=1e-5, rtol=1e-5, msg=f"{name} on rank {rank}")
    assert max(float(g.abs().max()) for name, g in alone.items() if "loss" not in name) > 0.01


def test_no_image_is_seen_twice_or_lost(found):
    train = batches(two_processes.ODD, augment=config().augment, batch_size=8)
    for epoch in range(2):
        steps = list(zip(*(each["seen"][epoch] for each in found), strict=True))
        assert len(steps) == len(train) and all(abs(len(a) - len(b)) <= 1 for a, b in steps)
        together = [image for a, b in steps for image in a + b]
        assert sorted(together) == sorted(train.order(epoch)) == list(range(two_processes.ODD))


def test_rank_0_alone_writes_and_the_store_ends_with_one_whole_run(two, found, tiny_config, data_root):
    out, results = two
    assert [folder.name for folder in out.glob("last*")] == ["last0"]
    assert found[1]["written"] == [] and len(found[0]["written"]) > 10
    run = runs.ensure(tiny_config, data_root=data_root, results_root=results, device="cpu", train=False)
    assert [each["run"] for each in found] == [each["again"] for each in found] == [run.id] * 2
    assert found[0]["files"] == found[1]["files"] == sorted(FILES)
    assert (len(run.history), run.metrics["processes"]) == (tiny_config.epochs, 2)
    assert [p.name for p in (results / "runs").iterdir() if p.is_dir()] == [run.id]


def test_the_console_script_trains_in_two_processes(tiny_config, data_root, tmp_path):
    (tmp_path / "tiny.json").write_text(tiny_config.to_json())
    place = ["--profile", "smoke", "--data", data_root, "--results", tmp_path, "--device", "cpu"]
    torchrun("-m", "skinlib.workflow.cli", "train", tmp_path / "tiny.json", *place)
    run = runs.ensure(tiny_config, data_root=data_root, results_root=tmp_path, device="cpu", train=False)
    assert len(run.history) == tiny_config.epochs
