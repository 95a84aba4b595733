"""Exhibits of the ensemble paper (Ashok et al. 2023), as functions of stored tables: no image, no model.

Each returns a long frame (row, metric, ours, low, high, n, dataset, split, note) for `tables.exhibit` of this room.
Rows and metrics are named as in data/published/joint_ensemble. ``roc_auc`` is the mean over the classes, one against
the rest: of which question the paper's 0.968 is, it does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.evaluation import tables
from skinlib.evaluation.metrics import confusion as confusion_of
from skinlib.evaluation.thresholds import recall_at_specificity
from skinlib.exhibits import multiclass
from skinlib.exhibits.estimates import Arm, cell, judge, measure, origin
from skinlib.exhibits.ladder import CHANGE
from skinlib.images.abcd import MEASURES
from skinlib.papers.joint_ensemble.arms import MELANOMA, Row, alone_on, drawn, malignant, melanoma, paired
from skinlib.papers.joint_ensemble.model import design

PAPER = "joint_ensemble"
SPECIFICITY = 0.95  # of melanoma, at which sensitivities are compared; ours
WHOLE = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "macro_precision": "macro_precision",
    "macro_f1": "macro_f1",
    "roc_auc": "macro_auc",
}
OF_MELANOMA = {"melanoma_recall": f"recall_of_{MELANOMA}", "melanoma_specificity": f"specificity_of_{MELANOMA}"}
COMPARED = ("accuracy", "balanced_accuracy", "roc_auc")
BINARY = "malignant_roc_auc"  # compared too: it exists where a rare class has hardly a lesion
OF_TWO = ("roc_auc", "accuracy", "balanced_accuracy", "precision", "recall", "f1")  # malignant from one half on
OVER_MEMBER, OVER_ALONE = "proposed - best member", "proposed - head on the best member alone"
CLASSWISE = ("recall", "precision", "f1", "specificity")


def settings(member: RunConfig, head: RunConfig) -> pd.DataFrame:
    """Our settings beside the printed ones, of a member and of the proposed head."""
    chosen, augment = design(head), member.augment
    reduction = {"attention": "width", "pca": "components"}.get(chosen["reduction"])
    values = {
        ("members", "n"): len(chosen["members"]),
        ("image", "side"): member.image_size[0],
        ("augmentation", "rotation"): augment.rotation,
        ("augmentation", "zoom"): augment.zoom,
        ("augmentation", "contrast"): augment.contrast,
        ("segmentation", "used"): 0,
        ("reduction", "components"): chosen[reduction] if reduction else np.nan,
        ("branches", "attributes"): len(MEASURES) if chosen["attributes"] else 0,
        ("loss", "attribute_weight"): head.losses.get("attributes", 0.0),
        ("classifier", "layers"): len(chosen["hidden"]) + 1,
        ("training", "learning_rate"): member.lr,
        ("training", "batch_size"): member.batch_size,
        ("training", "epochs"): member.epochs,
        ("training", "patience"): np.nan if member.patience is None else member.patience,
        ("training", "weight_decay"): member.weight_decay,
        ("training, head", "learning_rate"): head.lr,
        ("training, head", "batch_size"): head.batch_size,
        ("training, head", "epochs"): head.epochs,
        ("split", "folds"): member.folds,
        ("deployment", "frameworks"): 1,
    }
    notes = {
        ("members", "n"): ", ".join(f"{name}: {one['backbone']}" for name, one in chosen["members"].items()),
        ("reduction", "components"): f"{chosen['reduction']}; ours, as is the width",
        ("branches", "attributes"): f"measured on mask and image: {', '.join(MEASURES)}",
        ("split", "folds"): "images of a lesion stay together",
        ("deployment", "frameworks"): "PyTorch",
        ("training", "learning_rate"): f"of a member; profiles set it for each; schedule {member.schedule}",
        ("training", "epochs"): "of the first member; profiles set it for each",
        ("training, head", "learning_rate"): f"schedule {head.schedule}",
    }
    if member.patience is None:
        notes["training", "patience"] = "none: every member trains to the end of its schedule"
    where = {"dataset": member.dataset, "split": member.split}
    return pd.DataFrame([cell(*key, float(v), note=notes.get(key, ""), **where) for key, v in values.items()])


def at_specificity(one: Row, specificity: float = SPECIFICITY) -> Arm:
    """Return the melanoma question of a row, each draw called at the threshold that its validation rows chose."""
    val = melanoma(drawn(one.val))
    tables.require_validation(val, "a threshold")
    chosen = {draw: recall_at_specificity(rows, specificity=specificity)[1] for draw, rows in val.groupby("seed")}
    note = f"threshold of {specificity:.0%} specificity on validation rows"
    return Arm(melanoma(drawn(one.test)), chosen, "; ".join(filter(None, [one.note, note])))


def measured(name: str, one: Row, *, n_boot: int = 2000, seed: int = 0) -> list[dict]:
    """Return the cells of one row: all classes, melanoma, that at a fixed specificity, and malignant against benign.

    Of the last, probabilities are summed and the larger sum is called.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    test = drawn(one.test)
    cells = of_classes(name, test, WHOLE | OF_MELANOMA, note=one.note, **boot)
    if len(one.val):
        fixed = measure(name, at_specificity(one), ("recall", "specificity"), **boot)
        cells += [found | {"metric": f"melanoma_{found['metric']}_fixed"} for found in fixed]
    binary = measure(name, Arm(malignant(test), 0.5, one.note), OF_TWO, **boot)
    return cells + [found | {"metric": f"malignant_{found['metric']}"} for found in binary]


def of_classes(name: str, test: pd.DataFrame, wanted: Mapping[str, str], *, note: str = "", **boot) -> list[dict]:
    """Return cells of metrics of all classes: name of ours -> name in `skinlib.exhibits.multiclass`.

    Lesions are drawn within their rarest class: what hangs on a class of a few lesions has an interval too.
    """
    strata = multiclass.rarest(test)
    note = "; ".join(filter(None, [note, f"{test['seed'].nunique()} draw(s) of fold and seed"]))
    cells = multiclass.measure(name, test, list(wanted.values()), note=note, strata=strata, **boot)
    return [found | {"metric": ours} for found, ours in zip(cells, wanted, strict=True)]


def changes(
    pairs: Mapping[str, tuple[Row, Row]], names: Sequence[str] = COMPARED, *, n_boot: int = 2000, seed: int = 0
) -> list[dict]:
    """Return ``<metric>_change`` of each row: the first of a pair minus the second on the same images and draws.

    Beside ``names`` stands the AUC of malignant against benign, probabilities summed.

    A row of two classes is compared with the other's diagnoses summed to two. Verdicts are Holm-adjusted over the
    rows, for each metric apart.
    """
    cells = []
    for name, pair in pairs.items():
        after, before = (drawn(one.test) for one in paired(*pair))
        if "p_malignant" in after:
            before = malignant(before)
        boot = {"strata": multiclass.rarest(after), "n_boot": n_boot, "seed": seed}
        found = multiclass.compare(name, after, before, [WHOLE[key] for key in names], **boot)
        found += multiclass.compare(name, malignant(after), malignant(before), ["roc_auc_of_malignant"], **boot)
        cells += [one | {"metric": key + CHANGE} for one, key in zip(found, (*names, BINARY), strict=True)]
    return judge(cells, suffix=CHANGE)


def members_vs_fusion(rows: Mapping[str, Row], best: str, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Put members, fusions and the proposed system side by side, what is joined with its change to the best member.

    The best member has one view and no metadata, so what the proposed system has over it is not fusion alone: the row
    `OVER_ALONE`, where that head was trained, is its change to the same head on that member, which has both too.

    Parameters
    ----------
    rows
        Members, fusions and heads, each on all its draws.
    best
        The member that was chosen on validation rows.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells = [found for name, one in rows.items() for found in measured(name, one, **boot)]
    joined = {name: (one, rows[best]) for name, one in rows.items() if name == "proposed" or _joined(one)}
    if alone_on(best) in rows:
        joined[OVER_ALONE] = rows["proposed"], rows[alone_on(best)]
    return pd.DataFrame(cells + changes(joined, **boot))


def _joined(one: Row) -> bool:
    """Whether a row was made of several members' tables."""
    return one.shared and len({run.config.replace(fold=None).to_json() for run in one.runs}) > 1


def per_class(name: str, one: Row, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return recall, precision, F1, specificity and AUC of each class against the rest, a row a class."""
    test = drawn(one.test)
    strata, cells = multiclass.rarest(test), []
    for label, code in enumerate(tables.classes(test)):
        wanted = [f"{metric}_of_{code}" for metric in CLASSWISE]
        found = multiclass.measure(f"{name}: {code}", test, wanted, strata=strata, n_boot=n_boot, seed=seed)
        images = float(test.loc[test["label"] == label, "image_id"].nunique())
        cells.append(cell(f"{name}: {code}", "images", images, **origin(test)))
        cells += [one_ | {"metric": metric} for one_, metric in zip(found, CLASSWISE, strict=True)]
        alone = Arm(tables.to_binary(test, [code]), 0.5)  # one AUC; the multi-class metric would compute all for each
        cells += measure(f"{name}: {code}", alone, ("roc_auc",), n_boot=n_boot, seed=seed)
    return pd.DataFrame(cells)


def matrix(one: Row) -> pd.DataFrame:
    """Return the confusion matrix of a row: mean counts over draws, a row a true class, a column a called one."""
    each = [confusion_of(rows) for _, rows in drawn(one.test).groupby("seed")]
    names = list(tables.classes(one.test))
    return sum(frame.reindex(columns=names) for frame in each) / len(each)


def confusion(rows: Mapping[str, Row]) -> pd.DataFrame:
    """Return confusion matrices as cells: row ``<name>, true <class>``, metric ``called <class>``."""
    cells = []
    for name, one in rows.items():
        draws = drawn(one.test)["seed"].nunique()
        about = origin(one.test) | {"note": f"images; mean over {draws} draw(s) of fold and seed"}
        cells += [
            cell(f"{name}, true {true}", f"called {called}", float(count), **about)
            for true, counts in matrix(one).iterrows()
            for called, count in counts.items()
        ]
    return pd.DataFrame(cells)
