"""How the exhibits of the multi-task paper are computed again from their evidence."""

import functools

import pandas as pd
from known import BOOT, Published

from skinlib.papers.joint_reverse_mtl import arms, external, shown
from skinlib.papers.joint_reverse_mtl import figures as pictures
from skinlib.papers.joint_reverse_mtl import models as models_of
from skinlib.papers.joint_reverse_mtl import tables as paper
from skinlib.papers.joint_reverse_mtl.gates import gates
from skinlib.papers.joint_reverse_mtl.plan import VIEWS

EMPTY = pd.DataFrame(columns=["row", "metric", "ours"])


class Known(Published):
    """What a published profile knows of the paper without an image."""

    paper = paper.PAPER

    @functools.cached_property
    def rows(self):
        return arms.ladder(self.runs)

    @functools.cached_property
    def config(self):
        return self.runs["mtl3/seed0"].config

    @property
    def benign(self):
        return arms.always_benign(self.rows["cls"].diagnosis, self.config)

    @functools.cached_property
    def abroad(self):
        """The networks on the external set; {} where it was not at hand."""
        try:
            tables = [self.kept(f"external_{kind}") for kind in ("diagnoses", "outlines")]
        except FileNotFoundError:
            return {}
        return external.external_rows(*tables, self.config)


@functools.cache
def table3(known):
    return models_of.table3(known.rows, known.benign, arms.before(known.rows), **BOOT)


@functools.cache
def table4(known):
    if not known.abroad:
        return EMPTY
    return models_of.table4(known.abroad, arms.always_benign(known.abroad["cls"].diagnosis, known.config), **BOOT)


def table2(known):
    outside = pictures.first_seed(known.abroad["cls"].diagnosis.table) if known.abroad else None
    return paper.table2(known.kept("cohort"), {kind: VIEWS[kind] for kind in ("benign", "malignant")}, outside)


def gallery(rows, names, **where):
    return pictures.cases_table(pictures.cases(rows[names[0]]), *(rows[name] for name in names), **where)


def fig6(known):
    rows = chosen(known, "seg")
    rows |= {f"{name}, PH2": known.abroad[name] for name in ("seg", "proposed") if known.abroad}
    return paper.good_share(rows, **BOOT)


def cost(known):
    return paper.cost(known.rows, known.kept("timings"))


def fig5(known):
    where = {"dataset": known.config.dataset, "split": known.config.split}
    return gallery(known.rows, (arms.last(known.rows), "seg", "cls"), **where)


def mtl4_leakage(known):
    added = known.kept("added")
    counts = added["row"].value_counts().to_dict()
    return shown.mtl4_leakage(arms.data_arms(known.runs), counts, arms.leaked(known.runs, added), known.benign, **BOOT)


def dominance(known):
    watched = [name for name in ("mtl0", "mtl1", "mtl2", "mtl3") if name in known.rows]
    return shown.dominance(shown.gradients(known.runs, watched), dataset=known.config.dataset)


def corner_shortcut(known):
    networks, where = arms.fillings(known.runs), {"dataset": known.config.dataset}
    return shown.corner_shortcut(known.kept("corners"), networks, known.benign, **where, **BOOT)


def against_single(known):
    return models_of.controls(arms.against_single(known.rows), known.benign, **BOOT)


def chosen(known, *names):
    return {name: known.rows[name] for name in (*names, arms.last(known.rows))}


def table5(known):
    rows = {"Proposed MTL": known.rows[arms.last(known.rows)], "ResNet50 [70]": known.rows["cls"]}
    return paper.table5(rows, known.benign, **BOOT)


EXHIBITS = {
    "settings": lambda known: paper.settings(known.config),
    "table1": lambda known: paper.table1(chosen(known, "cls", "seg"), known.benign, **BOOT),
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "claims": lambda known: paper.claims(table3(known), table4(known), cost(known), fig6(known)),
    "cost": cost,
    "fig5": fig5,
    "fig6": fig6,
    "fig7": lambda known: gallery(known.abroad, ("proposed", "seg", "cls"), dataset="ph2", split="external"),
    "controls": lambda known: models_of.controls(arms.controls(known.runs), known.benign, **BOOT),
    "against_single": against_single,
    "gates": lambda known: gates(known.kept("gates"), **BOOT),
    "dominance": dominance,
    "lambda_sweep": lambda known: shown.lambda_sweep(shown.sweep_rows(known.runs), known.benign, **BOOT),
    "mtl4_leakage": mtl4_leakage,
    "corner_shortcut": corner_shortcut,
    "longer": lambda known: models_of.longer(arms.longer(known.runs), **BOOT),
}
