"""What the notebooks on Thwin and Park share, and what needs pixels: maps against masks, networks on other images."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from skinlib.config import RunConfig
from skinlib.explain.localisation import BAND, MEASURES, border_band, energy_inside, localisation_table
from skinlib.explain.run_maps import attention_maps, class_maps
from skinlib.figures.images import OUTLINE
from skinlib.figures.style import HEAT, WIDTH, new, style
from skinlib.images.batches import Batches
from skinlib.provenance import generator
from skinlib.training.features import batches_of
from skinlib.training.identify import cohort_in_parts
from skinlib.training.predict import predict_corrupted
from skinlib.training.run import Run
from skinlib.training.tables import keys, mask_scores

MEASURED = [*MEASURES, "band"]  # energy, pointing, iou in the mask; energy in the band at its border
ATTENTION, CAM = "attention", "Grad-CAM++"
COUNTED = ["image_id", "lesion_id", "diagnosis", "part", "has_mask"]  # of `images_of`: all that tables of the data need


def images_of(config: RunConfig, study) -> pd.DataFrame:
    """Return the images of a configuration with part (train, val, test) and has_mask, 0 or 1."""
    return cohort_in_parts(config, study).assign(has_mask=lambda t: t["mask_path"].notna().astype(int))


def average_outline(run: Run, images: pd.DataFrame) -> pd.DataFrame:
    """Score the outline that more than half of the training lesions cover, on the test images of `images_of`."""
    batches, test = batches_of(run, images, masks=True), images["part"] == "test"
    cache, batches.rows = batches.cache, np.flatnonzero(test)
    usual = cache.masks[(images["part"] == "train") & cache.has_mask].mean(0) > 0.5
    key = keys(images[test], run.config, part="test", split=run.config.split)
    everywhere = np.broadcast_to(usual, (len(key), *usual.shape))
    return mask_scores(key, everywhere, batches).query("stage == 'raw'").reset_index(drop=True)


def maps_of(run: Run, batches: Batches) -> dict[str, np.ndarray]:
    """Return kind (attention, where the network has it, and Grad-CAM++) -> a map of each image (N, H, W), >= 0."""
    model = run.model()
    found = {} if model.attend is None else {ATTENTION: np.stack(list(attention_maps(model, batches)))}
    return found | {CAM: np.stack(list(class_maps(model, batches)))}


def measure_maps(runs: Iterable[Run], test: pd.DataFrame) -> pd.DataFrame:
    """Measure the maps of networks on test images that have masks, a row an image, run and kind of map.

    ``network`` is the variant, ``range`` the largest less the smallest value. A constant map has no other measure.
    """
    tables = []
    for run in runs:
        batches, key = batches_of(run, test, masks=True), keys(test, run.config, part="test", split=run.config.split)
        for kind, maps in maps_of(run, batches).items():
            about = {"network": run.config.variant, "kind": kind, "range": np.ptp(maps, axis=(1, 2))}
            masks, ids = batches.cache.masks > 0, test["image_id"]
            found = localisation_table(maps, masks, ids, rng=generator(0), draws=1, band=BAND)
            tables.append(key.assign(**about, common=common(maps)).join(found[["constant", *MEASURED]]))
    return pd.concat(tables, ignore_index=True)


def common(maps: np.ndarray) -> np.ndarray:
    """Return how alike each map (N, H, W) is to the mean of the others: their correlation over pixels. Ours.

    1 where all images get the same map, whatever is in them; missing of a constant map, and of a single one.
    """
    flat = np.asarray(maps, float).reshape(len(maps), -1)
    rest = (flat.sum(0) - flat) / max(len(flat) - 1, 1)
    own, rest = (each - each.mean(1, keepdims=True) for each in (flat, rest))
    size = np.sqrt((own**2).sum(1) * (rest**2).sum(1))
    return np.divide((own * rest).sum(1), size, out=np.full(len(flat), np.nan), where=size > 1e-12)


def blind_maps(run: Run, test: pd.DataFrame) -> pd.DataFrame:
    """Measure, on test images with masks, maps that saw no image, and the mask itself on the grid of a run's attention.

    ``row`` says which map. A flat one has energy and band alone; the blobs are as large as the lesion.
    """
    masks = batches_of(run, test, masks=True).cache.masks > 0
    with torch.inference_mode():
        grid = tuple(run.model()(torch.zeros(1, 3, *run.config.image_size))["attention"].shape[-2:])
    coarse, bands = on_grid(masks, grid), np.stack([border_band(mask) for mask in masks])
    table = localisation_table(coarse, masks, test["image_id"], rng=generator(0, 23), band=BAND)
    in_band = [energy_inside(heat, band) for heat, band in zip(on_grid(bands, grid), bands, strict=True)]
    table = table.assign(band=in_band, common=common(coarse))
    columns = {
        "flat map": {"mask_fraction": "energy", "band_fraction": "band"},
        "centred blob": {f"{name}_centre": name for name in MEASURED},
        "random blob": {f"{name}_random": name for name in MEASURED},
        "mask on the map's grid": {name: name for name in (*MEASURED, "common")},
    }
    key = keys(test, run.config, part="test", split=run.config.split).drop(columns="seed")
    rows = [key.assign(row=row).join(table[list(of)].rename(columns=of)) for row, of in columns.items()]
    return pd.concat(rows, ignore_index=True)


def on_grid(masks: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return masks (N, H, W) as maps of h x w positions, the share of lesion in each, enlarged again: a ceiling."""
    planes = torch.from_numpy(np.asarray(masks, np.float32))[:, None]
    return F.interpolate(F.adaptive_avg_pool2d(planes, grid), planes.shape[2:], mode="bilinear")[:, 0].numpy()


def attention_gallery(run: Run, images: pd.DataFrame, titles: Sequence[str], *, title: str = "") -> Figure:
    """Draw cohort rows with masks, a column each: image, attention (scale 0 to 1), Grad-CAM++ (one scale for all)."""
    batches, n = batches_of(run, images, masks=True), len(images)
    maps = maps_of(run, batches)
    top = {ATTENTION: 1.0, CAM: maps[CAM].max() or 1.0}
    with style():
        figure, axes = new(3, n, height=1.0 + 3.1 * WIDTH / n)
        for line, (name, pictures) in enumerate(({"image": batches.cache.images} | maps).items()):
            row = axes[line * n : (line + 1) * n]
            for axis, picture, mask in zip(row, pictures, batches.cache.masks > 0, strict=True):
                drawn = axis.imshow(picture, vmin=0, vmax=top.get(name), cmap=HEAT)
                axis.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.9)
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
            row[0].set_ylabel(name)
            if name in top:
                figure.colorbar(drawn, ax=row, aspect=12, pad=0.01)
        for axis, words in zip(axes, titles, strict=False):
            axis.set_title(words, fontsize=7)
        figure.suptitle(title, fontsize=10)
    return figure


def predict_disturbed(runs: Iterable[Run], test: pd.DataFrame, levels: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return predictions of disturbed images with network (variant), kind, level, and dice of an outline, if any."""
    disturbed = [(kind, level, run) for kind, each in levels.items() for level in each for run in runs]
    tables = []
    for kind, level, run in tqdm(disturbed, desc="disturbed images"):
        table, outlines = predict_corrupted(run, test, kind, level)
        about = {"network": run.config.variant, "kind": kind, "level": level, "dice": np.nan}
        if outlines is not None:
            about["dice"] = table["image_id"].map(outlines.query("stage == 'raw'").set_index("image_id")["dice"])
        tables.append(table.assign(**about))
    return pd.concat(tables, ignore_index=True).drop(columns=["view", "part", "fold", "system"])
