"""The strict runner, on notebooks made to go wrong."""

import json
from pathlib import Path

import nbformat
import pytest

from skinlib.workflow.catalogue import read_card
from skinlib.workflow.runner import ParameterError, check_parameters, execute, literals, parameters_of

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def load(name: str) -> dict:
    return json.loads((NOTEBOOKS / name).read_text())


def test_literals_reads_names_and_values():
    assert literals('a = 1\nb = "x"  # why\nc = [1, 2.5]\nd = -3') == {"a": 1, "b": "x", "c": [1, 2.5], "d": -3}


@pytest.mark.parametrize("source", ["import os", "a = b = 1", "a, b = 1, 2", "a += 1", "a = len('x')", "print(1)"])
def test_literals_refuses_anything_else(source):
    with pytest.raises(ParameterError):
        literals(source)


def test_exactly_one_cell_is_tagged():
    notebook = load("01_runs.ipynb")
    tagged = next(cell for cell in notebook["cells"] if cell["metadata"].get("tags"))
    with pytest.raises(ParameterError, match="2 cells"):
        parameters_of(notebook | {"cells": [*notebook["cells"], tagged]})
    with pytest.raises(ParameterError, match="0 cells"):
        parameters_of(load("04_no_tag.ipynb"))


@pytest.mark.parametrize(("given", "message"), [
    ({"sed": 1}, "no parameter 'sed'; the notebook has profile, data_root, results_root, seed, share"),
    ({"seed": "1"}, "parameter seed is '1'; the notebook wants int"), ({"seed": True}, "wants int"),
    ({"seed": 1.0}, "wants int"), ({"profile": None}, "wants str"), ({"share": True}, "wants float"),
])  # fmt: skip
def test_parameters_of_another_name_or_type_are_refused(given, message):
    with pytest.raises(ParameterError, match=message):
        check_parameters(load("01_runs.ipynb"), given)


def test_a_notebook_runs_with_its_parameters_and_an_int_is_a_float(tmp_path):
    before = (NOTEBOOKS / "01_runs.ipynb").read_bytes()
    report = execute(NOTEBOOKS / "01_runs.ipynb", tmp_path, {"profile": "smoke", "seed": 7}, minutes=4)
    assert (report["status"], report["reason"], report["title"]) == ("ok", "", "runs")
    cells = nbformat.read(tmp_path / "01_runs.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].text == "smoke 7 0.5\n" and cells[-1].outputs[1].data["text/plain"] == "4"
    assert "smoke 7 0.5" in (tmp_path / "01_runs.html").read_text()
    assert (NOTEBOOKS / "01_runs.ipynb").read_bytes() == before
    check_parameters(load("01_runs.ipynb"), {"profile": "x", "seed": 3, "share": 1})


def test_a_failing_cell_is_reported_with_its_traceback_and_ends_the_notebook(tmp_path):
    report = execute(NOTEBOOKS / "02_fails.ipynb", tmp_path, {}, minutes=4)
    assert (report["status"], report["reason"]) == ("failed", "ZeroDivisionError: division by zero")
    assert "----> 1 1 / 0" in report["traceback"] and not any("\x1b" in line for line in report["traceback"])
    written = (tmp_path / "02_fails.html").read_text()
    assert "before\n" in written and "after\n" not in written.replace("print(", "")


def test_a_skip_is_no_failure_and_the_time_limit_is_the_notebooks_not_the_cells(tmp_path):
    report = execute(NOTEBOOKS / "03_skips.ipynb", tmp_path, {}, minutes=4)
    assert (report["status"], report["reason"], report["traceback"]) == ("skipped", "no weights here", [])
    report = execute(NOTEBOOKS / "05_too_slow.ipynb", tmp_path, {}, minutes=4 / 60)
    assert (report["status"], report["reason"]) == ("failed", f"time limit of {4 / 60:g} minutes")
    assert report["seconds"] < 30  # the slow cell alone sleeps for a minute


@pytest.mark.parametrize(("name", "given", "reason"), [
    ("04_no_tag", {}, "parameters: 0 cells are tagged"),
    ("06_not_literal", {}, "parameters: line 1 of the parameters cell"),
    ("01_runs", {"colour": "red"}, "parameters: no parameter 'colour'"),
])  # fmt: skip
def test_wrong_parameters_fail_before_anything_runs(tmp_path, name, given, reason):
    report = execute(NOTEBOOKS / f"{name}.ipynb", tmp_path, given, minutes=1)
    assert report["status"] == "failed" and report["reason"].startswith(reason) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["01_broken", "Untitled"])
@pytest.mark.parametrize("text", ["", '{"cells": [{', "null", "[]", '{"nbformat": 3, "worksheets": []}'])
def test_a_file_that_is_no_notebook_needs_nothing_and_fails_alone(tmp_path, name, text):
    path = tmp_path / f"{name}.ipynb"
    path.write_text(text)
    assert (read_card(path).papers, read_card(path).needs) == ((), "none")
    report = execute(path, tmp_path / "out", {}, minutes=1)
    assert report["status"] == "failed" and report["title"] == name
    assert report["reason"].startswith(f"{name}.ipynb is no notebook of format 4; open it in JupyterLab and save it")
    for cell in ("1", '{"cell_type": "foo", "source": ""}'):
        path.write_text(f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [{cell}]}}')
        assert "is no whole notebook (" in execute(path, tmp_path / "out", {}, minutes=1)["reason"]
    with pytest.raises(ValueError, match="lies where executed notebooks are written"):
        execute(path, tmp_path, {}, minutes=1)
    assert path.is_file()
