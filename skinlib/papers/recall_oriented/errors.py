"""Table 6 of the recall-oriented paper: why malignant lesions were missed, by a stated rule instead of by eye."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation.statistics import wilson_interval
from skinlib.exhibits.estimates import cell

MEASURES = ("cam_inside", "hair", "ruler", "contrast")
QUANTILES = {"cam_inside": 0.25, "hair": 0.75, "ruler": 0.75, "contrast": 0.25}  # of all test images; ours
MODES = ("artefact distraction", "atypical presentation", "poor lesion localisation", "low contrast", "not measured")
RULE = {
    "cam_inside": "weak where below: share of the heat map inside the lesion",
    "hair": "an artefact where above: share of the image",
    "ruler": "an artefact where above: share of the image",
    "contrast": "low where below: CIELAB distance of lesion and skin",
}


def limits(measures: pd.DataFrame, quantiles: Mapping[str, float] = QUANTILES) -> dict[str, float]:
    """Return the limit of each measure: a quantile of the test images in which it could be measured."""
    return {name: float(measures[name].quantile(quantiles[name])) for name in MEASURES}


def failure_mode(measures: pd.DataFrame, limit: Mapping[str, float]) -> pd.Series:
    """Sort images into failure modes; the first that fits is taken.

    1. artefact distraction: the map lies outside the lesion, and hair or a ruler covers much of the image
    2. poor lesion localisation: the map lies outside the lesion
    3. low contrast: lesion and skin are alike in colour
    4. atypical presentation: none of these, so the lesion itself must mislead

    An image with a missing measure is "not measured".

    Source: the modes of Rumale et al. 2026, Table 6 (sorted by eye there); the rule is ours.
    """
    outside = measures["cam_inside"] < limit["cam_inside"]
    artefact = (measures["hair"] > limit["hair"]) | (measures["ruler"] > limit["ruler"])
    unknown = measures[list(MEASURES)].isna().any(axis=1)
    faint = measures["contrast"] < limit["contrast"]
    artefact_mode, atypical, poor, low, unmeasured = MODES
    modes = np.select([unknown, outside & artefact, outside, faint], [unmeasured, artefact_mode, poor, low], atypical)
    return pd.Series(modes, index=measures.index, name="mode")


def table6(
    measures: pd.DataFrame,
    *,
    missed: Collection[str],
    found: Collection[str],
    dataset: str,
    split: str,
    quantiles: Mapping[str, float] = QUANTILES,
) -> pd.DataFrame:
    """Failure modes of the false negatives, and how common each is among the malignant lesions that were found.

    Parameters
    ----------
    measures
        A row a test image: image_id, cam_inside (share of the map's sum in the mask, 0..1), hair and ruler (share of
        the image covered, 0..1), contrast (CIELAB distance of lesion and skin, >= 0); NaN where it cannot be measured.
    missed, found
        Image ids of the false negatives and of the true positives.
    quantiles
        Of all rows of ``measures``, where the limits lie; printed in the rows "limit".

    Returns
    -------
    DataFrame
        Long frame: count, fraction_of_fn (Wilson interval) and fraction_of_tp for each mode; the limits.

    Raises
    ------
    ValueError
        When a missed or found image has no row in ``measures``.
    """
    if absent := sorted({*missed, *found} - set(measures["image_id"])):
        raise ValueError(f"{len(absent)} images have no measures, the first {absent[0]}; measure all test images")
    limit = limits(measures, quantiles)
    modes = failure_mode(measures, limit)
    fn, tp = (modes[measures["image_id"].isin(list(ids))].value_counts() for ids in (missed, found))
    where = {"dataset": dataset, "split": split}
    cells = []
    for mode in MODES:
        if mode == "not measured" and not fn.get(mode, 0):
            continue
        for metric, counts, total in (("fn", fn, len(missed)), ("tp", tp, len(found))):
            count = int(counts.get(mode, 0))
            if metric == "fn":
                cells.append(cell(mode, "count", count, n=total, **where))
            if total:
                low, high = wilson_interval(count, total)
                cells.append(cell(mode, f"fraction_of_{metric}", count / total, low=low, high=high, n=total, **where))
            else:
                cells.append(cell(mode, f"fraction_of_{metric}", np.nan, n=0, note="no such image", **where))
    cells.append(cell("all", "count", len(missed), n=len(missed), **where))
    for name in MEASURES:
        note = f"{RULE[name]}; quantile {quantiles[name]:g} of the test images"
        cells.append(cell("limit", name, limit[name], n=int(measures[name].notna().sum()), note=note, **where))
    return pd.DataFrame(cells)
