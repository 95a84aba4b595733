"""The run store: a run is trained once, found by the hash of what it computes, and never half there."""

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

import torch
import torch.distributed as dist

from skinlib import models
from skinlib.config import RunConfig
from skinlib.paths import Lock
from skinlib.training import build, stored
from skinlib.training.fit import Place, place
from skinlib.training.identify import Prepared, cohort_of, identify, read_config, run_id, split_of
from skinlib.training.run import Run, RunMissing, load
from skinlib.training.stored import DONE

__all__ = [
    "Prepared", "Run", "RunMissing", "StaleRun", "cohort_of", "ensure", "identify", "load", "read_config", "run_id",
    "split_of",
]  # fmt: skip


class StaleRun(RuntimeError):
    """A run was made by other code than the present, and the caller wants to decide."""


def ensure(
    config: RunConfig,
    *,
    data_root: str | Path,
    results_root: str | Path,
    device: str = "auto",
    train: bool = True,
    stale: str = "retrain",
) -> Run:
    """Return the finished run of a configuration; where there is none, train it, and those that it is built on first.

    Parameters
    ----------
    data_root : the folder that holds the data sets' folders
    results_root : runs lie in ``runs/<id>`` of it; caches and splits next to them
    train : False: a missing run is an error
    stale : what to do with a run made by other code: ``retrain``, ``stop`` (`StaleRun`, naming the files) or ``reuse``
        (the run's ``stale`` names them, and exhibits say "older code")

    Raises RunMissing, StaleRun, WeightsUnavailable, DataError.
    """
    if stale not in ("retrain", "stop", "reuse"):
        raise ValueError(f"stale={stale!r} is unknown; choose retrain, stop or reuse")
    prepared = identify(config, data_root=data_root, results_root=results_root, device=device)
    folder = Path(results_root) / "runs" / prepared.id
    where = place(device, config.precision)
    whole = not (folder / build.CODE).is_file()
    if ((where.world == 1 and whole) or not train) and (found := _finished(folder, stale)):
        return found
    if not train:
        name = f"run {prepared.id} ({config.system}, {config.variant}, fold {config.fold}, seed {config.seed})"
        lack = "was made by other code" if (folder / DONE).is_file() else f"is not in {folder.parent}"
        raise RunMissing(f"{name} {lack}; train it with `make reproduce`")
    again = {"data_root": data_root, "results_root": results_root, "device": device, "stale": stale}
    built_on = models.system_of(config).parents(prepared.config)
    parents = {name: ensure(parent, **again) for name, parent in built_on.items()}
    # torchrun: rank 0 holds the lock, decides and writes; the others do as it says.
    with Lock(folder.parent / f".{prepared.id}.lock") if where.rank == 0 else contextlib.nullcontext():
        found = _finished(folder, stale) if where.rank == 0 else None
        if found and not found.stale and (folder / build.CODE).is_file():
            build.drop_state(folder)  # of a process killed after its last file
        if not _as_rank_0(found is not None, where):
            build.train(prepared, folder, where, Path(results_root), parents=parents)
    return load(folder)


def add_published(systems: Collection[Run], folder: Path, new: Path) -> None:
    """Copy a folder of published networks to ``new``, where these take the place of all others of their systems."""
    shutil.copytree(folder, new) if folder.is_dir() else new.mkdir()
    lacking, ours = {run.id for run in systems if run.restored}, {run.config.system for run in systems}
    for old in [load(each) for each in new.glob("*/")]:
        if old.config.system in ours and old.id not in lacking:
            shutil.rmtree(old.path)
    for run in systems:
        if run.id not in lacking:
            stored.halve(run.path, new)
        elif not (new / run.id).is_dir():
            print(f"{run.id} is not among the published networks: its weights are not here")


def _finished(folder: Path, stale: str) -> Run | None:
    """Return the finished run, or None when there is none or it is to be trained anew."""
    if not (folder / DONE).is_file():
        return None
    found = load(folder)
    if found.stale and stale == "stop":
        raise StaleRun(f"run {found.id}: other code in {', '.join(found.stale)}; delete {folder}, or say stale='reuse'")
    return None if found.stale and stale == "retrain" else found


def _as_rank_0(answer: bool, where: Place) -> bool:
    if where.world == 1:
        return answer
    told = torch.tensor([int(answer)], device=where.device)
    dist.broadcast(told, 0)
    return bool(told)
