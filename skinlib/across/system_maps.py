"""Heat maps of any system on its own test images: measured against outlines, and the cases that a gallery shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from skinlib.explain.gradcam import sharpen
from skinlib.explain.localisation import localisation_table
from skinlib.explain.run_maps import class_maps
from skinlib.training.features import batches_of
from skinlib.training.runs import Run


class Seen(NamedTuple):
    """What a network was shown and what spoke for its answers.

    Attributes
    ----------
    measures
        A row an image: image_id, lesion_id, patient_id, dataset, split, outcome (right, wrong), score (probability of
        the class that it named) and the columns of `skinlib.explain.localisation.localisation_table`.
    images, masks, maps
        (N, H, W, 3) uint8, (N, H, W) bool and (N, H, W) float32 >= 0, in the order of ``measures``.
    """

    measures: pd.DataFrame
    images: np.ndarray
    masks: np.ndarray
    maps: np.ndarray


def outlined(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the images of a cohort that have an outline; weak ones (``weak_mask_path``) serve where no others are."""
    if cohort["mask_path"].isna().all() and "weak_mask_path" in cohort:
        cohort = cohort.assign(mask_path=cohort["weak_mask_path"])
    return cohort[cohort["mask_path"].notna()].reset_index(drop=True)


def look(run: Run, cohort: pd.DataFrame, *, rng: np.random.Generator) -> Seen:
    """Measure a run's Grad-CAM++ maps of test images, each for the class that the network names.

    Parameters
    ----------
    cohort
        Test images of the run, with the columns that it reads and an outline each (`outlined`).
    rng
        Of the random blobs.

    Raises
    ------
    ValueError
        When an image has no outline.
    """
    if cohort["mask_path"].isna().any() or cohort.empty:
        raise ValueError("heat maps are measured against outlines; hand over the images that have one (`outlined`)")
    table = run.predictions("identity").query("part == 'test'").set_index("image_id")
    table = table.loc[cohort["image_id"]].reset_index()
    batches = batches_of(run, cohort, masks=True)
    maps = np.stack(list(class_maps(run.model(), batches)))
    masks = np.array(batches.cache.masks, bool)
    p = table[[name for name in table if name.startswith("p_")]].to_numpy()
    answers = np.where(p.argmax(1) == table["label"], "right", "wrong")
    key = table[["image_id", "lesion_id", "patient_id", "dataset", "split"]].assign(outcome=answers, score=p.max(1))
    measures = key.merge(localisation_table(maps, masks, table["image_id"], rng=rng), on="image_id")
    return Seen(measures, np.array(batches.cache.images), masks, maps)


def gallery(seen: Seen, cases: pd.DataFrame) -> list[dict]:
    """Return the chosen cases as `skinlib.figures.charts.cam_gallery` draws them, sharpened."""
    place = {name: k for k, name in enumerate(seen.measures["image_id"])}
    shown = []
    for case in cases.dropna(subset="image_id").itertuples():
        k, sharp = place[case.image_id], sharpen(torch.from_numpy(seen.maps[[place[case.image_id]]]))[0].numpy()
        title = f"{case.outcome}\n{case.place}\np = {case.score:.2f}"  # one long line would run into the next case's
        shown.append({"title": title, "image": seen.images[k], "cam": seen.maps[k], "sharpened": sharp})
        shown[-1]["mask"] = seen.masks[k]
    return shown
