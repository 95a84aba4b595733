import json
import multiprocessing
import os
import threading
from unittest import mock

import pytest

from skinlib import paths


def test_the_project_root_holds_the_library():
    assert (paths.project_root() / "skinlib" / "paths.py").is_file()


def test_a_written_file_is_whole_readable_by_all_and_alone(tmp_path):
    target = paths.write_atomic(tmp_path / "a" / "b.txt", "one")
    paths.write_atomic(target, b"two")
    umask = os.umask(0)
    os.umask(umask)
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["b.txt"] and target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    target = paths.write_atomic(tmp_path / "b.txt", "old")
    monkeypatch.setattr(paths.Path, "replace", mock.Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        paths.write_atomic(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"] and target.read_text() == "old"


def test_json_is_sorted_refuses_nan_and_names_a_broken_file(tmp_path):
    path = paths.write_json(tmp_path / "x.json", {"b": 1, "a": [1.5, None]})
    assert list(json.loads(path.read_text())) == ["a", "b"] and paths.read_json(path) == {"a": [1.5, None], "b": 1}
    with pytest.raises(ValueError, match="Out of range"):
        paths.write_json(tmp_path / "y.json", {"a": float("nan")})
    assert not (tmp_path / "y.json").exists()
    path.write_text("{")
    with pytest.raises(ValueError, match=r"x\.json is not JSON"):
        paths.read_json(path)


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    with paths.new_folder(tmp_path / "r" / "final") as temporary:
        (temporary / "file").write_text("1")
        assert not (tmp_path / "r" / "final").exists()
    assert (tmp_path / "r" / "final" / "file").read_text() == "1"
    with pytest.raises(KeyError), paths.new_folder(tmp_path / "r" / "other") as temporary:
        (temporary / "file").write_text("1")
        raise KeyError
    assert [p.name for p in (tmp_path / "r").iterdir()] == ["final"]
    with pytest.raises(FileExistsError, match="delete it"), paths.new_folder(tmp_path / "r" / "final"):
        pass
    assert (tmp_path / "r" / "final" / "file").read_text() == "1"


def _hold(path, held):
    with paths.Lock(path):
        held.set()
        threading.Event().wait()


def test_a_lock_is_exclusive_and_that_of_a_killed_process_is_free(tmp_path):
    path, context = tmp_path / "deep" / "lock", multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(path, held), daemon=True)
    process.start()
    assert held.wait(120)
    with pytest.raises(TimeoutError, match="held by another process"), paths.Lock(path, timeout=0):
        pass
    process.kill()
    process.join(120)
    with paths.Lock(path, timeout=0):
        assert process.exitcode == -9


@pytest.mark.skipif(os.name == "nt", reason="fcntl")
def test_a_folder_that_cannot_lock_is_an_error_not_a_wait(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=OSError(37, "No locks available")))
    with pytest.raises(OSError, match="No locks available"), paths.Lock(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'"text"', b'{"a": "\xe4"}', b"[" * 10**5])
def test_a_file_that_holds_no_json_mapping_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json (is not JSON|holds no mapping)"):
        paths.read_json(tmp_path / "a.json")
