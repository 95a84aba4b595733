"""Fingerprints: of data, of code, of a configuration; and the record of a machine."""

import ast
import functools
import hashlib
import json
import os
import platform
import re
import stat
import subprocess
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

import skinlib
from skinlib.paths import Lock, project_root, read_json, write_atomic

# What lies between a cohort and a weight, with the system's own file and what that imports from the rooms named here.
# Configuration, readers and splits are not in it: what they yield enters the run's id.
TRAINING_CODE = [f"images/{name}.py" for name in ("augment", "batches", "cache", "colour")]
TRAINING_CODE += [f"training/{name}.py" for name in ("losses", "schedules", "fit")]
IMPORTED_CODE = ("models/", "images/", "papers/")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "scikit-learn", "scikit-image", "pillow")


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: str | bytes) -> str:
    """Return the SHA-256 of text or bytes as hexadecimal digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


_digests: dict[str, list] = {}  # path -> size, times of change in ns (of the content, of anything), SHA-256
_unshared: dict[str, list] = {}  # of them, those that no file has yet


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file; asked again for an unchanged file, it is not read again."""
    path = os.fspath(path)
    found = os.stat(path)  # noqa: PTH116 - asked for tens of thousands of times before each run; a Path takes twice as long
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise OSError(f"{path} is no regular file")
    about = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    if (known := _digests.get(path, [None]))[:3] != about:
        with Path(path).open("rb") as file:
            known = _digests[path] = _unshared[path] = [*about, hashlib.file_digest(file, "sha256").hexdigest()]
    return known[3]


@functools.cache
def _learn_digests(file: Path) -> None:
    known = read_json(file) if file.is_file() else {}
    _digests.update({path: about for path, about in known.items() if isinstance(about, list) and len(about) == 4})


def share_digests(results: str | Path) -> None:
    """Learn, once, the digests of files that earlier processes left in a results folder; leave those taken since."""
    _learn_digests(file := Path(results).resolve() / "digests.json")
    settled = time.time_ns() - 3 * 10**9  # of a file that changed just now the next change might not show in its times
    if new := {path: about for path, about in _unshared.items() if about[2] < settled}:
        with Lock(file.with_suffix(".lock")):
            write_atomic(file, canonical_json((read_json(file) if file.is_file() else {}) | new))
        for path in new:
            del _unshared[path]


def cohort_fingerprint(cohort: pd.DataFrame) -> str:
    """Return a digest of a cohort: ids, labels, groups, and the bytes of all images and masks, not their folders."""
    columns = [c for c in ("image_id", "diagnosis", "label", "patient_id", "lesion_id") if c in cohort]
    rows = cohort.sort_values("image_id")
    table = rows[columns].astype("string").fillna("").to_csv(index=False)
    paths = [path for column in ("image_path", "mask_path") if column in rows for path in rows[column]]
    files = [file_digest(path) if isinstance(path, str) else "" for path in paths]
    return digest(table + "\n".join(files))


def code_fingerprint(system: str) -> dict[str, str]:
    """Return file -> digest of its syntax tree, for the code that a training run of ``system`` passes through.

    Comments and docstrings do not count, so that explaining better makes no run stale.
    """
    package = Path(skinlib.__file__).parent
    names, waiting = list(TRAINING_CODE), [f"papers/{system}/model.py"]
    while waiting:
        name = waiting.pop()
        if name not in names and (package / name).is_file():
            names.append(name)
            waiting += _imported((package / name).read_text())
    return {name: _tree_digest((package / name).read_text()) for name in names}


def _imported(source: str) -> list[str]:
    """Return what may be files that a source imports: each module, and each name in it, which may be a module too."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    modules = [f"{node.module}{name}" for node in nodes for name in ["", *(f".{alias.name}" for alias in node.names)]]
    files = [f"{module.removeprefix('skinlib.').replace('.', '/')}.py" for module in modules]
    return [file for file in files if file.startswith(IMPORTED_CODE)]


def _tree_digest(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return digest(ast.dump(tree))[:16]


def git_commit() -> str:
    """Return the commit of the checkout, with ``+changes`` where the library differs from it; "unknown" without git."""
    asked = ("rev-parse --short=12 HEAD", "status --porcelain -- skinlib notebooks profiles")
    options = {"capture_output": True, "text": True, "cwd": project_root(), "check": False}
    try:
        commit, changed = (subprocess.run(["git", *words.split()], **options).stdout.strip() for words in asked)
    except FileNotFoundError:
        return "unknown"
    return (commit or "unknown") + ("+changes" if changed else "")


def environment() -> dict:
    """Return what of the machine may show in a number: versions, processor, threads, the commit."""
    import torch

    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "commit": git_commit(),
    }


def processor() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", info.read_text() if info.is_file() else "", re.MULTILINE)
    return named.group(1).strip() if named else platform.processor() or platform.machine()


def generator(*keys: int) -> np.random.Generator:
    """Return a random generator that depends on ``keys`` alone, so that there is no hidden state to save."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(key) for key in keys])))
