import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from skinlib.data import download
from skinlib.data.cards import CARDS, Archive, Card
from skinlib.data.download import DownloadError, UnpackError, unpack


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


GOOD = zipped({"images/a.jpg": b"a" * 3000, "images/b.jpg": b"b", "__MACOSX/images/._a.jpg": b"junk"})
TOY = {"toy.zip": {}}
UNPACKED = ["images/a.jpg", "images/b.jpg"]


class Handler(BaseHTTPRequestHandler):
    """Serves the server's ``files``; ``cut`` ends a body early; where ``chunked``, no length is announced."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        body = server.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        header = ("Transfer-Encoding", "chunked") if server.chunked else ("Content-Length", str(len(body)))
        self.send_header(*header)
        self.end_headers()
        if server.chunked:
            self.wfile.write(b"%x\r\n" % len(body))
        self.wfile.write(body[: server.cut])

    def log_message(self, *arguments):
        """Keep the test's output quiet."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.cut, running.chunked, running.asked = {"toy.zip": GOOD}, None, False, []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """Download a card with these archives (name -> further facts) from the loopback server; tells ``fetch.lines``."""

    def run(archives=TOY, accept_licence=True):
        base = f"http://127.0.0.1:{server.server_port}"
        files = tuple(Archive(f"{base}/{name}", name, **facts) for name, facts in archives.items())
        card = Card("toy", "toy", "Toy", "https://example.org", "CC-0", "Nobody (2020)", archives=files)
        monkeypatch.setitem(CARDS, "toy", card)
        return download.get("toy", tmp_path, accept_licence=accept_licence, tell=run.lines.append)

    run.lines = []
    return run


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_good_archive_and_plain_file(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD, "labels.csv": b"image,class\n"}
    archives = {"toy.zip": {"unpack_to": "part_1"}, "labels.csv": {}}
    fetch(archives)
    assert contents(tmp_path / "toy") == ["labels.csv", "part_1/images/a.jpg", "part_1/images/b.jpg"]
    assert contents(tmp_path / ".downloads") == []
    record = json.loads((tmp_path / "checksums.json").read_text())
    assert record["toy/toy.zip"] == {"checksum": f"sha256:{hashlib.sha256(GOOD).hexdigest()}", "holds": ["images"]}
    assert record["toy/labels.csv"]["holds"] == ["labels.csv"]
    fetch(archives)
    assert server.asked == ["/toy.zip", "/labels.csv"] and "already here" in fetch.lines[-1]
    (tmp_path / "toy" / "labels.csv").unlink()
    fetch(archives)
    assert server.asked[2:] == ["/labels.csv"]


def test_licence_is_shown_and_must_be_accepted(server, fetch, tmp_path):
    with pytest.raises(DownloadError, match=r"CC-0.*accept it"):
        fetch(accept_licence=False)
    assert "licence: CC-0" in fetch.lines[0] and server.asked == [] and contents(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_the_publishers_checksum_must_hold(fetch, tmp_path, algorithm):
    with pytest.raises(DownloadError, match=f"has not the checksum {algorithm}:0000.*was deleted"):
        fetch({"toy.zip": {"checksum": f"{algorithm}:0000"}})
    assert contents(tmp_path) == []
    fetch({"toy.zip": {"checksum": f"{algorithm}:{hashlib.new(algorithm, GOOD).hexdigest()}"}})
    assert (tmp_path / "toy" / "images" / "a.jpg").read_bytes() == b"a" * 3000


def test_recorded_checksum_must_hold_at_the_next_download(server, fetch, tmp_path):
    fetch()
    shutil.rmtree(tmp_path / "toy")
    server.files = {"toy.zip": zipped({"images/a.jpg": b"another"})}
    with pytest.raises(DownloadError, match="has not the checksum"):
        fetch()
    assert contents(tmp_path) == ["checksums.json"]


def test_a_file_of_the_user_is_not_overwritten(server, fetch, tmp_path):
    server.files = {"toy.zip": GOOD, "labels.csv": b"image,class\n"}
    (tmp_path / "toy" / "images").mkdir(parents=True)
    mine = {"images/a.jpg": b"put here by hand", "labels.csv": b"image,class\na,corrected\n"}
    for name, content in mine.items():
        (tmp_path / "toy" / name).write_bytes(content)
    for archive, name in {"toy.zip": "a.jpg", "labels.csv": "labels.csv"}.items():
        with pytest.raises(DownloadError, match=f"{name} is not the file of {archive}.*move it away"):
            fetch({archive: {}})
    assert {name: (tmp_path / "toy" / name).read_bytes() for name in mine} == mine
    assert contents(tmp_path / "toy") == sorted(mine)
    (tmp_path / "toy/images/a.jpg").write_bytes(b"a" * 3000)  # as the archive has it: nothing to lose
    fetch()
    assert contents(tmp_path / "toy") == [*UNPACKED, "labels.csv"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_link_planted_under_the_name_of_a_download_harms_no_other_file(fetch, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("years of work")
    (tmp_path / ".downloads").mkdir()
    for name in ("toy.zip", "toy.zip.part"):
        (tmp_path / ".downloads" / name).symlink_to(victim)
    fetch()
    assert victim.read_text() == "years of work" and contents(tmp_path / "toy") == UNPACKED


@pytest.mark.parametrize("chunked", [False, True])
def test_a_broken_line_is_noticed_and_the_next_call_starts_anew(server, fetch, tmp_path, chunked):
    server.cut, server.chunked = 40, chunked
    with pytest.raises(DownloadError, match=r"toy\.zip cannot be fetched: .*IncompleteRead"):
        fetch()
    assert contents(tmp_path) == []
    server.cut, server.chunked = None, False
    fetch()
    assert contents(tmp_path / "toy") == UNPACKED


def test_a_whole_file_is_kept_where_the_disk_is_full(server, fetch, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(DownloadError, match=r"needs 0\.0 GB, the disk has 0\.0 free"):
        patch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
        fetch()
    assert contents(tmp_path) == [".downloads/toy.zip"]
    fetch()
    assert len(server.asked) == 1 and contents(tmp_path) == ["checksums.json", *(f"toy/{name}" for name in UNPACKED)]


def test_a_file_that_is_missing_on_the_server_or_was_cut_short_there_is_said(server, fetch, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        fetch({"gone.zip": {}})
    server.files = {"toy.zip": GOOD[:-30]}
    with pytest.raises(UnpackError, match="damaged"):
        fetch()
    assert contents(tmp_path) == []  # no checksum is recorded of it either


@pytest.mark.parametrize("page", [b"\n<!DOCTYPE html><html>Log in</html>", b'{"error": "n, n"}', b"\xef\xbb\xbf<a>,"])
def test_a_web_page_is_no_table(server, fetch, tmp_path, page):
    server.files = {"labels.csv": page}
    with pytest.raises(DownloadError, match=r"labels.csv is a web page and no table"):
        fetch({"labels.csv": {}})
    assert contents(tmp_path) == []


def test_ph2_is_placed_by_hand(tmp_path):
    with pytest.raises(DownloadError, match="register at https://"):
        download.get("ph2", tmp_path, accept_licence=True, tell=[].append)
    with pytest.raises(ValueError, match="Unknown data set"):
        download.get("ph3", tmp_path)


LINK = zipfile.ZipInfo("evil")
LINK.external_attr = 0o120777 << 16
HOSTILE = {
    "parent.zip": zipped({"good.jpg": b"1", "../evil.txt": b"evil"}),
    "deep.zip": zipped({"a/b/../../../evil.txt": b"evil"}), "absolute.zip": zipped({"/tmp/evil.txt": b"evil"}),
    "windows.zip": zipped({"..\\evil.txt": b"evil"}), "drive.zip": zipped({"C:/evil.txt": b"evil"}),
    "twice.zip": zipped({"a.jpg": b"1", "inner.zip": zipped({"a.jpg": b"2"})}),
    "link.zip": zipped({LINK: "/etc/passwd"}), "nested.zip": zipped({"inner.zip": zipped({"../../evil.txt": b"evil"})}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_leave_nothing_behind(server, fetch, tmp_path, name):
    (tmp_path / "keep.txt").write_text("keep")
    server.files = {name: HOSTILE[name]}
    with pytest.raises(UnpackError, match=r"leads out of its folder|link or device|an archive around it"):
        fetch({name: {}})
    assert contents(tmp_path) == ["keep.txt"] and not (tmp_path.parent / "evil.txt").exists()


def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_says(tmp_path):
    bomb = bytearray(zipped({"zeros.bin": bytes(1_000_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = bomb.index(signature) + offset
        bomb[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(bomb)
    (tmp_path / "out").mkdir()
    with pytest.raises(UnpackError, match="damaged"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 10


def test_nested_archives_of_pad_ufes_20_are_unpacked_in_place(tmp_path):
    inner = zipped({"imgs_part_1/PAT_1_2_3.png": b"png"})
    (tmp_path / "pad.zip").write_bytes(zipped({"images/imgs_part_1.zip": inner, "metadata.csv": b"x"}))
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "pad.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == ["images/imgs_part_1/PAT_1_2_3.png", "metadata.csv"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.jpg", "./a.jpg"])
def test_a_name_twice_in_an_archive_is_refused(tmp_path, second):
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as bundle:
        bundle.writestr("a.jpg", b"1")
        bundle.writestr(second, b"2")
    with pytest.raises(UnpackError, match="holds a name twice"):
        unpack(tmp_path / "twice.zip", tmp_path)
