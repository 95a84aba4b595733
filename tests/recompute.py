"""How each exhibit of a paper is computed again from its evidence, and where a stored exhibit differs from that.

An exhibit is a function of `Known`, of the recall-oriented paper here, of the others in files of their own. What
notebooks compute from pixels and do not keep is named in `FROM_PIXELS`.
"""

import functools
import re

import numpy as np
import pandas as pd
import recompute_across
import recompute_attention
import recompute_ensemble
import recompute_joint
import recompute_metadata
from known import BOOT, Published

from skinlib.across.localisation import gallery_table, localisation
from skinlib.across.tone import formulas, gaps_within
from skinlib.evaluation.statistics import verdict
from skinlib.exhibits.arms import machine, rows
from skinlib.exhibits.estimates import LESS_IS_BETTER, Arm, origin
from skinlib.exhibits.ladder import CHANGE
from skinlib.exhibits.published import published
from skinlib.exhibits.write import select
from skinlib.explain.ensemble_maps import at_quartiles
from skinlib.papers.recall_oriented import arms
from skinlib.papers.recall_oriented import tables as paper
from skinlib.papers.recall_oriented.official import OFFICIAL, official_counts

# exhibit -> pattern of "row / metric" of the cells that need pixels
FROM_PIXELS = {"localisation": r"/ overlap$", "shap_image": r"/ (energy|mask_fraction|p_true)$"}
VERDICT = re.compile(r"\b(helps|harms|no evidence) \(p = ([\d.]+)")


class Known(Published):
    """What a published profile knows of a paper without an image."""

    paper = "recall_oriented"

    @functools.cached_property
    def one_seed(self):
        """The runs of seed 0: heat maps and skin tone are looked at for one ensemble."""
        return {name: run for name, run in self.runs.items() if run.config.seed == 0}

    @functools.cached_property
    def final(self):
        return arms.final(self.runs)

    @functools.cached_property
    def config(self):
        return self.runs["proposed/fold0/seed0"].config

    def toned(self, table, column="group"):
        tone = self.kept("ita")[["image_id", column]].rename(columns={column: "group"})
        return table.merge(tone, on="image_id", validate="one_to_one")


@functools.cache
def table1(known):
    folds = arms.members(known.runs)[0]
    held_out = [rows(run, "val") for run in folds]
    parts = {"train": pd.concat(held_out[1:]), "validation": held_out[0], "test": rows(folds[0], "test")}
    official = paper.table1(official_counts(), dataset=OFFICIAL, split="official")
    return pd.concat([paper.table1(parts, **known.where), official])


@functools.cache
def table3(known):
    plain, diagnoses = arms.plain(known.runs)
    final, val = known.final
    rows = paper.table3(final, plain, val=val, min_recall=arms.MIN_RECALL, **BOOT)
    return pd.concat([rows, paper.diagnoses("plain", diagnoses, **BOOT)])


def table3_official(known):
    return paper.table3(Arm(known.kept("official_test-isic2018_task3"), known.final.arm.threshold), **BOOT)


def table6(known):
    measures = known.kept("measures")
    missed, found = (list(measures.loc[measures["outcome"] == name, "image_id"]) for name in ("FN", "TP"))
    return paper.table6(measures, missed=missed, found=found, **known.where)


def table7(known):
    final = arms.final(known.one_seed).arm
    test = final.table.merge(known.kept("ita"), on="image_id")
    about = origin(final.table)
    return paper.table7(test[["label", "ita"]], dataset=about["dataset"], split=about["split"])


@functools.cache
def table8(known):
    final, single = arms.final(known.one_seed).arm, arms.one_fold(known.one_seed).arm
    toned = [arm._replace(table=known.toned(arm.table)) for arm in (final, single)]
    return paper.table8(toned[0], one_fold=toned[1], **BOOT)


def table8_unguarded(known):
    final, single = arms.final(known.one_seed).arm, arms.one_fold(known.one_seed).arm
    toned = [arm._replace(table=known.toned(arm.table, "group_unguarded")) for arm in (final, single)]
    sources = known.kept("sources").fillna({"source": "unknown"})
    same_clinic = toned[0]._replace(table=toned[0].table.merge(sources, on="image_id"))
    within = gaps_within(same_clinic, "source", **BOOT)
    return pd.concat([paper.table8(toned[0], one_fold=toned[1], **BOOT), within])


def table8_recalibrated(known):
    final, val = arms.final(known.one_seed)
    return paper.table8_recalibrated(final._replace(table=known.toned(final.table)), val=known.toned(val), **BOOT)


def fig8(known):
    final = arms.final(known.one_seed).arm
    cases = at_quartiles(final.table, final.threshold)
    return gallery_table(cases, known.kept("measures"), **known.where, names=("cam_inside", "contrast"))


def cost(known):
    group = arms.members(known.runs)[0]
    metrics = [run.metrics for run in group]
    return paper.cost(metrics, machine=machine(group[0]), table=rows(group[0], "test"))


@functools.cache
def table4(known):
    return paper.table4(arms.steps(known.runs), **BOOT)


EXHIBITS = {
    "settings": lambda known: paper.settings(known.config),
    "table1": table1,
    "fig3": lambda known: select(table1(known), ["benign", "malignant"], rows=["train", "validation", "test"]),
    "table2": lambda known: paper.table2(arms.backbones(known.runs), **BOOT),
    "table3": table3,
    "table3-isic2018_task3": table3_official,
    "fig6": lambda known: select(table3(known), ["roc_auc", "tp", "fn", "tn", "fp", "threshold"], rows=["final"]),
    "table4": table4,
    "fig7": lambda known: select(table4(known), ["roc_auc", "recall", "fn"]),
    "unbundled": lambda known: paper.unbundled(*arms.additions(known.runs), **BOOT),
    "table5": lambda known: paper.table5(known.final.arm, **BOOT),
    "cost": cost,
    "table6": table6,
    "table7": table7,
    "table8": table8,
    "fig9": lambda known: select(table8(known), ["roc_auc", "recall", "fn_rate"], rows=["light", "dark"]),
    "table8_unguarded": table8_unguarded,
    "table8_recalibrated": table8_recalibrated,
    "fig8": fig8,
    "localisation": lambda known: localisation(known.kept("measures"), **known.where, **BOOT),
    "tone_formulas": lambda known: formulas(
        known.kept("ita").merge(known.kept("sources"), on="image_id"), dataset=known.config.dataset
    ),
}
MODULES = {
    "joint_reverse_mtl": recompute_joint,
    "attention_autoencoder": recompute_attention,
    "joint_ensemble": recompute_ensemble,
    "metadata_sr": recompute_metadata,
}
OWN = {"recall_oriented": EXHIBITS} | {name: module.EXHIBITS for name, module in MODULES.items()}
PAPERS = {name: own | recompute_across.exhibits(name) for name, own in OWN.items()}
KNOWN = {"recall_oriented": Known} | {name: module.Known for name, module in MODULES.items()}


def differences(stored: pd.DataFrame, again: pd.DataFrame, *, pixels: str | None = None) -> list[str]:
    """Return what differs between an exhibit and its cells computed again, in words; [] where nothing does.

    Parameters
    ----------
    stored
        An exhibit as it lies in the reference.
    again
        Long frame of our cells.
    pixels
        Pattern of "row / metric" of the cells that only pixels can give.
    """
    keys = ["row", "metric"]
    both = stored.merge(again, on=keys, how="outer", suffixes=("", "_again"), indicator=True)
    found = []
    for one in both.to_dict("records"):
        name = f"{one['row']} / {one['metric']}"
        if pixels and re.search(pixels, name):
            continue
        if one["_merge"] == "left_only" and np.isnan(one["ours"]):
            continue  # a published cell that we do not have, with its reason in the note
        if one["_merge"] != "both":
            found.append(f"{name}: {'computed, not stored' if one['_merge'] == 'right_only' else 'stored only'}")
            continue
        found += [f"{name}: {fault}" for fault in _faults(one)]
    return found


def unlike_published(stored: pd.DataFrame, name: str, exhibit: str) -> list[str]:
    """Return the cells whose published number is not the one of data/published, and the published cells left out."""
    keys = ["row", "metric"]
    theirs = published(name, exhibit)[[*keys, "published"]]
    both = stored[[*keys, "published"]].merge(theirs, on=keys, how="outer", suffixes=("", "_theirs"), indicator=True)
    same = np.isclose(both["published"], both["published_theirs"], equal_nan=True, rtol=1e-5)
    wrong = both[~same | (both["_merge"] == "right_only")]
    return [f"{row} / {metric}" for row, metric in zip(wrong["row"], wrong["metric"], strict=True)]


def _faults(one: dict) -> list[str]:
    atol = 1e-9
    if one["metric"].endswith("_p"):  # bootstrap p of fewer resamples
        atol = 0.4
    elif one["metric"].endswith(CHANGE):  # small, of two scores of which a model fitted again may move one
        atol = 1e-6
    close = np.isclose(one["ours"], one["ours_again"], rtol=2e-5, atol=atol, equal_nan=True)
    faults = [] if close else [f"{one['ours']:.6g} stored, {one['ours_again']:.6g} computed"]
    for column in ("dataset", "split", "n"):
        a, b = one[column], one[f"{column}_again"]
        if not (pd.isna(a) and pd.isna(b)) and a != b:
            faults.append(f"{column} {a} stored, {b} computed")
    ends = np.array([[one[side], one[f"{side}_again"]] for side in ("low", "high")], float)
    if np.isnan(ends).any():
        undefined = "does not exist" in f"{one['note']}{one['note_again']}"  # a rule about a share of the resamples
        return faults + ([] if np.isnan(ends).all() or undefined else ["an interval where there was none, or none"])
    allowed = 0.4 * (ends[1, 0] - ends[0, 0]) + (0.04 if one["metric"] == "threshold" else 0.002)
    if (np.abs(ends[:, 0] - ends[:, 1]) > allowed).any():
        faults.append(f"interval {ends[:, 0]} stored, {ends[:, 1]} computed")
    return faults


def broken_verdicts(stored: pd.DataFrame) -> list[str]:
    """Return the cells whose verdict does not follow from their interval and p."""
    found = []
    for one in stored.dropna(subset=["note"]).to_dict("records"):
        said = VERDICT.search(one["note"])
        if not said or abs(float(said[2]) - 0.05) < 1e-4:
            continue
        less = one["metric"].removesuffix(CHANGE) in LESS_IS_BETTER
        sides = (-one["high"], -one["low"]) if less else (one["low"], one["high"])
        if said[1] != verdict(*sides, float(said[2])):
            found.append(f"{one['row']} / {one['metric']}: {said[1]}")
    return found
