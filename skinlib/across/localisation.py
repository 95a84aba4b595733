"""Where heat maps lie: their measures against lesion masks next to blind guesses, and the cases of a gallery."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from skinlib.exhibits.score import CHANGE, Boot, counts, score
from skinlib.exhibits.scored import Scored
from skinlib.explain.localisation import MEASURES

# Row of the exhibit -> suffix of the measures' columns.
ROWS = {"Grad-CAM++": "", "centred blob": "_centre", "random blob": "_random"}
# Row -> (first, second): the mean of the difference on the same images.
DIFFERENCES = {"Grad-CAM++ minus centred blob": ("", "_centre")}
SHARPENED, SHARPENED_MINUS = {"sharpened Grad-CAM++": "_sharp"}, {"sharpened minus raw": ("_sharp", "")}
LEAST = 10  # images behind an interval


def localisation(measures: pd.DataFrame, outcomes: Sequence[str], boot: Boot) -> pd.DataFrame:
    """Return the mean of each measure over all maps and over those of each outcome, as cells.

    Parameters
    ----------
    measures
        A row an image: `skinlib.explain.localisation.localisation_table`'s columns, ``outcome``, image_id, dataset,
        split, where known lesion_id and patient_id, and ``energy_sharp`` if the maps were sharpened. Constant maps are
        counted and left out; so is an image without a mask, whose measures are missing.
    outcomes
        How an image can end: TP, TN, FN, FP; or right and wrong.

    Returns
    -------
    DataFrame
        Cells: a row a map or guess; metrics energy, pointing, iou, each also with ``_of_<outcome>``; a difference is
        ``energy_change``.
    """
    known = measures[~measures["constant"].astype(bool) & measures["energy"].notna()]
    rows, differences, names = dict(ROWS), dict(DIFFERENCES), dict.fromkeys((*ROWS, *DIFFERENCES), MEASURES)
    if "energy_sharp" in measures:
        rows, differences = rows | SHARPENED, differences | SHARPENED_MINUS
        names |= dict.fromkeys((*SHARPENED, *SHARPENED_MINUS), MEASURES[:1])
    columns = {row: {name: known[name + suffix] for name in names[row]} for row, suffix in rows.items()}
    for row, (a, b) in differences.items():
        columns[row] = {name + CHANGE: known[name + a] - known[name + b] for name in names[row]}
    about = {key: measures[key].iloc[0] for key in ("dataset", "split")} | {"n": len(measures)}
    found = [counts({("constant maps", "count"): float(measures["constant"].sum())}, about=about)]
    for row, values in columns.items():
        for name, column in values.items():
            one = Scored(known.assign(value=column), units=(), least=LEAST)
            found.append(score({row: one}, {name: "mean:value"}, boot))
            for outcome in outcomes:
                part = one.where(known["outcome"] == outcome)
                cells = score({row: part}, {f"{name}_of_{outcome.lower()}": "mean:value"}, boot)
                found.append(cells.assign(**about | {"n": cells["n"]}))
    return pd.concat(found, ignore_index=True)


def gallery_cells(cases: pd.DataFrame, names: Sequence[str], *, dataset: str, split: str) -> pd.DataFrame:
    """Return the cases of a gallery as cells, row "outcome, place", the image in the note.

    Parameters
    ----------
    cases
        As `skinlib.exhibits.choose.choose` returns them, with ``outcome`` and the columns ``names``.
    """
    values = {}
    for case in cases.to_dict("records"):
        note = f"image {case['image_id']}" if isinstance(case["image_id"], str) else "no such image"
        row = f"{case['outcome']}, {case['place']}"
        values |= {(row, name): {"ours": case[name], "note": note} for name in names}
    return counts(values, about={"n": 1, "dataset": dataset, "split": split})
