"""`make reproduce`: say what it will take, let Snakemake do it, and say what came of it."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from skinlib.papers import plan_of
from skinlib.paths import Lock, project_root, read_json, write_json
from skinlib.workflow.catalogue import image_visits, selected
from skinlib.workflow.index import summary, write_index
from skinlib.workflow.regression import compare_evidence
from skinlib.workflow.work import Work


def estimate(work: Work) -> dict[str, float]:
    """Return what is left to do: runs and runs_left, visits, notebooks and notebooks_left, and minutes of all."""
    papers = work.papers()
    if work.plan_file.is_file() and work.data_stamp.is_file():
        runs = [(entry["visits"], work.run_stamp(entry).is_file()) for entry in work.planned(papers).values()]
    else:  # without data no run has an id
        configs = {config.to_json(): config for paper in papers for config in plan_of(paper, work.profile).values()}
        runs = [(image_visits(config, work.profile), False) for config in configs.values()]
    left = [visits for visits, done in runs if not done]
    waiting = [card for card in work.cards if not work.notebook_stamp(card.stem).is_file()]
    minutes = work.profile["minutes"] * sum(left) / max(1, sum(visits for visits, _ in runs))
    minutes += sum(card.minutes.get(work.profile["name"], 1.0) for card in waiting)
    counts = {"runs": len(runs), "runs_left": len(left), "notebooks": len(work.cards), "notebooks_left": len(waiting)}
    return counts | {"visits": sum(left), "minutes": minutes}


def announce(work: Work) -> str:
    """Return the estimate in words; a ValueError when runs are left and too little of the disk is free for them."""
    work.folder.mkdir(parents=True, exist_ok=True)
    need, disk, free = estimate(work), work.profile["disk_gb"], shutil.disk_usage(work.folder).free / 1e9
    if need["runs_left"] and free < disk:
        raise ValueError(f"{work.folder} has {free:.1f} GB free and needs {disk:g} GB; make room or link results/")
    origin = "synthetic, drawn here" if work.generated else "as given"
    return (
        f"profile {work.profile['name']}, data {work.data} ({origin})\n"
        f"to do: {need['runs_left']} of {need['runs']} training runs ({need['visits']:,} image visits), "
        f"{need['notebooks_left']} of {need['notebooks']} notebooks, and what changed since the last call\n"
        f"needs about {need['minutes']:.0f} minutes on two cores and {disk:g} GB of disk ({free:.0f} GB are free)"
    )


def forget(work: Work) -> None:
    """Drop the stamps of what is no longer there, and of skipped notebooks, so that they are done again."""
    if work.generated and not (work.data / "made_from.json").is_file():
        work.data_stamp.unlink(missing_ok=True)
    for stamp in work.state.glob("runs/*.json"):
        finished = [work.results / "runs" / key / "metrics.json" for key in read_json(stamp)["runs"]]  # its last file
        if not all(file.is_file() for file in finished):
            stamp.unlink()
    for stamp in work.state.glob("notebooks/*.ok"):
        executed = work.folder / "notebooks" / f"{stamp.stem}.ipynb"
        if not executed.is_file() or read_json(work.status_file(stamp.stem))["status"] == "skipped":
            stamp.unlink()


def progress(work: Work) -> str:
    """Return two bars: runs and notebooks done, of those that this call wants."""
    wanted = work.state / "wanted.json"
    stems = read_json(wanted)["notebooks"] if wanted.is_file() else [card.stem for card in work.cards]
    cards = [card for card in work.cards if card.stem in stems]
    runs = work.planned(work.papers(cards)).values() if work.plan_file.is_file() else ()
    stamps = {"runs": list(map(work.run_stamp, runs)), "notebooks": [work.notebook_stamp(card.stem) for card in cards]}
    done = {name: (sum(file.is_file() for file in files), len(files)) for name, files in stamps.items() if files}
    form = "|{bar:20}| {n_fmt}/{total_fmt}"
    return "   ".join(f"{name} {tqdm.format_meter(*count, 0, bar_format=form)}" for name, count in done.items())


def command(work: Work, *, cores: int, extra: Sequence[str]) -> list[str]:
    """Return Snakemake's command line; another executor in ``extra`` may train several runs at once."""
    line = [sys.executable, "-m", "snakemake", "--snakefile", str(project_root() / "Snakefile")]
    named = None
    if extra:
        from snakemake.cli import parse_args  # it takes seconds to import

        named = parse_args([*line[3:], *extra])[1].executor  # by an option, or in a profile of Snakemake
    line += ["--directory", str(work.results), "--rerun-incomplete", "--keep-going", "--nolock"]
    line += ["--quiet", "host", "reason"]
    if named in (None, "local"):  # elsewhere rules are named: a job that was cancelled could not say so itself
        line += ["rules", "progress", "--cores", str(cores), "--resources", f"train={work.profile['jobs']}"]
    config = {"profile": work.given, "results": work.results, "notebooks": work.notebooks}
    config |= {} if work.generated else {"data": work.data}
    if braced := [path for path in map(str, config.values()) if set(path) & {"{", "}"}]:
        raise ValueError(f"{braced[0]} has braces, which Snakemake takes for wildcards; rename the folder")
    config["only"] = " ".join(str(card.number) for card in work.cards)
    # A file: Snakemake reads values of its command line as YAML, in which " #" begins a comment.
    file = write_json(work.state / "config.json", {name: str(value) for name, value in config.items()})
    return [*line, *extra, "--configfile", str(file)]


def reproduce(work: Work, *, stale: str = "", cores: int = 0, extra: Sequence[str] = ()) -> int:
    """Run the compendium and print its summary; 0 when every notebook was executed or skipped, else 1.

    An interrupt ends it after the runs and notebooks in hand; the next call goes on. A TimeoutError says that the same
    profile is being run already.

    Parameters
    ----------
    stale : what to do with runs made by older code: ``retrain``, ``stop``, ``reuse``; "" means what the profile says.
    cores : most cores at once; 0 means all, four at most. No more jobs train at once than the profile's ``jobs``.
    extra : further arguments for Snakemake, such as ``--executor slurm --jobs 8``.
    """
    with Lock(work.state / ".lock", timeout=1):
        forget(work)
        print(announce(work), flush=True)
        write_json(work.state / "wanted.json", {"notebooks": [card.stem for card in work.cards]})
        began = time.time()
        line = command(work, cores=cores or min(4, os.cpu_count() or 1), extra=extra)
        failed = _run(line, os.environ | ({"SKINLIB_STALE": stale} if stale else {}), work.stop_file)
        text, missing = summary(work, since=began)
        whole = dataclasses.replace(work, cards=tuple(selected(work.profile, "", work.notebooks)))
        page = write_index(whole, since=began)
        if work.profile["data"]["kind"] == "reference":
            failed = compare_evidence(work.folder, work.data) or failed
    print(f"\n{text}\nminutes: {(time.time() - began) / 60:.1f}\nindex: {page}", flush=True)
    return 1 if failed or missing else 0


def _run(line: list[str], environment: dict, stop: Path) -> int:
    """Run Snakemake; an interrupt or a termination lets its jobs end what they have in hand, and starts no other."""
    stop.unlink(missing_ok=True)
    process = subprocess.Popen(line, env=environment)

    def end(*_) -> None:
        stop.touch()  # for a job with several runs
        process.terminate()  # for Snakemake, which a terminal may have interrupted too

    previous = {kind: signal.signal(kind, end) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait() or int(stop.is_file())
    finally:
        stop.unlink(missing_ok=True)
        for kind, handler in previous.items():
            signal.signal(kind, handler)
