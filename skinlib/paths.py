"""Where things are, and writing that never leaves half a file."""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock


class Lock(FileLock):
    """A lock file between processes; the operating system frees it when its holder dies, and the empty file stays."""

    def __enter__(self) -> Lock:
        try:
            return super().__enter__()
        except TimeoutError as error:
            raise TimeoutError(f"{self.lock_file} is held by another process; is it stuck?") from error


def project_root() -> Path:
    """Return the checkout's top folder: the nearest folder with a ``profiles/`` above this file or above the cwd.

    Raises FileNotFoundError (the library is used outside a checkout of the compendium).
    """
    here = Path(__file__).resolve()
    for folder in [*here.parents, Path.cwd(), *Path.cwd().parents]:
        if (folder / "profiles").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise FileNotFoundError(f"no folder above {here} or {Path.cwd()} holds profiles/; run inside a checkout")


def write_atomic(path: str | Path, data: str | bytes) -> Path:
    """Write ``data`` under a temporary name and rename it, so that a reader sees the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, value: object) -> Path:
    """Write ``value`` as indented JSON with sorted keys; NaN is refused, for JSON has none."""
    return write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON file that holds a mapping; a broken one is named in the error."""
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
        raise ValueError(f"{path} is no regular file")
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:  # other encodings are ValueErrors too
        raise ValueError(f"{path} is not JSON ({error}); mend it, or delete it and run again") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no mapping but {str(value)[:40]!r}")
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError(f"one of the keys {', '.join(sorted(found))[:80]} is there twice")
    return found


@contextlib.contextmanager
def new_folder(final: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``final`` when the block ends well and vanishes when it does not.

    Raises FileExistsError when ``final`` exists already: nothing is overwritten.
    """
    final = Path(final)
    if final.exists():
        raise FileExistsError(f"{final} exists already; delete it to make it anew")
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as name:
        temporary = Path(name, "new")
        temporary.mkdir()
        yield temporary
        temporary.replace(final)
