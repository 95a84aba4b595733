"""Measured tone against the label: agreement by hand and by scikit-learn, and what colour constancy does to tone."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from skinlib.across import fitzpatrick
from skinlib.images.skin_tone import CATEGORIES, SCHEMES, category, ita_table

ANGLES = [60, 50, 35, 20, 0, -50]  # one of each category of Del Bino, light to dark


def table(angles, types):
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(angles))], "skin_type": types})
    rows = rows.assign(lesion_id=rows["image_id"], patient_id=rows["image_id"])
    for selector in fitzpatrick.SELECTORS:
        for colour in fitzpatrick.COLOURS:
            rows[f"{selector}/{colour}"] = np.array(angles, float)
    return rows


@pytest.mark.parametrize("scheme", SCHEMES)
def test_kappa_is_that_of_scikit_learn(scheme):
    rng = np.random.default_rng(0)
    angles, types = rng.uniform(-60, 80, 80), rng.integers(0, 6, 80)
    rows = pd.DataFrame({"given": [CATEGORIES.index(category(one, scheme)) for one in angles], "label": types})
    wanted = cohen_kappa_score(rows["given"], types, weights="quadratic", labels=range(6))
    kappa = fitzpatrick.weighted_kappa("given", "label")
    assert kappa(rows) == pytest.approx(wanted)
    doubled = kappa.weighted(rows, np.array([np.arange(80) % 2 * 2.0]))[0]
    odd = rows[1::2]
    wanted = cohen_kappa_score(odd["given"], odd["label"], weights="quadratic", labels=range(6))
    assert doubled == pytest.approx(wanted)


def test_every_type_and_category_is_counted_also_those_without_images():
    counted = fitzpatrick.confusion(table([60, 60, np.nan], [1, 2, 2]))
    assert counted.shape == (6, 7) and counted.loc["I", "very light"] == 1
    assert counted.loc["II"].sum() == 2 and counted.loc["II", "missing"] == 1 and counted.loc["VI"].sum() == 0


def test_constancy_moves_the_angle_of_yellow_light_and_unlabelled_images_are_left_out(tmp_path):
    """Skin under a yellow lamp: colour constancy takes the yellow away, and the angle goes to its end."""
    rng = np.random.default_rng(0)
    pixels = np.clip(np.array([225, 190, 150]) + rng.integers(-6, 7, (40, 40, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "m.png")
    cohort = pd.DataFrame({"image_id": ["a", "b"], "skin_type": [2.0, np.nan], "lesion_id": "l", "patient_id": "p"})
    cohort = cohort.assign(image_path=str(tmp_path / "a.png"), mask_path=str(tmp_path / "m.png"))
    found = fitzpatrick.measured(cohort)
    assert found["image_id"].tolist() == ["a"] and found["skin_type"].tolist() == [2]
    before, after = found["whole/none"][0], found["whole/shades_of_gray"][0]
    assert before == pytest.approx(ita_table(cohort[:1], selector="whole")["ita"][0]) and after > before + 10
