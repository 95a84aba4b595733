"""Measured tone against the label: agreement by hand and by scikit-learn, and what colour constancy does to tone."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from skinlib.across import fitzpatrick
from skinlib.exhibits.estimates import Arm
from skinlib.images.skin_tone import CATEGORIES, category, ita_table

ANGLES = [60, 50, 35, 20, 0, -50]  # one of each category of Del Bino, light to dark


def table(angles, types):
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(angles))], "skin_type": types})
    rows = rows.assign(lesion_id=rows["image_id"], patient_id=rows["image_id"])
    for selector in fitzpatrick.SELECTORS:
        for colour in fitzpatrick.COLOURS:
            rows[f"{selector}/{colour}"] = np.array(angles, float)
    return rows


def cells(frame):
    return frame.set_index(["row", "metric"])["ours"]


def test_agreement_by_hand():
    """Each category twice: labels right once, and once one off."""
    found = cells(
        fitzpatrick.agreement(table(ANGLES * 2, [1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 5]), dataset="d", n_boot=50)
    )
    row = "skin outside the outline, del_bino"
    assert found[row, "exact"] == pytest.approx(0.5) and found[row, "off_by_one"] == 1
    assert found["whole image", "spearman"] > 0.8
    assert found["whole image", "spread"] == pytest.approx(np.std(ANGLES))


@pytest.mark.parametrize("scheme", ["del_bino", "kinyanjui", "groh"])
def test_kappa_is_that_of_scikit_learn(scheme):
    rng = np.random.default_rng(0)
    angles, types = rng.uniform(-60, 80, 80), rng.integers(1, 7, 80)
    found = fitzpatrick.agreement(table(angles, types), dataset="d", n_boot=50).set_index(["row", "metric"])
    given = [CATEGORIES.index(category(one, scheme)) + 1 for one in angles]
    wanted = cohen_kappa_score(given, types, weights="quadratic", labels=[1, 2, 3, 4, 5, 6])
    one = found.loc[(f"lightest border patch, {scheme}", "weighted_kappa")]
    assert one["ours"] == pytest.approx(wanted) and one["low"] < one["ours"] < one["high"] and one["n"] == 80


def test_few_images_have_no_number_and_say_so():
    found = fitzpatrick.agreement(table(ANGLES[:3], [1, 2, 3]), dataset="d", n_boot=50)
    short = found[found["metric"] == "weighted_kappa"]
    assert short["ours"].isna().all() and set(short["note"]) == {"fewer than 10 images"}


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


def test_performance_of_every_type_has_counts_and_absent_types_say_so():
    n = 60
    arm = Arm(
        pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "lesion_id": np.nan, "patient_id": np.nan})
        .assign(dataset="d", split="s", seed=0, part="test", label=[0, 1] * 30)
        .assign(p_benign=lambda t: np.where(t.index < 40, 0.9 - 0.8 * t["label"], 0.9))
        .assign(p_malignant=lambda t: 1 - t["p_benign"])
    )
    types = {f"i{k}": (1 if k < 20 else 2 if k < 40 else 3 if k < 58 else np.nan) for k in range(n)}
    found = fitzpatrick.performance(arm, types, n_boot=50).set_index(["row", "metric"])
    assert found.loc[("type I", "recall"), "ours"] == 1 and found.loc[("type I", "recall"), "n"] == 20
    assert (
        np.isnan(found.loc[("type III", "recall"), "ours"])
        and "9 malignant" in found.loc[("type III", "recall"), "note"]
    )
    assert found.loc[("type III", "fn"), "ours"] == 9
    assert found.loc[("type VI", "recall"), "n"] == 0 and found.loc[("type VI", "recall"), "note"] == "no image"
    assert found.loc[("missing", "fn"), "n"] == 2
