"""Skin tone of a cohort by ITA, guarded and as it is often printed, and how much of a set each formula calls dark."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.evaluation.fairness import described, gaps
from skinlib.evaluation.statistics import wilson_interval
from skinlib.exhibits.estimates import Arm, cell, origin
from skinlib.images.skin_tone import LIGHT_ABOVE, ita_table

SIZE = 128  # longest side at which tone is measured: a mean over thousands of pixels, which a smaller image keeps


def unguarded(lightness: pd.Series, b: pd.Series) -> pd.Series:
    """Return ITA as it is often printed, arctan((L* - 50) / b*), in degrees; NaN where both are 0.

    A bluish light (b* < 0) turns the sign of light skin's angle: 30 degrees above the horizon become 30 below it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.degrees(np.arctan((lightness - 50) / b))


def tone_group(angle: pd.Series) -> pd.Series:
    """Return light (above 28 degrees) or dark (28 and below) for each angle; missing stays missing."""
    groups = pd.Series(np.where(angle > LIGHT_ABOVE, "light", "dark"), index=angle.index)
    return groups.where(angle.notna())


def measure_tone(cohort: pd.DataFrame, *, size: int | None = SIZE, workers: int = 2) -> pd.DataFrame:
    """Measure ITA of every image, on the skin outside the lesion mask, or on a ring along the border without a mask.

    Parameters
    ----------
    cohort
        image_id, image_path, mask_path (missing where there is none).
    size
        Longest side in pixels at which to measure; None: as stored.

    Returns
    -------
    DataFrame
        In the order of the cohort: image_id, ita (degrees, guarded), category (of Del Bino), group (light above 28
        degrees, else dark), ita_unguarded, group_unguarded, lightness (mean L*), b (mean b*), selector (mask or ring)
        and note. Angles are missing where there is no healthy skin.
    """
    selector = np.where(cohort["mask_path"].notna(), "mask", "ring")
    parts = [
        ita_table(cohort[selector == name], selector=name, size=size, workers=workers).assign(selector=name)
        for name in ("mask", "ring")
        if (selector == name).any()
    ]
    table = pd.concat(parts).set_index("image_id").loc[cohort["image_id"]].reset_index()
    angle = unguarded(table["lightness"], table["b"])
    table = table.assign(ita_unguarded=angle, group_unguarded=tone_group(angle))
    names = ["image_id", "ita", "category", "group", "ita_unguarded", "group_unguarded", "lightness", "b", "selector"]
    return table[[*names, "note"]]


def formulas(tone: pd.DataFrame, *, by: str = "source", dataset: str) -> pd.DataFrame:
    """Count what each formula puts at or below 28 degrees, in all images and in each source.

    Parameters
    ----------
    tone
        As `measure_tone` returns it, joined with the column ``by`` (missing values are the group "missing").

    Returns
    -------
    DataFrame
        Long frame; rows "all" and the values of ``by``; metrics n, blue_cast (share with mean b* at or below 0), dark
        and dark_unguarded (shares of the images that have an angle), with Wilson intervals that take images as
        independent.
    """
    key = tone[by].astype(object).where(tone[by].notna(), "missing")
    measured = {
        "blue_cast": tone["b"] <= 0,
        "dark": tone["group"] == "dark",
        "dark_unguarded": tone["group_unguarded"] == "dark",
    }
    cells = []
    for row in ("all", *sorted(key.unique())):
        inside = (key == row) | (row == "all")
        usable = inside & tone["b"].notna()
        n, about = int(usable.sum()), {"dataset": dataset, "split": "all images"}
        cells.append(cell(row, "n", float(inside.sum()), n=int(inside.sum()), **about))
        for name, yes in measured.items():
            count = int((yes & usable).sum())
            low, high = wilson_interval(count, n)
            note = "" if n else "no image with an angle"
            cells.append(cell(row, name, count / n if n else np.nan, low=low, high=high, n=n, note=note, **about))
    return pd.DataFrame(cells)


def gaps_within(arm: Arm, by: str, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare light and dark inside each value of ``by`` (the clinic), so that clinics are not compared instead.

    Parameters
    ----------
    arm
        One seed and one threshold; its table has ``group`` (light, dark, missing) and ``by``.

    Returns
    -------
    DataFrame
        Long frame: a row "gap within <value>", metrics roc_auc and recall, light minus dark, with the cluster bootstrap
        interval and the unadjusted p value in the note. A gap that too few images support is empty, the note says why.
    """
    key = arm.table[by].astype(object).where(arm.table[by].notna(), "missing")
    cells = []
    for value in sorted(key.unique()):
        rows = arm.table[(key == value) & arm.table["group"].notna()]
        row, about = f"gap within {value}", origin(arm.table) | {"n": len(rows)}
        if set(rows["group"]) != {"light", "dark"}:
            empty = {"note": "a group has no image"} | about
            cells += [cell(row, name, np.nan, **empty) for name in ("roc_auc", "recall")]
            continue
        names = ("roc_auc", "recall", "fn_rate")
        found = gaps(rows, "group", reference="light", threshold=float(arm.threshold), names=names, n=n_boot, seed=seed)
        for one in found[found["metric"] != "fn_rate"].itertuples():
            note = described(one, f"light minus dark; {one.test}, p = {one.p:.4f}, unadjusted")
            cells.append(cell(row, one.metric, one.gap, low=one.low, high=one.high, note=note, **about))
    return pd.DataFrame(cells)
