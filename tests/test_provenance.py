import hashlib
import os
import subprocess
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from skinlib import provenance
from skinlib.paths import read_json


def test_digests_are_sha256(tmp_path):
    # FIPS 180-2, appendix B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert provenance.digest("abc") == provenance.digest(b"abc") == provenance.file_digest(tmp_path / "abc") == known
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(OSError, match=r"x\.jpg is no regular file"):  # a pipe would be waited for
        provenance.file_digest(tmp_path / "x.jpg")


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    first = provenance.file_digest(path)
    provenance._unshared["old"] = [0, 0, 0, "x"]  # settled long ago: when it is shared no other is forgotten
    opened, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: opened.append(1) or real(file, kind))
    assert provenance.file_digest(path) == first and opened == []
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 0))
    assert provenance.file_digest(path) == provenance.digest("two") and opened == [1]
    provenance.share_digests(tmp_path)  # of a file that changed just now a further change might go unseen
    assert not (tmp_path / "digests.json").is_file() or str(path) not in read_json(tmp_path / "digests.json")
    monkeypatch.setattr(provenance.time, "time_ns", lambda: 2**62)
    provenance.share_digests(tmp_path)
    provenance._digests.clear()
    provenance._learn_digests.cache_clear()  # as in another process
    provenance.share_digests(tmp_path)
    assert provenance.file_digest(path) == provenance.digest("two") and opened == [1]


def test_canonical_json_depends_on_values_alone():
    assert provenance.canonical_json({"b": 1, "a": [1, None]}) == '{"a":[1,null],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        provenance.canonical_json(float("nan"))


@pytest.fixture
def cohort(tmp_path):
    for name in ("a.png", "b.png", "a_mask.png"):
        (tmp_path / name).write_bytes(name.encode())
    images, masks = [str(tmp_path / "a.png"), str(tmp_path / "b.png")], [str(tmp_path / "a_mask.png"), np.nan]
    about = {"diagnosis": ["nv", "mel"], "label": [0, 1], "patient_id": [np.nan, "p"], "lesion_id": ["l1", "l2"]}
    return pd.DataFrame({"image_id": ["a", "b"], "image_path": images, "mask_path": masks} | about)


def test_the_cohort_fingerprint_knows_neither_row_order_nor_folders_but_which_image_is_whose(cohort, tmp_path):
    first = provenance.cohort_fingerprint(cohort)
    assert provenance.cohort_fingerprint(cohort.iloc[::-1]) == first
    moved, other = cohort.copy(), tmp_path / "elsewhere"
    other.mkdir()
    for name in ("a.png", "b.png", "a_mask.png"):
        (other / name).write_bytes(name.encode())
    for column in ("image_path", "mask_path"):
        moved[column] = moved[column].str.replace(str(tmp_path), str(other))
    assert provenance.cohort_fingerprint(moved) == first
    swapped = cohort.assign(image_path=cohort["image_path"].to_list()[::-1])
    assert provenance.cohort_fingerprint(swapped) != first


@pytest.mark.parametrize(("column", "row", "value"), [
    ("image_id", 1, "c"), ("diagnosis", 0, "bkl"), ("label", 0, 1), ("patient_id", 0, "p"), ("lesion_id", 1, "l1"),
    ("mask_path", 0, np.nan),
])  # fmt: skip
def test_the_cohort_fingerprint_changes_with_what_training_or_splitting_reads(cohort, column, row, value):
    changed = cohort.copy()
    changed.loc[row, column] = value
    assert provenance.cohort_fingerprint(changed) != provenance.cohort_fingerprint(cohort)


@pytest.mark.parametrize("name", ["b.png", "a_mask.png"])
def test_the_cohort_fingerprint_changes_with_the_bytes_of_a_file(cohort, tmp_path, name):
    first = provenance.cohort_fingerprint(cohort)
    (tmp_path / name).write_bytes(b"other bytes")
    assert provenance.cohort_fingerprint(cohort) != first


SOURCE = '"""Module."""\n\nX = 1\n\n\ndef f(a):\n    """Say."""\n    return a + X\n'


@pytest.mark.parametrize(("source", "same"), [
    (SOURCE.replace("Module.", "Another story."), True),
    (SOURCE.replace("Say.", "Say more,\n\n    and at length."), True),
    (SOURCE.replace('    """Say."""\n', "    # nothing to say\n"), True),
    (SOURCE.replace("\n\n\ndef", "  # one\n\n\ndef"), True), (SOURCE.replace("X = 1", "X = 2"), False),
    (SOURCE.replace("a + X", "X + a"), False), (SOURCE + "\n\nY = 2\n", False),
])  # fmt: skip
def test_code_is_its_syntax_tree_without_words(source, same):
    assert (provenance._tree_digest(source) == provenance._tree_digest(SOURCE)) == same


def test_the_code_fingerprint_holds_shared_files_the_systems_own_and_what_models_import():
    found = provenance.code_fingerprint("recall_oriented")
    assert {"images/augment.py", "training/fit.py"} <= set(found)
    own = set(found) - set(provenance.code_fingerprint("another"))
    assert own == {"papers/recall_oriented/model.py", "models/backbones.py", "models/system.py"}
    source = "from skinlib.models import a, b\nfrom skinlib.models.c import D\nfrom skinlib.data import e\nimport f\n"
    assert {"models/a.py", "models/b.py", "models/c.py"} <= set(provenance._imported(source))


def test_the_environment_names_versions_threads_and_commit(monkeypatch):
    found = provenance.environment()
    assert found["packages"]["numpy"] == np.__version__
    assert found["threads"] >= 1 and found["commit"] == provenance.git_commit()
    monkeypatch.setattr(subprocess, "run", mock.Mock(side_effect=FileNotFoundError("git")))
    assert provenance.git_commit() == "unknown"


def test_a_generator_depends_on_its_keys_alone():
    draw = lambda *keys: provenance.generator(*keys).random(4).tolist()
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    first = draw(0, 1, 2)
    np.random.seed(2)  # noqa: NPY002
    assert draw(0, 1, 2) == first
    assert len({tuple(draw(*keys)) for keys in ((0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1, 3), (0, 1))}) == 5
