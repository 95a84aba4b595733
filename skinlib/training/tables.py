"""The tables of a run, a row an image: predictions and mask scores. Right of them there is no image and no model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data.cards import class_names
from skinlib.evaluation.segmentation import per_image
from skinlib.images.batches import Batches
from skinlib.images.masks import postprocess

KEYS = ["image_id", "lesion_id", "patient_id", "dataset"]


def keys(cohort: pd.DataFrame, config: RunConfig, *, part: str, split: str) -> pd.DataFrame:
    """Return what every table of a run says of its rows: whose images they are, in which part, seen by which run."""
    columns = {key: cohort[key].to_numpy() if key in cohort else np.nan for key in KEYS}
    columns |= {"split": split, "part": part, "fold": -1 if config.fold is None else config.fold}
    return pd.DataFrame(columns | {"system": config.system, "seed": config.seed})


def prediction_table(
    cohort: pd.DataFrame, per_view: Mapping[str, np.ndarray], config: RunConfig, *, part: str, split: str
) -> pd.DataFrame:
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


def ensemble(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Average the probabilities of several members for each image and view.

    Raises ValueError when the members did not see the same images, in which case their mean is no ensemble.
    """
    keys = ["image_id", "view"]
    aligned = [table.sort_values(keys, ignore_index=True) for table in tables]
    first = aligned[0]
    if any(not table[keys].equals(first[keys]) for table in aligned):
        raise ValueError("the members' prediction tables differ in their images; average tables of the same images")
    scores = [c for c in first if c.startswith("p_")]
    mean = np.mean([table[scores].to_numpy() for table in aligned], axis=0)
    return first.assign(fold=-1, **{name: mean[:, k] for k, name in enumerate(scores)})


def mask_scores(key: pd.DataFrame, predicted: np.ndarray, batches: Batches) -> pd.DataFrame:
    """Score masks as the network gave them (stage ``raw``) and after `skinlib.images.masks.postprocess`.

    ``key`` holds the columns put before the scores, ``image_id`` among them, a row an image as in ``predicted`` (N, H,
    W) bool and in the batches, whose cache has masks of the same size. Returns ``key`` and the columns of
    `skinlib.evaluation.segmentation.per_image`, all rows of stage raw first; images without a true mask have no row.
    """
    has_mask = batches.cache.has_mask[batches.rows]
    key, predicted = key[has_mask].reset_index(drop=True), predicted[has_mask]
    truth = batches.cache.masks[batches.rows[has_mask]] > 0 if has_mask.any() else predicted
    stages = {"raw": predicted, "postprocessed": postprocess(predicted)}
    tables = [per_image(masks, truth, key["image_id"], stage=stage) for stage, masks in stages.items()]
    return pd.concat([key.join(one.drop(columns="image_id")) for one in tables], ignore_index=True)


def mean_mask_scores(table: pd.DataFrame) -> dict[str, float]:
    """Return the mean raw Dice and IoU of each part, for a first look."""
    found = table[table["stage"] == "raw"].groupby("part")[["dice", "iou"]].mean()
    return {f"{part}_{name}": float(value) for part, row in found.iterrows() for name, value in row.items()}
