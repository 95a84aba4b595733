"""Where heat maps lie: their measures against lesion masks beside blind guesses, and the cases of a gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.evaluation.resampled import mean_of
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import cell
from skinlib.explain.ensemble_maps import OUTCOMES
from skinlib.explain.localisation import MEASURES

# Row of the exhibit -> what is averaged: a suffix of the measures' columns; a pair is a difference.
ROWS = {
    "Grad-CAM++": "",
    "centred blob": "_centre",
    "random blob": "_random",
    "Grad-CAM++ minus centred blob": ("", "_centre"),
}
SHARPENED = {"sharpened Grad-CAM++": "_sharp", "sharpened minus raw": ("_sharp", "")}
ANSWERS = ("right", "wrong")  # how an image ends with a system of several classes
PLACES = {"highest": 1.0, "median": 0.5, "lowest": 0.0}  # energy inside the lesion
LEAST = 10  # images behind an interval


def localisation(
    measures: pd.DataFrame, *, dataset: str, split: str, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Average the measures of all maps and of each outcome's, with cluster bootstrap intervals.

    Parameters
    ----------
    measures
        A row an image: `skinlib.explain.localisation.localisation_table`'s columns, outcome (TP, TN, FN, FP; or, of
        several classes, right and wrong), image_id and where known lesion_id and patient_id, and energy_sharp if the
        maps were sharpened. Constant maps are counted and left out; so is an image without a mask, whose measures are
        missing.

    Returns
    -------
    DataFrame
        Long frame: a row a map or guess; metrics energy, pointing, iou, and each with "_of_tp" and so on. The metric
        of a difference is named "energy_diff".
    """
    kinds = OUTCOMES if measures["outcome"].isin(OUTCOMES).all() else ANSWERS
    sharpened = SHARPENED if "energy_sharp" in measures else {}
    measured = measures[~measures["constant"].astype(bool) & measures["energy"].notna()]
    where = {"dataset": dataset, "split": split}
    cells = [cell("constant maps", "count", float(measures["constant"].sum()), n=len(measures), **where)]
    for row, suffixes in (ROWS | sharpened).items():
        for name in MEASURES if row in ROWS else MEASURES[:1]:
            metric = name + ("_diff" if isinstance(suffixes, tuple) else "")
            for outcome in (None, *kinds):
                rows = measured if outcome is None else measured[measured["outcome"] == outcome]
                ending = "" if outcome is None else f"_of_{outcome.lower()}"
                values = _values(rows, name, suffixes)
                cells.append(_mean(row, metric + ending, values, rows, where, n=n_boot, seed=seed))
    return pd.DataFrame(cells)


def _values(rows: pd.DataFrame, name: str, suffixes: str | tuple[str, str]) -> np.ndarray:
    if isinstance(suffixes, str):
        return rows[name + suffixes].to_numpy(float)
    return (rows[name + suffixes[0]] - rows[name + suffixes[1]]).to_numpy(float)


def _mean(row: str, metric: str, values: np.ndarray, rows: pd.DataFrame, where: dict, **boot) -> dict:
    n = len(values)
    if n < LEAST:
        note = f"fewer than {LEAST} images: no interval" if n else "no such image"
        return cell(row, metric, float(np.mean(values)) if n else np.nan, n=n, note=note, **where)
    value, low, high = bootstrap_ci(mean_of(metric, values), rows, groups=tables.clusters(rows), **boot)
    return cell(row, metric, value, low=low, high=high, n=n, **where)


def alike(pairs: Mapping[str, np.ndarray], *, dataset: str, split: str) -> pd.DataFrame:
    """Average the overlap of pairs of maps (`skinlib.explain.ensemble_maps.overlap`), a row a pair.

    Parameters
    ----------
    pairs
        Row -> (N,) overlaps; NaN where there was nothing to compare.
    """
    cells = []
    for row, values in pairs.items():
        note = "" if np.isfinite(values).any() else "every map is 0 throughout"
        value = np.nan if note else float(np.nanmean(values))
        cells.append(cell(row, "overlap", value, n=len(values), note=note, dataset=dataset, split=split))
    return pd.DataFrame(cells)


def by_energy(measures: pd.DataFrame) -> pd.DataFrame:
    """Choose the cases of a gallery by rule: highest, median and lowest energy among the right and the wrong answers.

    Parameters
    ----------
    measures
        A row an image: image_id, outcome (right, wrong), energy, score.

    Returns
    -------
    DataFrame
        outcome, place, image_id and score: 6 rows. A case that does not exist has no image_id; ties go to the smaller.
    """
    rows = []
    for outcome in ANSWERS:
        known = measures[(measures["outcome"] == outcome) & measures["energy"].notna()]
        left = known.sort_values(["energy", "image_id"]).reset_index(drop=True)
        for place, share in PLACES.items():
            found = len(left) > len(PLACES) - 1
            one = left.loc[round(share * (len(left) - 1))] if found else {"image_id": np.nan, "score": np.nan}
            rows.append((outcome, place, one["image_id"], one["score"]))
    return pd.DataFrame(rows, columns=["outcome", "place", "image_id", "score"])


def gallery_table(
    cases: pd.DataFrame, measures: pd.DataFrame, *, dataset: str, split: str, names: Sequence[str] = ("cam_inside",)
) -> pd.DataFrame:
    """List the cases of a gallery: score and measures of each, its image in the note.

    Parameters
    ----------
    cases
        As `skinlib.explain.ensemble_maps.at_quartiles` returns them.
    measures
        A row an image, with image_id and ``names``.
    """
    known = cases.merge(measures[["image_id", *names]], on="image_id", how="left")
    cells = []
    for case in known.to_dict("records"):
        exists = isinstance(case["image_id"], str)
        for name in ("score", *names):
            note = f"image {case['image_id']}" if exists else "no such image"
            row = f"{case['outcome']}, {case['place']}"
            cells.append(cell(row, name, case[name], n=1, dataset=dataset, split=split, note=note))
    return pd.DataFrame(cells)
