"""Exhibits of the multi-task paper (Al-masni et al. 2024), as functions of stored tables: no image, no model.

Each returns a long frame (row, metric, ours, low, high, n, dataset, split, note) for `tables.exhibit` of this room.
Rows and metrics are named as in data/published/joint_reverse_mtl, so that the join finds them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.exhibits.estimates import Arm, cell, measure, origin
from skinlib.exhibits.published import published
from skinlib.images.visits import VIEWS
from skinlib.papers.joint_reverse_mtl.arms import BENIGN, Row
from skinlib.papers.joint_reverse_mtl.model import REDUCTION, WIDTHS
from skinlib.papers.joint_reverse_mtl.speed import PREDICT, TRAIN

PAPER = "joint_reverse_mtl"
QUOTED = "quoted, not run here: other protocol, for some other images"
ABOVE = "dice_above_0.84"
SINGLE = "cls, then seg"  # the two single-task networks, one after another
TIMED = "networks in turn, images in memory; range of the repeats"


def settings(config: RunConfig) -> pd.DataFrame:
    """Our settings beside the printed ones."""
    height, width = config.image_size
    values = {("image", "height"): height, ("image", "width"): width}
    for kind in ("benign", "malignant"):
        values["augmentation", f"views_{kind}"] = len(VIEWS[config.options["views"][kind]])
    widths = config.options.get("widths", WIDTHS)
    values |= {("model", f"width_level_{k}"): level for k, level in enumerate(widths, start=1)}
    values |= {("model", "cbam_reduction"): REDUCTION, ("model", "fc_widths"): 2 * widths[1]}
    values |= {("loss", "lambda_dice"): config.losses["dice"], ("loss", "lambda_bce"): config.losses["cross_entropy"]}
    names = {"learning_rate": "lr", "schedule_factor": "schedule_gamma", "batch_size": "batch_size", "epochs": "epochs"}
    values |= {("training", name): getattr(config, field) for name, field in names.items()}
    values |= {("training", "validation_share"): 1 / config.folds}
    if config.visits:
        values["training", "visits_an_epoch"] = config.visits
    where = {"dataset": config.dataset, "split": config.split}
    notes = {
        "fc_widths": f"{2 * widths[1]} and {2 * widths[0]}: what enters the last two decoder levels",
        "validation_share": f"{config.folds} folds, the first is held out",
    }
    if config.keep == "last":
        notes["epochs"] = "the weights of the last are kept: none is chosen"
    cells = [cell(*key, float(value), note=notes.get(key[1], ""), **where) for key, value in values.items()]
    return pd.DataFrame(cells)


def table2(cohort: pd.DataFrame, views: Mapping[str, str], external: pd.DataFrame | None = None) -> pd.DataFrame:
    """Count the images and their views (Table 2).

    Parameters
    ----------
    cohort
        ISIC 2016 with official_split and diagnosis (benign, malignant).
    views
        Diagnosis -> key of `skinlib.images.visits.VIEWS`.
    external
        PH2, None where it is not at hand.
    """
    train, test = (cohort[cohort["official_split"] == part] for part in ("train", "test"))
    counts = {name: {kind: int((rows["diagnosis"] == kind).sum()) for kind in views} for name, rows in
              (("isic2016 train", train), ("isic2016 test", test))}  # fmt: skip
    times = {kind: len(VIEWS[name]) for kind, name in views.items()}
    counts["isic2016 train, augmented"] = {k: times[k] * n for k, n in counts["isic2016 train"].items()}
    name = cohort["dataset"].iloc[0]
    cells = [
        cell(row, metric, float(value), dataset=name, split="official")
        for row, each in counts.items()
        for metric, value in (each | {"n": sum(each.values())}).items()
    ]
    for row, part in (("isic2016", "isic2016 train"), ("isic2016, augmented", "isic2016 train, augmented")):
        total = sum(counts[part].values()) + sum(counts["isic2016 test"].values())
        cells.append(cell(row, "n", float(total), dataset=name, split="official"))
    if external is not None:
        found = {kind: int((external["label"] == label).sum()) for label, kind in enumerate(("benign", "malignant"))}
        found["n"] = len(external)
        cells += [
            cell("ph2 test", metric, float(value), dataset="ph2", split="none") for metric, value in found.items()
        ]
        cells.append(cell("ph2", "n", float(len(external)), dataset="ph2", split="none"))
    return pd.DataFrame(cells)


def table1(rows: Mapping[str, Row], benign: Arm, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Ours beside the literature (Table 1), which is quoted: rows ``ours: <network>, segmentation|classification``.

    ``benign`` is the arm that calls every image benign.
    """
    cells = []
    for name, row in (rows | {BENIGN: Row(benign, None)}).items():
        if row.outline is not None:
            words = f"ours: {name}, segmentation"
            found = measure(words, row.outline, ("specificity", "sensitivity", "iou", "dice"), n_boot=n_boot, seed=seed)
            cells += [one | {"metric": one["metric"].replace("sensitivity", "recall")} for one in found]
        if row.diagnosis is not None:
            wanted = ("specificity", "recall", "accuracy", "weighted_f1")
            cells += measure(f"ours: {name}, classification", row.diagnosis, wanted, n_boot=n_boot, seed=seed)
    return _quoted("table1", cells)


def table5(rows: Mapping[str, Row], benign: Arm, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Melanoma sensitivity and specificity beside published classifiers of ISIC 2016 (Table 5).

    Parameters
    ----------
    rows
        Row of the table -> network; "Proposed MTL" among them.
    """
    arms = {name: row.diagnosis for name, row in rows.items()} | {BENIGN: benign}
    cells = []
    for name, arm in arms.items():
        cells += measure(name, arm, ("recall", "specificity"), n_boot=n_boot, seed=seed)
    return _quoted("table5", cells)


def _quoted(exhibit: str, cells: list[dict]) -> pd.DataFrame:
    ours = {(one["row"], one["metric"]) for one in cells}
    theirs = published(PAPER, exhibit)[["row", "metric"]].itertuples(index=False)
    return pd.DataFrame(cells + [cell(*key, np.nan, note=QUOTED) for key in theirs if tuple(key) not in ours])


def good_share(rows: Mapping[str, Row], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return the share of images whose Dice is above 0.84 (of Fig. 6; "most tumors", section 5)."""
    cells = [
        one for name, row in rows.items() for one in measure(name, row.outline, (ABOVE,), n_boot=n_boot, seed=seed)
    ]
    return pd.DataFrame(cells).assign(metric=f"share_{ABOVE}")


def claims(table3: pd.DataFrame, external: pd.DataFrame, timed: pd.DataFrame, good: pd.DataFrame) -> pd.DataFrame:
    """Put our numbers beside the sentences of the paper.

    Parameters
    ----------
    table3, external
        Our cells of Tables 3 and 4; the second may be empty.
    timed, good
        Those of `cost` and `good_share`: for what the paper says without a number.
    """
    known = pd.concat([table3.assign(set="isic2016"), external.assign(set="ph2")]).set_index(["set", "row", "metric"])
    sources = {
        ("proposed, isic2016", "dice"): ("isic2016", "mtl4", "dice"),
        ("proposed, ph2", "dice"): ("ph2", "proposed", "dice"),
        ("cls, isic2016", "weighted_f1"): ("isic2016", "cls", "weighted_f1"),
        ("proposed, isic2016", "weighted_f1"): ("isic2016", "mtl4", "weighted_f1"),
        ("cls, ph2", "weighted_f1"): ("ph2", "cls", "weighted_f1"),
        ("proposed, ph2", "weighted_f1"): ("ph2", "proposed", "weighted_f1"),
        ("cls, section 4.1", "weighted_f1"): ("isic2016", "cls", "weighted_f1"),
        ("seg, section 4.1", "dice"): ("isic2016", "seg", "dice"),
        ("mtl1 - mtl0", "dice"): ("isic2016", "mtl1", "dice_change"),
        ("mtl3, section 4.2", "weighted_f1"): ("isic2016", "mtl3", "weighted_f1"),
        ("mtl3, section 4.2", "dice"): ("isic2016", "mtl3", "dice"),
        ("proposed, section 5.2", "recall"): ("isic2016", "mtl4", "recall"),
    }
    kept = ["ours", "low", "high", "n", "dataset", "split", "note"]
    cells = [
        {"row": row, "metric": metric} | known.loc[key, kept].to_dict()
        for (row, metric), key in sources.items()
        if key in known.index
    ]
    ratios = {metric: timed[timed["metric"] == f"{metric}_seconds_ratio"] for metric in ("predict", "train")}
    for row, metric, found, words in (
        ("inference", "seconds", ratios["predict"], "ratio of seconds, "),
        ("training", "seconds", ratios["train"], "ratio of seconds, "),
        (
            "most test images",
            "dice_above",
            good[good["row"].str.startswith("mtl")],
            "share of images, and not a Dice: ",
        ),
    ):
        for one in found.to_dict("records"):
            cells.append(one | {"row": row, "metric": metric, "note": f"{words}{one['row']}; {one['note']}"})
    return pd.DataFrame(cells)


def cost(
    rows: Mapping[str, Row], timed: pd.DataFrame, *, names: tuple[str, ...] = ("cls", "seg", "mtl3")
) -> pd.DataFrame:
    """Compare one multi-task network with the two single-task networks run one after another.

    Seconds an epoch (of the stored visits) and seconds for the test part: the median of the repeats with their range,
    sums and ratios repeat by repeat.

    Parameters
    ----------
    rows
        With ``cls``, ``seg`` and the multi-task networks.
    timed
        As `skinlib.papers.joint_reverse_mtl.speed.timings` returns it, of the same names.
    """
    cells, found = [], {}
    for name in names:
        metrics, mine = rows[name].runs[0].metrics, timed[timed["network"] == name]
        each = mine.assign(an_image=mine["milliseconds"] / mine["images"] / 1000).pivot(
            index="repeat", columns="work", values="an_image"
        )
        about = origin((rows[name].diagnosis or rows[name].outline).table)
        found[name] = {
            "parameters": np.array([metrics["parameters"]], float),
            "train_seconds": each[TRAIN].to_numpy() * metrics["images"] / metrics["epochs"],
            "predict_seconds": each[PREDICT].to_numpy() * about["n"],
        }
        cells += _costs(name, found[name], about | {"note": f"{mine['machine'].iloc[0]}; {TIMED}"})
    both = {key: found["cls"][key] + found["seg"][key] for key in found["cls"]}
    about = origin(rows["seg"].outline.table)
    cells += _costs(SINGLE, both, about | {"note": "sum of the two rows, repeat by repeat"})
    for name in names:
        if name not in ("cls", "seg"):
            ratios = {f"{key}_ratio": found[name][key] / both[key] for key in both}
            cells += _costs(name, ratios, about | {"note": f"{name} over {SINGLE}: below 1 the claim holds"})
    return pd.DataFrame(cells)


def _costs(name: str, values: Mapping[str, np.ndarray], about: dict) -> list[dict]:
    return [
        cell(name, key, np.median(each), **about | ({} if len(each) == 1 else {"low": each.min(), "high": each.max()}))
        for key, each in values.items()
    ]
