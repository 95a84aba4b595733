"""How the exhibits of the ensemble paper are computed again from their evidence."""

import functools

import pandas as pd
from known import BOOT, Published

from skinlib.across import abcd_checks as checks
from skinlib.across.shap_inputs import shap_table
from skinlib.papers.joint_ensemble import ablation, arms, shown
from skinlib.papers.joint_ensemble import claims as claims_of
from skinlib.papers.joint_ensemble import fusion as fusion_of
from skinlib.papers.joint_ensemble import speed as speed_of
from skinlib.papers.joint_ensemble import tables as paper
from skinlib.papers.joint_ensemble.plan import SWITCHES
from skinlib.workflow import reference


class Known(Published):
    """What a published profile knows of the paper without an image."""

    paper = paper.PAPER

    @functools.cached_property
    def members(self):
        return arms.members(self.runs)

    @functools.cached_property
    def weights(self):
        return fusion_of.weights(self.members)

    @functools.cached_property
    def best(self):
        return fusion_of.best_member(self.members)

    @functools.cached_property
    def fused(self):
        found = fusion_of.fused(self.members, self.weights)
        if self.head.tta != "none":
            like = found[fusion_of.WEIGHTED]
            found[fusion_of.SAME_VIEWS] = fusion_of.same_views(self.kept("weighted_views"), like)
        return found

    @functools.cached_property
    def heads(self):
        return arms.heads(self.runs, self.kept("melanoma_val"))

    @property
    def proposed(self):
        return self.heads["proposed"]

    @functools.cached_property
    def switched(self):
        names = {name.removeprefix("switch/"): name for name in arms.there(self.runs, "switch/")}
        return {
            name: arms.row(self.runs, key)
            for name, key in names.items()
            if SWITCHES[name].get("label_space") != "malignancy"
        }

    @property
    def head(self):
        return self.proposed.runs[0].config

    @property
    def member(self):
        return next(iter(self.members.values())).runs[0].config

    @property
    def where(self):
        return {"dataset": self.member.dataset, "split": self.member.split}


@functools.cache
def members_vs_fusion(known):
    rows = known.members | known.fused | known.heads
    if known.switched:
        rows["attention"] = arms.paired(known.proposed, next(iter(known.switched.values())))[0]
    return paper.members_vs_fusion(rows | known.switched, known.best, **BOOT)


def per_class(known):
    two = {"proposed": known.proposed, known.best: known.members[known.best]}
    return pd.concat([paper.per_class(name, one, **BOOT) for name, one in two.items()])


@functools.cache
def throughput(known):
    return speed_of.throughput(known.kept("throughput"), dataset=known.member.dataset)


def claims(known):
    judge = known.fused["mean"]
    off = known.heads.get(arms.alone_on(known.best), known.members[known.best])
    hard = [claims_of.false_positives(known.proposed, off, judge, **BOOT)]
    if "no_metadata" in known.switched:
        hard.append(claims_of.borderline(known.proposed, known.switched["no_metadata"], judge, **BOOT))
    special = pd.concat([claims_of.judged(*hard), claims_of.followed(known.kept("branch_b"), **BOOT)])
    tables = members_vs_fusion(known), special, throughput(known)
    return claims_of.claims(*tables, cohort=known.kept("cohort"))


def abcd_validation(known):
    cells = []
    if (known.folder / paper.PAPER / reference.EVIDENCE / "abcd_truth.csv.bz2").is_file():
        cells.append(checks.truth_table(known.kept("abcd_truth"), dataset=known.member.dataset))
    cells.append(checks.resolution_table(known.kept("abcd_sizes"), dataset=known.member.dataset))
    return pd.concat(cells)


EXHIBITS = {
    "settings": lambda known: paper.settings(known.member, known.head),
    "weights": lambda known: fusion_of.weight_table(known.weights, known.members),
    "errors": lambda known: fusion_of.errors(known.members),
    "members_vs_fusion": members_vs_fusion,
    "per_class": per_class,
    "confusion": lambda known: paper.confusion({known.best: known.members[known.best], "proposed": known.proposed}),
    "gradcam": lambda known: shown.gradcam(known.kept("gradcam"), **known.where, **BOOT),
    "throughput": throughput,
    "claims": claims,
    "switches": lambda known: ablation.switch_table(ablation.switches(known.runs), **BOOT),
    "modularity": lambda known: ablation.modularity(known.runs, **BOOT),
    "same_time": lambda known: ablation.same_time(known.runs, **BOOT),
    "leakage": lambda known: ablation.leakage(ablation.leaked(known.runs), **BOOT),
    "sources": lambda known: ablation.left_out(ablation.sources(known.runs), known.kept("sources"), **BOOT),
    "shap_metadata": lambda known: shap_table(known.kept("shap"), **known.where, **BOOT),
    "abcd_measures": lambda known: checks.measures_table(known.kept("abcd"), dataset=known.member.dataset),
    "abcd_validation": abcd_validation,
    "abcd_attributes": lambda known: checks.marked_table(known.kept("abcd_marked"), dataset="isic2018_task12", **BOOT),
}
