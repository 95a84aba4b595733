"""Exhibits of the metadata paper (Khurshid, Vatsa & Singh 2024), as functions of stored tables: no image, no model.

Each returns a long frame (row, metric, ours, low, high, n, dataset, split, note) for `tables.exhibit` of this room.
Rows and metrics are named as in data/published/metadata_sr, so that the join finds them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data import clinical
from skinlib.data.cards import class_names
from skinlib.evaluation.metrics import confusion
from skinlib.exhibits.arms import Runs, machine
from skinlib.exhibits.estimates import cell, ends, origin
from skinlib.images.colour import shades_of_gray
from skinlib.models.imputation import HIDDEN
from skinlib.models.superres import SCALE, WIDTHS
from skinlib.papers.metadata_sr.arms import ALONE, WORDS, Tables, backbones, changes, measured, members, named, scored
from skinlib.papers.metadata_sr.model import META
from skinlib.papers.metadata_sr.plan import DEFAULT, METHODS

OTHER_RECIPES = {  # prefix in the plan -> words in the row, note
    "own": ("its own", "Pacheco & Krohling 2021: SGD 0.001, plateau, early stop"),
    "plain": ("a plain", "ours: AdamW, one-cycle, slow backbone, no colour steps or class weights, no validation part"),
}
DESCRIBED = "from the description only: no text of the method could be had"
OF_A_CLASS = ("recall", "precision", "f1", "specificity")
TWICE = {"sensitivity": "the recall once more", "accuracy": "printed as CA; the recall once more"}


def settings(cohort: pd.DataFrame, config: RunConfig) -> pd.DataFrame:
    """Our settings beside the printed ones.

    Parameters
    ----------
    cohort
        A row an image of the whole table: ``diagnosis``, and ``at_hand``, 1 where its image is on disk.
    """
    here, (height, width) = cohort[cohort["at_hand"] == 1], config.image_size
    said = f"{len(here):,} images at hand of {len(cohort):,} rows of the table"
    values = {("data", "images"): (len(here), said), ("data", "clinical_features"): (len(clinical.questions()), "")}
    for name in class_names(config.dataset):
        values[f"data, {name}", "images"] = (int((here["diagnosis"] == name).sum()), "")
    rest = 1 - config.test_share
    values["data", "test_share"] = (config.test_share, f"by {config.split}")
    values["data", "validation_share"] = (rest / config.folds, f"one of {config.folds} folds of the rest")
    values["data", "train_share"] = (rest * (1 - 1 / config.folds), "")
    for name in ("image", "super-resolution"):
        times = SCALE if name != "image" else 1
        values |= {(name, "height"): (times * height, ""), (name, "width"): (times * width, "")}
    values["super-resolution", "convolutions"] = (len(WIDTHS), f"to {', '.join(map(str, WIDTHS))} channels: ours")
    values |= {("metadata", f"width_layer_{k}"): (size, "") for k, size in enumerate(META, start=1)}
    for name in clinical.ENCODINGS:
        values["metadata", f"columns_{name}"] = (len(clinical.columns(name)), "")
    values["classifier", "layers"] = (2, "")
    values["colour", "minkowski_p"] = (shades_of_gray.__defaults__[0], "")
    values["imputation", "network"] = (HIDDEN, "hidden units of a masked autoencoder: ours")
    weighed = "1: N / (K n_c)" if config.class_weights else "0: none"
    values["loss", "class_weights"] = (float(config.class_weights), weighed)
    values |= {
        ("loss", "alpha"): (config.losses["cross_entropy"], ""),
        ("loss", "beta"): (config.losses["superres"], ""),
    }
    fields = {"learning_rate": "lr"} | {
        name: name for name in ("momentum", "epochs", "batch_size", "schedule_step", "schedule_gamma")
    }
    values |= {("training", name): (getattr(config, field), "") for name, field in fields.items()}
    values["training", "selection"] = (1, "the epoch of least validation loss is tested")
    where = {"dataset": config.dataset, "split": config.split}
    return pd.DataFrame([cell(*key, float(value), note=note, **where) for key, (value, note) in values.items()])


def table1(tables: Tables, probes: Tables | None = None, **boot) -> pd.DataFrame:
    """Compare all methods on all backbones (Table 1), with what metadata alone reach, and paired differences.

    Parameters
    ----------
    tables
        As `metadata_sr_arms.tested` returns them.
    probes
        Row -> predictions of classifiers without a network.

    Returns
    -------
    DataFrame
        Rows as printed; ``<row> - <row>`` are paired differences of the proposed method and each other on one backbone,
        or of another recipe and the paper's. A row of another recipe is compared with the proposed method by that
        recipe, where it was trained so, else by the paper's.
    """
    rows, pairs = {}, {}
    for phi in backbones(tables):
        mine = {name: tables[key] for name in METHODS if (key := f"{name}/{phi}/{DEFAULT}") in tables}
        rows |= {named(WORDS[name], phi): (table, DESCRIBED * (name == "pundhir")) for name, table in mine.items()}
        pairs |= {
            f"Proposed - {named(WORDS[name], phi)}": (mine["proposed"], table)
            for name, table in mine.items()
            if name != "proposed" and "proposed" in mine
        }
        more, beside = _other_recipes(tables, mine, phi)
        rows, pairs = rows | more, pairs | beside
    rows |= {row: (tables[name], "") for name, row in ALONE.items() if name in tables}
    rows |= {name: (table, "random forest, no network") for name, table in (probes or {}).items()}
    cells = [one for row, (table, note) in rows.items() for one in measured(row, table, note=note, **boot)]
    return pd.DataFrame(cells + changes(pairs, **boot))


def _other_recipes(tables: Tables, mine: Tables, phi: str) -> tuple[dict, dict]:
    """Return rows (table, note) and pairs of one backbone, of the methods that were trained by another recipe too.

    ``mine`` holds the methods by the paper's recipe.
    """
    rows, pairs = {}, {}
    for recipe, (words, note) in OTHER_RECIPES.items():
        here = {name: tables[key] for name in METHODS if (key := f"{recipe}/{name}/{phi}/{DEFAULT}") in tables}
        first = f"Proposed by {words} recipe" if "proposed" in here else "Proposed"
        best = here.get("proposed", mine.get("proposed"))
        for name, table in here.items():
            row = named(f"{WORDS[name]} by {words} recipe", phi)
            rows[row] = (table, note)
            if name in mine:
                pairs[named(f"{WORDS[name]}, {words} recipe - the paper's", phi)] = (table, mine[name])
            if name != "proposed" and best is not None:
                pairs[f"{first} - {row}"] = (best, table)
    return rows, pairs


def table2(table: pd.DataFrame, **boot) -> pd.DataFrame:
    """Score each class (Table 2); sensitivity and "CA" are the recall, printed three times by the paper."""
    cells = []
    for name in class_names(table["dataset"].iloc[0]):
        found = scored(name, table, [f"{metric}_of_{name}" for metric in OF_A_CLASS], **boot)
        found = [one | {"metric": metric} for one, metric in zip(found, OF_A_CLASS, strict=True)]
        cells += found + [found[0] | {"metric": metric, "note": note} for metric, note in TWICE.items()]
    return pd.DataFrame(cells)


def fig3(table: pd.DataFrame) -> pd.DataFrame:
    """Count the calls of each class (Fig. 3), as means over the splits."""
    times, counts = table["seed"].nunique(), confusion(table)
    about, cells = origin(table), []
    for name, row in counts.iterrows():
        cells.append(cell(name, "n", row.sum() / times, note="test images; mean over splits", **about))
        cells += [cell(name, f"called_{called}", n / times, **about) for called, n in row.items()]
    return pd.DataFrame(cells)


def fig4(tables: Tables, **boot) -> pd.DataFrame:
    """Return the AUC of each class against the rest (Fig. 4); rows of other methods are ``<class>, <name>``.

    Parameters
    ----------
    tables
        Name -> predictions; the first is the proposed method.
    """
    cells = []
    for k, (name, table) in enumerate(tables.items()):
        for code in class_names(table["dataset"].iloc[0]):
            (found,) = scored(f"{code}, {name}" if k else code, table, [f"roc_auc_of_{code}"], **boot)
            cells.append(found | {"metric": "roc_auc"})
    return pd.DataFrame(cells)


def cost(runs: Runs, names: Mapping[str, str]) -> pd.DataFrame:
    """Say what the auxiliary task costs: parameters, seconds an epoch and for the test part, and their ratios.

    Parameters
    ----------
    names
        Row -> name in the plan without split and seed; the first is what the others are divided by.
    """
    cells, first = [], None
    for row, name in names.items():
        found = members(runs, name)
        metrics = [run.metrics for run in found]
        values = {
            "parameters": np.array([one["parameters"] for one in metrics], float),
            "train_seconds": np.array([one["train_seconds"] / one["epochs"] for one in metrics], float),
            "predict_seconds": np.array([one["predict_test_seconds"] for one in metrics], float),
        }
        about = {"dataset": found[0].config.dataset, "split": found[0].config.split, "note": machine(found[0])}
        for key, each in values.items():
            found_range = {} if key == "parameters" else ends(each)
            cells.append(cell(row, key, each.mean(), n=len(each), **about, **found_range))
        first = values if first is None else first
        if first is not values:
            said = about | {"note": f"over {next(iter(names))}; means over runs"}
            ratios = {f"{key}_ratio": each.mean() / first[key].mean() for key, each in values.items()}
            cells += [cell(row, key, value, **said) for key, value in ratios.items()]
    return pd.DataFrame(cells)
