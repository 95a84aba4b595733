"""Every notebook is built alike: a head, a cell of literal parameters, one of imports, short cells, words, a recap."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from skinlib.paths import project_root
from skinlib.workflow.catalogue import read_card, read_notebook
from skinlib.workflow.runner import ParameterError, parameters_of

FOLDER = project_root() / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PARAMETERS = {"profile": str, "dataset": str, "data_root": str, "results_root": str, "seed": int, "device": str}
ABSOLUTE = re.compile(r"""(?<![\w.:/])/(home|Users|root|mnt|media|tmp|work|data|content|opt|srv)/|\b[A-Z]:\\""")
INSTALL = re.compile(r"\b(pip3?|conda|mamba|uv|apt|apt-get) (install|add)\b")
MEDIAN_LINES, MOST_LINES, SCREEN = 6, 40, 40


def lines(source: str) -> int:
    return len([line for line in source.splitlines() if line.strip()])


def code_faults(source: str) -> list[str]:
    """Return what is wrong with one code cell."""
    if re.search(r"^\s*[%!]", source, re.M):
        return ["a magic or shell line"]
    nodes = list(ast.walk(ast.parse(source)))
    faults = ["a class"] if any(isinstance(node, ast.ClassDef) for node in nodes) else []
    long = [n.name for n in nodes if isinstance(n, ast.FunctionDef) and n.end_lineno - n.lineno + 1 > SCREEN]
    faults += [f"function {name} is longer than a screen" for name in long]
    return faults + (["a cell above 40 lines"] if lines(source) > MOST_LINES else [])


def faults(notebook: dict) -> list[str]:
    """Return what is wrong with a notebook, in words."""
    cells = [{**cell, "source": "".join(cell["source"])} for cell in notebook["cells"]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    words = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    found = [fault for cell in code for fault in code_faults(cell["source"])]
    head = cells[0]["source"] if cells[0]["cell_type"] == "markdown" else ""
    found += [f"the first cell has no {word}" for word in ("question", "goal", "minutes") if word not in head.lower()]
    found += [] if re.match(r"# \S", head) else ["the first cell has no title"]
    last = "\n".join(words[-2:]).lower()
    found += [f"no {word} at the end" for word in ("recap", "question") if word not in last]
    try:
        given = {name: type(value) for name, value in parameters_of(notebook).items()}
        found += [] if given == PARAMETERS else [f"parameters are {sorted(given)}"]
    except ParameterError as error:
        found.append(str(error))
    imports = [k for k, cell in enumerate(code) if re.search(r"^(import|from) ", cell["source"], re.M)]
    found += [] if imports == [1] else ["imports stand elsewhere than in the cell after the parameters"]
    found += [] if len(code) > 1 and "begin(" in code[1]["source"] else ["the import cell does not end with begin(...)"]
    found += ["stored output"] if any(cell["outputs"] or cell["execution_count"] for cell in code) else []
    found += [] if len(words) >= len(code) else ["fewer text cells than code cells"]
    median = statistics.median(lines(cell["source"]) for cell in code)
    found += [] if median <= MEDIAN_LINES else [f"the median code cell has {median} lines"]
    text = "\n".join(cell["source"] for cell in cells)
    found += ["an absolute path"] if ABSOLUTE.search(text) else []
    return found + (["an install command"] if INSTALL.search(text) else [])


def good() -> nbformat.NotebookNode:
    """Return a notebook without a fault."""
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    literals = 'profile = ""\ndataset = ""\ndata_root = ""\nresults_root = ""\nseed = 0\ndevice = "auto"'
    begin = "from skinlib.study import begin\n\nstudy = begin(profile, dataset, data_root, results_root, seed, device)"
    head = "# Title\n\n**Question.** Why? **Learning goal.** This. **Time.** 2 minutes on two cores."
    cells = [text(head), code(literals, metadata={"tags": ["parameters"]}), code(begin), text("An act.")]
    return nbformat.v4.new_notebook(cells=[*cells, code("1 + 1"), text("## Recap\n\nSo.\n\n## Questions\n\n1. Why?")])


@pytest.mark.parametrize(("cell", "source", "fault"), [
    (0, "# Title\n\nQuestion. Learning goal.", "the first cell has no minutes"),
    (0, "Title. Question, goal, minutes", "the first cell has no title"), (1, "seed = 0", "parameters are ['seed']"),
    (1, "seed = len('')", "parameter seed is no literal; write its value out"),
    (2, "from skinlib.study import begin", "the import cell does not end with begin(...)"),
    (4, "import os", "imports stand elsewhere than in the cell after the parameters"),
    (4, "class A:\n    pass", "a class"), (4, "%timeit 1", "a magic or shell line"),
    (4, "def f():\n" + "    a = 1\n\n" * 21, "function f is longer than a screen"),
    (4, "a = 1\n" * 41, "a cell above 40 lines"), (4, "open('/home/me/x.csv')", "an absolute path"),
    (3, "First `pip install this`.", "an install command"), (5, "The end.", "no recap at the end"),
])  # fmt: skip
def test_each_fault_is_found(cell, source, fault):
    notebook = good()
    notebook.cells[cell].source = source
    assert fault in faults(notebook)


def test_a_good_notebook_has_no_fault_and_output_and_missing_words_are_found():
    notebook = good()
    notebook.cells[4].execution_count = 1
    notebook.cells += [nbformat.v4.new_code_cell("1")] * 2
    assert {"stored output", "fewer text cells than code cells"} <= set(faults(notebook))
    for cell in notebook.cells[4:]:
        cell.source = "a = 1\n" * 7
    assert "the median code cell has 7 lines" in faults(notebook)
    assert faults(good()) == []


def test_addresses_are_no_absolute_paths():
    assert not ABSOLUTE.search("https://example.org/data/x and results/data/x and a / data / b")
    assert ABSOLUTE.search("Path('C:\\\\Users')")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path):
    assert faults(read_notebook(path)) == []
    card = read_card(path)
    assert re.match(r"\d\d_[a-z0-9_]+$", card.stem)
    assert card.needs != "plan" or card.papers, "a notebook that needs a plan says of which papers"


def test_the_notebooks_are_numbered_once():
    numbers = [Path(path).stem[:2] for path in NOTEBOOKS]
    assert len(numbers) > 0
    assert len(set(numbers)) == len(numbers)
