"""What the papers print, held against what follows from what they print: arithmetic over `data/published`, by rule.

A printed number stands for every number that rounds to it, so what follows from several is a range. ``audit.csv`` says
what follows from other cells of a row; a row called ``a - b`` is a difference, ``all`` and ``total`` are sums, and what
is printed in two places is one number. Nothing here knows which cells are wrong.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

RULES = pd.read_csv(Path(__file__).with_suffix(".csv"))
COLUMNS = ["paper", "exhibit", "row", "metric", "published", "low", "high", "rule", "verdict"]
FOLLOWS, LAST_DIGIT, WRONG = "follows", "last digit", "does not follow"
OFFICIAL = "official"  # the exhibit of what is known from outside: counts of archives, parameters of networks
SUMMED = ("n", "count", "benign", "malignant")


class Printed(NamedTuple):
    """A number as it is printed, half a unit of its last digit (0 of a count), how far a slip of that digit goes."""

    value: float
    half: float
    slip: float


Rows = Mapping[tuple[str, str, str], Mapping[str, Printed]]  # (paper, exhibit, row) -> metric -> number


def printed(text: str, metric: str = "") -> Printed:
    """Return a number as text prints it; parameters are printed in millions, a last zero may have been put there."""
    digits, zeros = len(text.partition(".")[2]), len(text) - len(text.rstrip("0"))
    unit = 10.0 ** (zeros if metric == "parameters" else -digits) if digits or metric == "parameters" else 0.0
    return Printed(float(text), unit / 2, unit * (5 if digits and zeros else 1.5))


def read(folder: Path) -> pd.DataFrame:
    """Return the cells of every paper that have a number, as text, with ``paper`` and ``exhibit``."""
    read = lambda file: pd.read_csv(file, dtype=str, keep_default_na=False)
    tables = [read(f).assign(paper=f.parent.name, exhibit=f.stem) for f in sorted(folder.glob("*/*.csv"))]
    return pd.concat(tables, ignore_index=True).query("published != ''").reset_index(drop=True)


def audit(cells: pd.DataFrame) -> pd.DataFrame:
    """Return every check that can be made of the cells of `read`: `COLUMNS`, a row a cell and rule.

    ``low`` and ``high`` are what follows; the verdict is `FOLLOWS`, `LAST_DIGIT` (cut, rounded twice, a zero put behind
    it) or `WRONG`. Rows of the exhibit `OFFICIAL` are not checked: they are known.
    """
    rows: dict[tuple[str, str, str], dict[str, Printed]] = {}
    for cell in cells.itertuples():
        rows.setdefault((cell.paper, cell.exhibit, cell.row), {})[cell.metric] = printed(cell.published, cell.metric)
    sources, found = dict(zip(rows, cells.groupby(COLUMNS[:3], sort=False)["source"].first(), strict=True)), []
    for key in [key for key in rows if key[1] != OFFICIAL]:
        for check in (_formulas, _sums, _differences, _repeated):
            for metric, low, high, rule in check(key, rows, sources[key]):
                value, half, slip = rows[key][metric]
                gap = max(low - value, value - high) - 1e-9
                verdict = FOLLOWS if gap <= half else LAST_DIGIT if gap <= slip else WRONG
                found.append([*key, metric, value, low, high, rule, verdict])
    return pd.DataFrame(found, columns=COLUMNS)


def _formulas(key: tuple[str, str, str], rows: Rows, _: str) -> Iterator[tuple[str, float, float, str]]:
    """Yield what the first formula of each metric whose parts are printed gives: metric, least, most, rule."""
    row, name, done = rows[key], key[2], set()
    known = _beside(key, rows) | row
    if " - " in name or name in ("gap", "flag"):
        return
    for metric, formula in RULES.itertuples(index=False):
        parts = sorted(set(re.findall(r"[a-z]\w*", formula)))
        if metric not in row or metric in done or not set(parts) <= set(known):
            continue
        if metric == "accuracy" and "segmentation" in name:  # a mean over images, each with its own share of pixels
            continue
        done.add(metric)
        ends = itertools.product(*((known[p].value - known[p].half, known[p].value + known[p].half) for p in parts))
        values = [eval(formula, {}, dict(zip(parts, end, strict=True))) for end in ends]  # noqa: S307
        yield metric, min(values), max(values), formula
    if {"iou", "dice"} <= set(row):  # IoU = D / (2 - D) is convex: its mean lies above that of the mean Dice
        low, high = (row["dice"].value + sign * row["dice"].half for sign in (-1, 1))
        yield "iou", low / (2 - low), high, "dice / (2 - dice) to dice"
    if {"accuracy", "recall", "specificity"} <= set(row) and "accuracy" not in done and "segmentation" not in name:
        ends = [row[rate].value + sign * row[rate].half for rate in ("recall", "specificity") for sign in (-1, 1)]
        yield "accuracy", min(ends), max(ends), "between recall and specificity"


def _beside(key: tuple[str, str, str], rows: Rows) -> dict[str, Printed]:
    """Return what formulas take from other rows: sizes of the test set that a row names, totals, what is official."""
    paper, exhibit, name = key
    both = {"benign", "malignant"}
    sized = {n: r for (p, e, n), r in rows.items() if p == paper and e != OFFICIAL and both <= set(r)}
    tests = {n: r for n, r in sized.items() if n.endswith("test")}
    named = [r for n, r in tests.items() if n != "test" and n.split()[0] in _plain(name)]
    chosen = [sized[name]] if name in sized else named or list(tests.values())
    sizes = {part: chosen[0][part] for part in both} if len(chosen) == 1 else {}
    found = sizes if {"fn", "fp", "recall"} & set(rows[key]) else {}
    for whole in ("total", "all"):
        found |= {f"{whole}_{metric}": one for metric, one in rows.get((paper, exhibit, whole), {}).items()}
    return found | dict(rows.get((paper, OFFICIAL, "known"), {}))


def _sums(key: tuple[str, str, str], rows: Rows, source: str) -> Iterator[tuple[str, float, float, str]]:
    """Yield the sums that a row ``all`` or ``total`` must be, and what is known of a row from outside."""
    paper, _, name = key
    for metric in [each for each in rows[key] if each in (*SUMMED, "parameters")]:
        terms = [r[metric].value for at, r in rows.items() if at[:2] == key[:2] and at != key and metric in r]
        if name in ("all", "total") and terms:
            yield metric, sum(terms), sum(terms), "the other rows together"
        if known := rows.get((paper, OFFICIAL, name), {}).get(metric):
            yield metric, known.value, known.value, "known from outside"


def _differences(key: tuple[str, str, str], rows: Rows, _: str) -> Iterator[tuple[str, float, float, str]]:
    """Yield what a row called ``a - b`` must be, and ``gap``: the first two groups' difference, sign or none."""
    paper, exhibit, name = key
    near = [(e != exhibit, n, r) for (p, e, n), r in rows.items() if p == paper and e != OFFICIAL]
    groups = [n for far, n, _ in near if not far and n not in ("all", "gap", "flag")][:2]
    a, _, b = (" - ".join(groups) if name == "gap" else name).partition(" - ")
    for metric, one in rows[key].items():
        what = metric.removesuffix("_change")
        ends = [[(far, r[what]) for far, n, r in near if n == end and what in r] for end in (a, b)]
        if b and all(ends):
            (_, first), (_, second) = map(min, ends)
            middle, reach = first.value - second.value, first.half + second.half
            middle = abs(middle) if name == "gap" and one.value > 0 else middle
            yield metric, middle - reach, middle + reach, f"{a} less {b}"


def _repeated(key: tuple[str, str, str], rows: Rows, source: str) -> Iterator[tuple[str, float, float, str]]:
    """Yield what another place prints for the same: the table of a figure, the row of a text, the same reference."""
    paper, exhibit, name = key
    cited, table = re.search(r"\[\d+\]", name), re.search(r"numbers of Table (\d+)", source)
    others = {at[1:]: r for at, r in rows.items() if at[0] == paper and at[1] not in (exhibit, OFFICIAL)}
    partners = {}
    if table:
        partners = {at: r for at, r in others.items() if at == (f"table{table[1]}", name)}
    elif cited and sum(cited[0] in n for p, e, n in rows if (p, e) == key[:2]) == 1:
        partners = {at: r for at, r in others.items() if cited[0] in at[1]}
    elif exhibit == "claims":
        base = _plain(re.sub(r", section .*", "", name, flags=re.IGNORECASE))
        partners = {at: r for at, r in others.items() if _plain(at[1]).startswith(base)}
    for metric, one in rows[key].items():
        same = [
            (abs(r[metric].value - one.value), at[0][:5] != "table", at) for at, r in partners.items() if metric in r
        ]
        if same:
            *_, at = min(same)
            value, half, _ = others[at][metric]
            yield metric, value - half, value + half, ", ".join(at)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
