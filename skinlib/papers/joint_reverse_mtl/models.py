"""Tables 3 and 4 of the multi-task paper, its controls, and each step beside the one before, with verdicts by rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.exhibits.estimates import COUNTS, Arm, cell, measure, origin
from skinlib.exhibits.ladder import changes
from skinlib.papers.joint_reverse_mtl.arms import BENIGN, Row
from skinlib.training.runs import Run

# Of the diagnosis: the paper's first. Weighted means let the benign majority speak; recall is melanoma sensitivity.
DIAGNOSIS = (
    "tn", "fp", "fn", "tp", "specificity", "recall", "fp_rate", "fn_rate", "weighted_recall", "weighted_f1",
    "weighted_specificity", "balanced_accuracy", "f1", "roc_auc",
)  # fmt: skip
# Of the outline: per image and averaged, which the printed figures fit; then all pixels pooled.
OUTLINE = (
    "mcc", "iou", "dice", "hd95_share", "thresholded_jaccard", "mcc_pooled", "iou_pooled", "dice_pooled",
)  # fmt: skip
COMPARED = (("roc_auc", "recall", "specificity", "weighted_f1"), ("dice", "iou", "hd95_share"))


def measured(name: str, row: Row, *, n_boot: int = 2000, seed: int = 0) -> list[dict]:
    """Return the cells of one network: parameters, diagnosis, outline, and how many outlines are empty."""
    cells = []
    if row.runs:
        about = origin((row.diagnosis or row.outline).table)
        cells.append(cell(name, "parameters", float(row.runs[0].metrics["parameters"]), **about))
    if row.diagnosis is not None:
        found = measure(name, row.diagnosis, DIAGNOSIS, n_boot=n_boot, seed=seed)
        if row.diagnosis.table["seed"].nunique() > 1:
            mean = lambda one: "; ".join(filter(None, [one["note"], "mean over seeds"]))
            found = [one | {"note": mean(one)} if one["metric"] in COUNTS else one for one in found]
        cells += found
    if row.outline is not None:
        cells += measure(name, row.outline, OUTLINE, n_boot=n_boot, seed=seed)
        table = row.outline.table
        empty = table.groupby("seed")["empty_prediction"].sum().mean()
        cells.append(cell(name, "empty_predictions", float(empty), note="images; mean over seeds", **origin(table)))
    return cells


def steps(
    rows: Mapping[str, Row], before: Mapping[str, tuple[str, str]], *, n_boot: int = 2000, seed: int = 0
) -> list[dict]:
    """Return the changes of each row against the step before, images and seeds resampled together.

    Parameters
    ----------
    before
        Row -> the rows that its diagnosis and its outline are compared with.
    """
    cells = []
    for side, names in zip(("diagnosis", "outline"), COMPARED, strict=True):
        after = {name: getattr(rows[name], side) for name in before}
        first = {name: getattr(rows[pair[side == "outline"]], side) for name, pair in before.items()}
        after = {name: arm for name, arm in after.items() if arm is not None and first[name] is not None}
        cells += changes(after, first, names, n_boot=n_boot, seed=seed)
    return cells


def table3(
    rows: Mapping[str, Row],
    benign: Arm,
    before: Mapping[str, tuple[str, str]],
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the variants on the official test part (Table 3), each with its change against the step before.

    Counts are means over seeds. Intervals draw images and seeds together; with one seed they know the images only.

    Parameters
    ----------
    rows
        As `joint_reverse_mtl_arms.ladder` returns them.
    benign
        The arm that calls every image benign.
    before
        Row -> the rows of the step before, for diagnosis and outline.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [one for name, row in rows.items() for one in measured(name, row, **boot)]
    cells += measured(BENIGN, Row(benign, None), **boot)
    return pd.DataFrame(cells + steps(rows, before, **boot))


def table4(rows: Mapping[str, Row], benign: Arm | None, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Score networks on the external set (Table 4); an empty frame where the set is not at hand.

    The last row's change is against the two single-task networks ("significantly higher", section 5.1).

    Parameters
    ----------
    rows
        cls, seg, proposed -> row, made of the external tables.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [one for name, row in rows.items() for one in measured(name, row._replace(runs=()), **boot)]
    if benign is not None:
        cells += measured(BENIGN, Row(benign, None), **boot)
    if {"cls", "seg", "proposed"} <= set(rows):
        cells += steps(rows, {"proposed": ("cls", "seg")}, **boot)
    return pd.DataFrame(cells, columns=list(cells[0]) if cells else ["row", "metric", "ours"])


def controls(pairs: Mapping[str, tuple[Row, Row]], benign: Arm, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare each control with the network that it is a control of, on the seeds that both have.

    Parameters
    ----------
    pairs
        Row -> (control, what it is compared with). The changes are control minus the other: where a part of the
        proposed network works, its control is worse, and the verdict is *harms*.
    benign
        The arm that calls every image benign.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    rows = {name: pair[0] for name, pair in pairs.items()}
    others = {f"{name}, against": pair[1] for name, pair in pairs.items()}
    cells = [one for name, row in rows.items() for one in measured(name, row, **boot)]
    cells += measured(BENIGN, Row(benign, None), **boot)
    before = {name: (f"{name}, against",) * 2 for name in rows}
    return pd.DataFrame(cells + steps(rows | others, before, **boot))


def longer(rows: Mapping[str, Row], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare U-Nets that see more images, larger ones or others with the ladder's, and with each other.

    The change of a row is against the one whose name it continues: ``seg/96px-14000-lr0.001`` against
    ``seg/96px-14000``, and that against ``seg``. Each is scored at the size of its own input, image by image; the note
    says how it was trained.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    shorter = {name: [other for other in rows if name.startswith((f"{other}/", f"{other}-"))] for name in rows}
    names = ("dice", "iou")
    cells = [
        one | {"note": _trained(row.runs[0])}
        for name, row in rows.items()
        for one in measure(name, row.outline, names, **boot)
    ]
    outlines = {name: row.outline for name, row in rows.items()}
    before = {name: outlines[max(others, key=len)] for name, others in shorter.items() if others}
    return pd.DataFrame(cells + changes(outlines, before, names, **boot))


def _trained(run: Run) -> str:
    config, (height, width) = run.config, run.config.image_size
    kept = "last epoch" if config.keep == "last" else "epoch of the lowest validation loss"
    rate = f"rate {config.lr:g} to {config.lr * config.schedule_gamma:g}"
    alike = config.options["views"]["benign"] == config.options["views"]["malignant"]
    views = "as many views of each image" if alike else "more views of melanomas"
    return f"{run.metrics['images']:,} visits at {height} x {width}, {views}, {rate}, {config.precision}; {kept}"


def by_seed(rows: Mapping[str, Row], names: tuple[str, ...] = ("roc_auc", "recall", "dice")) -> pd.DataFrame:
    """Return a row a network and seed: how far luck alone moves a number."""
    found = []
    for name, row in rows.items():
        for run in row.runs:
            one = {"row": name, "seed": run.config.seed}
            for arm in (row.diagnosis, row.outline):
                if arm is not None:
                    mine = Arm(arm.table[arm.table["seed"] == run.config.seed], arm.threshold)
                    wanted = [key for key in names if (key == "dice") == (arm is row.outline)]
                    one |= {each["metric"]: each["ours"] for each in measure(name, mine, wanted, n_boot=2)}
            found.append(one)
    return pd.DataFrame(found).astype({"seed": int}).replace({None: np.nan})
