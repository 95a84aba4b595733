"""What a notebook begins with: `begin` resolves its parameters into a `Study`, which plans, opens, keeps and writes."""

import dataclasses
import functools
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from IPython.display import Image
from matplotlib.figure import Figure

from skinlib.config import Planned, RunConfig, load_profile
from skinlib.data.readers_files import is_synthetic
from skinlib.data.roots import find_data, synthesise
from skinlib.exhibits import write
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.score import Boot
from skinlib.figures import style
from skinlib.papers import planned
from skinlib.paths import project_root, read_json, write_atomic, write_json
from skinlib.provenance import git_commit
from skinlib.training import runs, stored
from skinlib.training.runs import Run, RunMissing

SHOWN_VERSIONS = ("torch", "timm", "numpy", "pandas", "scikit-learn")
EVIDENCE = "evidence"
RUN_NAMES = "runs.json"  # of the evidence: paper -> name in its plan -> run id


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
    paper: str = ""
    reference: Path | None = None  # where runs and measures are read from instead of being made: results/reference/<of>

    @property
    def boot(self) -> Boot:
        """How many resamples intervals and p values have."""
        n = self.profile["bootstrap"]
        return Boot(n=n, n_p=self.profile.get("bootstrap_p", n), seed=self.seed)

    def plan(self, paper: str = "") -> list[Planned]:
        """Return the runs of a paper under this profile."""
        return planned(paper or self.paper, self.profile)

    def runs(self, paper: str = "", **labels) -> Runs:
        """Return the finished runs of a paper with these labels, opened when they are read (`skinlib.exhibits.runs`).

        In the profile `evidence` they are those of results/reference, which have no weights.
        """
        paper = paper or self.paper
        plan = {one.name: one for one in self.plan(paper)}
        open_run = lambda name: self.run(plan[name].config)
        if self.reference is not None:
            ids = read_json(self.reference / EVIDENCE / RUN_NAMES)[paper]
            plan = {name: one for name, one in plan.items() if name in ids}
            open_run = lambda name: runs.load(self.reference / EVIDENCE / ids[name])
        opened = functools.cache(open_run)
        found = Runs(tuple(plan.values()), lambda one: opened(one.name))
        return found.where(**labels) if labels else found

    def run(self, config: RunConfig) -> Run:
        """Return the finished run of ``config``: it must exist under the runner, and is trained in JupyterLab."""
        return runs.ensure(
            config,
            data_root=self.data_root,
            results_root=self.results_root,
            device=self.device,
            train=os.environ.get("SKINLIB_TRAIN", "") != "never",
            stale=os.environ.get("SKINLIB_STALE") or self.profile["stale"],
        )

    def kept(self, name: str, make: Callable[[], pd.DataFrame], *, paper: str = "") -> pd.DataFrame:
        """Return a table that needs pixels or a network: made here, or read from evidence where there are none.

        What is made is written to ``<results_root>/<profile>/<paper>/evidence/<name>.csv.gz`` with six significant
        digits and read again, so that exhibits made here and from the evidence agree. Evidence without such a table is
        a FileNotFoundError.
        """
        path = (self.reference or self.results_root / self.name) / self._place(name, paper)
        if self.reference is not None:
            return stored.read(path)
        try:
            stored.write(make(), path)
        except RunMissing:
            if not path.is_file():  # else of a run restored from evidence, which has no weights
                raise
        return stored.read(path)

    def knows(self, name: str, *, paper: str = "") -> bool:
        """Tell whether the evidence has a table of `kept`; False where nothing is read from evidence."""
        return self.reference is not None and (self.reference / self._place(name, paper)).is_file()

    def _place(self, name: str, paper: str) -> Path:
        return Path(paper or self.paper, EVIDENCE, f"{name}{stored.TABLE}")

    def exhibit(
        self,
        name: str,
        cells: pd.DataFrame,
        *,
        runs: Sequence[Run] | Runs = (),
        missing: str | None = None,
        figure: Figure | None = None,
        paper: str = "",
        dataset: str = "",
    ) -> pd.DataFrame:
        """Join cells with the published numbers, write table, figure and the record of what made them; return them.

        Parameters
        ----------
        runs : behind the numbers; none where they follow from the data alone.
        missing : the reason written into every published cell that has no number of ours.
        dataset : of the cells, where it is not the profile's: it becomes part of the exhibit's name.
        """
        frame = write.exhibit(cells, paper=paper or self.paper, exhibit=name, missing=missing)
        text = frame.to_csv(index=False, float_format="%.6g")
        self._write(name, ".csv", text, runs=runs, paper=paper, dataset=dataset)
        if figure is not None:
            self.figure(name, figure, runs=runs, paper=paper)
        return frame

    def figure(
        self,
        name: str,
        figure: Figure | Callable[[], Figure],
        *,
        runs: Sequence[Run] | Runs = (),
        photographs: bool = False,
        paper: str = "",
    ) -> Image:
        """Write a figure with the record of what made it, and return it for the notebook.

        Parameters
        ----------
        figure : a function where it needs images or a network: it is called where these are, and elsewhere the picture
            of the reference is taken.
        photographs : it shows photographs: written as JPEG.
        """
        ending = ".jpg" if photographs else ".png"
        if callable(figure) and self.reference is not None:
            file = self.reference / (paper or self.paper) / f"{name}{ending}"
            if not file.is_file():
                raise FileNotFoundError(f"{file} is not there, and this figure needs images and weights to be drawn")
            data = file.read_bytes()
        else:
            drawn = figure() if callable(figure) else figure
            data = style.render(drawn, synthetic=self.synthetic, photographs=photographs)
        self._write(name, ending, data, runs=runs, paper=paper)
        return Image(data=data, width=style.SHOWN_WIDTH)

    def _write(self, name: str, ending: str, data: str | bytes, *, runs, paper: str, dataset: str = "") -> None:
        """Write a file of an exhibit, and next to it a JSON that says what made it; table and picture share that."""
        runs, paper, dataset = list(runs), paper or self.paper, dataset or self.dataset
        stem = self.results_root / self.name / paper / (name if dataset == self.dataset else f"{name}-{dataset}")
        record = {
            "paper": paper,
            "exhibit": name,
            "notebook": self.notebook,
            "commit": git_commit(),
            "profile": self.name,
            "dataset": "+".join(sorted({run.config.dataset for run in runs})) or dataset,
            "kind": "trained" if runs else "data",
            "synthetic": self.synthetic,
            "runs": [run.id for run in runs],
            "seeds": sorted({run.config.seed for run in runs}) if runs else [self.seed],
            "epochs": [run.metrics["epochs"] for run in runs],
            "image_visits": sum(run.metrics["images"] for run in runs),
            "stale": "older code" if any(run.stale for run in runs) else None,
        }
        write_json(Path(f"{stem}.json"), record)
        write_atomic(Path(f"{stem}{ending}"), data)


def begin(
    profile: str = "",
    dataset: str = "",
    data_root: str = "",
    results_root: str = "",
    seed: int = 0,
    device: str = "auto",
    *,
    paper: str = "",
) -> Study:
    """Resolve a notebook's parameters and print versions, device, and whether the data are synthetic or real.

    Parameters
    ----------
    profile : name of a profile; "" means ``sample``.
    dataset, data_root, results_root : "" means the profile's data set, its data (drawn now where they are synthetic and
        missing), and ``results/``.
    device : ``auto`` (a GPU where there is one), ``cpu``, ``cuda``.
    paper : the paper whose plan and exhibits the notebook means where it names none.

    Raises FileNotFoundError (the profile wants real data and they are not there).
    """
    settings = load_profile(profile or "sample")
    settings["dataset"] = dataset or settings["dataset"]
    results = Path(results_root or project_root() / "results")
    kind, root = settings["data"]["kind"], find_data(settings, data_root, results)
    if not data_root and kind == "synthetic":
        synthesise(settings, root)
    study = Study(
        profile=settings,
        name=settings["name"],
        data_root=root,
        results_root=results,
        dataset=settings["dataset"],
        seed=seed,
        device=("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device,
        synthetic=kind != "reference" and is_synthetic(root),
        notebook=os.environ.get("SKINLIB_NOTEBOOK", ""),
        paper=paper,
        reference=root if kind == "reference" else None,
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS)
    print(f"{versions}; device {study.device}; profile {study.name}")
    real = "REAL, measured before" if study.reference else "REAL"
    print(f"data: {study.dataset}, {'SYNTHETIC (drawn, no patients)' if study.synthetic else real}, {root}")
    return study
