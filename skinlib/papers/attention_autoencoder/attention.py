"""Where the attention maps lie (`attention_maps`): beside Grad-CAM++ and maps that have seen nothing, and a gallery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_over
from skinlib.evaluation.segmentation import image_mean
from skinlib.evaluation.statistics import bootstrap_ci, paired_bootstrap
from skinlib.exhibits.estimates import cell, groups, judge, origin
from skinlib.papers.attention_autoencoder.arms import for_each_seed
from skinlib.papers.attention_autoencoder.maps import ATTENTION, CAM, KEY, SHOWN

COMPARED = ("energy", "pointing", "band")
# Maps that have seen nothing (the last: nothing but the mask) -> the ending of their columns.
BLIND = {"flat map": "_flat", "centred blob": "_centre", "random blob": "_random", "mask on the map's grid": "_grid"}
LEAST = 10  # images behind an interval


def named(row: str, kind: str) -> str:
    """Return the row of the exhibit: a network's attention bears the network's name."""
    return row if kind == ATTENTION else f"{kind} of {row}"


def attention_maps(maps: pd.DataFrame, blind: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Average the measures of every map and guess, and compare each attention map with each of the others.

    Means over seeds; intervals draw lesions and seeds. Constant maps are counted and left out.

    Parameters
    ----------
    maps
        A row an image, network, seed and kind: image_id, row, kind, seed, and the columns of `measured_runs`.
    blind
        As `blind_maps` returns it.
    """
    boot, cells, tables = {"n": n_boot, "seed": seed}, [], {}
    seeds = maps["seed"].unique()
    for (row, kind), rows in maps.groupby(["row", "kind"], sort=False):
        table = rows.merge(blind[KEY], on="image_id", validate="many_to_one").reset_index(drop=True)
        constant = float(table["constant"].astype(bool).groupby(table["seed"]).sum().mean())
        cells.append(cell(named(row, kind), "constant", constant, note="images; mean over seeds", **origin(table)))
        tables[named(row, kind)] = table
        cells += _means(named(row, kind), table, (*SHOWN, *(["range"] if kind == ATTENTION else [])), boot)
    for word, ending in BLIND.items():
        one = blind.rename(columns={f"{name}{ending}": name for name in SHOWN if f"{name}{ending}" in blind})
        tables[word] = for_each_seed(one[[*KEY, *(name for name in SHOWN if name in one)]], seeds)
        cells += _means(word, tables[word], [name for name in SHOWN if name in one], boot)
    attending = maps.loc[maps["kind"] == ATTENTION, "row"].unique()
    return pd.DataFrame(cells + judge(_differences(tables, attending, boot), suffix="_diff"))


def _mean(name: str, table: pd.DataFrame) -> Metric:
    return mean_over(image_mean(name), "seed") if table["seed"].nunique() > 1 else image_mean(name)


def _means(row: str, table: pd.DataFrame, names: Iterable[str], boot: Mapping) -> list[dict]:
    cells = []
    for name in names:
        known = table[table[name].notna()].reset_index(drop=True)
        if known["image_id"].nunique() < LEAST:
            note = f"{known['image_id'].nunique()} images with a map that is not constant: no interval"
            cells.append(cell(row, name, known[name].mean(), note=note, **origin(table)))
            continue
        value, low, high = bootstrap_ci(_mean(name, known), known, groups=groups(known), **boot)
        cells.append(cell(row, name, value, low=low, high=high, **origin(known)))
    return cells


def _differences(tables: Mapping[str, pd.DataFrame], attending: Iterable[str], boot: Mapping) -> list[dict]:
    """Return each attention map less each map of the same network or of none, on the images where both are known."""
    cells = []
    for row in attending:
        others = [named(row, CAM), *BLIND]
        for other in others:
            for name in COMPARED:
                if name in tables[other]:
                    cells.append(_difference(f"{row} - {other}", name, tables[row], tables[other], boot))
    return cells


def _difference(row: str, name: str, after: pd.DataFrame, before: pd.DataFrame, boot: Mapping) -> dict:
    ids = ["image_id", "seed"]
    known = after.loc[after[name].notna(), ids].merge(before.loc[before[name].notna(), ids], on=ids)
    a, b = (known.merge(table, on=ids, validate="one_to_one") for table in (after, before))
    try:
        if known["image_id"].nunique() < LEAST:
            raise UndefinedMetricError(f"{known['image_id'].nunique()} images have both maps")
        value, low, high, p = paired_bootstrap(_mean(name, a), a, b, groups=groups(a), **boot)
    except UndefinedMetricError as error:
        return cell(row, f"{name}_diff", np.nan, note=f"not defined: {error}", **origin(after)) | {"p": np.nan}
    return cell(row, f"{name}_diff", value, low=low, high=high, **origin(a)) | {"p": p}


def cases(predictions: pd.DataFrame, maps: pd.DataFrame, target: str) -> pd.DataFrame:
    """Choose the images of a gallery by rule: of the class ``target`` found (TP) and missed (FN), the best, the median
    and the worst by the attention's energy in the lesion; ties by id.

    Parameters
    ----------
    predictions
        Of one network, each image once.
    maps
        Of the same network's attention: image_id and energy.

    Returns
    -------
    DataFrame
        outcome, place, image_id, energy; fewer than six rows where an outcome has fewer than three images.
    """
    scores = [name for name in predictions if name.startswith("p_")]
    index = scores.index(f"p_{target}")
    table = predictions.merge(maps[["image_id", "energy"]].dropna(), on="image_id")
    table = table[table["label"] == index].sort_values(["energy", "image_id"], kind="stable")
    found = table[scores].to_numpy().argmax(1) == index
    rows = []
    for outcome, kept in (("TP", table[found]), ("FN", table[~found])):
        places = {"best": len(kept) - 1, "median": len(kept) // 2, "worst": 0}
        chosen = {places[word]: word for word in ("worst", "median", "best") if len(kept)}  # each image once
        for at in sorted(chosen, reverse=True):
            rows.append((outcome, chosen[at], *kept.iloc[at][["image_id", "energy"]]))
    return pd.DataFrame(rows, columns=["outcome", "place", "image_id", "energy"])


def cases_table(chosen: pd.DataFrame, *, dataset: str, split: str) -> pd.DataFrame:
    """Return the cases of `cases` as cells of the exhibit."""
    return pd.DataFrame(
        [
            cell(f"{one.outcome}, {one.place}", "energy", one.energy, n=1, dataset=dataset, split=split,
                 note=f"image {one.image_id}")
            for one in chosen.itertuples()
        ]
    )  # fmt: skip
