"""From a finished run and a cohort to a prediction table: right of it there is no image, no model, no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from skinlib.config import RunConfig
from skinlib.data.cards import class_names
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.training.fit import Place, place

if TYPE_CHECKING:
    from skinlib.training.runs import Run

KEYS = ["image_id", "lesion_id", "patient_id", "dataset"]


def views(image: torch.Tensor, tta: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, view) of a batch (B, C, H, W): the identity first.

    ``flips`` adds the left-right and up-down mirror images; ``d4`` the eight symmetries of the square.
    """
    yield "identity", image
    if tta == "flips":
        yield "left_right", image.flip(3)
        yield "up_down", image.flip(2)
    elif tta == "d4":
        for quarter in (1, 2, 3):
            yield f"rot{90 * quarter}", image.rot90(quarter, (2, 3))
        for quarter in range(4):
            yield f"mirror_rot{90 * quarter}", image.flip(3).rot90(quarter, (2, 3))


@torch.inference_mode()
def probabilities(
    model: nn.Module, batches: Batches, *, tta: str, where: Place, progress: str | None = None
) -> dict[str, np.ndarray]:
    """Return view name -> (N, K) class probabilities, and under ``mean`` their mean over the views.

    The softmax is taken in fp32, whatever the precision of the network.
    """
    model.to(where.device).eval()
    collected: dict[str, list[np.ndarray]] = {}
    bar = tqdm(batches.epoch(0, where.device), total=len(batches), desc=progress, disable=not progress, mininterval=2)
    for batch in bar:
        if "image" not in batch:
            named = [("identity", None)]
        else:
            named = views(batch["image"], tta)
        for name, image in named:
            if image is not None:
                image = image.contiguous(memory_format=torch.channels_last)
            with where.autocast():
                output = model(image, batch.get("meta"), features=batch.get("features"))
            collected.setdefault(name, []).append(output["logits"].float().softmax(1).cpu().numpy())
    result = {name: np.concatenate(parts) for name, parts in collected.items()}
    return {"mean": np.mean(list(result.values()), axis=0), **result}


def table(cohort: pd.DataFrame, per_view: dict[str, np.ndarray], config: RunConfig, *, part: str, split: str):
    """Return the prediction table of a cohort whose rows are those of the arrays, the ``mean`` view first."""
    classes = class_names(config.dataset, config.label_space)
    columns = {key: cohort[key].to_numpy() if key in cohort else np.nan for key in KEYS}
    columns |= {"split": split, "part": part, "fold": -1 if config.fold is None else config.fold}
    columns |= {"system": config.system, "seed": config.seed}
    label = cohort["label"].to_numpy() if "label" in cohort else np.nan
    tables = []
    for view, values in per_view.items():
        scores = {f"p_{name}": values[:, k] for k, name in enumerate(classes)}
        tables.append(pd.DataFrame(columns | {"view": view, "label": label} | scores))
    return pd.concat(tables, ignore_index=True)


def predict(run: Run, cohort: pd.DataFrame, *, tta: str = "none", keep_views: bool = False) -> pd.DataFrame:
    """Apply a finished run to any cohort.

    Parameters
    ----------
    run
        As `skinlib.training.runs.ensure` returns it.
    cohort
        ``image_id`` and ``image_path`` at least; labels, in the run's own label space, may be missing.
    tta
        Views averaged: ``none``, ``flips`` or ``d4``.
    keep_views
        Keep every view beside the ``mean``.

    Returns
    -------
    DataFrame
        The prediction table, part ``external``.
    """
    config = run.config
    cache = Cache.build(
        cohort, config.image_size, root=Path(run.path).parents[1] / "cache", colour=config.colour, masks=False
    )
    batches = Batches(cache, np.arange(len(cohort)), {}, batch_size=64, normalisation=config.normalisation)
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
