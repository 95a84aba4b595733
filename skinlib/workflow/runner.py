"""A runner of notebooks that is stricter than papermill.

Papermill only warns about a parameter that a notebook does not have, knows no types, and limits the time of a cell, not
of a notebook. Here an unknown name, another type or a missing tag is an error, and the notebook as a whole has a limit.
"""

import ast
import re
import time
from collections.abc import Mapping
from pathlib import Path

from skinlib.paths import write_atomic
from skinlib.workflow.catalogue import read_notebook

TRACEBACK_LINES = 15
SKIPS = "SkipNotebook"  # of `skinlib.study`, which would import torch here
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ParameterError(ValueError):
    """A notebook's parameters are not literals, not tagged, or not what was passed."""


def literals(source: str) -> dict[str, object]:
    """Return the names and values that a parameters cell assigns, each line ``name = literal``."""
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise ParameterError(f"line {node.lineno} of the parameters cell is not `name = literal`")
        try:
            found[node.targets[0].id] = ast.literal_eval(node.value)
        except ValueError:
            raise ParameterError(f"parameter {node.targets[0].id} is no literal; write its value out") from None
    return found


def parameters_of(notebook: Mapping) -> dict[str, object]:
    """Return the defaults in the one cell tagged ``parameters``; `ParameterError` where there is not exactly one."""
    tagged = [cell for cell in notebook["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(f"{len(tagged)} cells are tagged `parameters`; exactly one must be")
    return literals("".join(tagged[0]["source"]))


def check_parameters(notebook: Mapping, given: Mapping[str, object]) -> None:
    """Refuse by `ParameterError` what a notebook has no parameter for, or one of another type than its default."""
    defaults = parameters_of(notebook)
    for name, value in given.items():
        if name not in defaults:
            raise ParameterError(f"no parameter {name!r}; the notebook has {', '.join(defaults)}")
        wanted = type(defaults[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ParameterError(f"parameter {name} is {value!r}; the notebook wants {wanted.__name__}")


def execute(path: Path, folder: Path, parameters: Mapping[str, object], *, minutes: float) -> dict:
    """Execute a notebook in a fresh kernel, write it and its HTML to ``folder``, and say how it went.

    The notebook itself is not changed; its folder is the working folder, as in JupyterLab; ``minutes`` limit the whole.
    Returns notebook, title, status (ok, failed, skipped), reason, traceback (its last lines), started and seconds.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbconvert import HTMLExporter
    from papermill.exceptions import PapermillExecutionError

    started, written = time.time(), folder / path.name
    report = {"notebook": path.stem, "title": path.stem, "started": started}
    report |= {"status": "failed", "reason": "", "traceback": []}
    options = {"kernel_name": "python3", "language": "python", "cwd": path.parent, "progress_bar": False}
    options["extra_arguments"] = ["--log-level=ERROR"]
    options["timeout_func"] = lambda cell: max(1, int(started + 60 * minutes - time.time()))
    folder.mkdir(parents=True, exist_ok=True)
    if written.resolve() == path.resolve():
        raise ValueError(f"{path} lies where executed notebooks are written; move it to another folder")
    written.unlink(missing_ok=True)  # of an earlier call
    try:
        notebook = read_notebook(path)
        heading = "".join(notebook["cells"][0]["source"]).strip().partition("\n")[0] if notebook["cells"] else ""
        report["title"] = heading.lstrip("# ").strip() or path.stem
        if strange := {cell["cell_type"] for cell in notebook["cells"]} - {"code", "markdown", "raw"}:
            raise TypeError(f"a cell of type {', '.join(map(str, strange))}")
        check_parameters(notebook, parameters)
        braced = [str(file).replace("{", "{{").replace("}", "}}") for file in (path, written)]  # else filled in
        papermill.execute_notebook(*braced, parameters=dict(parameters), **options)
        report["status"] = "ok"
    except ValueError as error:
        report["reason"] = f"parameters: {error}" if isinstance(error, ParameterError) else str(error)
    except (SyntaxError, TypeError, AttributeError, LookupError) as error:  # cells that are none
        report["reason"] = f"{path.name} is no whole notebook ({type(error).__name__}: {error})"
    except PapermillExecutionError as error:
        if error.ename == SKIPS:
            report |= {"status": "skipped", "reason": error.evalue}
        else:
            lines = ANSI.sub("", "\n".join(error.traceback)).splitlines()[-TRACEBACK_LINES:]
            report |= {"reason": f"{error.ename}: {error.evalue}", "traceback": lines}
    except CellTimeoutError as error:
        report |= {"reason": f"time limit of {minutes:g} minutes", "traceback": str(error).splitlines()[:5]}
    except DeadKernelError:
        report["reason"] = "the kernel died; was memory short?"
    report["seconds"] = round(time.time() - started, 1)
    if written.is_file():
        write_atomic(written.with_suffix(".html"), HTMLExporter().from_filename(str(written))[0])
    return report
