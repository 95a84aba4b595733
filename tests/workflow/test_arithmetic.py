"""A profile pins its arithmetic before numpy and torch are imported, and what the user has set wins."""

import json
import os
import subprocess
import sys

import nbformat
import pytest

from skinlib.workflow import cli

PINNED = {"name": "own", "threads": 1, "arithmetic": "pinned"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("OMP_NUM_THREADS", *cli.PINNED):
        monkeypatch.delenv(name, raising=False)


def test_a_pinned_profile_sets_what_the_user_has_not(monkeypatch):
    monkeypatch.setattr(cli.platform, "machine", lambda: "x86_64")
    assert cli.settings(PINNED) == {"OMP_NUM_THREADS": "1"} | cli.PINNED
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert "ATEN_CPU_CAPABILITY" not in cli.settings(PINNED)


def test_other_profiles_and_other_processors_compute_as_they_can(monkeypatch):
    assert cli.settings({"name": "own", "threads": 4}) == {"OMP_NUM_THREADS": "4"}
    monkeypatch.setattr(cli.platform, "machine", lambda: "arm64")
    assert cli.settings(PINNED) == {"OMP_NUM_THREADS": "1"}


@pytest.mark.skipif(cli.platform.machine() not in cli.X86_64, reason="nothing is pinned here")
def test_a_kernel_of_a_command_computes_with_what_the_profile_says(tmp_path):
    source = [
        "import os, json, numpy, torch",
        "features = numpy._core._multiarray_umath.__cpu_features__",
        "seen = [features['X86_V4'], torch.backends.cpu.get_cpu_capability(), os.environ['MKL_CBWR']]",
        "open(results_root + '/seen.json', 'w').write(json.dumps(seen))",
    ]
    parameters = nbformat.v4.new_code_cell('profile = ""\ndata_root = ""\nresults_root = ""')
    parameters.metadata["tags"] = ["parameters"]
    cells = [parameters, nbformat.v4.new_code_cell("\n".join(source))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "00_seen.ipynb")
    words = ["notebooks", "run", str(tmp_path / "00_seen.ipynb"), "--profile", "smoke", "--results", str(tmp_path)]
    line = [sys.executable, "-m", "skinlib.workflow.cli", *words]
    subprocess.run(line, check=True, env=os.environ | {"MKL_CBWR": "AUTO"})
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == [False, "AVX2", "AUTO"], "numpy and torch as the profile says, and the user's own word for MKL"
