"""Fetches a data set from its publisher: with its licence, a checksum and an unpacking that stays in its folder."""

import http.client
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pooch

from skinlib.data.cards import CARDS, Archive
from skinlib.data.readers_files import DataError
from skinlib.data.unpack import MAX_BYTES, UnpackError, is_archive, unpack
from skinlib.paths import write_atomic

__all__ = ["CHECKSUMS", "DownloadError", "LicenceNotAccepted", "get"]

CHECKSUMS = "checksums.json"
_CHUNK = 1 << 20


class DownloadError(DataError):
    """A file that could not be had whole, or is not the file that was expected."""


class LicenceNotAccepted(DataError):
    """The licence of the set was not accepted."""


def get(
    name: str,
    root: str | Path,
    *,
    accept_licence: bool = False,
    base_url: str | None = None,
    max_bytes: int = MAX_BYTES,
    tell: Callable[[str], None] = print,
) -> Path:
    """Download the archives of a data set and unpack them under the data root.

    A file is kept under ``root/.downloads`` until it is whole (a second call goes on where the first stopped) and has
    the right checksum. Where the publisher names no checksum, that of the first download is written to
    ``root/checksums.json`` and every later download must have it. What is already unpacked is not fetched again.

    Parameters
    ----------
    name : key of ``skinlib.data.cards.CARDS``.
    accept_licence : must be True; the licence is shown in any case.
    base_url : fetch ``base_url/<file name>`` instead of the publisher's address (a mirror).
    max_bytes : cap on the unpacked size of one archive.
    tell : receives each line of progress.

    Returns
    -------
    Path
        The folder that now holds the set.

    Raises
    ------
    LicenceNotAccepted, DownloadError, UnpackError
        In each case nothing of the offending archive has been put into the folder of the set.
    """
    if name not in CARDS:
        raise ValueError(f"Unknown data set {name!r}: choose one of {', '.join(CARDS)}.")
    card, root = CARDS[name], Path(root)
    tell(
        f"{card.title}\n  licence: {card.licence}\n  source: {card.source}\n  please cite: {card.citation}\n"
        f"  note: {card.notes}"
    )
    if not card.archives:
        raise DownloadError(
            f"{card.title} cannot be downloaded by a program. Register at {card.source}, then put the "
            f"files into {root / card.folder} as data/README.md describes."
        )
    if not accept_licence:
        raise LicenceNotAccepted(
            f"{card.title} is under the licence '{card.licence}': accept it with accept_licence=True "
            "(skinlib data get --accept-licence)."
        )
    target = root / card.folder
    done = _read(root / CHECKSUMS)
    for archive in card.archives:
        key = f"{name}/{archive.filename}"
        place = target / archive.unpack_to
        if key in done and all((place / name).exists() for name in done[key]["holds"]):
            tell(f"  {archive.filename}: already here")
            continue
        file = _fetch(archive, root, base_url, tell)
        checksum = _verify(file, archive, done.get(key, {}).get("checksum"))
        try:
            holds = _put(file, archive, place, max_bytes)
        except UnpackError:
            file.unlink()  # not worth keeping; where the disk was full, it is
            raise
        file.unlink()
        done = _record(root, key, {"checksum": checksum, "holds": holds})
        tell(f"  {archive.filename}: unpacked, {checksum}")
    return target


def _fetch(archive: Archive, root: Path, base_url: str | None, tell: Callable[[str], None]) -> Path:
    """Download to ``root/.downloads``, going on after an interruption; a file shorter than announced is an error."""
    url = f"{base_url.rstrip('/')}/{archive.filename}" if base_url else archive.url
    part = root / ".downloads" / f"{archive.filename}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    tell(f"  {archive.filename}: fetching {url}" + (f" from byte {have}" if have else ""))
    try:
        with urlopen(request, timeout=60) as answer:
            resumed = answer.status == 206  # a server that knows no ranges sends the whole file
            announced = answer.headers.get("Content-Length")
            with part.open("ab" if resumed else "wb") as file:
                shutil.copyfileobj(answer, file, _CHUNK)
    except URLError as error:
        if getattr(error, "code", None) != 416:  # 416: the part is the whole file already
            raise DownloadError(
                f"{url} cannot be fetched: {error}. Try again later, or put the file there by hand."
            ) from error
        return part
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} broke off: {error}. Run the same command again, it goes on from there.") from error
    wanted = int(announced) + (have if resumed else 0) if announced else None
    if wanted is not None and part.stat().st_size != wanted:
        raise DownloadError(
            f"{url} broke off at {part.stat().st_size} of {wanted} bytes. Run the same command again, it "
            "goes on from there."
        )
    return part


def _verify(file: Path, archive: Archive, recorded: str | None) -> str:
    """The checksum of the file, compared with the publisher's or the recorded one; a wrong file is deleted."""
    expected = archive.checksum or recorded
    algorithm = expected.split(":")[0] if expected else "sha256"
    found = f"{algorithm}:{pooch.file_hash(str(file), alg=algorithm)}"
    if expected and found != expected:
        file.unlink()
        raise DownloadError(
            f"{archive.filename} has the checksum {found} and not {expected}: the file is damaged or was "
            "changed by its publisher. It was deleted; nothing was unpacked."
        )
    return found


def _put(file: Path, archive: Archive, target: Path, max_bytes: int) -> list[str]:
    """Unpack beside the target, then move file by file: a hostile or broken archive leaves nothing behind.

    Returns the names at the top of the archive.
    """
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        if is_archive(archive.filename):
            unpack(file, Path(place), name=archive.filename, max_bytes=max_bytes)
        else:
            shutil.copyfile(file, Path(place) / archive.filename)
        top = sorted(path.name for path in Path(place).iterdir())
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(Path(place).rglob("*")):
            if path.is_file():
                final = target / path.relative_to(place)
                final.parent.mkdir(parents=True, exist_ok=True)
                path.replace(final)
        return top


def _read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}


def _record(root: Path, key: str, entry: dict) -> dict:
    table = _read(root / CHECKSUMS) | {key: entry}
    write_atomic(root / CHECKSUMS, json.dumps(table, indent=1, sort_keys=True) + "\n")
    return table
