"""Outlines of the networks that draw them, before and after post-processing, beside an outline that saw nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation.segmentation import changed, per_image
from skinlib.exhibits.estimates import Arm, cell, compare, judge, measure, origin
from skinlib.exhibits.published import published
from skinlib.papers.attention_autoencoder.arms import Stages, first_seed, for_each_seed, with_seeds
from skinlib.papers.attention_autoencoder.tables import DIFF, PAPER, QUOTED
from skinlib.training.predict import batches_of, keys
from skinlib.training.run import Run

SCORES = ("dice", "iou", "thresholded_jaccard", "hd95_share")
COMPARED = ("dice", "thresholded_jaccard")
AVERAGE = "average training outline"
AFTER = "{}, postprocessed"


def average_outline(run: Run, cohort: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Score the outline that half of the training lesions cover, the same for every test image: it saw none of them.

    Returns
    -------
    DataFrame
        As `skinlib.evaluation.segmentation.per_image`, of the test images that have a mask.
    """
    batches = batches_of(run, cohort, masks=True)
    place = pd.Series(np.arange(len(cohort)), cohort["image_id"])
    held = place[train["image_id"]].to_numpy()
    lesion = batches.cache.masks[held[batches.cache.has_mask[held]]] > 0
    rows = place[test["image_id"]].to_numpy()
    test, rows = (each[batches.cache.has_mask[rows]] for each in (test.reset_index(drop=True), rows))
    truth = batches.cache.masks[rows] > 0
    guess = np.broadcast_to(lesion.mean(0) > 0.5, truth.shape)
    key = keys(test, run.config, part="test", split=run.config.split).reset_index(drop=True)
    return key.join(per_image(guess, truth, key["image_id"]).drop(columns="image_id"))


def segmentation(
    outlined: Mapping[str, Stages], average: pd.DataFrame | None = None, *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Score the outlines before and after post-processing, and count the images that this helps and harms.

    Differences: post-processed minus raw of each network, ``proposed - autoencoder``, and against the outline that saw
    nothing; Holm-adjusted over all of them.

    Parameters
    ----------
    outlined
        As `attention_autoencoder_arms.outlining` returns it.
    average
        As `average_outline` returns it, one row an image.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells, pairs = [], []
    for name, stages in outlined.items():
        raw, post = Arm(stages["raw"]), Arm(stages["postprocessed"])
        for row, arm in ((name, raw), (AFTER.format(name), post)):
            cells += measure(row, arm, SCORES, **boot)
            empty = arm.table.groupby("seed")["empty_prediction"].sum().mean()
            cells.append(cell(row, "empty_predictions", float(empty), note="mean over seeds", **origin(arm.table)))
        cells += _touched(AFTER.format(name), stages)
        pairs.append((AFTER.format(name), post, raw))
    if {"autoencoder", "proposed"} <= set(outlined):
        both = [outlined[name]["raw"] for name in ("proposed", "autoencoder")]
        seeds = {*both[0]["seed"]} & {*both[1]["seed"]}
        pairs.append(("proposed - autoencoder", *(Arm(with_seeds(table, seeds)) for table in both)))
    if average is not None and outlined:
        cells += measure(AVERAGE, Arm(average), SCORES, **boot)
        last = list(outlined)[-1]
        blind = for_each_seed(average, outlined[last]["raw"]["seed"].unique())
        pairs.append((f"{last} - {AVERAGE}", Arm(outlined[last]["raw"]), Arm(blind)))
    found = [one for row, after, before in pairs for one in compare(row, after, before, COMPARED, suffix=DIFF, **boot)]
    return _with_quoted(pd.DataFrame(cells + judge(found, suffix=DIFF), columns=None if cells else ["row", "metric"]))


def _touched(row: str, stages: Stages) -> list[dict]:
    """Count the images whose Dice post-processing raises and lowers, and the outlines that it empties."""
    both = pd.concat([stages["raw"], stages["postprocessed"]], ignore_index=True)
    change = [changed(rows)["change"] for _, rows in both.groupby("seed")]
    empty = {stage: table.groupby("seed")["empty_prediction"].sum() for stage, table in stages.items()}
    values = {
        "images_helped": np.mean([(each > 0).sum() for each in change]),
        "images_harmed": np.mean([(each < 0).sum() for each in change]),
        "worst_difference": np.mean([each.min() for each in change]),
        "emptied": (empty["postprocessed"] - empty["raw"]).mean(),
    }
    about = origin(stages["raw"]) | {"note": "mean over seeds"}
    return [cell(row, metric, float(value), **about) for metric, value in values.items()]


def _with_quoted(frame: pd.DataFrame) -> pd.DataFrame:
    theirs = published(PAPER, "segmentation")
    quoted = theirs[theirs["published"].notna()]
    cells = [
        cell(row, metric, np.nan, note=QUOTED) for row, metric in zip(quoted["row"], quoted["metric"], strict=True)
    ]
    return pd.concat([frame, pd.DataFrame(cells)], ignore_index=True)


def touched_cases(stages: Stages, *, each: int = 3) -> pd.DataFrame:
    """Choose images by rule: those that post-processing harms most and helps most, of the first seed.

    Returns
    -------
    DataFrame
        case ("harmed 1" ...), image_id, raw and postprocessed Dice; fewer rows where fewer images change.
    """
    both = pd.concat([first_seed(table) for table in stages.values()], ignore_index=True)
    table = changed(both)
    harmed, helped = table[table["change"] < 0].head(each), table[table["change"] > 0].iloc[::-1].head(each)
    named = [rows.assign(case=[f"{word} {k + 1}" for k in range(len(rows))]) for word, rows in
             (("harmed", harmed), ("helped", helped))]  # fmt: skip
    return pd.concat(named, ignore_index=True)[["case", "image_id", "raw", "postprocessed"]]


def cases_table(chosen: pd.DataFrame, *, dataset: str, split: str) -> pd.DataFrame:
    """Return the cases of `touched_cases` as cells: Dice before and after, the image in the note."""
    about = {"n": 1, "dataset": dataset, "split": split}
    return pd.DataFrame(
        [
            cell(one["case"], f"dice_{stage}", one[stage], note=f"image {one['image_id']}", **about)
            for one in chosen.to_dict("records")
            for stage in ("raw", "postprocessed")
        ]
    )
