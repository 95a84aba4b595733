"""What a notebook begins with: `begin` resolves its parameters into a `Study` and says what it works on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from pathlib import Path

from skinlib.config import RunConfig, load_profile
from skinlib.data.roots import find_data, synthesise
from skinlib.papers import plan_of
from skinlib.paths import project_root

SHOWN_VERSIONS = ("torch", "timm", "numpy", "pandas", "scikit-learn")


class SkipNotebook(Exception):
    """Raised by a notebook that cannot run here (no weights, no such data); it is then reported as skipped."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this instead of a traceback
        return [f"SkipNotebook: {self}"]


@dataclasses.dataclass(frozen=True)
class Study:
    """What a notebook works on, with every default resolved."""

    profile: dict
    name: str
    data_root: Path
    results_root: Path
    dataset: str
    seed: int
    device: str
    synthetic: bool
    notebook: str = ""  # the notebook's name, known when the runner executes it

    def plan(self, paper: str) -> dict[str, RunConfig]:
        """Return the runs of a paper under this profile, by name."""
        return plan_of(paper, self.profile)

    def run(self, config: RunConfig):
        """Return the finished run of ``config``: it must exist under the runner, and is trained in JupyterLab."""
        from skinlib.training import runs

        return runs.ensure(
            config,
            data_root=self.data_root,
            results_root=self.results_root,
            device=self.device,
            train=os.environ.get("SKINLIB_TRAIN", "") != "never",
            stale=os.environ.get("SKINLIB_STALE") or self.profile["stale"],
        )


def begin(
    profile: str = "",
    dataset: str = "",
    data_root: str = "",
    results_root: str = "",
    seed: int = 0,
    device: str = "auto",
) -> Study:
    """Resolve a notebook's parameters and print versions, device, and whether the data are synthetic or real.

    Parameters
    ----------
    profile
        Name of a profile; "" means ``sample``.
    dataset, data_root, results_root
        "" means the profile's data set, its data (drawn now where they are synthetic and missing), and ``results/``.
    device
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda``.

    Raises
    ------
    FileNotFoundError
        When the profile wants real data and they are not there.
    """
    import torch

    from skinlib.data.readers_files import is_synthetic

    settings = load_profile(profile or "sample")
    settings["dataset"] = dataset or settings["dataset"]
    results = Path(results_root) if results_root else project_root() / "results"
    root = find_data(settings, data_root, results)
    if not data_root and settings["data"]["kind"] == "synthetic":
        synthesise(load_profile(profile or "sample"), root)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    study = Study(
        profile=settings,
        name=settings["name"],
        data_root=root,
        results_root=results,
        dataset=settings["dataset"],
        seed=seed,
        device=device,
        synthetic=is_synthetic(root),
        notebook=os.environ.get("SKINLIB_NOTEBOOK", ""),
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS)
    print(f"{versions}; device {device}; profile {study.name}")
    print(f"data: {study.dataset}, {'SYNTHETIC (drawn, no patients)' if study.synthetic else 'REAL'}, {root}")
    return study
