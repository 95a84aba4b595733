"""The run store: a run is trained once, found by the hash of what it computes, and never half there."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from skinlib import models
from skinlib.config import RunConfig
from skinlib.paths import Lock
from skinlib.provenance import file_digest
from skinlib.training import build, gradients, segment, stored
from skinlib.training.fit import Place, place
from skinlib.training.identify import Prepared, changed_code, cohort_of, identify, read_config, run_id, split_of
from skinlib.training.stored import DONE

__all__ = [
    "DONE",
    "Prepared",
    "Run",
    "RunMissing",
    "StaleRun",
    "cohort_of",
    "ensure",
    "identify",
    "load",
    "read_config",
    "run_id",
    "split_of",
]


class RunMissing(RuntimeError):
    """A finished run was wanted and training it was not allowed."""


class StaleRun(RuntimeError):
    """A run was made by other code than the present, and the caller wants to decide."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: ``id``, ``path``, ``config``, ``metrics``, and ``stale``, the files that changed since."""

    id: str
    path: Path
    config: RunConfig
    metrics: dict
    stale: tuple[str, ...] = ()

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch, as `skinlib.training.fit.fit` returns it."""
        return pd.read_csv(io.StringIO(stored.text(self.path / "history.csv")))

    def predictions(self, view: str = "mean") -> pd.DataFrame:
        """Return the prediction table of validation and test parts, of one view (``mean`` or ``identity``).

        Without test-time augmentation the two are one.

        Raises
        ------
        KeyError
            When a run's evidence does not keep that view.
        """
        rows = stored.read(self.path / "predictions.csv.gz")
        there = "mean" if self.config.tta == "none" else view
        if there not in set(rows["view"]):
            raise KeyError(f"{self.path} has no rows of the view {view!r}; its plan does not list the run in SINGLE")
        return rows[rows["view"] == there].assign(view=view).reset_index(drop=True)

    def segmentation(self, stage: str = "raw") -> pd.DataFrame:
        """Return the mask scores of validation and test images, of one stage (``raw`` or ``postprocessed``).

        The columns are those of `skinlib.training.segment.scores`. Only a run trained on masks has them.

        Raises
        ------
        KeyError
            When a run's evidence does not keep that stage.
        """
        rows = stored.read(self.path / segment.SCORES)
        if stage not in set(rows["stage"]):
            raise KeyError(f"{self.path} has no {stage} masks' scores; its plan does not list the run in POSTPROCESSED")
        return rows[rows["stage"] == stage].reset_index(drop=True)

    @property
    def gradients(self) -> pd.DataFrame:
        """What each task asked of the shared parameters, a row an epoch and term (`skinlib.training.gradients`)."""
        return pd.read_csv(io.StringIO(stored.text(self.path / gradients.FILE)))

    def masks(self) -> dict[str, np.ndarray]:
        """Return image id -> (H, W) bool, the raw masks of validation and test images at the run's image size."""
        return segment.load_masks(self._whole(segment.MASKS))

    @property
    def restored(self) -> bool:
        """Whether the run came back from evidence: it then has no weights and no masks."""
        return not (self.path / "model.safetensors").is_file()

    def weights(self) -> str:
        """Return the digest of the trained weights."""
        return file_digest(self._whole("model.safetensors"))

    def parents(self) -> dict[str, Run]:
        """Return name -> finished run, of the runs that this one was built on."""
        return {name: load(self.path.parent / seen["id"]) for name, seen in self.metrics.get("parents", {}).items()}

    def model(self) -> nn.Module:
        """Return the trained network, on the CPU, in evaluation mode; `RunMissing` where it has no weights."""
        model = models.build(self.config.replace(weights="none"))
        model.load_state_dict(load_file(self._whole("model.safetensors")))
        return model.eval()

    def _whole(self, name: str) -> Path:
        """Return the path of a file that evidence does not keep; a whole run may still lack masks."""
        if self.restored:
            raise RunMissing(f"{self.path} has no {name}: delete the folder and train the run again")
        return self.path / name


def load(path: str | Path) -> Run:
    """Open a finished run's folder.

    Raises
    ------
    RunMissing
        When there is no finished run.
    """
    path = Path(path)
    try:
        metrics = json.loads(stored.text(path / DONE))
    except FileNotFoundError as error:
        raise RunMissing(f"{path} holds no finished run") from error
    config = RunConfig.from_json(stored.text(path / "config.json"))
    stale = (*changed_code(metrics["code"], config.system), *_replaced(path, metrics.get("parents", {})))
    return Run(path.name, path, config, metrics, stale)


def _replaced(path: Path, parents: Mapping[str, dict]) -> list[str]:
    """Return the parents whose weights are others than those that a run was built on."""
    files = {name: (path.parent / seen["id"] / "model.safetensors", seen["weights"]) for name, seen in parents.items()}
    return [f"parent {name}" for name, (file, then) in files.items() if file.is_file() and file_digest(file) != then]


def ensure(
    config: RunConfig,
    *,
    data_root: str | Path,
    results_root: str | Path,
    device: str = "auto",
    train: bool = True,
    stale: str = "retrain",
) -> Run:
    """Return the finished run of a configuration, training it first if nobody has.

    The runs that it is built on (`skinlib.models.parents`) are trained before it.

    Parameters
    ----------
    data_root
        The folder that holds the data sets' folders.
    results_root
        Runs lie in ``runs/<id>`` of it; caches and splits beside them.
    train
        False: a missing run is an error.
    stale
        What to do with a run made by other code: ``retrain``, ``stop`` (`StaleRun`, naming the files) or ``reuse``
        (the run's ``stale`` names them, and exhibits say "older code").

    Raises
    ------
    RunMissing, StaleRun, WeightsUnavailable, DataError
    """
    if stale not in ("retrain", "stop", "reuse"):
        raise ValueError(f"stale={stale!r} is unknown; choose retrain, stop or reuse")
    prepared = identify(config, data_root=data_root, results_root=results_root, device=device)
    folder = Path(results_root) / "runs" / prepared.id
    where = place(device, config.precision)
    whole = not (folder / "last.json").is_file()
    if ((where.world == 1 and whole) or not train) and (found := _finished(folder, stale)):
        return found
    if not train:
        name = f"run {prepared.id} ({config.system}, {config.variant}, fold {config.fold}, seed {config.seed})"
        lack = "was made by other code" if (folder / DONE).is_file() else f"is not in {folder.parent}"
        raise RunMissing(f"{name} {lack}; train it with `make reproduce`")
    again = {"data_root": data_root, "results_root": results_root, "device": device, "stale": stale}
    parents = {name: ensure(parent, **again) for name, parent in models.parents(prepared.config).items()}
    # torchrun: rank 0 holds the lock, decides and writes; the others do as it says.
    with Lock(folder.parent / f".{prepared.id}.lock") if where.rank == 0 else contextlib.nullcontext():
        found = _finished(folder, stale) if where.rank == 0 else None
        if found and (folder / "last.json").is_file():
            build.drop_state(folder)  # of a process killed after its last file
        if not _as_rank_0(found is not None, where):
            build.train(prepared, folder, where, Path(results_root), parents=parents)
    return load(folder)


def _finished(folder: Path, stale: str) -> Run | None:
    """Return the finished run, or None when there is none or it is to be trained anew."""
    if not (folder / DONE).is_file():
        return None
    found = load(folder)
    if found.stale and stale == "stop":
        raise StaleRun(
            f"run {found.id} was made by other code: {', '.join(found.stale)} changed since. Retrain it "
            f"(delete {folder}) or say stale='reuse', which marks every exhibit"
        )
    return None if found.stale and stale == "retrain" else found


def _as_rank_0(answer: bool, where: Place) -> bool:
    if where.world == 1:
        return answer
    told = torch.tensor([int(answer)], device=where.device)
    dist.broadcast(told, 0)
    return bool(told)
