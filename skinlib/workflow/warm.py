"""Processes that start warm: forks of one that has imported the large libraries begin in milliseconds.

``python -m skinlib.workflow.warm MODULE ARG...`` does what ``python -m MODULE ARG...`` does. While `serving` keeps a
server, a
fork of it does: a process of its own, with the caller's folder, environment, input and output. The caller hands signals
on, and ends as the fork ends. Where there is no server (on another node of a cluster) the module starts cold.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from skinlib.paths import write_json

ADDRESS = "SKINLIB_WARM"  # the environment variable that names the server's socket
SERVE = "--serve"
INLINE = "module://matplotlib_inline.backend_inline"  # what a kernel sets before matplotlib reads it at its import
# What jobs and kernels import. Our own modules are not among them: each process reads those from disk.
# None of these asks for a GPU or leaves a thread behind when it is imported: neither survives a fork.
LIBRARIES = (
    *("torch", "torch.distributed", "torchvision.transforms.v2", "timm", "safetensors.torch"),
    *("numpy", "pandas", "pandera.pandas", "PIL.Image", "yaml", "tqdm.auto"),
    *("scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.metrics", "sklearn.model_selection"),
    *("skimage.exposure", "skimage.measure", "skimage.morphology", "matplotlib.figure"),
    *("papermill", "nbconvert", "ipykernel.kernelapp", "matplotlib_inline.backend_inline"),
)


class Job(NamedTuple):
    """A fork at work: its process, what becomes readable when it has ended, and the line to its caller."""

    pid: int
    ended: int
    caller: socket.socket


def is_possible() -> bool:
    """Whether this is Linux: elsewhere a process that has imported much does not fork safely, or not at all."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def command(module: str) -> list[str]:
    """Return the words that run ``module``, warm where there is a server."""
    return [sys.executable, "-m", *(["skinlib.workflow.warm"] if ADDRESS in os.environ else []), module]


@contextlib.contextmanager
def serving(libraries: Sequence[str] = LIBRARIES, *, threads: int = 1, now: bool = True) -> Iterator[dict[str, str]]:
    """Keep a server, and yield the environment variables by which commands and Jupyter kernels find it.

    Parameters
    ----------
    libraries
        What the server imports before it forks.
    threads
        OMP_NUM_THREADS, where the environment does not say it: torch reads it when it is imported.
    now
        Whether to import at once; else the first call makes it.
    """
    with tempfile.TemporaryDirectory(prefix="skinlib-") as folder, socket.socket(socket.AF_UNIX) as listener:
        address = str(Path(folder) / "socket")
        listener.bind(address)
        listener.listen(128)
        line = [sys.executable, "-m", "skinlib.workflow.warm", SERVE, str(listener.fileno()), str(int(now)), *libraries]
        environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
        environment["MPLBACKEND"] = INLINE
        apart = {"start_new_session": True, "pass_fds": [listener.fileno()]}  # the terminal's Ctrl-C is for the callers
        server = subprocess.Popen(line, stdin=subprocess.PIPE, env=environment, **apart)
        listener.close()
        kernel = [sys.executable, "-m", "skinlib.workflow.warm", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel += [f"--IPKernelApp.parent_handle={server.pid}"]  # it says so where it has no parent
        spec = {"argv": kernel, "display_name": "Python 3, warm", "language": "python"}
        write_json(Path(folder) / "kernels" / "python3" / "kernel.json", spec)
        known = os.environ.get("JUPYTER_PATH")
        try:
            yield {ADDRESS: address, "JUPYTER_PATH": folder + (os.pathsep + known if known else "")}
        finally:
            server.stdin.close()  # it ends with that, and also when this process is killed
            server.wait()


def serve(listener: socket.socket, libraries: Sequence[str], *, now: bool) -> list[str]:
    """Fork for every caller until standard input ends; return in the forks alone, with the words of their caller."""
    if not now:
        select.select([listener, sys.stdin], [], [])
    gc.disable()  # this and `freeze` keep the collectors of the forks from touching, and so copying, what was imported
    for name in libraries:
        if not _over():
            importlib.import_module(name)
    gc.freeze()
    jobs: list[Job] = []
    while True:
        lines = [job.caller for job in jobs]
        ready = select.select([sys.stdin, listener, *lines, *(job.ended for job in jobs)], [], [])[0]
        if sys.stdin in ready:
            for job in jobs:
                os.killpg(job.pid, signal.SIGKILL)
            sys.exit()
        for job in [job for job in jobs if job.caller in ready or job.ended in ready]:
            if job.ended in ready:
                _report(job)
                jobs.remove(job)
            else:  # the number of a signal; nothing when the caller is gone
                os.killpg(job.pid, (job.caller.recv(1) or bytes([signal.SIGKILL]))[0])
        if listener in ready:
            caller, _ = listener.accept()
            _, files, _, _ = socket.recv_fds(caller, 1, 3)
            request = caller.makefile().readline()
            if request.endswith("\n"):  # else the caller is gone
                pid = os.fork()
                if pid == 0:
                    for line in (listener, caller, *lines):
                        line.close()
                    return _become(files, **json.loads(request))
                jobs.append(_begun(pid, caller))
            for file in files:
                os.close(file)


def _over() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _begun(pid: int, caller: socket.socket) -> Job:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.setpgid(pid, pid)
    with contextlib.suppress(BrokenPipeError):  # the caller has
        caller.sendall(b"+")
    return Job(pid, os.pidfd_open(pid), caller)


def _become(files: list[int], *, words: list[str], folder: str, environment: dict[str, str]) -> list[str]:
    """Take over the caller's input and output, folder and environment; return its words."""
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a server begun in the background ignores it
    os.chdir(folder)
    if not sys.flags.safe_path:
        sys.path[0] = folder  # as `python -m` has it
    os.environ.clear()
    os.environ.update(environment)
    return words


def _report(job: Job) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(job.pid, 0)[1])
    os.close(job.ended)
    with job.caller, contextlib.suppress(BrokenPipeError):
        job.caller.sendall(str(status).encode())


def call(words: Sequence[str]) -> int:
    """Let a fork of the server run a module, and return its exit status.

    The fork ends with this process, and this process ends with its parent.
    """
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(os.environ[ADDRESS])
        except (KeyError, FileNotFoundError, ConnectionRefusedError):  # no server here
            os.execv(sys.executable, [sys.executable, "-m", *words])
        request = {"words": list(words), "folder": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(server, [b"+"], [0, 1, 2])
        server.sendall(json.dumps(request).encode() + b"\n")
        begun = server.recv(1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: server.sendall(bytes([number])))
        while begun and not select.select([server], [], [], 1.0)[0]:
            if os.getppid() != parent:
                return 1
        status = server.recv(16)
    if not status:
        print(f"skinlib: the server that ran {words[0]} has ended", file=sys.stderr)
        return 1
    if int(status) < 0:  # killed by a signal: so is this process then, that whoever waits for it may know
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -int(status))
    return int(status)


def main(words: list[str]) -> None:
    """Run a module warm, or keep the server."""
    if words[0] != SERVE:
        sys.exit(call(words))
    status = [1]  # of a module that raises
    atexit.register(_leave, status)  # registered first, it is called last
    with socket.socket(fileno=int(words[1])) as listener:
        sys.argv = serve(listener, words[3:], now=words[2] == "1")
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        status[0] = 0
    except SystemExit as end:
        status[0] = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _leave(status: list[int]) -> None:
    """End without taking thousands of modules apart, which copies their memory; threads and `atexit` are done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status[0])


if __name__ == "__main__":
    main(sys.argv[1:])
