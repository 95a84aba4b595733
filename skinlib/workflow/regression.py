"""The regression run: every smoke exhibit against the one stored, cell by cell.

What follows from the data alone must be equal; what a model was trained for must lie in its stored range, which is
narrow enough that permuted labels leave it; what measures the machine must only be there; a flag, or a precision where
nothing may be called, may turn with the last digit of a weight. The published column, rows and their order, counts,
data set and split must be equal in every exhibit. Intervals, verdicts and what else notes say are not compared: tests
make them from known tables.
"""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pandas as pd

from skinlib.exhibits.write import COLUMNS
from skinlib.paths import read_json, write_atomic

STORED = ["row", "metric", "kind", "value", "low", "high", "n", "dataset", "split", "published", "note"]
MACHINE = re.compile(r"second|minute|per_s|memory|speed")
COUNTS = re.compile(r"^(tp|fp|tn|fn|count|best_epoch|epochs)$|^called ")
AUC = re.compile(r"auc$")
GAPS = re.compile(r"gap|diff|delta|gain|change|reduction|cosine")
SIGNED_ROWS = re.compile(r"gap| - | minus ")
FLAGS = re.compile(r"\bflag$")
# In the note of a cell that training may fill or empty.
UNDEFINED = re.compile(r"does not exist|not defined|counts only: \d+ called")
MAY_VANISH = re.compile(r"^(malignant_)?precision")  # where a model calls nothing
P_VALUE = re.compile(r"^p$|_p$|p_value")
CONDITIONAL = re.compile(r"_of_|^count$")  # its n is itself a result, such as the number of false negatives
OF_UNSURE = re.compile(r"(ambiguous|borderline) lesions$")  # their n is how often networks were unsure
OF_MAPS = re.compile(r"^Grad-CAM\+\+|blob$")  # a row whose n leaves out images on which a network's map has no heat
FEW_MAPS = 0.05  # the share of the images that this may be
MARGIN = 0.15  # of a rate; about three standard errors of an AUC on the smoke test part
WIDEST = 0.25  # even where the exhibit's own interval is wider
RESULT = ["exhibit", "row", "metric", "column", "expected", "got", "verdict"]


def accept(found: Path, expected: Path, *, widen: bool = False) -> int:
    """Store the exhibits under ``found`` as what is expected from now on; 0.

    Parameters
    ----------
    widen
        Let the ranges hold what they held before as well: for results of another seed or another machine.

    Raises
    ------
    FileNotFoundError
        When there are none.
    """
    names = exhibits(found)
    if not names:
        raise FileNotFoundError(f"no exhibits under {found}; run `make reproduce PROFILE=smoke` first")
    before = {f"{file.parent.name}/{file.stem}": read(file) for file in expected.glob("*/*.csv")}
    for old in expected.glob("*/*.csv"):
        old.unlink()
    for name in names:
        if (found / f"{name}.csv").is_file():
            stored = to_store(read(found / f"{name}.csv"), read_json(found / f"{name}.json")["kind"])
            stored = _widened(stored, before[name]) if widen and name in before else stored
            write_atomic(expected / f"{name}.csv", stored.to_csv(index=False))
    files = pd.DataFrame({"exhibit": names, "figure": [(found / f"{name}.png").is_file() for name in names]})
    write_atomic(expected / "exhibits.csv", files.to_csv(index=False))
    print(f"{len(names)} exhibits accepted in {expected}")
    return 0


def _widened(stored: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    ranges = before[before["kind"] == "range"].set_index(["row", "metric"])[["low", "high"]].astype(float)
    cells = stored.to_dict("records")
    for cell in cells:
        if cell["kind"] == "range" and (cell["row"], cell["metric"]) in ranges.index:
            old = ranges.loc[(cell["row"], cell["metric"])]
            cell["low"] = f"{min(float(cell['low']), old['low']):.6g}"
            cell["high"] = f"{max(float(cell['high']), old['high']):.6g}"
    return pd.DataFrame(cells, columns=STORED)


def exhibits(folder: Path) -> list[str]:
    """Return the exhibits under a profile's results, as ``paper/exhibit``: what has a record beside it."""
    skipped = ("state", "notebooks")
    files = [file for file in folder.glob("*/*.json") if file.parent.name not in skipped]
    return sorted(f"{file.parent.name}/{file.stem}" for file in files)


def read(path: Path) -> pd.DataFrame:
    """Read an exhibit as text: the empty cell is "", and numbers are compared as numbers later."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def to_store(exhibit: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return what is stored of an exhibit: for each cell its kind (exact, range, machine, any, absent) and range."""
    stored = exhibit.rename(columns={"ours": "value"}).drop(columns=["low", "high"])
    judged = [_judge(cell, kind) for cell in exhibit.to_dict("records")]
    stored["kind"], stored["low"], stored["high"] = zip(*judged, strict=True) if judged else ((), (), ())
    return stored[STORED]


def _judge(cell: dict[str, str], kind: str) -> tuple[str, str, str]:
    if kind != "data" and (FLAGS.search(cell["row"]) or (cell["ours"] == "" and UNDEFINED.search(cell["note"]))):
        return "any", "", ""
    if cell["ours"] == "":
        return "absent", "", ""
    if MACHINE.search(cell["metric"]):
        return "machine", "", ""
    if kind == "data" or not _is_number(cell["ours"]):
        return "exact", "", ""
    if P_VALUE.search(cell["metric"]):
        return "range", "0", "1"
    low, high = _range(cell)
    return "range", f"{low:.6g}", f"{high:.6g}"


def _range(cell: dict[str, str]) -> tuple[float, float]:
    """Return the range of a trained number; a difference may be negative, a rate and a count may not."""
    value, margin = float(cell["ours"]), MARGIN
    known = (float(cell["low"]), float(cell["high"])) if cell["low"] and cell["high"] else None
    signed = bool(GAPS.search(cell["metric"]) or SIGNED_ROWS.search(cell["row"]))
    signed = signed or value < 0 or (known is not None and known[0] < 0)  # a correlation, say
    if COUNTS.search(cell["metric"]):
        margin = max(2.0, MARGIN * float(cell["n"] or 2 * abs(value)))
    elif known and (signed or not AUC.search(cell["metric"])):
        margin = min(max(MARGIN, (known[1] - known[0]) / 2), WIDEST)
    low, high = value - margin, value + margin
    if known and cell["metric"] == "threshold":  # its interval is far from symmetric
        low, high = min(low, known[0]), max(high, known[1])
    return (low, high) if signed else (max(low, 0.0), high if value > 1 else min(high, 1.0))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def compare(found: Path, expected: Path) -> int:
    """Compare all exhibits, write ``regression.csv`` beside them, print what differs; 1 when anything does.

    Parameters
    ----------
    found
        A profile's results, ``results/smoke``.
    expected
        What `accept` wrote.

    Raises
    ------
    FileNotFoundError
        When nothing was ever accepted.
    """
    began = time.perf_counter()
    if not (expected / "exhibits.csv").is_file():
        raise FileNotFoundError(f"{expected} holds no expectation; look at the smoke exhibits, then `make accept`")
    wanted = read(expected / "exhibits.csv").set_index("exhibit")["figure"].to_dict()
    rows = [check for name in sorted({*wanted, *exhibits(found)}) for check in _files(name, wanted, found, expected)]
    result = pd.DataFrame(rows, columns=RESULT)
    write_atomic(found / "regression.csv", result.to_csv(index=False))
    bad = result[result["verdict"] == "FAILED"]
    for check in bad.to_dict("records"):
        where = f"{check['exhibit']}::{check['row']}::{check['metric']}"
        print(f"FAILED {where} - {check['column']}: expected {check['expected']}, got {check['got']}")
    counts = f"{len(bad)} failed, " if len(bad) else ""
    print(f"regression: {counts}{len(result) - len(bad)} passed in {time.perf_counter() - began:.2f}s")
    return 1 if len(bad) else 0


def _files(name: str, wanted: dict[str, str], found: Path, expected: Path) -> list[dict]:
    """Return the checks of one exhibit: its files, then its cells."""
    here = (found / f"{name}.json").is_file()
    checks = [_check(name, "exhibit", "here" if name in wanted else "none", "here" if here else "none")]
    if not here or name not in wanted:
        return checks
    checks.append(_check(name, "figure", wanted[name], str((found / f"{name}.png").is_file())))
    stored, table = expected / f"{name}.csv", found / f"{name}.csv"
    checks.append(_check(name, "table", str(stored.is_file()), str(table.is_file())))
    return checks + (compare_exhibit(name, read(stored), read(table)) if stored.is_file() and table.is_file() else [])


def _check(
    name: str, column: str, wanted: str, got: str, *, passed: bool | None = None, cell: dict | None = None
) -> dict:
    key = {"row": cell["row"], "metric": cell["metric"]} if cell else {"row": "", "metric": ""}
    fine = wanted == got if passed is None else passed
    verdict = "passed" if fine else "FAILED"
    return {"exhibit": name, "column": column, "expected": wanted, "got": got, "verdict": verdict} | key


def compare_exhibit(name: str, stored: pd.DataFrame, table: pd.DataFrame) -> list[dict]:
    """Return the checks of one exhibit's cells; where columns, rows or order differ, that one difference alone."""
    if list(table.columns) != COLUMNS:
        return [_check(name, "columns", " ".join(COLUMNS), " ".join(table.columns))]
    keys = [[f"{cell['row']} / {cell['metric']}" for cell in frame.to_dict("records")] for frame in (stored, table)]
    if keys[0] != keys[1]:
        changed = next((pair for pair in zip(*keys, strict=False) if pair[0] != pair[1]), ("end of table",) * 2)
        sizes = [f"{len(each)} cells; {first}" for each, first in zip(keys, changed, strict=True)]
        return [_check(name, "rows", sizes[0], sizes[1], passed=False)]
    checks = []
    for old, new in zip(stored.to_dict("records"), table.to_dict("records"), strict=True):
        fixed = ["dataset", "split", "published"] + (["note"] if old["kind"] == "absent" else [])
        trained = old["kind"] in ("range", "any")
        fixed += [] if trained and CONDITIONAL.search(old["metric"]) else ["n"]
        shares = {OF_MAPS: FEW_MAPS, OF_UNSURE: MARGIN} if trained else {}
        spared = max((share for rows, share in shares.items() if rows.search(old["row"])), default=0.0)
        wrong = [name for name in fixed if not _equal(old[name], new[name], rel=spared if name == "n" else 0.0)]
        checks += [_check(name, column, old[column], new[column], passed=False, cell=new) for column in wrong]
        checks.append(_value(name, old, new))
    return checks


def _equal(old: str, new: str, *, rel: float = 0.0) -> bool:
    if _is_number(old) and _is_number(new):
        return math.isclose(float(old), float(new), rel_tol=max(rel, 1e-5), abs_tol=1e-9)
    return old == new


def _value(name: str, old: dict, new: dict) -> dict:
    """Return the check of our own number."""
    value, kind = new["ours"], old["kind"]
    if kind == "any":
        fine = value == "" or _is_number(value)
        return _check(name, "ours", "a number or none", value, passed=fine, cell=new)
    if kind == "range":
        vanished = value == "" and bool(MAY_VANISH.search(new["metric"]) and UNDEFINED.search(new["note"]))
        fine = vanished or (_is_number(value) and float(old["low"]) <= float(value) <= float(old["high"]))
        return _check(name, "ours", f"[{old['low']}, {old['high']}]", value, passed=fine, cell=new)
    if kind == "machine":
        return _check(name, "ours", "a number above 0", value, passed=_is_number(value) and float(value) > 0, cell=new)
    return _check(name, "ours", old["value"], value, passed=_equal(old["value"], value), cell=new)
