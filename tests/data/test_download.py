import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skinlib.data import download
from skinlib.data.cards import Archive, Card
from skinlib.data.cards import CARDS
from skinlib.data.unpack import UnpackError, unpack


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


GOOD = zipped({"images/a.jpg": b"a" * 3000, "images/b.jpg": b"b", "__MACOSX/images/._a.jpg": b"junk"})


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cut`` ends a body early, as a broken line does; ``ranges`` says whether Range is known.

    Where ``chunked``, it does not say how long a body is.
    """

    def __init__(self):
        self.files, self.cut, self.ranges, self.chunked, self.asked = {}, None, True, False, []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server: Server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        body = server.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and server.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(body))
        else:
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
        self.wfile.write(body[start : start + server.cut] if server.cut else body[start:])

    def log_message(self, *arguments):
        """Keep the test's output quiet."""


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Install a card with these archives; returns a function that downloads it from the loopback server."""

    def install(*archives: Archive):
        card = Card("toy", "toy", "Toy", "https://example.org", "CC-0", "Nobody (2020)", archives=archives)
        monkeypatch.setitem(CARDS, "toy", card)
        base = f"http://127.0.0.1:{server.server_port}"
        lines = []

        def run(**options):
            options = {"accept_licence": True, "base_url": base, "tell": lines.append} | options
            return download.get("toy", tmp_path, **options)

        run.lines = lines
        return run

    return install


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def archive(name="toy.zip", checksum=None, unpack_to=""):
    return Archive(f"https://example.org/{name}", name, checksum, unpack_to)


def test_good_archive_and_plain_file(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD, "labels.csv": b"image,class\n"}
    run = fetch(archive(unpack_to="part_1"), archive("labels.csv"))
    run()
    assert contents(tmp_path / "toy") == ["labels.csv", "part_1/images/a.jpg", "part_1/images/b.jpg"]
    assert contents(tmp_path / ".downloads") == []
    record = json.loads((tmp_path / "checksums.json").read_text())
    assert record["toy/toy.zip"] == {"checksum": f"sha256:{hashlib.sha256(GOOD).hexdigest()}", "holds": ["images"]}
    assert record["toy/labels.csv"]["holds"] == ["labels.csv"]
    asked = len(server.asked)
    run()
    assert len(server.asked) == asked and "already here" in run.lines[-1]
    (tmp_path / "toy" / "labels.csv").unlink()
    run()
    assert server.asked[asked:] == [("/labels.csv", None)]


def test_licence_is_shown_and_must_be_accepted(server, fetch, tmp_path):
    run = fetch(archive())
    with pytest.raises(download.LicenceNotAccepted, match="CC-0"):
        run(accept_licence=False)
    assert "licence: CC-0" in run.lines[0] and server.asked == [] and contents(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_wrong_checksum_of_the_publisher(server, fetch, tmp_path, algorithm):
    server.files = {"toy.zip": GOOD}
    with pytest.raises(download.DownloadError, match=f"checksum {algorithm}:"):
        fetch(archive(checksum=f"{algorithm}:0000"))()
    assert contents(tmp_path) == []


def test_right_checksum_of_the_publisher(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD}
    fetch(archive(checksum=f"md5:{hashlib.md5(GOOD).hexdigest()}"))()
    assert (tmp_path / "toy" / "images" / "a.jpg").read_bytes() == b"a" * 3000


def test_recorded_checksum_must_hold_at_the_next_download(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD}
    run = fetch(archive(unpack_to="part_1"))
    run()
    for path in sorted((tmp_path / "toy").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    server.files = {"toy.zip": zipped({"images/a.jpg": b"another"})}
    with pytest.raises(download.DownloadError, match="changed by its publisher"):
        run()
    assert contents(tmp_path) == ["checksums.json"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_line_is_noticed_and_the_next_call_goes_on(server, fetch, tmp_path, ranges):
    server.files, server.cut, server.ranges = {"toy.zip": GOOD}, 40, ranges
    run = fetch(archive())
    with pytest.raises(download.DownloadError, match=f"broke off at 40 of {len(GOOD)} bytes"):
        run()
    assert not (tmp_path / "toy").exists()
    server.cut = None
    run()
    assert server.asked[-1] == ("/toy.zip", "bytes=40-")
    assert contents(tmp_path / "toy") == ["images/a.jpg", "images/b.jpg"]


def test_a_broken_line_is_noticed_where_no_length_was_announced(server, fetch, tmp_path):
    server.files, server.cut, server.chunked = {"toy.zip": GOOD}, 40, True
    run = fetch(archive())
    with pytest.raises(download.DownloadError, match=r"broke off: IncompleteRead.*Run the same command again"):
        run()
    server.cut, server.chunked = None, False
    run()
    assert contents(tmp_path / "toy") == ["images/a.jpg", "images/b.jpg"]


def test_a_whole_file_is_kept_where_the_disk_is_full(server, fetch, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    server.files = {"toy.zip": GOOD}
    run = fetch(archive())
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(download, "unpack", full)
        run()
    run()
    assert server.asked[1:] == [("/toy.zip", f"bytes={len(GOOD)}-")]
    assert contents(tmp_path / "toy") == ["images/a.jpg", "images/b.jpg"]
    assert contents(tmp_path / ".downloads") == []


def test_a_whole_file_left_by_a_killed_call_is_used(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD}
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / "toy.zip.part").write_bytes(GOOD)
    fetch(archive())()
    assert contents(tmp_path / "toy") == ["images/a.jpg", "images/b.jpg"]


def test_missing_file_on_the_server(fetch):
    with pytest.raises(download.DownloadError, match="404"):
        fetch(archive())()


def test_archive_cut_short_at_the_publisher_is_damaged(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD[:-30]}
    with pytest.raises(UnpackError, match="damaged"):
        fetch(archive())()
    assert contents(tmp_path) == []  # no checksum is recorded of it either


def test_ph2_is_placed_by_hand(tmp_path):
    with pytest.raises(download.DownloadError, match="Register at https://"):
        download.get("ph2", tmp_path, accept_licence=True, tell=[].append)
    with pytest.raises(ValueError, match="Unknown data set"):
        download.get("ph3", tmp_path)


def link_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        info = zipfile.ZipInfo("evil")
        info.external_attr = 0o120777 << 16
        bundle.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes, str]) -> bytes:
    """(name, type, link target) each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 4 if kind == tarfile.REGTYPE else 0
            bundle.addfile(info, io.BytesIO(b"evil") if info.size else None)
    return buffer.getvalue()


HOSTILE = {
    "parent.zip": zipped({"good.jpg": b"1", "../evil.txt": b"evil"}),
    "deep.zip": zipped({"a/b/../../../evil.txt": b"evil"}),
    "absolute.zip": zipped({"/tmp/evil.txt": b"evil"}),
    "windows.zip": zipped({"..\\evil.txt": b"evil"}),
    "drive.zip": zipped({"C:/evil.txt": b"evil"}),
    "link.zip": link_zip(),
    "nested.zip": zipped({"inner.zip": zipped({"../../evil.txt": b"evil"})}),
    "parent.tar.gz": tarred(("../evil.txt", tarfile.REGTYPE, "")),
    "symlink.tar.gz": tarred(("out", tarfile.SYMTYPE, "/tmp"), ("out/evil.txt", tarfile.REGTYPE, "")),
    "hardlink.tar.gz": tarred(("out", tarfile.LNKTYPE, "../../checksums.json")),
    "device.tar.gz": tarred(("null", tarfile.CHRTYPE, "")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_leave_nothing_behind(server, fetch, tmp_path, name):
    (tmp_path / "keep.txt").write_text("keep")
    server.files = {name: HOSTILE[name]}
    with pytest.raises(UnpackError, match=r"leads out of its folder|link or device"):
        fetch(archive(name))()
    assert contents(tmp_path) == ["keep.txt"]
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize("nested", [False, True])
def test_a_bomb_stops_at_the_cap(server, fetch, tmp_path, nested):
    bomb = zipped({"zeros.bin": bytes(5_000_000)})
    server.files = {"toy.zip": zipped({"inner.zip": bomb}) if nested else bomb}
    with pytest.raises(UnpackError, match="cap"):
        fetch(archive())(max_bytes=100_000)
    assert contents(tmp_path / "toy") == []
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 200_000


def test_a_bomb_that_lies_about_its_size_stops_too(tmp_path):
    """The cap counts what is written, whatever sizes the archive declares."""
    bomb = bytearray(zipped({"zeros.bin": bytes(1_000_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = bomb.index(signature) + offset
        bomb[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(bomb)
    (tmp_path / "out").mkdir()
    with pytest.raises(UnpackError):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", max_bytes=1000)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 1000


def test_nested_archives_of_pad_ufes_20_are_unpacked_in_place(tmp_path):
    inner = zipped({"imgs_part_1/PAT_1_2_3.png": b"png"})
    (tmp_path / "pad.zip").write_bytes(zipped({"images/imgs_part_1.zip": inner, "metadata.csv": b"x"}))
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "pad.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == ["images/imgs_part_1/PAT_1_2_3.png", "metadata.csv"]


def test_a_name_twice_in_an_archive_is_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as bundle:
        for _ in range(2):
            info = tarfile.TarInfo("a.jpg")
            bundle.addfile(info)
    (tmp_path / "twice.tar").write_bytes(buffer.getvalue())
    (tmp_path / "out").mkdir()
    with pytest.raises(UnpackError, match="twice"):
        unpack(tmp_path / "twice.tar", tmp_path / "out")
