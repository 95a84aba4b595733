"""Measure, print a table, write JSON: a list of {name, ours, peer, ratio, unit, machine}."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks import outlining, redrawing, training, using
from benchmarks.timing import QUICK, Settings
from skinlib.data import cards, readers, synthetic
from skinlib.paths import project_root, write_atomic


def cohort_of(data: str, folder: Path, settings: Settings) -> pd.DataFrame:
    """Return benign and malignant images: the first of HAM10000 under a data root, or drawn ones."""
    if not data:
        synthetic.synthesise(folder, images=settings.images, size=settings.pixels)
    cohort = readers.read("ham10000", data or folder, allow_missing=True)
    chosen = cohort.sample(settings.images, random_state=0).reset_index(drop=True)
    return cards.relabel(chosen, "malignancy")


def measured(cohort: pd.DataFrame, root: Path, settings: Settings) -> Iterator[list[dict]]:
    """Yield the rows of each benchmark as it ends."""
    first = settings.cases[0]
    yield using.decoding(cohort, root, first, settings)
    with settings.process() as field:  # what the field runs, without the library's settings of the C library
        for case in settings.cases:
            yield training.throughput(cohort, root, case, settings, field)
        for outline in settings.outlines:
            yield outlining.throughput(cohort, root, outline, settings, field)
        yield using.prediction(cohort, root, first, settings, field)
    yield training.memory(cohort, root, first, settings)
    for case in settings.redrawn:
        yield redrawing.auxiliary(case, settings)
    for case in settings.cams:
        yield using.heat_maps(case, settings)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Throughput, ours and the field's.")
    parser.add_argument("--data", default="", help="data root with HAM10000; default: images are drawn")
    parser.add_argument("--out", type=Path, help="default: results/bench.json, or bench-quick.json with --quick")
    parser.add_argument("--quick", action="store_true", help="toy sizes and one repeat, to see that it runs")
    arguments = parser.parse_args(words)
    out = arguments.out or project_root() / "results" / ("bench-quick.json" if arguments.quick else "bench.json")
    settings, rows = QUICK if arguments.quick else Settings(), []
    print(f"{'images/s, or the unit named':<72} {'ours':>8} {'peer':>8} {'ratio':>6}", flush=True)
    with tempfile.TemporaryDirectory(prefix="skinlib-bench-") as folder:
        cohort = cohort_of(arguments.data, Path(folder) / "data", settings)
        for batch in measured(cohort, Path(folder) / "cache", settings):
            for row in batch:
                unit = "" if row["unit"] == "images/s" else f", {row['unit']}"
                print(f"{row['name'] + unit:<72} {row['ours']:8.4g} {row['peer']:8.4g} {row['ratio']:6.2f}", flush=True)
            rows += batch
    write_atomic(out, json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} rows in {out}; {rows[0]['machine']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
