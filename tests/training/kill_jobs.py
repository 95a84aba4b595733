"""What the processes of test_kill.py do: train, and kill themselves with SIGKILL at a given place.

They are forked from a server that has imported everything, so that each starts in milliseconds.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from toy_problem import Toy, batches, terms

from skinlib.config import RunConfig
from skinlib.paths import write_json
from skinlib.training import build, checkpoint, fit, runs, stored

Place = dict  # {"at": name, "epoch": e, "step": s}


def die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(place: Place | None) -> Callable[[int, int, int, float], None] | None:
    """Set the trap of a place; return the progress callback that some places need."""
    if place is None:
        return None
    epoch, at = place.get("epoch", 0), place["at"]
    state = f"{epoch + 1:04d}"
    if at == "step":
        return lambda e, step, steps, loss: die() if (e, step) == (epoch, place["step"]) else None
    if at == "before the save":
        wrap(checkpoint, "save", before=lambda folder, m, o, b, record: len(record["history"]) == epoch + 1)
    elif at == "among the files":  # the second of three
        wrap(checkpoint, "save_tensors", after=lambda t, path: path.name == "best.safetensors" and state in str(path))
    elif at == "before the rename":
        wrap(Path, "replace", before=lambda source, target: Path(target).name == state)
    elif at == "after the rename":
        wrap(Path, "replace", after=lambda source, target: Path(target).name == state)
    elif at == "while cleaning":  # the state before is half deleted
        wrap(shutil, "rmtree", before=lambda folder, **_: Path(folder).name == f"{epoch:04d}" and tear(Path(folder)))
    elif at == "before the last file":
        wrap(Path, "replace", before=lambda source, target: moves_in(source, target, stored.DONE))
    elif at == "among the last files":
        wrap(Path, "replace", after=lambda source, target: moves_in(source, target, "history.csv"))
    elif at == "after the last file":
        wrap(Path, "replace", after=lambda source, target: moves_in(source, target, stored.DONE))
    else:
        raise ValueError(at)
    return None


def moves_in(source: Path, target: Path, name: str) -> bool:
    """Tell whether a finished file moves from the temporary folder to its place."""
    return Path(target).name == name and Path(source).parent != Path(target).parent


def tear(folder: Path) -> bool:
    (folder / "model.safetensors").unlink()
    return True


def wrap(owner, name: str, *, before=None, after=None) -> None:
    """Let a function kill the process before or after the call for which the condition holds."""
    real = getattr(owner, name)

    def trapped(*args, **kwargs):
        if before is not None and before(*args, **kwargs):
            die()
        result = real(*args, **kwargs)
        if after is not None and after(*args, **kwargs):
            die()
        return result

    setattr(owner, name, trapped)


def fit_toy(folder: Path, config: RunConfig, place: Place | None = None, channel=None) -> None:
    """Fit the toy problem; leave its weights and history in ``folder``. ``channel`` is told every step."""
    torch.set_num_threads(1)
    progress = arm(place) if channel is None else lambda *values: channel.send(values)
    model = Toy()
    history = fit.fit(
        model, batches(batch_size=config.batch_size, augment=config.augment, seed=config.seed, visits=30),
        batches(20, batch_size=16) if config.fold is not None else None, terms=terms(config), config=config,
        where=fit.Place(torch.device("cpu"), config.precision), folder=folder / "last", progress=progress,
    )  # fmt: skip
    checkpoint.save_tensors(model.state_dict(), folder / "model.safetensors")
    write_json(folder / "history.json", [{k: v for k, v in row.items() if k != "seconds"} for row in history])


def ensure(config: RunConfig, data_root: Path, results_root: Path, place: Place | None = None) -> None:
    """Make a run of the store."""
    torch.set_num_threads(1)
    if progress := arm(place):
        build._show = lambda bar, *values: progress(*values)
    runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")


def first_builder(config: RunConfig, data_root: Path, results_root: Path, events: dict) -> None:
    """Hold the lock of a run until told to go on."""
    torch.set_num_threads(1)
    real = build.train

    def train(*args, **options):
        events["building"].set()
        assert events["go"].wait(300)
        real(*args, **options)

    build.train = train
    runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")


def second_builder(config: RunConfig, data_root: Path, results_root: Path, events: dict) -> None:
    """Want the same run; tell when waiting for the lock, and when (wrongly) building."""
    torch.set_num_threads(1)

    def told(event, real, *args, **options):
        event.set()
        return real(*args, **options)

    build.train = partial(told, events["second built"], build.train)
    time.sleep = partial(told, events["waiting"], time.sleep)  # of the lock
    runs.ensure(config, data_root=data_root, results_root=results_root, device="cpu")
