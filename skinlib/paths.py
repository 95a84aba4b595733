"""Where things are, and writing that never leaves half a file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def project_root() -> Path:
    """Return the checkout's top folder: the nearest folder with a ``profiles/`` above this file or above the cwd.

    Raises
    ------
    FileNotFoundError
        When the library is used outside a checkout of the compendium.
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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes files private to the user; results are for everybody
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def write_json(path: str | Path, value: object) -> Path:
    """Write ``value`` as indented JSON with sorted keys; NaN is refused, for JSON has none."""
    return write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON file; a broken one is named in the error."""
    try:
        return json.loads(Path(path).read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and run again") from error


@contextlib.contextmanager
def new_folder(final: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``final`` when the block ends well and vanishes when it does not.

    Raises
    ------
    FileExistsError
        When ``final`` is there already: nothing is overwritten.
    """
    final = Path(final)
    if final.exists():
        raise FileExistsError(f"{final} is there already; delete it to make it anew")
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


class Lock:
    """A lock file between processes; the operating system frees it when its holder dies.

    Parameters
    ----------
    path
        The lock file; it stays behind, empty, which is harmless.
    timeout
        Seconds to wait before giving up with `TimeoutError`.
    """

    def __init__(self, path: str | Path, *, timeout: float = 24 * 3600):
        self.path, self.timeout = Path(path), timeout

    def _try(self) -> bool:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # held; anything else (a folder without locks) is an error
            return False
        return True

    def __enter__(self) -> Lock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a")
        start = time.monotonic()
        while not self._try():
            if time.monotonic() - start > self.timeout:
                self._file.close()
                raise TimeoutError(f"{self.path} is held by another process for {self.timeout:.0f} s; is it stuck?")
            time.sleep(0.2)
        return self

    def __exit__(self, *exc) -> None:
        self._file.close()
