"""How the exhibits of the attention autoencoder's paper are computed again from their evidence."""

import functools

import pandas as pd
from known import BOOT, Published

from skinlib.exhibits.arms import by_seed
from skinlib.papers.attention_autoencoder import arms, external, side
from skinlib.papers.attention_autoencoder import attention as looks
from skinlib.papers.attention_autoencoder import masks as outlines
from skinlib.papers.attention_autoencoder import tables as paper


class Known(Published):
    """What a published profile knows of the paper without an image."""

    paper = paper.PAPER

    @functools.cached_property
    def tables(self):
        return arms.ladder(self.runs)

    @functools.cached_property
    def outlined(self):
        return arms.outlining(self.runs)

    @functools.cached_property
    def config(self):
        return self.runs["proposed/seed0"].config

    @property
    def groups(self):
        return {name: by_seed(self.runs, name) for name in self.tables}

    def kept(self, name, otherwise=None):
        """A table of one row an image; ``otherwise`` where the notebook had nothing to keep."""
        try:
            return super().kept(name)
        except FileNotFoundError:
            if otherwise is None:
                raise
            return otherwise


@functools.cache
def fig2(known):
    return paper.fig2(known.tables, arms.majority(known.runs), arms.codes(known.config), **BOOT)


@functools.cache
def scored(known):
    average = known.kept("average_outline") if known.outlined else None
    return outlines.segmentation(known.outlined, average, **BOOT)


def segmentation(known):
    if "proposed" not in known.outlined:
        return scored(known)
    cases = outlines.cases_table(outlines.touched_cases(known.outlined["proposed"]), **known.where)
    return pd.concat([scored(known), cases])


def attention_maps(known):
    maps = known.kept("maps", pd.DataFrame())
    if maps.empty:
        return pd.DataFrame(columns=["row", "metric", "ours"])
    first = maps[(maps["row"] == "proposed") & (maps["kind"] == "attention") & (maps["seed"] == maps["seed"].min())]
    cases = looks.cases(arms.first_seed(known.tables["proposed"]), first, arms.codes(known.config)["mel"])
    table = looks.attention_maps(maps, known.kept("blind_maps"), **BOOT)
    return pd.concat([table, looks.cases_table(cases, **known.where)])


def small_and_noisy(known):
    pair = {name: known.tables[name] for name in ("baseline", "proposed") if name in known.tables}
    raw = {name: stages["raw"] for name, stages in arms.outlining(known.runs, pair).items()}
    hard, poorer = side.strata(known.kept("difficulty")), known.kept("corrupted")
    return side.small_and_noisy(pair, hard, poorer, raw, known.kept("corrupted_outlines"), **BOOT)


EXHIBITS = {
    "settings": lambda known: paper.settings(known.config, known.kept("cohort"), len(known.groups["proposed"])),
    "data": lambda known: paper.data(known.kept("cohort"), known.config),
    "fig2": fig2,
    "fig3": lambda known: paper.fig3(fig2(known)),
    "confusion": lambda known: paper.confusion(known.tables, arms.codes(known.config)),
    "segmentation": segmentation,
    "attention_maps": attention_maps,
    "cost": lambda known: paper.cost(known.groups, known.tables["baseline"]),
    "claims": lambda known: paper.claims(fig2(known), scored(known), known.groups["proposed"]),
    "seeds": lambda known: side.seeds(known.runs),
    "fusion_choices": lambda known: side.fusion_choices(known.runs, **BOOT),
    "transfer": lambda known: side.transfer(known.runs, **BOOT),
    "small_and_noisy": small_and_noisy,
    "external": lambda known: external.external(known.kept("external"), known.config, **BOOT),
}
