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
    assert len(set(names)) == len(names)
    assert expected <= peers


def test_a_process_apart_builds_and_serves_one_object_after_the_other():
    from benchmarks.timing import Apart

    with Apart() as process:
        process.make(str, "abcabc")
        assert process.call("count", "a") == 2
        process.make(list, (5, 6))
        assert process.call("index", 6) == 1
    assert process.process.exitcode == 0


def test_the_arms_take_turns_and_the_median_counts():
    from benchmarks.timing import alternate

    order, values = [], iter([1.0, 10.0, 9.0, 30.0, 2.0, 20.0])
    arms = {name: lambda name=name: order.append(name) or next(values) for name in ("a", "b")}
    assert alternate(arms, 3) == {"a": 2.0, "b": 20.0}
    assert order == ["a", "b"] * 3


def test_a_window_leaves_its_first_step_out():
    from benchmarks.timing import Loop

    class Fake(Loop):
        batch = 4

        def run(self, steps):
            return [10.0 + 0.5 * k for k in range(steps)]

    loop = Fake()
    assert loop.settle(seconds=3.0) == 8.0
    assert loop.steps == 6
    assert loop.window() == 8.0
