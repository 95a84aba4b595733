"""The benchmark runs at toy size and writes what it says; how fast things are is for `make bench`, not for a test."""

import json
import math

import pytest

from skinlib.paths import project_root


@pytest.fixture(scope="module", autouse=True)
def importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project_root()))
        yield


@pytest.fixture(scope="module")
def rows(importable, tmp_path_factory):
    from benchmarks.__main__ import main

    out = tmp_path_factory.mktemp("bench") / "bench.json"
    assert main(["--quick", "--out", str(out)]) == 0
    return json.loads(out.read_text())


def test_every_row_has_a_rate_of_ours_and_of_a_peer_and_its_name_says_which(rows):
    assert all(list(row) == ["name", "ours", "peer", "ratio", "unit", "machine"] for row in rows)
    assert all(math.isfinite(row[key]) and row[key] > 0 for row in rows for key in ("ours", "peer", "ratio"))
    assert all(row["ratio"] == pytest.approx(row["ours"] / row["peer"], rel=2e-3) for row in rows)
    assert {row["unit"] for row in rows} <= {"images/s", "MB"}
    names = [row["name"] for row in rows]
    peers = {name.partition(" | ")[2] for name in names}
    expected = {"plain loop", "resident batch", "PIL open and resize", "image by image", "grad-cam package"}
    expected |= {"without super-resolution"}
    assert len(set(names)) == len(names) and expected <= peers
