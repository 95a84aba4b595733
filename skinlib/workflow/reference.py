"""Reference results: the exhibits of a whole run of a profile, kept in git, on real data with the evidence behind them.

``results/reference/<profile>/<paper>/`` holds exhibits as `skinlib.exhibits.write` writes them, and in ``evidence/``
of it the tables of one row an image that notebooks kept. ``results/reference/<profile>/evidence/<run id>/`` holds what
is small of each run, and ``runs.json`` beside them says what the plan calls each run. Tests recompute the tables. Drawn
data need no evidence: whoever doubts such a table makes it again; nor pictures, where one of real images is kept.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from skinlib.config import RunConfig
from skinlib.figures.style import with_palette
from skinlib.paths import read_json, write_atomic, write_json
from skinlib.training import runs, stored
from skinlib.training.runs import Run
from skinlib.training.stored import TABLE

EVIDENCE = "evidence"
NAMES = "runs.json"
MOST_BYTES = 32_000_000  # of results/reference as a whole
MOST_COLOURS = 112  # of a picture there: a sixth smaller than with the 256 that a run gives it
PICTURE = ".png"
ENDINGS = (".csv", PICTURE, ".json")


class NotPublishable(ValueError):
    """Results that may not become a reference: made by older code, incomplete, or too large."""


def publish(
    found: Path,
    reference: Path,
    *,
    plans: Mapping[str, Mapping[str, RunConfig]],
    run_store: Path,
    evidence: bool = True,
) -> Path:
    """Replace what a profile's reference holds of the papers in ``plans``, and nothing else, by its results.

    Parameters
    ----------
    found
        A profile's results, ``results/<profile>``.
    reference
        ``results/reference``; what it holds of other profiles stays.
    plans
        Paper -> name -> configuration, as the profile plans them.
    run_store
        ``results/runs``
    evidence
        False: exhibits alone, and of these no picture that another profile keeps with evidence.

    Returns
    -------
    Path
        ``results/reference/<profile>``

    Raises
    ------
    NotPublishable
        When there is no exhibit, one was made from runs of older code, a run is not of the plan, or all references
        together would take more than 32 MB; then nothing is changed.
    """
    records = {path: read_json(path) for paper in plans for path in sorted((found / paper).glob("*.json"))}
    behind = _runs_behind(records, found, run_store)
    names = _names(behind, plans)
    final = reference / found.name
    reference.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=reference, prefix=f".{found.name}.") as name:
        new = Path(name) / found.name
        for record in records:
            paper, exhibit = record.parent.name, record.name.removesuffix(".json")
            pictured = not evidence and _pictured(reference, paper, exhibit)
            files = [record.with_name(exhibit + ending) for ending in ENDINGS if not (pictured and ending == PICTURE)]
            _copy([file for file in files if file.is_file()], new / paper)
        others = _keep_others(final, new, plans)
        if evidence:
            _write_evidence(found, new, behind, names | others)
        beside = [folder for folder in reference.iterdir() if folder.name not in (found.name, Path(name).name)]
        _check_size([new, *beside], reference)
        shutil.rmtree(final, ignore_errors=True)
        new.replace(final)
    return final


def _runs_behind(records: Mapping[Path, dict], found: Path, run_store: Path) -> dict[str, Run]:
    """Return id -> run of all runs that the exhibits name, refusing what older code made."""
    if not records:
        raise NotPublishable(f"no exhibits under {found}; run `make reproduce PROFILE={found.name}` first")
    if old := [path.stem for path, record in records.items() if record["stale"]]:
        raise NotPublishable(f"{', '.join(old)}: made from runs of older code; retrain them, or look at the change")
    behind = {key: runs.load(run_store / key) for record in records.values() for key in record["runs"]}
    if stale := [run for run in behind.values() if run.stale]:
        raise NotPublishable(
            f"{len(stale)} runs were made by older code than today's, first {stale[0].id} "
            f"({', '.join(stale[0].stale)} changed since); retrain them"
        )
    return behind


def _names(behind: Mapping[str, Run], plans: Mapping[str, Mapping[str, RunConfig]]) -> dict[str, dict[str, str]]:
    """Return paper -> name in its plan -> run id."""
    found = {paper: {} for paper in plans}
    for key, run in behind.items():
        precision = run.config.precision  # `auto` of the plan was resolved when the run was made
        fitting = [
            (paper, name)
            for paper, plan in plans.items()
            for name, config in plan.items()
            if config.replace(precision=precision) == run.config
        ]
        if not fitting:
            raise NotPublishable(
                f"run {key} ({run.config.variant}) is not in today's plan; execute the notebooks again"
            )
        for paper, name in fitting:
            found[paper][name] = key
    return found


def _write_evidence(found: Path, new: Path, behind: Mapping[str, Run], names: dict[str, dict[str, str]]) -> None:
    """Write measures a row an image, what is small of each run, and what the plan calls it."""
    for paper in names:
        _copy(sorted((found / paper / EVIDENCE).glob(f"*{TABLE}")), new / paper / EVIDENCE)
    for run in behind.values():
        stored.copy_evidence(run.path, new / EVIDENCE)
    write_json(new / EVIDENCE / NAMES, names)


def _keep_others(old: Path, new: Path, plans: Mapping[str, Mapping[str, RunConfig]]) -> dict[str, dict[str, str]]:
    """Copy what a reference holds of papers that are not published now; return paper -> name in its plan -> run id."""
    papers = [folder.name for folder in sorted(old.glob("*")) if folder.name not in {*plans, EVIDENCE}]
    for paper in papers:
        shutil.copytree(old / paper, new / paper)
    if not (old / EVIDENCE / NAMES).is_file():
        return {}
    names = {paper: of for paper, of in read_json(old / EVIDENCE / NAMES).items() if paper in papers}
    for key in {key for of in names.values() for key in of.values()}:
        stored.copy_evidence(old / EVIDENCE / key, new / EVIDENCE)
    return names


def restore(profile: Path, results: Path) -> list[Path]:
    """Put a published profile's runs into the run store, where it has no folder of theirs; return the new folders.

    They count as finished, so that exhibits are made again, or more runs added, without training these. They have
    everything but weights and masks: what needs the network says so, and its run is to be trained again. What notebooks
    measured with the networks goes where they keep it.

    Parameters
    ----------
    profile
        ``results/reference/<profile>``
    results
        ``results``

    Raises
    ------
    NotPublishable
        When the profile keeps no evidence.
    """
    file = profile / EVIDENCE / NAMES
    if not file.is_file():
        raise NotPublishable(f"{profile} keeps no evidence; only profiles of real data do")
    for table in profile.glob(f"*/{EVIDENCE}/*{TABLE}"):
        path = results / table.relative_to(profile.parent)
        if not path.is_file():
            write_atomic(path, table.read_bytes())
    ids = sorted({key for of in read_json(file).values() for key in of.values()})
    missing = [key for key in ids if not (results / "runs" / key).exists()]
    return [stored.copy_evidence(file.parent / key, results / "runs") for key in missing]


def _pictured(reference: Path, paper: str, exhibit: str) -> bool:
    """Tell whether a profile with evidence keeps a picture of an exhibit."""
    kept = reference.glob(f"*/{paper}/{exhibit}{PICTURE}")
    return any((picture.parents[1] / EVIDENCE).is_dir() for picture in kept)


def _copy(files: list[Path], folder: Path) -> None:
    for file in files:
        write_atomic(folder / file.name, _small(file) if file.suffix == PICTURE else file.read_bytes())


def _small(picture: Path) -> bytes:
    """Return a picture with a palette of `MOST_COLOURS`; one that has no more stays as it is."""
    image = Image.open(picture)
    return picture.read_bytes() if image.getcolors(MOST_COLOURS) else with_palette(image, MOST_COLOURS)


def _check_size(folders: list[Path], reference: Path) -> None:
    if (size := sum(map(size_of, folders))) > MOST_BYTES:
        raise NotPublishable(f"{reference} would take {size:,} bytes, {MOST_BYTES:,} are allowed; keep less evidence")


def size_of(folder: Path) -> int:
    """Return the bytes of a file, or of all files in and below a folder."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def open_evidence(profile: Path, paper: str) -> dict[str, Run]:
    """Open the evidence of a published profile: name in the plan -> run, with everything but its weights.

    Parameters
    ----------
    profile
        ``results/reference/<profile>``
    """
    names = read_json(profile / EVIDENCE / NAMES)[paper]
    return {name: runs.load(profile / EVIDENCE / key) for name, key in names.items()}


def kept_table(profile: Path, paper: str, name: str) -> pd.DataFrame:
    """Read what `skinlib.exhibits.evidence.keep` wrote; ids stay text."""
    return stored.read(profile / paper / EVIDENCE / f"{name}{TABLE}")
