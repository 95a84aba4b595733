"""What came of a run of the compendium: a summary for the terminal and an index page for the browser."""

from collections import Counter
from html import escape
from pathlib import Path

import pandas as pd

from skinlib.data.readers_files import is_synthetic
from skinlib.paths import read_json, write_atomic
from skinlib.workflow.work import Work

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 14px; }
td, th { padding: 2px 10px; text-align: left; border-bottom: 1px solid #ddd; }
.failed, .not-run { color: #b00020; } .skipped { color: #8a5a00; } .ok { color: #1b6e20; }
.banner { background: #f2f2f2; padding: 8px; }
figure { display: inline-block; margin: 8px; vertical-align: top; } figure img { width: 260px; border: 1px solid #ddd; }
pre { font-size: 13px; background: #f7f7f7; overflow-x: auto; padding: 8px; }
"""
SHOWN_CELLS = 200
WHY_NOT = "a run or the data that it needs failed, or it was interrupted"
NOT_RUN = {"title": "", "status": "not run", "reason": WHY_NOT, "seconds": 0.0, "exhibits": [], "traceback": []}


def exhibits_of(work: Work, report: dict) -> list[str]:
    """Return the exhibits that a notebook wrote in this execution, as ``paper/exhibit``."""
    records = [file for file in sorted(work.folder.glob("*/*.json")) if file.parent != work.state]
    fresh = [file for file in records if file.stat().st_mtime >= report["started"] - 1]
    mine = [file for file in fresh if read_json(file).get("notebook") == report["notebook"]]
    return [f"{file.parent.name}/{file.stem}" for file in mine]


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
    folders = [path for path in sorted(work.folder.iterdir()) if path.name not in ("state", "notebooks")]
    papers = "".join(_paper(folder) for folder in folders if any(folder.glob("*.json")))
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
