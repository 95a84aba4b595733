"""The house rules: who imports whom, how long things are, and that no code asks which profile or paper it serves."""

import ast
import graphlib
import json
import re
from pathlib import Path

import pytest

from skinlib.config import load_profile
from skinlib.papers import paper_names
from skinlib.paths import project_root

ROOT = project_root()
LIBRARY = ROOT / "skinlib"
MODULES = sorted(LIBRARY.rglob("*.py"))
NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}
# A module may import from its own room and from those above it.
ROOMS = "data images evaluation models training explain exhibits figures across papers study workflow".split()
LEVEL = {"paths": 0, "config": 0, "provenance": 0} | {name: level for level, name in enumerate(ROOMS, 1)}
PROFILES = {path.stem for path in (ROOT / "profiles").glob("*.yaml")}
LONGER = {"fit": 120}
MORE_ARGUMENTS = {"begin": 6}  # it takes the parameters cell of a notebook, in its order
MODULE_LINES, FUNCTION_LINES, ARGUMENTS = 400, 60, 5
# Lines of Python a package may have: its share of the 15,500; where it has more, they may only fall.
BUDGETS = {
    "": 795, "across": 650, "data": 2503, "evaluation": 2000, "exhibits": 693, "explain": 535, "figures": 900,
    "images": 1175, "models": 961, "papers": 2402, "training": 1595, "workflow": 1335,
}  # fmt: skip
# The paper-blind part of the house; config.py names a default system.
FOUNDATION = [*(path for room in ROOMS[:5] for path in (LIBRARY / room).glob("*.py")), ROOT / "Snakefile"]
FOUNDATION += [LIBRARY / f"{name}.py" for name in ("paths", "provenance", "study")]
FOUNDATION += sorted((LIBRARY / "workflow").glob("*.py"))


def imports(tree: ast.AST) -> set[str]:
    """Return what a module imports from the library, as room names; imports inside functions count."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "skinlib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skinlib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("skinlib.")}
    return found


def walks_backwards(name: str, tree: ast.AST) -> set[str]:
    room = Path(name).parts[0].removesuffix(".py")
    return {other for other in imports(tree) if LEVEL[other] > LEVEL[room]}


def imported_modules(tree: ast.AST) -> set[str]:
    """Return the library's modules that one imports, wherever in it: ``skinlib.models`` is the package's own file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "skinlib":
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in NAMES}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines_of(function: ast.FunctionDef) -> int:
    """Return a function's length; its docstring does not count."""
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        length -= function.body[0].end_lineno - function.body[0].lineno + 1
    return length


def positional(function: ast.FunctionDef) -> int:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


def asks_for_the_profile(tree: ast.AST) -> list[int]:
    """Return the lines that compare a profile or a name with a profile's name, or hold a dictionary by profile."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.Match):
            leaves = list(ast.walk(node)) if re.search(r"profile|name", ast.unparse(node)) else []
            least = 1
        elif isinstance(node, ast.Dict):
            leaves, least = [key for key in node.keys if key is not None], 2
        else:
            continue
        strings = {leaf.value for leaf in leaves if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)}
        if len(strings & PROFILES) >= least:
            found.append(node.lineno)
    return found


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_module_stands_in_a_room():
    rooms = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert rooms <= set(LEVEL), "give the new module a place in ROOMS"


@pytest.mark.parametrize("path", MODULES, ids=by_path)
def test_imports_come_from_above(path):
    if path.name != "__init__.py" or path.parent != LIBRARY:
        assert walks_backwards(str(path.relative_to(LIBRARY)), ast.parse(path.read_text())) == set()


def test_imports_form_no_circle():
    trees = {name: ast.parse(path.read_text()) for name, path in NAMES.items()}
    assert circle({name: imported_modules(tree) for name, tree in trees.items()}) == []
    assert [name for name, tree in trees.items() if "TYPE_CHECKING" in ast.unparse(tree)] == [], "a circle in disguise"


@pytest.mark.parametrize("path", MODULES, ids=by_path)
def test_sizes(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    long = {f.name: lines_of(f) for f in functions(tree) if lines_of(f) > LONGER.get(f.name, FUNCTION_LINES)}
    many = {f.name: positional(f) for f in functions(tree) if positional(f) > MORE_ARGUMENTS.get(f.name, ARGUMENTS)}
    assert (long, many) == ({}, {})


def test_every_package_keeps_to_its_budget():
    lines = dict.fromkeys(BUDGETS, 0)
    for path in MODULES:
        room = path.relative_to(LIBRARY).parts[0] if path.parent != LIBRARY else ""
        lines[room] += len(path.read_text().splitlines())
    assert {room: n for room, n in lines.items() if n > BUDGETS[room]} == {} and sum(lines.values()) <= 15_500
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py")) <= 15_500


@pytest.mark.parametrize("path", MODULES, ids=by_path)
def test_no_code_asks_which_profile_it_is_in(path):
    assert asks_for_the_profile(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=by_path)
def test_no_notebook_asks_which_profile_it_is_in(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [asks_for_the_profile(ast.parse("".join(cell["source"]))) for cell in cells] == [[]] * len(cells)


@pytest.mark.parametrize("path", FOUNDATION, ids=by_path)
def test_the_foundation_knows_no_paper(path):
    code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.S)
    assert [name for name in paper_names() if name in code] == []


def test_the_rules_find_what_they_look_for():
    assert walks_backwards("data/x.py", ast.parse("def f():\n    from skinlib.models import build")) == {"models"}
    assert walks_backwards("data/x.py", ast.parse("import skinlib.training.fit")) == {"training"}
    assert walks_backwards("workflow/cli.py", ast.parse("from skinlib import models, data")) == set()
    lazy = ast.parse(
        "def f():\n    from skinlib.training import runs, no_module\n    from skinlib.training.fit import fit"
    )
    assert imported_modules(lazy) == {"skinlib.training", "skinlib.training.runs", "skinlib.training.fit"}
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert asks_for_the_profile(ast.parse("if profile['name'] == 'smoke': pass")) == [1]
    assert asks_for_the_profile(ast.parse("n = {'smoke': 1, 'real': 2}[study.name]")) == [1]
    assert asks_for_the_profile(ast.parse("x = profile['data']['kind'] == 'synthetic'")) == []
    function = functions(ast.parse('def f(self, a, b, *, c):\n    """One.\n\n    Two.\n    """\n    return 1'))[0]
    assert (lines_of(function), positional(function)) == (2, 2)


def test_every_profile_is_whole_and_of_its_own_name():
    for name in PROFILES:
        profile = load_profile(name)
        assert profile["name"] == name
        assert set(profile["papers"]) <= set(paper_names()), name
        assert set(profile["papers"]) <= set(profile), f"{name}: a mapping for each paper"
        assert profile["dataset"] in profile["data"].get("datasets", [profile["dataset"]]), name


def test_help_of_make_names_every_target():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", text, re.M).group(1).split()
    described = re.findall(r"^([a-z]+):.*## \S", text, re.M)
    assert sorted(phony) == sorted(described)
