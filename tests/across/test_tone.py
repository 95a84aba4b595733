"""Skin tone of a cohort by two formulas, its agreement with a label by scikit-learn, and what constancy does to it."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from skinlib.across.tone import measure_tone, tone_group, unguarded, weighted_kappa
from skinlib.figures.tone import tone_histogram
from skinlib.images.colour import lab_to_rgb
from skinlib.images.skin_tone import CATEGORIES, SCHEMES, category, ita, ita_table

COLOURS = {"yellow": (70, 10, 20), "blue": (70, 10, -10), "deep": (40, 10, 20)}  # L*, a*, b*


@pytest.fixture
def cohort(tmp_path):
    rows = []
    for k, (name, lab) in enumerate(COLOURS.items()):
        image = lab_to_rgb(np.full((40, 40, 3), lab, dtype=np.float32))
        image[15:25, 15:25] = 90
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        mask = np.zeros((40, 40), np.uint8)
        mask[15:25, 15:25] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        mask_path = np.nan if name == "deep" else str(tmp_path / f"{name}_mask.png")
        rows.append((name, str(tmp_path / f"{name}.png"), mask_path, "ab"[k % 2]))
    return pd.DataFrame(rows, columns=["image_id", "image_path", "mask_path", "source"])


def test_both_formulas_on_three_skins(cohort):
    tone = measure_tone(cohort).set_index("image_id")
    assert list(tone.index) == list(COLOURS)
    assert tone.loc["yellow", "ita"] == pytest.approx(45, abs=1)  # arctan(20 / 20)
    assert tone.loc["yellow", "ita_unguarded"] == pytest.approx(tone.loc["yellow", "ita"])
    assert tone.loc["blue", "ita"] == 90
    assert tone.loc["blue", "ita_unguarded"] == pytest.approx(math.degrees(math.atan(20 / -10)), abs=2)
    assert tone.loc["deep", "ita"] == pytest.approx(-26.6, abs=1)  # arctan(-10 / 20)
    assert tone["selector"].tolist() == ["mask", "mask", "ring"]
    assert tone["group"].tolist() == ["light", "light", "dark"]
    assert tone["group_unguarded"].tolist() == ["light", "dark", "dark"]


@given(st.floats(0, 100), st.floats(-60, 60).filter(lambda b: abs(b) > 1e-6))
def test_unguarded_is_the_library_without_its_guard(lightness, b):
    printed = unguarded(pd.Series([lightness]), pd.Series([b]))[0]
    wanted = math.degrees(math.atan((lightness - 50) / b))
    assert printed == pytest.approx(wanted, abs=1e-9)


def test_unguarded_matches_ita_on_pixels():
    image = lab_to_rgb(np.full((4, 4, 3), (80, 15, -15), dtype=np.float32))
    assert ita(image, guard=False) == pytest.approx(unguarded(pd.Series([80.0]), pd.Series([-15.0]))[0], abs=1)


def test_group_of_no_angle_is_none():
    assert tone_group(pd.Series([28.0, 28.1, np.nan])).fillna("none").tolist() == ["dark", "light", "none"]


def test_histogram_counts_what_has_an_angle():
    figure = tone_histogram({"one": [90.0, 90.0, -90.0, 30.0, 20.0, np.nan], "two": [10.0]})
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[0] == "one: 5 images, 1 without an angle; 40.0% at or below 28 degrees"
    heights = sorted(round(bar.get_height()) for bar in figure.axes[0].patches if 0 < bar.get_height() != 1.0)
    assert heights == [2]  # the two at 90; 30, 20 and -90 are bars of 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_kappa_is_that_of_scikit_learn(scheme):
    rng = np.random.default_rng(0)
    angles, types = rng.uniform(-60, 80, 80), rng.integers(0, 6, 80)
    rows = pd.DataFrame({"given": [CATEGORIES.index(category(one, scheme)) for one in angles], "label": types})
    kappa, wanted = weighted_kappa("given", "label"), {"weights": "quadratic", "labels": range(6)}
    assert kappa(rows) == pytest.approx(cohen_kappa_score(rows["given"], types, **wanted))
    doubled = kappa.weighted(rows, np.array([np.arange(80) % 2 * 2.0]))[0]
    assert doubled == pytest.approx(cohen_kappa_score(rows["given"][1::2], types[1::2], **wanted))


def test_constancy_moves_the_angle_of_yellow_light(tmp_path):
    """Skin under a yellow lamp: colour constancy takes the yellow away, and the angle goes to its end."""
    rng = np.random.default_rng(0)
    pixels = np.clip(np.array([225, 190, 150]) + rng.integers(-6, 7, (40, 40, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cohort = pd.DataFrame({"image_id": ["a"], "image_path": str(tmp_path / "a.png"), "mask_path": np.nan})
    before = ita_table(cohort, selector="whole")["ita"][0]
    assert ita_table(cohort, selector="whole", colour="shades_of_gray")["ita"][0] > before + 10
