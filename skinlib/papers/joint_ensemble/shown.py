"""What of the ensemble paper needs pixels or weights: the members' views, branch B, and heat maps.

Each function returns a small table that the notebooks keep as evidence; the exhibits are made from it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch

from skinlib.evaluation.fusion import Weights, weighted_mean
from skinlib.evaluation.resampled import mean_of
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.evaluation.tables import clusters
from skinlib.exhibits.arms import rounded
from skinlib.exhibits.estimates import cell
from skinlib.explain.localisation import BAND, localisation_table
from skinlib.explain.run_maps import class_maps
from skinlib.images import abcd
from skinlib.images.cache import Cache
from skinlib.papers.joint_ensemble import model as model_of
from skinlib.papers.joint_ensemble.arms import MELANOMA, Row
from skinlib.papers.joint_ensemble.plan import DECIMALS
from skinlib.provenance import generator
from skinlib.training import features
from skinlib.training.predict import batches_of
from skinlib.training.runs import Run

KEYS = ["image_id", "lesion_id", "patient_id"]


@torch.inference_mode()
def weighted_views(members: Mapping[str, Row], weights: Weights, cohort: pd.DataFrame, *, tta: str) -> pd.DataFrame:
    """Return the members' weighted mean over the views that the fused head sees: a test table of every fold.

    A member's head is linear on its pooled features, and those of every view lie in the cache, so no image is read.

    Parameters
    ----------
    cohort
        The whole cohort, as the members' runs saw it.
    """
    place = pd.Series(np.arange(len(cohort)), index=cohort["image_id"])
    tables = {}
    for name, one in members.items():
        parts = []
        for run in one.runs:
            table = one.test[one.test["fold"] == run.config.fold]
            seen = features.pooled(run, cohort, tta=tta)[place[table["image_id"]]]  # (n, V, C)
            p = run.model().head(torch.from_numpy(seen).float()).softmax(-1).mean(1).numpy()
            scores = [column for column in table if column.startswith("p_")]
            parts.append(table.assign(**{column: p[:, k] for k, column in enumerate(scores)}))
        tables[name] = pd.concat(parts, ignore_index=True)
    return rounded(weighted_mean(tables, weights), DECIMALS)


@torch.inference_mode()
def branch_b(runs: tuple[Run, ...], cohort: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return what branch B predicts of test images beside what was measured on mask and image, and the melanoma score.

    Parameters
    ----------
    runs
        Of one head with attention, its folds and seeds; what they give is averaged.
    cohort
        The whole cohort, as the runs saw it: its features and measures lie on disk.
    scores
        Prediction tables of the test images, of all draws.

    Returns
    -------
    DataFrame
        image_id, lesion_id, patient_id, dataset, split; each measure, ``predicted_<measure>``, ``gate_<member>`` (how
        much attention gave it, 0 to 1), and ``p_melanoma``.
    """
    predicted, gates = [], []
    for run in runs:
        model, batches = run.model(), batches_of(run, cohort).epoch(0, torch.device("cpu"))
        seen = [model(None, one.get("meta"), features=one.get("features")) for one in batches]
        predicted.append(torch.cat([output["attributes"] for output in seen]).numpy())
        gates.append(torch.cat([output["attention"] for output in seen]).numpy())
    table = cohort[KEYS].reset_index(drop=True).assign(dataset=runs[0].config.dataset, split=runs[0].config.split)
    for k, name in enumerate(abcd.MEASURES):
        table[f"predicted_{name}"] = np.mean(predicted, axis=0)[:, k]
    for k, name in enumerate(model_of.members(runs[0].config)):
        table[f"gate_{name}"] = np.mean(gates, axis=0)[:, k]
    table[list(abcd.MEASURES)] = abcd.stored(cohort, runs[0].path.parents[1] / "cache")[list(abcd.MEASURES)].to_numpy()
    table["p_melanoma"] = table["image_id"].map(scores.groupby("image_id")[f"p_{MELANOMA}"].mean())
    return table[table["p_melanoma"].notna()].reset_index(drop=True)


def member_maps(runs: Mapping[str, Run], cohort: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield member, its Grad-CAM++ maps (N, H, W) of the class that it calls, and that class (N,)."""
    for name, run in runs.items():
        model, batches = run.model(), batches_of(run, cohort)
        with torch.inference_mode():
            seen = [model(batch["image"])["logits"].argmax(1) for batch in batches.epoch(0, torch.device("cpu"))]
        called = torch.cat(seen).numpy()
        yield name, np.stack(list(class_maps(model, batches, called))), called


def pixels(cohort: pd.DataFrame, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, H, W, 3) and masks (N, H, W), uint8, as a run's network sees them; no mask is an empty one."""
    config = run.config
    cache = Cache.build(cohort, config.image_size, root=run.path.parents[1] / "cache", colour=config.colour)
    images = np.asarray(cache.images)
    return images, np.zeros(images.shape[:3], np.uint8) if cache.masks is None else np.asarray(cache.masks)


def map_measures(
    maps: Mapping[str, np.ndarray], masks: np.ndarray, cohort: pd.DataFrame, *, seed: int = 0
) -> pd.DataFrame:
    """Measure each member's maps against the masks: a row a member and image, with energy, pointing, iou and band."""
    parts = []
    for k, (name, heat) in enumerate(maps.items()):
        top = heat.max((1, 2), keepdims=True)  # a map of one position, enlarged, varies in its last digits
        heat = np.round(np.divide(heat, top, out=np.zeros_like(heat), where=top > 0), 5)
        found = localisation_table(heat, masks, cohort["image_id"], rng=generator(seed, k), band=BAND)
        parts.append(cohort[KEYS].reset_index(drop=True).assign(member=name).join(found.drop(columns="image_id")))
    return pd.concat(parts, ignore_index=True)


def gradcam(kept: pd.DataFrame, *, dataset: str, split: str, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Say for each member how much of its maps lies in the lesion and at its border, beside a blob in the middle.

    Parameters
    ----------
    kept
        As `map_measures` returns it. Constant maps are counted and left out, as are images without a mask.
    """
    cells, where = [], {"dataset": dataset, "split": split}
    for name, rows in kept.groupby("member", sort=False):
        constant = rows["constant"].astype(bool)
        cells.append(cell(name, "constant_maps", float(constant.sum()), n=len(rows), **where))
        rows = rows[~constant & rows["energy"].notna()].reset_index(drop=True)
        for metric in ("energy", "pointing", "iou", "band"):
            for ending, values in (("", rows[metric]), ("_over_blob", rows[metric] - rows[f"{metric}_centre"])):
                if rows.empty:
                    cells.append(
                        cell(name, metric + ending, np.nan, n=0, note="no map of an image with a mask", **where)
                    )
                    continue
                boot = {"groups": clusters(rows), "n": n_boot, "seed": seed}
                value, low, high = bootstrap_ci(mean_of(metric, values), rows, **boot)
                cells.append(cell(name, metric + ending, value, low=low, high=high, n=len(rows), **where))
    return pd.DataFrame(cells)
