"""Exhibits of Thwin and Park, as functions of stored tables: no image, no model.

Each returns a long frame (row, metric, ours, low, high, n, dataset, split, note) for `tables.exhibit` of this room.
Rows and metrics are named as in data/published/attention_autoencoder, so that the join finds them: a class by the
paper's name, whatever stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.exhibits.arms import machine
from skinlib.exhibits.estimates import cell, ends, judge, origin
from skinlib.exhibits.multiclass import compare, measure
from skinlib.exhibits.published import published
from skinlib.models.pyramid import AttentionMap
from skinlib.papers.attention_autoencoder.arms import MAJORITY, STEPS, codes, matrix, with_seeds
from skinlib.papers.attention_autoencoder.model import LATENT
from skinlib.training.runs import Run

PAPER = "attention_autoencoder"
WHOLE = ("accuracy", "macro_f1", "macro_precision", "macro_recall", "macro_auc")
OF_CLASS = ("precision", "recall", "f1")
COMPARED = ("accuracy", "macro_f1", "macro_recall")
DIFF = "_diff"
QUOTED = "quoted, not run here: other data, other protocol"
INSIDE, ABOVE, BELOW = "inside our interval", "above our interval", "below our interval"


def settings(config: RunConfig, cohort: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Our settings and data beside the printed ones.

    Parameters
    ----------
    cohort
        As `attention_autoencoder_arms.counts` returns it.
    seeds
        Networks trained of each variant.
    """
    of = codes(config)
    sizes = cohort["diagnosis"].value_counts()
    values = {("image", "height"): config.image_size[0], ("image", "width"): config.image_size[1]}
    values |= {("pixels", "lowest"): 0, ("pixels", "highest"): 1}
    values |= {("data", "scc"): int(sizes.get(of["scc"], 0)) if of["scc"].lower() == "scc" else 0}
    values |= {("data", "images"): len(cohort), ("data", "balance"): sizes.min() / sizes.max()}
    values |= {("data", "masks"): int(cohort["has_mask"].sum()), ("data", "test_share"): config.test_share}
    values |= {("augmentation", "rotation"): config.augment.rotation}
    values |= {("model", "attention_kernel"): AttentionMap().conv.kernel_size[0]}
    values |= {("model", "latent_channels"): config.options.get("latent", LATENT)}
    drawn = config.losses.get("dice", 0) + config.losses.get("mask_cross_entropy", 0)
    values |= {("loss", "mask"): drawn, ("loss", "reconstruction"): config.losses.get("reconstruction", 0)}
    names = {"learning_rate": "lr", "batch_size": "batch_size", "epochs": "epochs"}
    values |= {("training", name): getattr(config, field) for name, field in names.items()} | {
        ("training", "seeds"): seeds
    }
    notes = {
        "scc": f"images of SCC itself; {of['scc'].upper()} is the second class",
        "balance": "images of the rarest class over those of the most frequent",
        "masks": "images with a lesion mask",
        "learning_rate": f"of the new layers; the backbone's is {config.lr_early:g} times that",
        "rotation": "degrees to either side",
    }
    about = {"dataset": config.dataset, "split": config.split}
    return pd.DataFrame([cell(*key, float(v), note=notes.get(key[1], ""), **about) for key, v in values.items()])


def data(cohort: pd.DataFrame, config: RunConfig) -> pd.DataFrame:
    """Count the images of each class in each part, and the lesions that they show."""
    about = {"dataset": config.dataset, "split": config.split}
    parts = {name: cohort[cohort["part"] == name] for name in ("train", "val", "test")} | {"all": cohort}
    cells = []
    for part, rows in parts.items():
        for name, code in codes(config).items():
            note = "" if name == code.lower() else f"{code.upper()} stands in"
            cells.append(cell(part, name, float((rows["diagnosis"] == code).sum()), note=note, **about))
        cells.append(cell(part, "n", float(len(rows)), **about))
        cells.append(cell(part, "lesions", float(rows["lesion_id"].nunique()), **about))
    return pd.DataFrame(cells)


def fig2(
    tables: Mapping[str, pd.DataFrame], majority: pd.DataFrame, of: Mapping[str, str], *, n_boot: int = 2000, seed=0
) -> pd.DataFrame:
    """Compare the variants (Fig. 2), and each step with what it is a step from, with verdicts by rule.

    Parameters
    ----------
    tables, majority
        As `attention_autoencoder_arms.ladder` and ``majority`` return them.
    of
        The paper's name of a class -> its code.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    by_class = {f"{metric}_of_{code}": f"{metric}_{name}" for name, code in of.items() for metric in OF_CLASS}
    stands = {f"_{name}": f"{code.upper()} stands in" for name, code in of.items() if name != code.lower()}
    cells = []
    for row, table in (tables | {MAJORITY: majority}).items():
        for one in measure(row, table, (*WHOLE, *by_class), **boot):
            metric = by_class.get(one["metric"], one["metric"])
            said = [words for ending, words in stands.items() if metric.endswith(ending)]
            cells.append(one | {"metric": metric, "note": "; ".join(filter(None, [one["note"], *said]))})
    return pd.DataFrame(cells + steps(tables, STEPS, **boot))


def steps(
    tables: Mapping[str, pd.DataFrame],
    pairs: Sequence[tuple[str, str]],
    *,
    metrics: Sequence[str] = COMPARED,
    n_boot: int = 2000,
    seed: int = 0,
) -> list[dict]:
    """Return the paired differences ``<after> - <before>`` on the seeds that both have, Holm-adjusted over the pairs.

    Each metric is a family of its own; a pair of which one is not there is left out.
    """
    cells = []
    for after, before in pairs:
        if after in tables and before in tables:
            both = {*tables[after]["seed"]} & {*tables[before]["seed"]}
            a, b = (with_seeds(tables[name], both) for name in (after, before))
            cells += compare(f"{after} - {before}", a, b, metrics, n_boot=n_boot, seed=seed)
    return judge(cells, suffix=DIFF)


def of_that_size(frame: pd.DataFrame) -> pd.DataFrame:
    """Say by rule whether an effect as large as the published one lies in our interval.

    Parameters
    ----------
    frame
        The exhibit fig2, with its published column.

    Returns
    -------
    DataFrame
        row, metric, ours, low, high, published, and published_is: inside, above or below our interval.
    """
    known = frame["metric"].str.endswith(DIFF) & frame["published"].notna() & frame["low"].notna()
    found = frame.loc[known, ["row", "metric", "ours", "low", "high", "published"]].reset_index(drop=True)
    sides = [found["published"] > found["high"], found["published"] < found["low"]]
    return found.assign(published_is=np.select(sides, [ABOVE, BELOW], INSIDE))


def confusion(tables: Mapping[str, pd.DataFrame], of: Mapping[str, str]) -> pd.DataFrame:
    """Count what each true class was called, summed over seeds: rows ``proposed, true mel``, metrics ``called_bcc``."""
    cells = []
    for row, table in tables.items():
        note = f"sum over {table['seed'].nunique()} seed(s)"
        for true, counted in zip(of, matrix(table), strict=True):
            for called, n in zip(of, counted, strict=True):
                about = origin(table) | {"note": note}
                cells.append(cell(f"{row}, true {true}", f"called_{called}", float(n), **about))
    return pd.DataFrame(cells)


def fig3(compared: pd.DataFrame) -> pd.DataFrame:
    """Put ours beside the accuracies that the paper quotes (Fig. 3); the literature's rows stay quoted.

    Parameters
    ----------
    compared
        Our cells of fig2.
    """
    kept = compared[compared["row"].isin(["baseline", "proposed"]) & compared["metric"].isin(["accuracy", "macro_f1"])]
    ours = set(zip(kept["row"], kept["metric"], strict=True))
    theirs = published(PAPER, "fig3")[["row", "metric"]].itertuples(index=False)
    quoted = [cell(*key, np.nan, note=QUOTED) for key in theirs if tuple(key) not in ours]
    return pd.concat([kept, pd.DataFrame(quoted)], ignore_index=True)


def rank(accuracy: float) -> int:
    """Return the place of an accuracy among those that the paper cites, 1 the best."""
    theirs = published(PAPER, "fig3")
    cited = theirs[(theirs["metric"] == "accuracy") & (theirs["row"] != "proposed")]["published"]
    return int(1 + (cited > accuracy).sum())


def claims(compared: pd.DataFrame, outlined: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """Put our numbers beside the sentences that claim something.

    Parameters
    ----------
    compared, outlined
        Our cells of fig2 and of `attention_autoencoder_masks.segmentation`; the second may be empty.
    runs
        The seeds of the proposed network.
    """
    wanted = published(PAPER, "claims")[["row", "metric"]]
    cells = wanted.merge(compared, on=["row", "metric"]).to_dict("records")
    known = compared.set_index(["row", "metric"]).loc[("proposed", "accuracy")]
    about = {key: known[key] for key in ("n", "dataset", "split")}
    theirs = published(PAPER, "fig2").set_index(["row", "metric"])["published"]["proposed", "accuracy"]
    note = f"of our accuracy among those cited, of other data: it orders nothing; the paper's own is {rank(theirs)}."
    cells.append(cell("proposed", "rank_among_cited", float(rank(known["ours"])), note=note, **about))
    if len(found := outlined[(outlined["row"] == "proposed") & (outlined["metric"] == "dice")]):
        cells.append(found.iloc[0].to_dict() | {"row": "segmentation"})
    speed = [about["n"] / run.metrics["predict_test_seconds"] for run in runs]
    about |= {"note": f"range over {len(speed)} seed(s); {machine(runs[0])}"} | ends(speed)
    cells.append(cell("inference", "images_per_second", float(np.mean(speed)), **about))
    return pd.DataFrame(cells)


def cost(groups: Mapping[str, Sequence[Run]], table: pd.DataFrame) -> pd.DataFrame:
    """Say what each variant costs: parameters, seconds an epoch, seconds for the test part; ranges over seeds."""
    cells = []
    for name, runs in groups.items():
        about = origin(table) | {"note": machine(runs[0])}
        cells.append(cell(name, "parameters", float(runs[0].metrics["parameters"]), **about))
        seconds = {"train_seconds": [run.metrics["train_seconds"] / run.metrics["epochs"] for run in runs]}
        seconds["predict_seconds"] = [run.metrics["predict_test_seconds"] for run in runs]
        for metric, each in seconds.items():
            cells.append(cell(name, metric, float(np.mean(each)), **about | ends(each)))
    return pd.DataFrame(cells)
