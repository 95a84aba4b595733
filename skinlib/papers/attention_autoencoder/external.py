"""Other sets that have the three classes: the networks' accuracy there, and what the stand-in for SCC does to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlib.data.cards import CARDS, class_names
from skinlib.data.readers_files import folders
from skinlib.exhibits.arms import Runs, by_seed, rounded
from skinlib.exhibits.estimates import judge
from skinlib.exhibits.multiclass import compare, measure
from skinlib.papers.attention_autoencoder.arms import codes
from skinlib.papers.attention_autoencoder.tables import WHOLE
from skinlib.training.elsewhere import predict_elsewhere

# Set -> a folder of its images. The first is the test part of the data that the paper names; the others have SCC.
SETS = {
    "isic2018_task3": "ISIC2018_Task3_Test_Input",
    "isic2019": "ISIC_2019_Training_Input",
    "pad_ufes_20": "images",
}


def sets_at_hand(root: str | Path, *, trained_on: str) -> tuple[list[str], list[str]]:
    """Return which sets lie under the data root, and a sentence for each that does not."""
    there, said = [], []
    for name, images in SETS.items():
        card = CARDS[name]
        if name == trained_on:
            said.append(f"{card.title}: the networks were trained on it")
        elif folders(Path(root) / card.folder, images):
            there.append(name)
        else:
            said.append(f"NOT RUN: {card.title} has no images under the data root ({card.folder}/{images})")
    return there, said


def external_tables(runs: Runs, names: list[str], wanted: tuple[str, ...], root: str | Path) -> pd.DataFrame:
    """Apply networks, every seed, to other sets: prediction tables in the networks' classes, with a column network.

    Images and lesions that the networks' own set shows too are left out.
    """
    found = [
        rounded(predict_elsewhere(run, name, root, allow_missing=True)).assign(network=network, dataset=name)
        for name in names
        for network in wanted
        for run in by_seed(runs, network)
    ]
    return pd.concat(found, ignore_index=True).drop(columns=["view", "part", "fold", "system"])


def external(tables: pd.DataFrame, config, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare networks on other sets: accuracy, macro metrics, and recall of each class under the paper's name.

    Parameters
    ----------
    tables
        As `external_tables` returns it; an empty frame gives an empty one.
    config
        Of one of the runs: whose classes the tables have.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    of = {f"recall_of_{code}": f"recall_{name}" for name, code in codes(config).items()}
    cells, changes = [], []
    for dataset, rows in tables.groupby("dataset", sort=False) if len(tables) else ():
        known = {name: one.reset_index(drop=True) for name, one in rows.groupby("network", sort=False)}
        theirs = dict(zip(of.values(), class_names(dataset, config.label_space), strict=True))
        for network, table in known.items():
            for one in measure(f"{network}, {dataset}", table, (*WHOLE, *of), **boot):
                metric = of.get(one["metric"], one["metric"])
                note = f"there {theirs[metric]}" if metric in theirs else ""
                cells.append(one | {"metric": metric, "note": "; ".join(filter(None, [one["note"], note]))})
        changes += _proposed_less_baseline(dataset, known, boot)
    return pd.DataFrame(cells + judge(changes, suffix="_diff"), columns=None if cells else ["row", "metric", "ours"])


def _proposed_less_baseline(dataset: str, known: Mapping[str, pd.DataFrame], boot: Mapping) -> list[dict]:
    if not {"proposed", "baseline"} <= set(known):
        return []
    row = f"{dataset}: proposed - baseline"
    return compare(row, known["proposed"], known["baseline"], ("accuracy", "macro_f1"), **boot)
