"""Maps of trained networks, measured against lesion masks, and of maps that have seen nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from skinlib.explain.localisation import (
    BAND,
    MEASURES,
    border_band,
    energy_inside,
    iou_at_area,
    is_constant,
    localisation_table,
    pointing_game,
)
from skinlib.explain.run_maps import attention_maps, class_maps
from skinlib.images.batches import Batches
from skinlib.provenance import generator
from skinlib.training.predict import batches_of, keys
from skinlib.training.run import Run

MEASURED = (*MEASURES, "band")  # energy, pointing, iou in the mask; energy in the band at its border
SHOWN = (*MEASURED, "common")
ATTENTION, CAM = "attention", "Grad-CAM++"
KEY = ["image_id", "lesion_id", "patient_id", "dataset", "split"]


def grid_of(run: Run) -> tuple[int, int]:
    """Return the positions (h, w) that a network's attention map has, however finely it is drawn."""
    with torch.inference_mode():
        maps = run.model()(torch.zeros(1, 3, *run.config.image_size))["attention"]
    return tuple(maps.shape[-2:])


def on_grid(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return masks (N, H, W) as maps of h x w positions, each the share of lesion in it, enlarged to (N, H, W).

    No attention map of that many positions follows the lesion better by looking: what it scores is a ceiling in kind.
    """
    planes = torch.from_numpy(np.asarray(masks, np.float32))[:, None]
    return F.interpolate(F.adaptive_avg_pool2d(planes, grid), planes.shape[2:], mode="bilinear")[:, 0].numpy()


def maps_of(run: Run, batches: Batches) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the kinds of maps that a network has, with those of all images, (N, H, W): attention, Grad-CAM++."""
    model = run.model()
    if getattr(model, "attend", None) is not None:
        yield ATTENTION, np.stack(list(attention_maps(model, batches)))
    yield CAM, np.stack(list(class_maps(model, batches)))


def measured(maps: Iterable[np.ndarray], masks: np.ndarray, bands: np.ndarray) -> pd.DataFrame:
    """Measure maps (H, W) >= 0 against masks and bands (N, H, W) bool.

    Returns
    -------
    DataFrame
        constant; range, a map's largest less its smallest value; and `MEASURED`, missing of a constant map or an empty
        mask.
    """
    rows = [
        (is_constant(heat), np.ptp(heat), energy_inside(heat, mask), pointing_game(heat, mask), iou_at_area(heat, mask),
         energy_inside(heat, band))
        for heat, mask, band in zip(maps, masks, bands, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["constant", "range", *MEASURED])


def common(maps: np.ndarray) -> np.ndarray:
    """Return how alike each map (N, H, W) is to the mean of the others: their correlation over pixels.

    1 where all images get the same map, whatever is in them; missing of a constant map, and of a single one. Ours.
    """
    flat = np.asarray(maps, float).reshape(len(maps), -1)
    rest = (flat.sum(0) - flat) / max(len(flat) - 1, 1)
    own, rest = (each - each.mean(1, keepdims=True) for each in (flat, rest))
    size = np.sqrt((own**2).sum(1) * (rest**2).sum(1))
    return np.divide((own * rest).sum(1), size, out=np.full(len(flat), np.nan), where=size > 1e-12)


def measured_runs(
    networks: Mapping[str, Sequence[Run]], test: pd.DataFrame
) -> tuple[pd.DataFrame, dict[tuple[str, str], np.ndarray]]:
    """Measure the maps of several networks, all seeds, on test images that have masks.

    Parameters
    ----------
    networks
        Row -> its runs.

    Returns
    -------
    tuple
        row, kind, seed, image_id, the columns of `measured` and ``common``; and (row, kind) -> (N, H, W), the maps of
        each network's first run.
    """
    tables, kept = [], {}
    for row, runs in networks.items():
        for run in runs:
            batches = batches_of(run, test, masks=True)
            masks = batches.cache.masks[batches.rows] > 0
            bands = bands_of(masks)
            for kind, maps in maps_of(run, batches):
                key = {"row": row, "kind": kind, "seed": run.config.seed, "image_id": test["image_id"].to_numpy()}
                tables.append(pd.DataFrame(key).join(measured(maps, masks, bands)).assign(common=common(maps)))
                kept.setdefault((row, kind), maps)
    return pd.concat(tables, ignore_index=True), kept


def bands_of(masks: np.ndarray) -> np.ndarray:
    """Return the band at the border of each mask (N, H, W) bool."""
    return np.stack([border_band(mask) for mask in masks])


def blind_maps(run: Run, test: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Measure what a map scores without looking, and what the mask itself scores on the grid of an attention map.

    Parameters
    ----------
    run
        Of a network that attends: its image size and its grid.
    test
        Images that have masks.
    seed
        Of the random blobs.

    Returns
    -------
    DataFrame
        image_id, lesion_id, patient_id, dataset, split, and each measure with the endings of `BLIND`; a flat map has
        energy and band alone.
    """
    batches, grid = batches_of(run, test, masks=True), grid_of(run)
    masks = batches.cache.masks[batches.rows] > 0
    return blind_table(keys(test, run.config, part="test", split=run.config.split)[KEY], masks, grid, seed=seed)


def blind_table(key: pd.DataFrame, masks: np.ndarray, grid: tuple[int, int], *, seed: int = 0) -> pd.DataFrame:
    """Return the table of `blind_maps` for masks (N, H, W) bool, whose images ``key`` names."""
    ids, rng = list(key["image_id"]), generator(seed, 23)
    coarse = on_grid(masks, grid)
    table = localisation_table(coarse, masks, ids, rng=rng, band=BAND).assign(common_grid=common(coarse))
    bands = bands_of(masks)
    table["band"] = [energy_inside(heat, band) for heat, band in zip(on_grid(bands, grid), bands, strict=True)]
    table = table.rename(columns={name: f"{name}_grid" for name in MEASURED})
    table = table.rename(columns={"mask_fraction": "energy_flat", "band_fraction": "band_flat"})
    return key.reset_index(drop=True).merge(table.drop(columns="constant"), on="image_id", validate="one_to_one")
