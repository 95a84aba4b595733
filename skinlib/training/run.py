"""A finished run: a handle on the files of its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skinlib import models
from skinlib.config import RunConfig
from skinlib.paths import read_json
from skinlib.provenance import file_digest
from skinlib.training import stored
from skinlib.training.identify import changed_code


class RunMissing(RuntimeError):
    """A finished run was wanted and training it was not allowed."""


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
        return pd.read_csv(self.path / stored.HISTORY)

    def predictions(self, view: str = "mean") -> pd.DataFrame:
        """Return the prediction table of validation and test parts, of one view (``mean`` or ``identity``).

        Without test-time augmentation the two are one.
        """
        written = "mean" if self.config.tta == "none" else view
        return _rows(stored.read(self.path / stored.PREDICTIONS), "view", written, self.path).assign(view=view)

    def segmentation(self, stage: str = "raw") -> pd.DataFrame:
        """Return the mask scores of validation and test images, of one stage (``raw`` or ``postprocessed``).

        The columns are those of `skinlib.training.tables.mask_scores`. Only a run trained on masks has them.
        """
        return _rows(stored.read(self.path / stored.SCORES), "stage", stage, self.path)

    @property
    def gradients(self) -> pd.DataFrame:
        """What each task asked of the shared parameters, a row an epoch and term (`skinlib.training.gradients`)."""
        return pd.read_csv(self.path / stored.GRADIENTS)

    def masks(self) -> dict[str, np.ndarray]:
        """Return image id -> (H, W) bool, the raw masks of validation and test images at the run's image size."""
        return stored.load_masks(self._there(stored.MASKS))

    @property
    def weights_file(self) -> Path:
        """The trained weights, or those in half precision of a published run; `RunMissing` where there is neither."""
        return self._there(stored.HALF if (self.path / stored.HALF).is_file() else stored.WEIGHTS)

    @property
    def restored(self) -> bool:
        """Whether the run came back from evidence without weights."""
        return not any((self.path / name).is_file() for name in (stored.WEIGHTS, stored.HALF))

    def weights(self) -> str:
        """Return the digest of the trained weights."""
        return file_digest(self.weights_file)

    def parents(self) -> dict[str, Run]:
        """Return name -> finished run, of the runs that this one was built on."""
        return {name: load(self.path.parent / seen["id"]) for name, seen in self.metrics.get("parents", {}).items()}

    def model(self) -> nn.Module:
        """Return the trained network, on the CPU, in evaluation mode; `RunMissing` where it has no weights."""
        model, file = models.build(self.config.replace(weights="none")), self.weights_file
        try:
            kinds = {name: tensor.is_floating_point() for name, tensor in model.state_dict().items()}
            model.load_state_dict(state := load_file(file))
            if wrong := [k for k, t in state.items() if t.is_floating_point() != kinds[k] or not t.isfinite().all()]:
                raise RuntimeError(f"{wrong[0]} holds no weights")
        except (SafetensorError, RuntimeError) as error:
            raise ValueError(f"{file} is damaged ({error}); delete its folder and train the run again") from error
        return model.eval()

    def _there(self, name: str) -> Path:
        """Return the path of a file that evidence does not keep; a whole run may still lack masks."""
        if not any((self.path / file).is_file() for file in (stored.WEIGHTS, name)):
            raise RunMissing(f"{self.path} has no {name}: delete the folder and train the run again")
        return self.path / name


def _rows(table: pd.DataFrame, column: str, value: str, path: Path) -> pd.DataFrame:
    if value not in set(table[column]):
        raise KeyError(f"{path} has no rows of the {column} {value!r}; it has {', '.join(table[column].unique())}")
    return table[table[column] == value].reset_index(drop=True)


def load(path: str | Path) -> Run:
    """Open a finished run's folder; RunMissing when there is none."""
    path = Path(path)
    if not (path / stored.DONE).is_file():
        raise RunMissing(f"{path} holds no finished run")
    metrics, config = read_json(path / stored.DONE), RunConfig.from_dict(read_json(path / stored.CONFIG))
    code, digests, parents = metrics.get("code"), metrics.get("digests", {}), metrics.get("parents", {})
    known = all(isinstance(each, dict) for each in (code, digests, parents))
    known = known and bool(digests) == ("digests" in metrics)
    whole = lambda one: isinstance(one, dict) and isinstance(one.get("id"), str) and "weights" in one
    known = known and all(map(whole, parents.values()))
    for name, written in digests.items() if known else {stored.DONE: "another"}.items():
        there = (path / name).is_file()
        if file_digest(path / name) != written if there else name not in stored.NO_EVIDENCE:
            raise ValueError(f"{path / name} is damaged, edited or gone; delete the folder and train the run again")
    stale = (*changed_code(code, config.system), *_replaced(path, parents))
    return Run(path.name, path, config, metrics, stale)


def _replaced(path: Path, parents: Mapping[str, dict]) -> list[str]:
    """Return the parents whose weights are others than those that a run was built on."""
    files = {name: (path.parent / seen["id"] / stored.WEIGHTS, seen["weights"]) for name, seen in parents.items()}
    return [f"parent {name}" for name, (file, then) in files.items() if file.is_file() and file_digest(file) != then]
