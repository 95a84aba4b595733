"""The regression run: every exhibit of a profile against the one stored, cell by cell.

`accept` stores the exhibits, the digests of the trained weights behind them, and how far each cell moves when the same
runs are trained with other seeds. A cell that does not move is data, whatever its name; one that moves is trained and
has a band; one that moves when the same seeds are trained again measures the machine. `compare` asks for every cell
exactly. Only where the same code trained other weights from the same configurations, on another kind of machine, a
trained number may lie anywhere in its band, and what follows from it (interval, p value, note) is not compared. Of
thousands of numbers some leave a band of four trainings by chance: a share of `CHANCE` may, by less than its width.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skinlib.paths import read_json, write_atomic
from skinlib.provenance import file_digest, processor

Tables = Sequence[pd.DataFrame]
KEY = ["row", "metric"]
ADDED = ["kind", "least", "most"]  # data, trained, conditional (its n moves too), machine, or new: no other seed known
ANYWHERE = ["dataset", "split", "published"]  # what no training moves
CHANCE = 0.02
FEW = 20  # images: with fewer a trained cell has no band
FIGURES = (".png", ".jpg")
RUN = ["run", "id", "code"]
RESULT = ["exhibit", "row", "metric", "column", "expected", "got", "verdict"]


def accept(found: Path, expected: Path, others: Sequence[Path] = ()) -> int:
    """Store the exhibits under ``found`` as what is expected from now on; 0.

    ``others`` are results of the same profile, trained with other seeds and once more with the same. Without them a
    cell keeps its kind and its band, stretched to its new value; a cell that was not there is new and has no band.
    """
    if not (listed := exhibits(found)):
        raise FileNotFoundError(f"no exhibits under {found}; run `make reproduce PROFILE={found.name}` first")
    again = [other for other in others if _plan(other) == _plan(found)]
    seeds = [other for other in others if other not in again]
    stored = {}
    for name in [name for name in listed if (found / f"{name}.csv").is_file()]:
        table, before = read(found / f"{name}.csv"), expected / f"{name}.csv"
        moved = [[read(other / f"{name}.csv") for other in group] for group in (seeds, again)]
        of_data = read_json(found / f"{name}.json").get("kind") == "data"
        known = read(before) if before.is_file() else None
        stored[name] = judge(table, *moved, of_data=of_data) if others else carry(table, known)
    for old in expected.glob("*/*.csv"):
        old.unlink()
    stored |= {"weights": weights(found), "exhibits": pd.DataFrame(listed.items(), columns=["exhibit", "figure"])}
    for name, table in stored.items():
        write_atomic(expected / f"{name}.csv", table.to_csv(index=False))
    print(f"{len(listed)} exhibits accepted in {expected}, with {len(seeds)} other seeds and {len(again)} repetitions")
    return 0


def exhibits(folder: Path) -> dict[str, str]:
    """Return the exhibits under a profile's results: ``paper/exhibit`` -> the ending of its figure, or ""."""
    records = [file for file in sorted(folder.glob("*/*.json")) if file.parent.name not in ("state", "notebooks")]
    ending = lambda record: next((end for end in FIGURES if record.with_suffix(end).is_file()), "")
    return {f"{file.parent.name}/{file.stem}": ending(file) for file in records}


def read(path: Path) -> pd.DataFrame:
    """Read a table as text: the empty cell is "", and notes call the processor the same on every machine."""
    text = path.read_text(encoding="utf-8").replace(processor(), "one processor")
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def _plan(found: Path) -> dict:
    return read_json(found / "state" / "plan.json")


def weights(found: Path) -> pd.DataFrame:
    """Return the digest of each run's trained weights, with the ids of its configuration and of its code."""
    rows = [
        [f"{paper}/{name}", entry["id"], entry["code"], file_digest(file)[:16]]
        for paper, plan in _plan(found).items()
        for name, entry in plan.items()
        if (file := found.parent / "runs" / entry["id"] / "model.safetensors").is_file()
    ]
    return pd.DataFrame(rows, columns=[*RUN, "weights"])


def judge(table: pd.DataFrame, seeds: Tables, again: Tables, *, of_data: bool = False) -> pd.DataFrame:
    """Return what is stored of an exhibit: its cells, each with its kind and, where it was trained, its band.

    A metric that moves with the seed in one row of an exhibit is trained in all of them, with its like (called mel,
    called nv). A band holds the values of all ``seeds``, and to either side as much more as it moves in that row in
    which it moves most. ``again`` are trainings with the same seed. Without ``seeds`` all but ``of_data`` is new.
    """
    kind_of, n = table["metric"].str.partition(" ")[0], pd.to_numeric(table["n"], errors="coerce")
    moved = _moved(table, seeds)
    trained, conditional = (moved[of].any(axis=1).groupby(kind_of).transform("any") for of in (moved.columns, ["n"]))
    machine = _moved(table, again).any(axis=1)
    values = pd.DataFrame({k: _aligned(table, one)["ours"] for k, one in enumerate([table, *seeds])})
    values = values.apply(pd.to_numeric, errors="coerce")
    loose = (n < FEW) | (n.isna() & values.isin((0, 1)).all(axis=1))  # a flag, yes or no, may turn over
    values = values[trained & ~machine & ~loose].reindex(table.index)
    least, most = values.min(axis=1), values.max(axis=1)
    more = (most - least).groupby(kind_of).transform("max")
    kinds = {"machine": machine, "conditional": conditional, "trained": trained}
    kind = np.select(list(kinds.values()), list(kinds), "data" if seeds or of_data else "new")
    return table.assign(kind=kind, least=_written(least - more), most=_written(most + more))


def _written(bounds: pd.Series) -> pd.Series:
    return bounds.map("{:.6g}".format).where(bounds.notna(), "")


def _aligned(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return another training's cells in the order of a table; a row that is named after its seed keeps its place."""
    if list(other["metric"]) == list(table["metric"]):
        return other
    return table[KEY].merge(other, on=KEY, how="left")


def _moved(table: pd.DataFrame, others: Tables) -> pd.DataFrame:
    """Tell for each cell and column whether it differs in any other training."""
    columns = table.columns.difference(KEY)
    moved = pd.DataFrame(False, table.index, columns)
    for other in others:
        moved |= _aligned(table, other)[columns].ne(table[columns])
    return moved


def carry(table: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame:
    """Return an exhibit with the kinds and bands that were stored of its cells, bands stretched to the new values."""
    known = pd.DataFrame(columns=[*KEY, *ADDED]) if before is None else before[[*KEY, *ADDED]]
    stored = table.merge(known, on=KEY, how="left").fillna({"kind": "new", "least": "", "most": ""})
    inside = (stored["least"] != "") & (stored["ours"] != "")
    for name, stretch in (("least", np.minimum), ("most", np.maximum)):
        bounds = stretch(stored.loc[inside, name].astype(float), stored.loc[inside, "ours"].astype(float))
        stored.loc[inside, name] = _written(bounds)
    return stored


def compare(found: Path, expected: Path) -> int:
    """Check the exhibits under ``found``, print what failed, write every check to ``regression.csv`` there; 0 or 1."""
    if not (expected / "weights.csv").is_file():
        raise FileNotFoundError(f"no {expected / 'weights.csv'}; `make accept` first, or choose results/smoke")
    exact, why = same_machine(read(expected / "weights.csv"), weights(found))
    wanted, there = dict(read(expected / "exhibits.csv").itertuples(index=False)), exhibits(found)
    checks = []
    for name in sorted({*wanted, *there}):
        checks.append(_check(name, "figure", wanted.get(name, "no exhibit"), there.get(name, "no exhibit")))
        checks += _of_table(name, expected, found, exact=exact)
    print(why)
    return _report(checks, found)


def compare_evidence(found: Path, reference: Path) -> int:
    """Check, as `compare` does and exactly, the exhibits made from evidence against those of the reference."""
    names = [f"{table.parent.name}/{table.stem}" for table in sorted(found.glob("*/*.csv"))]
    return _report([check for name in names for check in _of_table(name, reference, found, exact=True)], found)


def _of_table(name: str, expected: Path, found: Path, *, exact: bool) -> list[list[str]]:
    files = [folder / f"{name}.csv" for folder in (expected, found)]
    there = ["a table" if file.is_file() else "no table" for file in files]
    cells = compare_exhibit(name, *map(read, files), exact=exact) if "no table" not in there else []
    return [_check(name, "table", *there), *cells]


def _report(checks: list[list[str]], found: Path) -> int:
    write_atomic(found / "regression.csv", pd.DataFrame(checks, columns=RESULT).to_csv(index=False))
    near, banded = [one for one in checks if one[-1] == "near"], sum(one[4].startswith("[") for one in checks)
    bad = [check for check in checks if check[-1] == "FAILED"] + (near if len(near) > CHANCE * banded else [])
    if near:
        print(f"{len(near)} trained numbers lie just outside their bands")
    for exhibit, row, metric, column, wanted, got, _ in bad:
        print(f"FAILED {exhibit}::{row}::{metric} - {column}: expected {wanted}, got {got}")
    print(f"regression: {f'{len(bad)} failed, ' if bad else ''}{len(checks) - len(bad)} passed")
    return 1 if bad else 0


def same_machine(stored: pd.DataFrame, now: pd.DataFrame) -> tuple[bool, str]:
    """Tell whether runs of the same configuration and code have the same weights, and say it.

    Where no run is the same, the code is another, and its exhibits must be equal or be accepted.
    """
    both = stored.merge(now, on=RUN, suffixes=("", "_now"))
    other = both.loc[both["weights"] != both["weights_now"], "run"]
    if other.empty:
        return True, f"every cell exactly: {len(both)} of {len(stored)} runs are the same, with the weights expected"
    return False, (
        f"THIS MACHINE COMPUTES OTHERWISE: {len(other)} of {len(both)} runs have other weights than expected, first "
        f"{other.iloc[0]}; their numbers are compared with bands"
    )


def compare_exhibit(name: str, stored: pd.DataFrame, table: pd.DataFrame, *, exact: bool) -> list[list[str]]:
    """Return the checks of one exhibit's cells; where columns, rows or order differ, that one difference alone."""
    columns = [column for column in stored if column not in ADDED]
    if list(table.columns) != columns:
        return [_check(name, "columns", " ".join(columns), " ".join(table.columns))]
    keys = [[f"{cell.row} / {cell.metric}" for cell in frame.itertuples()] for frame in (stored, table)]
    if keys[0] != keys[1]:
        changed = next((pair for pair in zip(*keys, strict=False) if pair[0] != pair[1]), ("end of table",) * 2)
        sizes = [f"{len(each)} cells; {first}" for each, first in zip(keys, changed, strict=True)]
        return [_check(name, "rows", *sizes, passed=False)]
    checks = []
    for old, new in zip(stored.to_dict("records"), table.to_dict("records"), strict=True):
        cell, kind = (old["row"], old["metric"]), old.get("kind", "data")  # none is stored of evidence
        free = kind == "machine" or not (exact or kind == "data")
        fixed = ANYWHERE + (["n"] if kind != "conditional" else []) if free else columns
        wrong = [column for column in fixed if column != "ours" and not _equal(old[column], new[column])]
        checks += [_check(name, column, old[column], new[column], cell=cell, passed=False) for column in wrong]
        wanted, fine = _free(old, new) if free else (old["ours"], _equal(old["ours"], new["ours"]))
        checks.append(_check(name, "ours", wanted, new["ours"], cell=cell, passed=fine))
    return checks


def _check(name: str, column: str, wanted: str, got: str, *, cell=("", ""), passed=None) -> list[str]:
    fine = wanted == got if passed is None else passed
    return [name, *cell, column, wanted, got, fine if isinstance(fine, str) else "passed" if fine else "FAILED"]


def _free(old: dict, new: dict) -> tuple[str, bool | str]:
    """Return what is asked of a number that may move, and whether it fulfils it: it may be missing with a reason."""
    value, wanted = _number(new["ours"]), f"[{old['least']}, {old['most']}]" if old["least"] else "any number"
    if old["kind"] == "machine":
        return "a number above 0", value > 0
    if math.isnan(value):
        return wanted, new["ours"] == "" and new["note"] != ""
    if _number(new["n"]) < FEW or not old["least"]:
        return wanted, True
    least, most = float(old["least"]), float(old["most"])
    near = "near" if 2 * least - most <= value <= 2 * most - least else False
    return wanted, least <= value <= most or near


def _equal(old: str, new: str) -> bool:
    return old == new or math.isclose(_number(old), _number(new), rel_tol=1e-6, abs_tol=1e-9)


def _number(text: str) -> float:
    """Return a cell as a number, NaN where it is none or has no end."""
    try:
        return float(text) if math.isfinite(float(text)) else math.nan
    except ValueError:
        return math.nan
