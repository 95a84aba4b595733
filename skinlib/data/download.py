"""Fetches a data set from its publisher: with its licence, a checksum and an unpacking that stays in its folder."""

import filecmp
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pooch

from skinlib.data.cards import CARDS, Archive
from skinlib.data.readers_files import BROKEN_ARCHIVE, DataError
from skinlib.paths import read_json, write_json

_JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")


class DownloadError(DataError):
    """A file that could not be had (whole), may not be had, or is not the file that was expected."""


class UnpackError(DataError):
    """An archive that is damaged or would write where it must not."""


def get(name: str, root: str | Path, *, accept_licence: bool = False, tell: Callable[[str], None] = print) -> Path:
    """Download the archives of a data set, a key of ``CARDS``, and unpack them; return the folder of the set.

    A download that broke off starts anew; a whole file waits under ``root/.downloads`` until it is unpacked. Where the
    publisher names no checksum, that of the first download is written to ``root/checksums.json`` and every later
    download must have it. What is already unpacked is not fetched again. The licence is told in any case; without
    ``accept_licence`` it ends there. An archive that fails leaves nothing in the folder of the set.

    Raises DownloadError or UnpackError.
    """
    card, root = CARDS[name], Path(root)
    facts = {"licence": card.licence, "source": card.source, "please cite": card.citation, "note": card.notes}
    tell("\n  ".join([card.title, *(f"{word}: {fact}" for word, fact in facts.items())]))
    if not card.archives:
        raise DownloadError(f"{card.title}: register at {card.source}, then put the files into {root / card.folder}.")
    if not accept_licence:
        raise DownloadError(f"{card.title} is under '{card.licence}': accept it (--accept-licence).")
    ledger = root / "checksums.json"
    for archive in card.archives:
        key, place = f"{name}/{archive.filename}", root / card.folder / archive.unpack_to
        done = read_json(ledger) if ledger.is_file() else {}
        known = done[key] if isinstance(done.get(key), dict) else {}
        held = [place / name for name in known.get("holds", ())]
        if held and all(path.is_file() or any(path.glob("*")) for path in held):  # an emptied folder is fetched again
            tell(f"  {archive.filename}: already here")
            continue
        tell(f"  {archive.filename}: fetching {archive.url}")
        expected = archive.checksum or known.get("checksum")
        file = _fetch(archive, expected, root / ".downloads")
        holds = _put(file, place)
        checksum = expected or f"sha256:{pooch.file_hash(str(file))}"
        write_json(ledger, done | {key: {"checksum": checksum, "holds": holds}})
        file.unlink()
        tell(f"  {archive.filename}: unpacked, {checksum}")
    return root / card.folder


def _fetch(archive: Archive, expected: str | None, folder: Path) -> Path:
    pooch.get_logger().setLevel("WARNING")
    if (folder / archive.filename).is_symlink():  # not ours: what it leads to is left alone
        (folder / archive.filename).unlink()
    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=60)
    try:
        return Path(pooch.retrieve(archive.url, expected, archive.filename, folder, downloader=fetch))
    except OSError as error:  # what requests raises is one, too
        raise DownloadError(f"{archive.url} cannot be fetched: {error}. Try again later.") from error
    except ValueError as error:
        raise DownloadError(f"{archive.filename} has not the checksum {expected}; it was deleted.") from error


def _put(file: Path, target: Path) -> list[str]:
    """Unpack and return the names at the top of the archive; a hostile or broken archive leaves nothing behind."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        place = Path(folder) / "content"  # with the permissions of an ordinary folder
        place.mkdir()
        if file.suffix.lower() != ".zip":
            with file.open("rb") as opened:
                head = opened.read(999).lstrip(b"\xef\xbb\xbf \r\n\t")
            if file.suffix == ".csv" and (head[:1] in b"<{" or b"," not in head):
                file.unlink()
                raise DownloadError(f"{file.name} is a web page and no table: the publisher may want a login.")
            shutil.copy(file, place)
        else:
            try:
                unpack(file, place)
            except UnpackError:
                file.unlink()
                raise
        for new in (path for path in place.rglob("*") if not path.is_dir()):
            there = target / new.relative_to(place)
            if there.exists() and not (there.is_file() and filecmp.cmp(new, there, shallow=False)):
                raise DownloadError(f"{there} is not the file of {file.name}; nothing was unpacked: move it away.")
        top = sorted(path.name for path in place.iterdir())
        shutil.copytree(place, target, dirs_exist_ok=True, copy_function=shutil.move)
        return top


def unpack(archive: Path, target: Path, *, depth: int = 1) -> None:
    """Unpack a zip archive into the folder ``target``; zip archives in it are unpacked in their place, one level deep.

    An `UnpackError` refuses an absolute path, ``..``, a drive letter, a link or device, a name twice, a damaged
    archive; a `DownloadError` a disk that is too full.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = [m for m in bundle.infolist() if not set(PurePosixPath(m.filename).parts) & set(_JUNK)]
            _refuse(archive.name, members, target)
            size, free = sum(member.file_size for member in members), shutil.disk_usage(target).free
            if size > free:  # zipfile writes no more than an archive declares
                raise DownloadError(f"{archive.name} needs {size / 1e9:.1f} GB, the disk has {free / 1e9:.1f} free.")
            bundle.extractall(target, members)
    except (*BROKEN_ARCHIVE, EOFError, RuntimeError, UnicodeError, IndexError) as error:  # RuntimeError: encrypted
        raise UnpackError(f"{archive.name} is damaged: {error}. Download it again.") from error
    for inner in sorted(target.rglob("*.[zZ][iI][pP]")) if depth else ():
        unpack(inner, inner.parent, depth=depth - 1)
        inner.unlink()


def _refuse(name: str, members: list[zipfile.ZipInfo], target: Path) -> None:
    """Raise for what zipfile would mend or write over in silence."""
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise UnpackError(f"{name} holds a path that leads out of its folder: {member.filename!r}.")
        if not member.is_dir() and (target / path).exists():
            raise UnpackError(f"{name} holds a file that an archive around it holds too: {member.filename}.")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnpackError(f"{name} holds a link or device: {member.filename}.")
    if len({PurePosixPath(member.filename) for member in members}) < len(members):
        raise UnpackError(f"{name} holds a name twice.")
