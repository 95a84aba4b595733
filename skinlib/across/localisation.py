"""Where heat maps lie: their measures against lesion masks next to blind guesses, and the cases of a gallery."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.exhibits.score import CHANGE, Boot, counts, score
from skinlib.exhibits.scored import Scored
from skinlib.explain.localisation import MEASURES

ROWS = {"Grad-CAM++": "", "centred blob": "_centre", "random blob": "_random"}  # row -> suffix of the measures' columns
LEAST = 10  # images behind an interval


def outcomes(table: pd.DataFrame, threshold: float) -> pd.Series:
    """Return TP, TN, FN or FP for each row of a binary prediction table; called malignant where score >= threshold."""
    y, p = tables.outcome(table)
    names = np.select([(y == 1) & (p >= threshold), y == 1, p >= threshold], ["TP", "FN", "FP"], "TN")
    return pd.Series(names, index=table.index, name="outcome")


def localisation(measures: pd.DataFrame, outcomes: Sequence[str], boot: Boot) -> pd.DataFrame:
    """Return the mean of each measure over all maps and over those of each outcome, as cells.

    Parameters
    ----------
    measures : a row an image: `skinlib.explain.localisation.localisation_table`'s columns, ``outcome``, image_id,
        dataset, split, where known lesion_id and patient_id, and ``energy_sharp`` if the maps were sharpened. Constant
        maps are counted and left out; so is an image without a mask, whose measures are missing.
    outcomes : how an image can end (TP, TN, FN, FP; or right and wrong): each measure also comes as
        ``energy_of_<outcome>``.
    """
    known = measures[~measures["constant"].astype(bool) & measures["energy"].notna()]
    sharp = known.get("energy_sharp")
    columns = {row: {name: known[name + suffix] for name in MEASURES} for row, suffix in ROWS.items()}
    if sharp is not None:
        columns["sharpened Grad-CAM++"] = {"energy": sharp}
    beaten = {name + CHANGE: known[name] - known[f"{name}_centre"] for name in MEASURES}
    columns["Grad-CAM++ minus centred blob"] = beaten
    if sharp is not None:
        columns["sharpened minus raw"] = {"energy" + CHANGE: sharp - known["energy"]}
    about = {key: measures[key].iloc[0] for key in ("dataset", "split")}
    constant = {("constant maps", "count"): float(measures["constant"].sum())}
    found = [counts(constant, about=about | {"n": len(measures)})]
    for row, values in columns.items():
        for name, column in values.items():
            one = Scored(known.assign(value=column), units=(), least=LEAST)
            found.append(score({row: one}, {name: "mean:value"}, boot))
            for outcome in outcomes:
                part = one.where(known["outcome"] == outcome)
                found.append(score({row: part}, {f"{name}_of_{outcome.lower()}": "mean:value"}, boot).assign(**about))
    return pd.concat(found, ignore_index=True)


def gallery_cells(cases: pd.DataFrame, names: Sequence[str], *, dataset: str, split: str) -> pd.DataFrame:
    """Return the cases of a gallery as cells, row "outcome, place", the image in the note.

    ``cases`` are as `skinlib.exhibits.choose.choose` returns them, with ``outcome`` and the columns ``names``.
    """
    values = {}
    for case in cases.to_dict("records"):
        note = f"image {case['image_id']}" if isinstance(case["image_id"], str) else "no such image"
        row = f"{case['outcome']}, {case['place']}"
        values |= {(row, name): {"ours": case[name], "note": note} for name in names}
    return counts(values, about={"n": 1, "dataset": dataset, "split": split})
