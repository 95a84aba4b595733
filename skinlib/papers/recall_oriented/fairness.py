"""Tables 7 and 8 of the recall-oriented paper: skin tone by ITA, performance by group, and a recalibrated threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skinlib.evaluation.calibration import recalibrate_threshold
from skinlib.evaluation.fairness import by_group, described, gaps
from skinlib.evaluation.statistics import wilson_interval
from skinlib.exhibits.estimates import Arm, cell, origin
from skinlib.images.skin_tone import CATEGORIES, LIGHT_ABOVE, category

GROUPS = ("light", "dark")
TABLE8 = ("roc_auc", "recall", "precision", "f1", "fn", "fp", "fn_rate")
GAPS = ("roc_auc", "recall", "precision", "f1", "fn_rate")


def table7(test: pd.DataFrame, *, dataset: str, split: str, scheme: str = "del_bino") -> pd.DataFrame:
    """Count the test images by skin tone (Table 7): the paper's two groups, then the six categories.

    Parameters
    ----------
    test
        A row a test image: label (0 benign, 1 malignant) and ita (degrees; NaN where there is no healthy skin).
    scheme
        Cut scheme of `skinlib.images.skin_tone.category`.
    """
    angle = test["ita"]
    rows = {"light": angle > LIGHT_ABOVE, "dark": angle <= LIGHT_ABOVE, "total": np.ones(len(test), bool)}
    if angle.isna().any():
        rows["no angle"] = angle.isna()
    found = angle.map(lambda value: category(value, scheme))
    rows |= {f"{name} ({scheme})": found == name for name in CATEGORIES}
    cells = []
    for row, inside in rows.items():
        label = test["label"][inside]
        n, malignant = len(label), int((label == 1).sum())
        values = {"n": n, "benign": n - malignant, "malignant": malignant, "fraction": n / len(test)}
        cells += [cell(row, name, value, n=len(test), dataset=dataset, split=split) for name, value in values.items()]
        low, high = wilson_interval(malignant, n)
        share = {"low": low, "high": high, "n": n, "dataset": dataset, "split": split, "note": "" if n else "no image"}
        cells.append(cell(row, "malignant_fraction", malignant / n if n else np.nan, **share))
    return pd.DataFrame(cells)


def table8(final: Arm, *, one_fold: Arm | None = None, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Performance by skin tone (Table 8): all, light, dark, gap (light minus dark), the paper's flag, and a real test.

    The published numbers belong to a weaker model than the published classifier; here the rows without prefix are the
    final ensemble and those with "one fold: " one of its members. ``fig9`` is `select` of this.

    Parameters
    ----------
    final, one_fold
        Arms of one seed and one threshold, whose tables have ``group`` (light, dark, missing where there is no angle).

    Raises
    ------
    ValueError
        When an image stands several times in a table: scores of several seeds are never pooled.
    """
    cells = _by_tone("", final, n_boot, seed)
    if one_fold is not None:
        cells += _by_tone("one fold: ", one_fold, n_boot, seed)
    return pd.DataFrame(cells)


def _checked(arm: Arm) -> float:
    if "group" not in arm.table:
        raise ValueError("the table has no column group; join light or dark by image_id")
    if arm.table["image_id"].duplicated().any():
        raise ValueError("an image stands several times in the table; give the rows of one seed")
    return float(arm.threshold)


def _by_tone(prefix: str, arm: Arm, n_boot: int, seed: int) -> list[dict]:
    threshold = _checked(arm)
    known = arm.table[arm.table["group"].notna()]
    about = origin(arm.table)
    found = by_group(arm.table, "group", threshold=threshold, names=TABLE8, n=n_boot, seed=seed)
    cells = [cell(prefix + "all", "threshold", threshold, note=arm.note, **about)]
    for group in ("all", *GROUPS, "missing"):
        rows = found[found["group"] == group]
        for one in rows.itertuples():
            notes = [one.note, f"{one.positives} malignant, {one.clusters} lesions or patients"]
            values = {"low": one.low, "high": one.high, "note": "; ".join(filter(None, notes))}
            cells.append(cell(prefix + group, one.metric, one.value, **(about | {"n": one.n} | values)))
        if rows.empty and group in GROUPS:
            cells += [cell(prefix + group, name, np.nan, note="no image in this group", **about) for name in TABLE8]
    return cells + _gaps(prefix, known, threshold, about, n=n_boot, seed=seed)


def _gaps(prefix: str, known: pd.DataFrame, threshold: float, about: dict, **boot: int) -> list[dict]:
    if set(GROUPS) - set(known["group"]):
        rows = [(row, name) for row in ("gap", "flag") for name in GAPS] + [("test", f"{name}_p") for name in GAPS]
        return [cell(prefix + row, name, np.nan, note="a group has no image", **about) for row, name in rows]
    table = gaps(known, "group", reference="light", threshold=threshold, names=GAPS, **boot)
    family = int((table["p_holm"].notna() & (table["metric"] != "fn_rate")).sum())  # fn_rate is the test of recall
    cells = []
    for one in table.itertuples():
        detectable = f"light minus dark; a gap of {one.detectable:.4f} could be found (power 0.8)"
        shown = {"low": one.low, "high": one.high, "note": described(one, detectable)}
        cells.append(cell(prefix + "gap", one.metric, one.gap, **(about | shown)))
        flag = np.nan if np.isnan(one.gap) else float(one.flagged)
        limit = described(one, f"1 where the gap is above {one.flag_limit:g}: the paper's cut, no test")
        cells.append(cell(prefix + "flag", one.metric, flag, **(about | {"note": limit})))
        test = described(one, f"p by {one.test}, Holm over {family}; unadjusted {one.p:.4f}")
        cells.append(cell(prefix + "test", f"{one.metric}_p", one.p_holm, **(about | {"note": test})))
    return cells


def table8_recalibrated(
    final: Arm, *, val: pd.DataFrame, min_recall: float = 0.85, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """What one lower threshold for all does to both groups: recall, false negatives, and the price in false positives.

    Parameters
    ----------
    final
        As in `table8`, with the threshold before recalibration.
    val
        Pooled out-of-fold rows with ``group``, on which the new threshold is chosen: the largest at which both groups
        reach ``min_recall``.

    Raises
    ------
    TestDataError
        When ``val`` holds test rows.
    """
    before = _checked(final)
    known = val[val["group"].isin(GROUPS)]
    chosen = recalibrate_threshold(known, "group", recall=min_recall)
    met = "met" if chosen.feasible else "cannot be met: highest worst-group recall taken"
    ignored = "".join(f"; {group} ignored: {n} malignant" for group, n in chosen.ignored.items())
    note = f"chosen on {len(known)} out-of-fold rows; recall >= {min_recall:g} in each group {met}{ignored}"
    about = origin(final.table)
    cells, recalls = [], {}
    for suffix, threshold in (("", chosen.t), (", before", before)):
        cells.append(cell(f"all{suffix}", "threshold", threshold, **(about | {"note": "" if suffix else note})))
        names = ("recall", "precision", "fn", "fp")
        found = by_group(final.table, "group", threshold=threshold, names=names, n=n_boot, seed=seed)
        for one in found[found["group"].isin(("all", *GROUPS))].itertuples():
            values = {"low": one.low, "high": one.high, "n": one.n, "note": one.note}
            cells.append(cell(one.group + suffix, one.metric, one.value, **(about | values)))
            if one.metric == "recall":
                recalls[one.group + suffix] = one.value
    return pd.DataFrame(cells + _reduction(recalls, about))


def _reduction(recalls: dict[str, float], about: dict) -> list[dict]:
    now, then = (recalls.get(f"light{s}", np.nan) - recalls.get(f"dark{s}", np.nan) for s in ("", ", before"))
    cells = []
    for row, gap in (("gap", now), ("gap, before", then)):
        note = "a group is too small" if np.isnan(gap) else "light minus dark"
        cells.append(cell(row, "recall", gap, **(about | {"note": note})))
    reduction = 1 - abs(now) / abs(then) if abs(then) > 0 else np.nan
    note = "of the absolute gap; negative where it grows"
    if np.isnan(reduction):
        note = "there was no gap to reduce" if then == 0 else "a group is too small"
    return [*cells, cell("gap", "recall_gap_reduction", reduction, **(about | {"note": note}))]
