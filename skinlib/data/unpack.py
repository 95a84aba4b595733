"""Unpacks zip and tar archives of strangers: no path outside the target, no links, no more bytes than allowed."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from skinlib.data.readers_files import DataError

MAX_BYTES = 64 << 30  # the largest real archive (ISIC 2019) unpacks to 10 GB
MAX_MEMBERS = 500_000
_CHUNK = 1 << 20


class UnpackError(DataError):
    """An archive that is damaged or that would write where or what it must not."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is to be unpacked."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz"))


def unpack(archive: Path, target: Path, *, name: str = "", max_bytes: int = MAX_BYTES, depth: int = 1) -> None:
    """Unpack ``archive`` into the empty folder ``target``.

    Zip archives inside (PAD-UFES-20 has three) are unpacked in their place, one level deep, under the same cap.

    Parameters
    ----------
    name : file name to judge the format by and to speak of; default that of ``archive``.
    max_bytes : cap on the bytes written, counted while writing: what an archive says of itself is not believed.

    Raises
    ------
    UnpackError
        Absolute path, ``..``, drive letter, link or device, a name twice, too many bytes or members, damaged archive.
    """
    name = name or archive.name
    left = max_bytes
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as bundle:
                left = _write_all(_zip_members(bundle, name), target, name, left)
        else:
            with tarfile.open(archive) as bundle:
                left = _write_all(_tar_members(bundle, name), target, name, left)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, RuntimeError) as error:
        raise UnpackError(f"{name} is damaged: {error}. Download it again.") from error
    for inner in sorted(target.rglob("*.zip")) if depth else ():
        unpack(inner, inner.parent, max_bytes=left, depth=depth - 1)
        inner.unlink()


def _zip_members(bundle: zipfile.ZipFile, name: str) -> Iterator[tuple[str, IO[bytes]]]:
    for member in bundle.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnpackError(f"{name} holds a link or device: {member.filename}.")
        if not member.is_dir():
            with bundle.open(member) as source:
                yield member.filename, source


def _tar_members(bundle: tarfile.TarFile, name: str) -> Iterator[tuple[str, IO[bytes]]]:
    for member in bundle:
        if member.isdir():
            continue
        source = bundle.extractfile(member) if member.isreg() else None
        if source is None:
            raise UnpackError(f"{name} holds a link or device: {member.name}.")
        yield member.name, source


def _write_all(members: Iterator[tuple[str, IO[bytes]]], target: Path, name: str, left: int) -> int:
    """Write all members; returns how many bytes of the cap are left."""
    for number, (path, source) in enumerate(members):
        if number >= MAX_MEMBERS:
            raise UnpackError(f"{name} holds more than {MAX_MEMBERS} files.")
        if "__MACOSX" in path or PurePosixPath(path).name in (".DS_Store", "Thumbs.db"):
            continue
        final = target / _safe(path, name)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            sink = final.open("xb")
        except FileExistsError:
            raise UnpackError(f"{name} holds {path} twice.") from None
        with sink:
            while chunk := source.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise UnpackError(f"{name} unpacks to more than the cap: a decompression bomb, or raise max_bytes.")
                sink.write(chunk)
    return left


def _safe(path: str, name: str) -> PurePosixPath:
    """The member's path if it stays inside the target on every operating system."""
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in path or "\0" in path or not pure.parts:
        raise UnpackError(f"{name} holds a path that leads out of its folder: {path!r}.")
    return pure
