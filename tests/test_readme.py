"""README and docs say what there is: they are compared with notebooks, Makefile, profiles and reference results."""

import json
import re

import pandas as pd
import pytest

from skinlib.paths import project_root
from skinlib.workflow.catalogue import read_card
from skinlib.workflow.cli import build_parser

ROOT = project_root()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def docs() -> dict[str, str]:
    """Return path -> text of the README and the pages in docs/."""
    return {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}


def notebook_rows() -> dict[str, list[str]]:
    """Return file name -> cells of its row in the README: number, question, what to read before, minutes of two."""
    listed = readme().split("<!-- notebooks:begin -->\n")[1].split("<!-- notebooks:end -->")[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in listed.splitlines()[2:]]
    return {re.search(r"\(notebooks/(.+)\)", row[0]).group(1): row for row in rows}


def exhibits() -> dict[str, set[str]]:
    """Return number of a notebook -> its exhibits, as docs/exhibits.md lists them."""
    rows = re.findall(r"^\| \[(\d\d)\]\(.+?\) \| (.*) \|$", docs()[ROOT / "docs/exhibits.md"], re.M)
    return {number: set(re.findall(r"`(\w+)`", names)) for number, names in rows}


def test_every_notebook_has_its_row():
    rows = notebook_rows()
    assert list(rows) == [path.name for path in NOTEBOOKS]
    assert [row[0][1:3] for row in rows.values()] == [path.stem[:2] for path in NOTEBOOKS]
    assert all(row[1].endswith("?") for row in rows.values())
    before = {name for row in rows.values() for name in row[2].split(", ") if name}
    assert before < {path.stem[:2] for path in NOTEBOOKS} and len(readme().splitlines()) <= 160


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_row_says_what_its_notebook_says(path):
    row, card = notebook_rows()[path.name], read_card(path)
    code = "".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert row[3:] == [f"{card.minutes[profile]:g}" for profile in ("sample", "real")]
    assert [name for name in exhibits()[path.stem[:2]] if f'"{name}"' not in code] == []


def test_every_published_exhibit_is_in_the_table():
    built = {paper for path in NOTEBOOKS for paper in read_card(path).papers}
    papers = {path.stem for paper in built for path in (ROOT / "data" / "published" / paper).glob("*.csv")}
    assert papers - set().union(*exhibits().values()) == set()


def test_every_target_of_make_is_named_and_exists():
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M).group(1).split())
    commands = " ".join(re.findall(r"`[^`\n]+`|^make .*$", "\n".join(docs().values()), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", commands)) == targets


def test_every_profile_is_in_the_table():
    named = re.findall(r"^\| `(\w+)` \|", docs()[ROOT / "docs/profiles.md"], re.M)
    assert set(named) == {p.stem for p in (ROOT / "profiles").glob("*.yaml")}


def test_links_lead_somewhere():
    links = [(page.parent / link) for page, text in docs().items() for link in re.findall(r"\]\(([^)#]+)", text)]
    links = [link for link in links if ":/" not in str(link)]
    assert len(links) > 2 * len(NOTEBOOKS) and [str(link) for link in links if not link.exists()] == []


def test_commands_are_those_of_the_program():
    text = "\n".join(docs().values())
    lines = re.findall(r"^(?:torchrun .*-m skinlib\.workflow\.cli|skinlib) (.+?)(?:  +#.*)?$", text, re.M)
    assert len(lines) > 5
    for line in lines:
        build_parser().parse_args(line.split())


def test_constants_that_a_sixth_system_may_have_are_those_of_the_five():
    guide = docs()[ROOT / "docs/sixth_system.md"]
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "skinlib" / "papers").rglob("*.py"))
    known = set(re.findall(r"\b([A-Z_]+)(?:, [A-Z_]+)? =", code))
    named = set(re.findall(r"`([A-Z_]+)`", guide))
    assert len(named) >= 3 and named - known == set()


def test_numbers_of_the_findings_are_those_of_the_tables_that_they_link():
    findings = re.split(r"^\d\. ", readme().split("## What was found")[1].split("**What it is not")[0], flags=re.M)[1:]
    assert len(findings) == 6
    for finding in findings:
        tables = [pd.read_csv(ROOT / link) for link in re.findall(r"\((results/\S+?\.csv)\)", finding)]
        found = pd.concat(tables)[["ours", "low", "high", "published", "n"]].stack()
        cells = {f"{value:.3f}" for value in found} | {f"{value:,.0f}" for value in found}
        numbers = re.findall(r"-?\d\.\d{3}|\d,\d{3}|\b\d{2,3}\b", re.sub(r"\(results/\S+\)", "", finding))
        assert len(numbers) > 2 and [number for number in numbers if number not in cells] == []
