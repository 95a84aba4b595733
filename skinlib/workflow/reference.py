"""Reference results: the exhibits of a whole run of a profile on real data, kept in git with the evidence behind them.

``results/reference/<profile>/<paper>/`` holds exhibits as notebooks wrote them, and in ``evidence/`` of it the tables
that they kept. ``results/reference/<profile>/evidence/<run id>/`` holds what is small of each run, and ``runs.json``
what the plan calls each run. The profile `evidence` executes the notebooks on it. Exhibits of drawn data are not kept:
whoever doubts such a table makes it again.
"""

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from skinlib.across.systems import plan_module
from skinlib.config import Planned, RunConfig
from skinlib.paths import read_json, write_json
from skinlib.study import EVIDENCE, RUN_NAMES
from skinlib.training import runs, stored
from skinlib.training.runs import Run

MOST_BYTES, MOST_OF_MODELS = 32_000_000, 60_000_000  # of results/reference and results/models as a whole
ENDINGS = (".csv", ".json", ".png", ".jpg")


def publish(results: Path, profile: str, planned: Mapping[str, Sequence[Planned]]) -> Path:
    """Replace what a profile's reference holds of some papers, and nothing else, by its results.

    ``planned`` is paper -> runs, as the profile plans them. Each paper's proposed system, the folds of one seed, goes
    to ``results/models`` in half precision. Raises ValueError, and changes nothing (no exhibit, several commits or a
    changed checkout, runs of older code or not of the plan, more than 32 MB in all or 60 MB of weights).
    """
    plans = {paper: {one.name: one.config for one in plan} for paper, plan in planned.items()}
    found, reference, final = results / profile, results / "reference", results / "reference" / profile
    records = {path: read_json(path) for paper in plans for path in sorted((found / paper).glob("*.json"))}
    behind = _runs_behind(records, found)
    names = _names(behind, plans)
    systems = [behind[names[paper][name]] for paper, plan in planned.items() for name in _system(paper, plan)]
    systems = {run.id: run for one in systems for run in (one, *one.parents().values())}
    reference.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=reference, prefix=f".{profile}.") as name:
        new = Path(name, profile)
        if final.is_dir():
            shutil.copytree(final, new)
        for paper in plans:
            shutil.rmtree(new / paper, ignore_errors=True)
            _copy((found / paper / EVIDENCE).glob("*"), new / paper / EVIDENCE)
        for record in records:
            _copy(map(record.with_suffix, ENDINGS), new / record.parent.name)
        _write_runs(new / EVIDENCE, behind, names)
        others = [each for each in reference.iterdir() if each.name not in (profile, Path(name).name)]
        if (size := sum(map(size_of, [new, *others]))) > MOST_BYTES:
            raise ValueError(f"the reference would take {size:,} bytes, {MOST_BYTES:,} are allowed; keep less")
        runs.add_published(systems.values(), results / "models", models := Path(name, "models"))
        if (size := size_of(models)) > MOST_OF_MODELS:
            raise ValueError(f"the weights would take {size:,} bytes, {MOST_OF_MODELS:,} are allowed")
        for made, place in ((models, results / "models"), (new, final)):
            shutil.rmtree(place, ignore_errors=True)
            made.replace(place)
    return final


def _system(paper: str, plan: Sequence[Planned]) -> list[str]:
    """Return the names of the proposed system's runs: all folds of its first seed; none without a plan."""
    asked = {name: value for name, value in plan_module(paper).PROPOSED_RUN.items() if name != "fold"} if plan else {}
    fitting = [one for one in plan if asked.items() <= one.labels.items()]
    return [one.name for one in fitting if one.labels["seed"] == fitting[0].labels["seed"]]


def _runs_behind(records: Mapping[Path, dict], found: Path) -> dict[str, Run]:
    """Return id -> run of all runs that the exhibits name, refusing what older code or an unknown state made."""
    if not records:
        raise ValueError(f"no exhibits under {found}; run `make reproduce PROFILE={found.name}` first")
    if old := [path.stem for path, record in records.items() if record["stale"]]:
        raise ValueError(f"{', '.join(old)}: made from runs of older code; retrain them, or look at the change")
    commits = sorted({record["commit"] for record in records.values()})
    if len(commits) > 1 or commits[0].endswith("+changes"):
        raise ValueError(f"exhibits were made at {', '.join(commits)}; commit, and execute all notebooks again")
    return {key: runs.load(found.parent / "runs" / key) for record in records.values() for key in record["runs"]}


def _names(behind: Mapping[str, Run], plans: Mapping[str, Mapping[str, RunConfig]]) -> dict[str, dict[str, str]]:
    """Return paper -> name in its plan -> run id."""
    found, planned = {paper: {} for paper in plans}, [(p, *each) for p, plan in plans.items() for each in plan.items()]
    for key, run in behind.items():
        precision = run.config.precision  # `auto` of the plan was resolved when the run was made
        fitting = [(p, name) for p, name, config in planned if config.replace(precision=precision) == run.config]
        if not fitting:
            raise ValueError(f"run {key} ({run.config.variant}) is not in the plan; execute the notebooks again")
        for paper, name in fitting:
            found[paper][name] = key
    return {paper: of for paper, of in found.items() if of}


def _write_runs(folder: Path, behind: Mapping[str, Run], names: Mapping[str, dict[str, str]]) -> None:
    """Write what is small of each run, and drop runs that no paper names any more."""
    known = (read_json(folder / RUN_NAMES) if (folder / RUN_NAMES).is_file() else {}) | dict(names)
    for run in behind.values():
        stored.copy_evidence(run.path, folder)
    write_json(folder / RUN_NAMES, known)
    wanted = {key for of in known.values() for key in of.values()}
    for old in [each for each in folder.iterdir() if each.is_dir() and each.name not in wanted]:
        shutil.rmtree(old)


def restore(profile: Path, results: Path) -> list[Path]:
    """Put a published profile's runs into the run store, where it has no folder of theirs; return the new folders.

    ``profile`` is ``results/reference/<profile>``. The runs count as finished and have all but masks and weights, but
    for those of ``results/models``; what needs these says so. What notebooks measured goes where they keep it.
    """
    file = profile / EVIDENCE / RUN_NAMES
    if not file.is_file():
        raise ValueError(f"{profile} keeps no evidence; only profiles of real data do")
    for table in profile.glob(f"*/{EVIDENCE}/*{stored.TABLE}"):
        if not (to := results / table.relative_to(profile.parent)).is_file():
            _copy([table], to.parent)
    ids = sorted({key for of in read_json(file).values() for key in of.values()})
    lacking = [key for key in ids if not (results / "runs" / key).exists()]
    found = [stored.copy_evidence(file.parent / key, results / "runs") for key in lacking]
    for run in found:
        _copy([profile.parents[1] / "models" / run.name / stored.HALF], run)
    return found


def _copy(files: Iterable[Path], folder: Path) -> None:
    """Copy those files that exist."""
    for file in filter(Path.is_file, files):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / file.name)


def size_of(folder: Path) -> int:
    """Return the bytes of a file, or of all files in and below a folder."""
    files = [folder] if folder.is_file() else [file for file in folder.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
