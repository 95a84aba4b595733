"""From a finished run and a cohort to a prediction table: right of it there is no image, no model, no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from skinlib import models
from skinlib.config import RunConfig
from skinlib.data.cards import class_names
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.training.fit import Place, place
from skinlib.training.losses import _lesion_probability as lesion_probability

if TYPE_CHECKING:
    from skinlib.training.runs import Run

KEYS = ["image_id", "lesion_id", "patient_id", "dataset"]
# Views beside the image itself: name -> (axes that are mirrored, quarter turns after that).
SYMMETRIES = {
    "none": {},
    "flips": {"left_right": ((3,), 0), "up_down": ((2,), 0)},
    "d4": {f"rot{90 * quarter}": ((), quarter) for quarter in (1, 2, 3)}
    | {f"mirror_rot{90 * quarter}": ((3,), quarter) for quarter in range(4)},
}


def views(image: torch.Tensor, tta: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, view) of a batch (B, C, H, W): the identity first.

    ``flips`` adds the left-right and up-down mirror images; ``d4`` the eight symmetries of the square.
    """
    yield "identity", image
    for name, (mirrored, quarters) in SYMMETRIES[tta].items():
        yield name, image.flip(mirrored).rot90(quarters, (2, 3))


def views_of(batch: dict, tta: str) -> Iterator[tuple[str, dict]]:
    """Yield (name, batch) of each view: with the image turned, or with the cached features (B, V, C) of that view.

    A batch that has neither, or features without views, for networks that read columns alone, is its own identity.
    """
    features = batch.get("features")
    if "image" in batch:
        for name, image in views(batch["image"], tta):
            yield name, batch | {"image": image.contiguous(memory_format=torch.channels_last)}
    elif features is not None and features.ndim == 3:
        for name, view in zip(("identity", *SYMMETRIES[tta]), features.unbind(1), strict=True):
            yield name, batch | {"features": view}
    else:
        yield "identity", batch


def undo(maps: torch.Tensor, view: str) -> torch.Tensor:
    """Turn maps (B, C, h, w) of a view, named as `views` names it, back to lie on the image that it is a view of."""
    if view == "identity":
        return maps
    mirrored, quarters = next(named[view] for named in SYMMETRIES.values() if view in named)
    return maps.rot90(-quarters, (2, 3)).flip(mirrored)


class Outputs(NamedTuple):
    """What a network says of N images.

    Attributes
    ----------
    probabilities
        View name -> (N, K) class probabilities, and first, as ``mean``, their mean over the views; K is 0 for a network
        without logits.
    masks
        (N, H, W) bool, lesion where the mean probability over the views is above 0.5; None where not asked for.
    """

    probabilities: dict[str, np.ndarray]
    masks: np.ndarray | None


@torch.inference_mode()
def outputs(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, masks: bool = False, progress: str | None = None
) -> Outputs:
    """Apply a network to all batches in every view; with ``masks`` keep its masks, each turned back to its image.

    Softmax and sigmoid are taken in fp32, whatever the precision of the network.
    """
    model.to(where.device).eval()
    collected: dict[str, list[np.ndarray]] = {}
    lesions: list[np.ndarray] = []
    bar = tqdm(batches.epoch(0, where.device), total=len(batches), desc=progress, disable=not progress, mininterval=2)
    for batch in bar:
        seen = []
        for name, view in views_of(batch, tta):
            with where.autocast():
                output = model(view.get("image"), view.get("meta"), features=view.get("features"))
            logits = output.get("logits", torch.empty(len(batch["index"]), 0))
            collected.setdefault(name, []).append(logits.float().softmax(1).cpu().numpy())
            if masks:
                seen.append(undo(lesion_probability(output["mask"]), name))
        if masks:
            lesions.append((torch.stack(seen).mean(0)[:, 0] > 0.5).cpu().numpy())
    result = {name: np.concatenate(parts) for name, parts in collected.items()}
    mean = np.mean(list(result.values()), axis=0)
    return Outputs({"mean": mean, **result}, np.concatenate(lesions) if masks else None)


def probabilities(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, progress: str | None = None
) -> dict[str, np.ndarray]:
    """Return view name -> (N, K) class probabilities, and under ``mean`` their mean over the views."""
    return outputs(model, batches, tta=tta, where=where, progress=progress).probabilities


def keys(cohort: pd.DataFrame, config: RunConfig, *, part: str, split: str) -> pd.DataFrame:
    """Return what every table of a run says of its rows: whose images they are, in which part, seen by which run."""
    columns = {key: cohort[key].to_numpy() if key in cohort else np.nan for key in KEYS}
    columns |= {"split": split, "part": part, "fold": -1 if config.fold is None else config.fold}
    return pd.DataFrame(columns | {"system": config.system, "seed": config.seed})


def table(cohort: pd.DataFrame, per_view: dict[str, np.ndarray], config: RunConfig, *, part: str, split: str):
    """Return the prediction table of a cohort whose rows are those of the arrays, the ``mean`` view first.

    Arrays (N, 0), of a network without logits, give the same table without probabilities.
    """
    classes = class_names(config.dataset, config.label_space)
    columns = keys(cohort, config, part=part, split=split)
    label = cohort["label"].to_numpy() if "label" in cohort else np.nan
    tables = []
    for view, values in per_view.items():
        scores = {f"p_{name}": values[:, k] for k, name in enumerate(classes)} if values.shape[1] else {}
        tables.append(columns.assign(view=view, label=label, **scores))
    return pd.concat(tables, ignore_index=True)


def batches_of(run: Run, cohort: pd.DataFrame, *, masks: bool = False, tta: str | None = None) -> Batches:
    """Return batches of any cohort, in its order, prepared as the images of a run were.

    ``tta`` names the views whose features a run on features reads; None: those that it was trained on.
    """
    config, runs = run.config, Path(run.path).parent
    columns, cache = models.columns(config, cohort, runs), None
    if models.reads_features(config):
        from skinlib.training import features  # which makes batches of the parents here

        columns |= {"features": features.column(run.parents(), cohort, tta=config.tta if tta is None else tta)}
    if models.reads_images(config):
        cache = Cache.build(cohort, config.image_size, root=runs.parent / "cache", colour=config.colour, masks=masks)
    rows = np.arange(len(cohort))
    return Batches(cache, rows, columns, batch_size=64, normalisation=config.normalisation, masks=masks)


def predict(run: Run, cohort: pd.DataFrame, *, tta: str = "none", keep_views: bool = False) -> pd.DataFrame:
    """Apply a finished run to any cohort.

    Parameters
    ----------
    run
        As `skinlib.training.runs.ensure` returns it.
    cohort
        ``image_id`` and ``image_path`` at least, and the clinical columns that the run's system reads; labels, in the
        run's own label space, may be missing.
    tta
        Views averaged: ``none``, ``flips`` or ``d4``.
    keep_views
        Keep every view beside the ``mean``.

    Returns
    -------
    DataFrame
        The prediction table, part ``external``.
    """
    config, batches = run.config, batches_of(run, cohort, tta=tta)
    per_view = probabilities(run.model(), batches, tta=tta, where=place(precision=config.precision), progress="predict")
    kept = per_view if keep_views else {"mean": per_view["mean"]}
    return table(cohort, kept, config, part="external", split="none")


def ensemble(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Average the probabilities of several members for each image and view.

    Raises
    ------
    ValueError
        When the members did not see the same images, in which case their mean is no ensemble.
    """
    keys = ["image_id", "view"]
    first = tables[0].sort_values(keys, ignore_index=True)
    scores = [c for c in first if c.startswith("p_")]
    aligned = [t.sort_values(keys, ignore_index=True) for t in tables]
    if any(not t[keys].equals(first[keys]) for t in aligned):
        raise ValueError("the members' prediction tables differ in their images; average tables of the same images")
    mean = np.mean([t[scores].to_numpy() for t in aligned], axis=0)
    return first.assign(fold=-1, **{name: mean[:, k] for k, name in enumerate(scores)})
