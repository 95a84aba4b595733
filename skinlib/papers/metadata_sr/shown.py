"""What trained networks of the metadata paper draw and how long they take: the only file here that opens a network."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
import torch
from torchvision.transforms.v2.functional import resize

from skinlib.config import RunConfig
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import cell, origin
from skinlib.images.batches import Batches, to_model_input
from skinlib.images.cache import Cache, read_image
from skinlib.images.colour import apply
from skinlib.models import backbones, columns, superres
from skinlib.training.runs import Run


def psnr(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of images (B, 3, H, W) in [0, 1], in dB: -10 log10 of the mean squared error, (B,)."""
    return -10 * (drawn - wanted).square().mean((1, 2, 3)).clamp(min=1e-12).log10()


@torch.no_grad()
def redraw(
    run: Run, cohort: pd.DataFrame, chosen: Collection[str], *, keep: Collection[str] = ()
) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Let a run's decoder redraw images, and compare them with the target and with a plain enlargement.

    Parameters
    ----------
    cohort
        All rows that the run read, whose decoded images its training left on disk.
    chosen
        Ids of the images to redraw, which the run was not trained on.
    keep
        Ids of the images whose pictures are returned.

    Returns
    -------
    DataFrame
        ``image_id, psnr`` (drawn against target), ``psnr_bilinear`` (the input enlarged bilinearly against the target,
        infinity cut at 120 dB; NaN where the target has the input's size).
    dict
        Image id -> ``input``, ``target``, ``drawn``, each (H, W, 3) float in [0, 1].
    """
    config, model = run.config, run.model()
    term, rows, pictures = config.options["target"], [], {}
    batches, ids = _batches(run, cohort, chosen)
    for batch in batches.epoch(0, torch.device("cpu")):
        output = model(batch["image"], batch.get("meta"))
        seen = superres.pixels(batch["image"].float(), config.normalisation)
        wanted, drawn = _wanted(seen, output, term), output["superres"].float()
        seen = superres.reduce(seen) if term == "native" else seen
        plain = (
            psnr(superres.enlarge(seen, "bilinear"), wanted) if term != "self" else torch.full((len(seen),), torch.nan)
        )
        names = ids[batch["index"].numpy()]
        rows.append(pd.DataFrame({"image_id": names, "psnr": psnr(drawn, wanted), "psnr_bilinear": plain}))
        for k, name in enumerate(names):
            if name in keep:
                shown = {"input": seen, "target": wanted, "drawn": drawn}
                pictures[name] = {word: each[k].permute(1, 2, 0).numpy() for word, each in shown.items()}
    return pd.concat(rows, ignore_index=True), pictures


def _batches(run: Run, cohort: pd.DataFrame, chosen: Collection[str]) -> tuple[Batches, np.ndarray]:
    config, store = run.config, run.path.parent
    cache = Cache.build(cohort, config.image_size, root=store.parent / "cache", colour=config.colour, masks=False)
    rows = np.flatnonzero(cohort["image_id"].isin(list(chosen)))
    table = {name: values[rows] for name, values in columns(config, cohort, store).items()}
    batches = Batches(cache, rows, table, batch_size=32, normalisation=config.normalisation)
    return batches, cohort["image_id"].to_numpy()[rows]


def _wanted(seen: torch.Tensor, output: dict, target: str) -> torch.Tensor:
    """Return what the loss of eq. 4 compares the drawn image with."""
    if target in superres.TEACHERS:
        return output["enlarged"].float()
    return seen if target in ("self", "native") else superres.enlarge(seen, target)


def cases(table: pd.DataFrame) -> dict[str, str]:
    """Return best, median, worst -> image id, by PSNR; ties by id."""
    ordered = table.sort_values(["psnr", "image_id"], ascending=[False, True])["image_id"].to_list()
    return {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}


def superresolution(table: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return the mean PSNR of each run's drawings, and of the plain enlargement, with intervals over patients.

    Parameters
    ----------
    table
        Of several runs: row, image_id, patient_id, psnr, psnr_bilinear, dataset, split.
    """
    cells = []
    for row, rows in table.groupby("row", sort=False):
        rows = rows.reset_index(drop=True)
        for metric, note in (("psnr", "dB, of the drawn image"), ("psnr_bilinear", "dB, of the enlarged input")):
            if rows[metric].isna().any():
                cells.append(cell(row, metric, np.nan, note="the target has the input's size", **origin(rows)))
                continue
            mean = lambda part, metric=metric: float(part[metric].mean())
            value, low, high = bootstrap_ci(mean, rows, groups="patient_id", n=n_boot, seed=seed)
            cells.append(cell(row, metric, value, low=low, high=high, note=note, **origin(rows)))
    return pd.DataFrame(cells)


def without_weights(plan: Mapping[str, RunConfig]) -> dict[str, str]:
    """Return name -> reason of the planned runs whose published super-resolution network cannot be had here."""
    reasons = {}
    for name, config in plan.items():
        try:
            if config.options.get("target") in superres.TEACHERS:
                superres.teacher(config.options["target"])
        except backbones.WeightsUnavailable as error:
            reasons[name] = str(error)
    return reasons


def prepared(path: str, config: RunConfig) -> torch.Tensor:
    """Return one image file as a network sees it, (1, 3, H, W): colour steps at full size, then resized, normalised."""
    pixels = torch.from_numpy(apply(read_image(path), config.colour)).permute(2, 0, 1)
    small = resize(pixels, list(config.image_size), antialias=True)
    return to_model_input(small[None].float() / 255, config.normalisation)


def latency(run: Run, image: pd.DataFrame, *, repeats: int = 20) -> pd.DataFrame:
    """Time one image with its metadata on the CPU: from the file to the network's input, and one forward pass.

    Parameters
    ----------
    image
        One row of a cohort.

    Returns
    -------
    DataFrame
        repeat, step (``image``, ``network``), milliseconds, machine; the first, cold pass is not among them.
    """
    config, model = run.config, run.model().cpu()
    rows = []
    for repeat in range(-1, repeats):
        start = time.perf_counter()
        x = prepared(image["image_path"].iloc[0], config)
        middle = time.perf_counter()
        with torch.inference_mode():
            model(x, torch.from_numpy(columns(config, image, run.path.parent)["meta"]))
        spans = {"image": middle - start, "network": time.perf_counter() - middle}
        rows += [{"repeat": repeat, "step": step, "milliseconds": 1000 * span} for step, span in spans.items()]
    said = f"{torch.get_num_threads()} threads, {config.backbone}, {config.image_size[0]} px"
    return pd.DataFrame(rows).query("repeat >= 0").assign(machine=said).reset_index(drop=True)
