"""Draw the picture of the README: published effects next to ours, from the reference results.

`claims.csv` says which cells: ours, and where the effect is the difference of two printed values, these two.
"""

from pathlib import Path

import pandas as pd

from skinlib.figures.style import COLOURS, PUBLISHED, legend_below, new, render, style
from skinlib.paths import project_root, write_atomic

REFERENCE = project_root() / "results" / "reference" / "real"
HERE = Path(__file__).parent


def cell(paper: str, exhibit: str, row: str, metric: str) -> pd.Series:
    """Return one cell of an exhibit; KeyError when there is none, or several."""
    table = pd.read_csv(REFERENCE / paper / f"{exhibit}.csv")
    found = table[(table["row"] == row) & (table["metric"] == metric)]
    if len(found) != 1:
        raise KeyError(f"{paper}/{exhibit} has {len(found)} cells {row!r}, {metric!r}")
    return found.iloc[0]


def effects() -> pd.DataFrame:
    """Return each claim with ``ours``, ``low``, ``high``, ``n`` and ``published``."""
    rows = []
    for one in pd.read_csv(HERE / "claims.csv", keep_default_na=False).itertuples():
        ours = cell(one.paper, one.exhibit, one.row, one.metric)
        printed = ours["published"]
        if one.printed:
            high, low = (cell(one.paper, *place.split("|"))["published"] for place in (one.printed, one.printed_minus))
            printed = high - low
        about = {"paper": one.paper, "claim": one.claim, "measure": one.measure, "published": printed}
        rows.append(about | {name: ours[name] for name in ("ours", "low", "high", "n")})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame):
    """Return the forest: a line a claim, the printed effect as a diamond, ours with its 95 % interval."""
    with style():
        figure, (axis,) = new(height=0.9 + 0.38 * len(table))
        lines = range(len(table))
        axis.axvline(0, color="0.5", linewidth=0.8)
        errors = [table["ours"] - table["low"], table["high"] - table["ours"]]
        ours = {"fmt": "o", "color": COLOURS[0], "markersize": 5, "label": "ours, with 95 % interval"}
        axis.errorbar(table["ours"], lines, xerr=errors, **ours)
        printed = {"color": PUBLISHED, "markerfacecolor": "none", "markersize": 7, "label": "published"}
        axis.plot(table["published"], lines, "D", **printed)
        names = [f"{one.claim}\n{one.measure}, {one.paper}" for one in table.itertuples()]
        axis.set_yticks(lines, names, fontsize=7.5)
        axis.set_ylim(len(table) - 0.5, -0.5)
        axis.set_xlabel("difference of the two; right of 0 the first is better")
        legend_below(figure)
    return figure


if __name__ == "__main__":
    found = effects()
    print(found.round(4).to_string(index=False))
    write_atomic(HERE / "claims.png", render(draw(found), synthetic=False))
