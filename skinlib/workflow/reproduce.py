"""`make reproduce`: say what it will take, let Snakemake do it, and say what came of it."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from skinlib.data.readers_files import is_synthetic
from skinlib.papers import plan_of
from skinlib.paths import Lock, project_root, read_json, write_atomic, write_json
from skinlib.workflow.catalogue import image_visits, selected
from skinlib.workflow.regression import compare_evidence, exhibits
from skinlib.workflow.work import Work

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 14px; }
td, th { padding: 2px 10px; text-align: left; border-bottom: 1px solid #ddd; }
.failed, .not-run { color: #b00020; } .skipped { color: #8a5a00; } .ok { color: #1b6e20; }
figure { display: inline-block; margin: 8px; vertical-align: top; } figure img { width: 260px; border: 1px solid #ddd; }
.banner { background: #f2f2f2; padding: 8px; } pre { font-size: 13px; background: #f7f7f7; overflow-x: auto; }
"""
SHOWN_CELLS = 200
NOT_RUN = {"title": "", "status": "not run", "seconds": 0.0, "exhibits": [], "traceback": []}
NOT_RUN["reason"] = "a run or the data that it needs failed, or it was interrupted"


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
    line += ["--directory", str(work.results), *"--rerun-incomplete --keep-going --nolock --quiet host reason".split()]
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


def exhibits_of(work: Work, report: dict) -> list[str]:
    """Return the exhibits that a notebook wrote in this execution, as ``paper/exhibit``."""
    records = {name: work.folder / f"{name}.json" for name in exhibits(work.folder)}
    fresh = {name: file for name, file in records.items() if file.stat().st_mtime >= report["started"] - 1}
    return [name for name, file in fresh.items() if read_json(file).get("notebook") == report["notebook"]]


def reports(work: Work, since: float = 0.0) -> list[dict]:
    """Return how each selected notebook went; one that failed before ``since`` and was not tried again is `not run`."""
    gathered = []
    for card in work.cards:
        file = work.status_file(card.stem)
        report = read_json(file) if file.is_file() else None
        done = work.notebook_stamp(card.stem).is_file()
        if report is None or (not done and (report["status"] != "failed" or report["started"] < since)):
            report = {"notebook": card.stem} | NOT_RUN
        gathered.append(report | {"fresh": report.get("started", 0.0) >= since})
    return gathered


def summary(work: Work, since: float = 0.0) -> tuple[str, int]:
    """Return the printed summary and the number of notebooks that failed or could not run."""
    gathered = reports(work, since)
    lines, reasons = [f"  {'notebook':<26} {'status':<8} minutes  exhibits"], []
    for report in gathered:
        minutes = "" if report["status"] == "not run" else f"{report['seconds'] / 60:.1f}"
        shown = ", ".join(report["exhibits"]) or report["reason"]
        kept = "" if report["fresh"] or not minutes else " (unchanged)"
        lines.append(f"  {report['notebook']:<26} {report['status']:<8} {minutes:>7}  {shown}{kept}")
        if report["status"] == "failed":
            reasons += ["", f"{report['notebook']}: {report['reason']}", *(f"    {w}" for w in report["traceback"])]
    counts = Counter(report["status"] for report in gathered)
    last = "notebooks: " + ", ".join(f"{number} {status}" for status, number in counts.items())
    return "\n".join([*lines, *reasons, "", last]), counts["failed"] + counts["not run"]


def write_index(work: Work, since: float = 0.0) -> Path:
    """Write ``results/<profile>/index.html``: the notebooks, then every paper's figures and tables."""
    name = escape(work.profile["name"])
    rows = "".join(_row(work, report) for report in reports(work, since))
    folders = {work.folder / Path(name).parent for name in exhibits(work.folder)}
    papers = "".join(map(_paper, sorted(folders)))
    kind = "SYNTHETIC data: drawn, no patients" if is_synthetic(work.data) else "REAL data"
    page = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{name}</title><style>{STYLE}</style></head>"
        f"<body><h1>Profile {name}</h1><p class='banner'>{kind} ({escape(str(work.data))}). No medical device.</p>"
        "<h2>Notebooks</h2><table><tr><th>notebook</th><th>status</th><th>minutes</th><th>exhibits</th></tr>"
        f"{rows}</table>{papers}</body></html>\n"
    )
    return write_atomic(work.folder / "index.html", page)


def _row(work: Work, report: dict) -> str:
    name, status, minutes = escape(report["notebook"]), report["status"], report["seconds"] / 60
    executed = (work.folder / "notebooks" / f"{report['notebook']}.html").is_file()
    link = f"<a href='notebooks/{name}.html'>{name}</a>" if executed else name
    trace = escape("\n".join([report["reason"], *report["traceback"]]).strip())
    more = escape(", ".join(report["exhibits"])) or (trace and f"<pre>{trace}</pre>")
    state = f"<td class='{status.replace(' ', '-')}'>{status}</td><td>{minutes:.1f}</td>"
    return f"<tr><td>{link}<br>{escape(report['title'])}</td>{state}<td>{more}</td></tr>"


def _paper(folder: Path) -> str:
    parts = [f"<h2>{escape(folder.name)}</h2>"]
    for figure in sorted(file for file in folder.iterdir() if file.suffix in (".png", ".jpg")):
        link = escape(f"{folder.name}/{figure.name}")
        image = f"<a href='{link}'><img loading='lazy' src='{link}' alt='{link}'></a>"
        parts.append(f"<figure>{image}<figcaption>{escape(figure.stem)}</figcaption></figure>")
    for table in sorted(folder.glob("*.csv")):
        try:
            frame = pd.read_csv(table)
        except ValueError as error:  # cut short
            frame = pd.DataFrame({f"not readable: {error}": []})
        shown = frame.head(SHOWN_CELLS).to_html(index=False, na_rep="", border=0, float_format="%.3f")
        link = f"<a href='{escape(f'{folder.name}/{table.name}')}'>CSV</a>"
        parts.append(f"<details><summary>{escape(table.stem)}, {len(frame)} cells ({link})</summary>{shown}</details>")
    return "".join(parts)


def reproduce(work: Work, *, stale: str = "", cores: int = 0, extra: Sequence[str] = ()) -> int:
    """Run the compendium and print its summary; 0 when every notebook was executed or skipped, else 1.

    An interrupt ends it after the runs and notebooks in hand; the next call goes on. A TimeoutError says that the same
    profile is being run already. ``stale`` is what to do with runs of older code ("": as the profile says), ``cores``
    the most at once (0: all, but four), ``extra`` arguments for Snakemake, such as ``--executor slurm --jobs 8``.
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
