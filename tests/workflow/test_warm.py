"""Processes forked from a warm server: as if started by themselves, each for itself, and never left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from skinlib.paths import project_root
from skinlib.workflow import warm
from skinlib.workflow.runner import execute

pytestmark = pytest.mark.skipif(not warm.is_possible(), reason="warm processes need Linux")
HEAVY = "import os\nimporter = os.getpid()\nmarks = []\n"
JOB = """
import atexit, os, pathlib, sys, threading, time
import heavy_thing

def say(*words):
    print(*words, flush=True)

if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "tell":
        heavy_thing.marks.append(1)
        say(os.getcwd(), os.environ["COLOUR"], rest, sys.stdin.read(), len(heavy_thing.marks))
        say(heavy_thing.importer != os.getpid())
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: time.sleep(0.3) or print("thread")).start()
        print("to the errors", file=sys.stderr)
    elif what == "exit":
        sys.exit(int(rest[0]) if rest[0].isdigit() else rest[0])
    elif what == "raise":
        raise KeyError("a fork's own mistake")
    elif what == "wait":
        pathlib.Path(rest[0]).write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            say("interrupted")
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Yield the environment in which `heavy_thing` is warm."""
    (tmp_path / "heavy_thing.py").write_text(HEAVY)
    (tmp_path / "job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project_root()), str(tmp_path)]))
    with warm.serving(["heavy_thing"]) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


def start(*words: str, **options) -> subprocess.Popen:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*warm.command("job"), *words], text=True, **pipes, **options)


def waiting(tmp_path: Path) -> tuple[subprocess.Popen, int]:
    """Start a job that waits; return its caller, and the process that does the job."""
    note = tmp_path / "pid"
    caller = start("wait", str(note))
    until(lambda: note.is_file() and note.read_text())
    return caller, int(note.read_text())


def until(true) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("waited for 30 seconds")


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.is_file() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("has_server", [True, False])
def test_a_module_does_what_it_does_when_started_by_itself(request, tmp_path, monkeypatch, has_server):
    if has_server:
        request.getfixturevalue("server")
    else:  # as on another node of a cluster, which has the variable and no server
        (tmp_path / "heavy_thing.py").write_text(HEAVY)
        (tmp_path / "job.py").write_text(JOB)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project_root()), str(tmp_path)]))
        monkeypatch.setenv(warm.ADDRESS, str(tmp_path / "nobody"))
    monkeypatch.setenv("COLOUR", "red")
    folder = tmp_path / "here"
    folder.mkdir()
    for _ in range(2):  # the second finds nothing of the first
        job = start("tell", "a b", cwd=folder)
        out, errors = job.communicate("input")
        assert out == f"{folder} red ['a b'] input 1\n{has_server}\nthread\nat the end\n"
        assert errors == "to the errors\n"
        assert job.returncode == 0
    failing = start("raise")
    assert 'KeyError: "a fork\'s own mistake"' in failing.communicate()[1]
    assert failing.returncode == 1
    assert start("exit", "3").wait() == 3
    failing = start("exit", "a reason")
    assert (failing.communicate()[1], failing.returncode) == ("a reason\n", 1)


def test_one_that_fails_or_is_killed_leaves_the_others_alone(server, tmp_path):
    caller, pid = waiting(tmp_path)
    assert start("exit", "1").wait() == 1
    assert start("raise").wait() == 1
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert caller.wait(30) == -signal.SIGKILL
    assert start("exit", "0").wait() == 0


def test_signals_reach_the_job(server, tmp_path):
    caller, _ = waiting(tmp_path)
    caller.send_signal(signal.SIGINT)
    assert caller.communicate()[0] == "interrupted\n"
    assert caller.returncode == 0
    (tmp_path / "pid").unlink()
    caller, _ = waiting(tmp_path)
    caller.terminate()
    assert caller.wait(30) == -signal.SIGTERM


def test_a_killed_caller_takes_its_job_along(server, tmp_path):
    caller, pid = waiting(tmp_path)
    caller.kill()
    until(lambda: not is_alive(pid))
    assert start("exit", "0").wait() == 0


def test_jobs_end_with_a_killed_starter_of_the_server(tmp_path, monkeypatch):
    (tmp_path / "heavy_thing.py").write_text(HEAVY)
    (tmp_path / "job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project_root()), str(tmp_path)]))
    source = (
        "import subprocess, sys, time; from skinlib.workflow import warm\n"
        "with warm.serving(['heavy_thing']) as environment:\n"
        "    print(environment[warm.ADDRESS], flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    address = Path(starter.stdout.readline().strip())
    monkeypatch.setenv(warm.ADDRESS, str(address))
    caller, pid = waiting(tmp_path)
    starter.kill()
    until(lambda: not is_alive(pid))
    assert caller.wait(30) == 1
    assert "has ended" in caller.stderr.read()
    shutil.rmtree(address.parent)


def written(folder: Path, *sources: str) -> Path:
    """Write a notebook of these cells, the first of them its parameters."""
    cells = [nbformat.v4.new_code_cell(source) for source in ("number = 1", *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    path = folder / "10_written.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_kernel_starts_warm_and_ends_with_its_notebook(server, tmp_path):
    told = "import os, pathlib, sys, heavy_thing\npathlib.Path('pid').write_text(str(os.getpid()))\n"
    path = written(tmp_path, told + "print(number, heavy_thing.importer != os.getpid(), 'job' in sys.modules)")
    assert execute(path, tmp_path / "out", {"number": 2}, minutes=1)["status"] == "ok"
    cells = nbformat.read(tmp_path / "out" / path.name, as_version=4).cells
    assert cells[-1].outputs[0].text == "2 True False\n"
    until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_kernel_over_its_time_is_killed(server, tmp_path):
    told = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)"
    report = execute(written(tmp_path, told), tmp_path / "out", {}, minutes=4 / 60)
    assert report["reason"].startswith("time limit")
    until(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_the_libraries_ask_for_no_gpu_and_leave_no_thread():
    source = (
        "import importlib, os, sys, torch\n"
        "def asked(*_): raise SystemExit('a library asks for a GPU when it is imported')\n"
        "torch.cuda.is_available = torch.cuda.device_count = torch._C._cuda_getDeviceCount = asked\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(len(os.listdir('/proc/self/task')), torch.cuda.is_initialized())"
    )
    line = [sys.executable, "-c", source, *warm.LIBRARIES]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert (done.stderr, done.stdout) == ("", "1 False\n")
