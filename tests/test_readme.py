"""The README says what there is: its tables are compared with notebooks, Makefile and reference results."""

import json
import re

import pytest

from skinlib.paths import project_root
from skinlib.workflow.catalogue import read_card
from skinlib.workflow.cli import build_parser

ROOT = project_root()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def between(name: str, text: str) -> str:
    return text.split(f"<!-- {name}:begin -->\n")[1].split(f"<!-- {name}:end -->")[0]


def notebook_rows() -> dict[str, list[str]]:
    """Return file name -> cells of its row in the README: number, question, exhibits, minutes of sample and of real."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in between("notebooks", readme()).splitlines()[2:]]
    return {re.search(r"\(notebooks/(.+)\)", row[0]).group(1): row for row in rows}


def test_every_notebook_has_its_row():
    rows = notebook_rows()
    assert list(rows) == [path.name for path in NOTEBOOKS]
    assert [row[0][1:3] for row in rows.values()] == [path.stem[:2] for path in NOTEBOOKS]
    assert all(row[1].endswith("?") for row in rows.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_row_says_what_its_notebook_says(path):
    row, card = notebook_rows()[path.name], read_card(path)
    code = "".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert row[3:] == [f"{card.minutes[profile]:g}" for profile in ("sample", "real")]
    assert [name for name in re.findall(r"`(\w+)`", row[2]) if f'"{name}"' not in code] == []


def test_every_published_exhibit_is_in_the_table():
    built = {paper for path in NOTEBOOKS for paper in read_card(path).papers}
    named = set(re.findall(r"`(\w+)`", "".join(row[2] for row in notebook_rows().values())))
    papers = {path.stem for paper in built for path in (ROOT / "data" / "published" / paper).glob("*.csv")}
    assert papers - named == set()


def test_every_target_of_make_is_named_and_exists():
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M).group(1).split())
    commands = " ".join(re.findall(r"`[^`\n]+`|^make .*$", readme(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", commands)) == targets


def test_every_profile_is_in_the_table():
    assert set(re.findall(r"^\| `(\w+)` \|", readme(), re.M)) == {p.stem for p in (ROOT / "profiles").glob("*.yaml")}


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme()) if "://" not in link]
    assert len(links) > len(NOTEBOOKS)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_are_those_of_the_program():
    lines = re.findall(r"^(?:torchrun .*-m skinlib\.workflow\.cli|skinlib) (.+?)(?:  +#.*)?$", readme(), re.M)
    assert len(lines) > 5
    for line in lines:
        build_parser().parse_args(line.split())


def test_constants_that_a_sixth_system_may_have_are_those_of_the_five():
    guide = readme().split("## Adding a sixth system\n")[1].split("\n## ")[0]
    files = (ROOT / "skinlib" / "papers").rglob("*.py")
    known = set(
        re.findall(r"\b([A-Z_]+)(?:, [A-Z_]+)? =", "\n".join(file.read_text(encoding="utf-8") for file in files))
    )
    named = set(re.findall(r"`([A-Z_]+)`", guide))
    assert len(named) >= 3 and named - known == set()
