"""How the exhibits of the metadata paper are computed again from their evidence."""

import functools

from known import BOOT, Published

from skinlib.papers.metadata_sr import ablation as parts_of
from skinlib.papers.metadata_sr import arms, data, shown
from skinlib.papers.metadata_sr import claims as sentences
from skinlib.papers.metadata_sr import tables as paper
from skinlib.papers.metadata_sr.plan import DEFAULT


class Known(Published):
    """What a published profile knows of the paper without an image."""

    paper = arms.PAPER

    @functools.cached_property
    def tested(self):
        return arms.tested(self.runs)

    @property
    def phi(self):
        return arms.backbones(self.tested)[0]

    @functools.cached_property
    def config(self):
        return next(run.config for name, run in self.runs.items() if arms.method(arms.stem(name)) == "proposed")

    @functools.cached_property
    def probes(self):
        return data.probes_by_row(self.kept("probes"))

    @property
    def alone(self):
        return {arms.ALONE[name]: table for name, table in self.tested.items() if name in arms.ALONE}

    @property
    def best(self):
        return self.tested[f"proposed/{self.phi}/{DEFAULT}"]


def table1(known):
    forests = {f"Probe: {row}": table for row, table in known.probes.items() if "logistic" not in row}
    return paper.table1(known.tested, forests, **BOOT)


def fig4(known):
    rows = {arms.WORDS[name]: f"{name}/{known.phi}/{DEFAULT}" for name in ("proposed", "image")}
    curves = {word: known.tested[name] for word, name in rows.items() if name in known.tested}
    curves |= {word.partition(",")[0]: known.alone[word] for word in [arms.ALONE[f"metadata/{DEFAULT}"]]}
    return paper.fig4(curves, **BOOT)


def cost(known):
    rows = {"without the task": "without", "proposed": "proposed", "no metadata": "image"}
    rows = {row: f"{name}/{known.phi}/{DEFAULT}" for row, name in rows.items()}
    return paper.cost(known.runs, {row: name for row, name in rows.items() if name in known.tested})


EXHIBITS = {
    "settings": lambda known: paper.settings(known.kept("cohort"), known.config),
    "table1": table1,
    "table2": lambda known: paper.table2(known.best, **BOOT),
    "table3": lambda known: parts_of.table3(known.tested, **BOOT),
    "fig1": lambda known: data.fig1(known.kept("neighbours"), dataset=known.config.dataset),
    "fig3": lambda known: paper.fig3(known.best),
    "fig4": fig4,
    "claims": lambda known: sentences.claims(known.tested, known.kept("latency"), **BOOT),
    "cost": cost,
    "imputation": lambda known: data.imputation(known.kept("imputation")),
    "probes": lambda known: data.probes(known.probes, known.alone, **BOOT),
    "ablation": lambda known: parts_of.ablation(known.tested, **BOOT),
    "protocols": lambda known: parts_of.protocols(known.tested, known.kept("mates"), **BOOT),
    "leakage": lambda known: parts_of.leakage(known.tested, **BOOT),
    "superresolution": lambda known: shown.superresolution(known.kept("redrawn"), **BOOT),
}
