"""Skin tone: angles worked by hand, cut schemes, guard, selectors and the table of a cohort."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import color
from written import flat, write_cohort

from skinlib.images import skin_tone
from skinlib.images.colour import lab_to_rgb


def flat_lab(lightness, a, b):
    return lab_to_rgb(np.full((4, 4, 3), (lightness, a, b), dtype=np.float32))


ANGLES = {(70, 10, 20): 45, (50, 10, 20): 0, (40, 10, 10 * math.sqrt(3)): -30, (60, 5, 10 / math.sqrt(3)): 60}


@pytest.mark.parametrize("lab", ANGLES)
def test_known_angles(lab):
    assert skin_tone.ita(flat_lab(*lab)) == pytest.approx(ANGLES[lab], abs=1.0)  # 8 bits are good for one degree


def test_flat_image_of_a_given_srgb():
    # by hand with the rounded matrix of sRGB: Y = 0.3545, Z / Z_n = 0.2076: L* = 66.10, b* = 23.12, 34.84 degrees
    lightness, _, b = color.rgb2lab(np.array([[[200, 150, 120]]], dtype=np.uint8))[0, 0]
    angle = skin_tone.ita(flat(200, 150, 120))
    assert angle == pytest.approx(math.degrees(math.atan2(lightness - 50, b)), abs=1e-3)
    assert angle == pytest.approx(34.8, abs=0.1)
    assert skin_tone.ita(flat(200, 150, 120) / 255.0) == pytest.approx(angle, abs=1e-3)


def test_guard_keeps_a_bluish_light_from_turning_light_skin_dark_and_the_origin_has_no_angle():
    bluish = flat_lab(80, 15, -15)
    assert skin_tone.ita(bluish) == 90
    assert skin_tone.ita(bluish, guard=False) == pytest.approx(-63.4, abs=1.0)  # arctan(30 / -15)
    assert skin_tone.ita(flat_lab(20, 15, -15)) == -90
    yellowish = flat_lab(70, 10, 20)
    assert skin_tone.ita(yellowish, guard=False) == skin_tone.ita(yellowish)
    assert math.isnan(skin_tone._angle(50.0, 0.0)) and math.isnan(skin_tone._angle(50.0, -3.0))
    assert skin_tone._angle(50.0, 3.0) == 0


def test_only_skin_pixels_count_and_trimming_leaves_out_a_few_dark_hairs():
    image = flat(200, 150, 120)
    image[:10] = (60, 30, 20)
    skin = np.ones((32, 32), dtype=bool)
    skin[:10] = False
    assert skin_tone.ita(image, skin, trim=False) == pytest.approx(skin_tone.ita(flat(200, 150, 120)), abs=1e-3)
    assert math.isnan(skin_tone.ita(flat(200, 150, 120), np.zeros((32, 32), dtype=bool)))
    with pytest.raises(ValueError, match="pass a mask of the image's size"):
        skin_tone.ita(flat(1, 2, 3), np.ones((4, 4), dtype=bool))
    image = flat(200, 150, 120)
    image[:3] = (30, 20, 20)
    assert skin_tone.ita(image) == pytest.approx(skin_tone.ita(flat(200, 150, 120)), abs=1e-3)
    assert skin_tone.ita(image, trim=False) < skin_tone.ita(image) - 5


def test_trimmed_mean_by_hand():
    # mean 4, standard deviation sqrt(14) = 3.74: the 10 is out, mean of 2, 3, 4, 1 is 2.5
    assert skin_tone._trimmed_mean(np.array([2.0, 3.0, 4.0, 1.0, 10.0])) == 2.5
    assert skin_tone._trimmed_mean(np.array([1.0, 3.0])) == 2.0


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_trimmed_mean_always_exists(values):
    assert min(values) - 1e-9 <= skin_tone._trimmed_mean(np.array(values)) <= max(values) + 1e-9


BOUNDS = {
    "del_bino": {55.01: "very light", 55: "light", 41.01: "light", 41: "intermediate", 28: "tan", 10: "brown",
                 -29.9: "brown", -30: "dark"},
    "kinyanjui": {20: "tan", 19: "brown", 10: "dark"},
    "groh": {45.1: "very light", 28: "intermediate", 17: "tan", 5: "brown", -20: "dark"},
}  # fmt: skip


@pytest.mark.parametrize("scheme", BOUNDS)
def test_category_bounds_belong_to_the_darker_side(scheme):
    assert {angle: skin_tone.category(angle, scheme) for angle in BOUNDS[scheme]} == BOUNDS[scheme]


def test_category_of_nan_and_of_an_unknown_scheme():
    assert math.isnan(skin_tone.category(float("nan")))
    for find, value in ((skin_tone.category, 10), (skin_tone.ita, flat(1, 2, 3))):
        with pytest.raises(ValueError, match="unknown ITA scheme 'fitzpatrick'"):
            find(value, scheme="fitzpatrick")


@given(st.sampled_from(sorted(skin_tone.SCHEMES)), st.floats(-90, 90), st.floats(-90, 90))
def test_categories_are_ordered(scheme, a, b):
    low, high = sorted((a, b))
    order = skin_tone.CATEGORIES.index
    assert order(skin_tone.category(low, scheme)) >= order(skin_tone.category(high, scheme))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 60))
def test_ita_rises_with_lightness(a, b, blue_yellow):
    low, high = sorted((a, b))
    assert skin_tone._angle(low, blue_yellow) <= skin_tone._angle(high, blue_yellow)


def test_usable_leaves_out_vignette_and_glare():
    image = flat(200, 150, 120, side=100)
    image[:10, :10], image[50, 50], image[80, 80] = (5, 5, 5), (255, 252, 255), (255, 180, 160)
    good = skin_tone.usable(image)
    assert not good[:10, :10].any()
    assert not good[10, 5] and good[11, 5]  # the vignette grows by one pixel of a hundred
    assert not good[50, 50] and good[80, 80]


def test_mask_selector_keeps_a_margin():
    mask = np.zeros((100, 100), dtype=bool)
    mask[40:60, 40:60] = True
    skin = skin_tone.skin_from_mask(mask, margin=0.05)
    assert not skin[50, 35] and skin[50, 34]
    assert skin_tone.skin_from_mask(np.zeros((5, 5))).all()
    assert not skin_tone.skin_from_mask(mask, flat(5, 5, 5, side=100)).any()


def test_border_selector_takes_the_lightest_patch_and_ring_selector_the_frame():
    image = flat(150, 110, 90, side=256)
    image[118:138, 236:] = (220, 180, 150)  # the middle of the right side
    skin = skin_tone.skin_from_border(image)
    assert skin.sum() == 400 and skin[118:138, 236:].all()
    image[118:138, 236:] = 255  # glare is not the lightest skin
    assert not skin_tone.skin_from_border(image)[118:138, 236:].any()
    assert not skin_tone.skin_from_border(flat(3, 3, 3)).any()
    assert skin_tone.skin_from_border(flat(150, 110, 90, side=512)).sum() == 1600
    skin = skin_tone.skin_from_ring(flat(150, 110, 90, side=50))
    assert skin.sum() == 50 * 50 - 40 * 40 and not skin[25, 25]


@pytest.fixture
def cohort(tmp_path):
    """A light image half under its mask, one without mask, one all under it, a bluish one; mask greys 120 and 140."""
    drawn = {"light": ((220, 180, 150), 0.5), "none": ((150, 110, 90), None), "full": ((150, 110, 90), 1),
             "blue": ((200, 170, 220), 0.2)}  # fmt: skip
    pictures = {}
    for name, (rgb, covered) in drawn.items():
        mask = np.full((64, 64), 120, dtype=np.uint8)
        mask[: round(64 * (covered or 0))] = 140
        pictures[name] = (flat(*rgb, side=64), None if covered is None else mask)
    return write_cohort(tmp_path, pictures)


def test_table_of_a_cohort(cohort):
    table = skin_tone.ita_table(cohort)
    assert table["image_id"].tolist() == ["light", "none", "full", "blue"]
    assert table["note"].tolist() == ["", "no mask", "no healthy skin", "blue cast"]
    assert table["ita"].isna().tolist() == table["category"].isna().tolist() == [False, True, True, False]
    assert table["ita"][0] == pytest.approx(skin_tone.ita(flat(220, 180, 150)), abs=1e-3)
    assert table["group"][0] == "light" and table["ita"][3] == 90
    assert table["skin_fraction"][0] == pytest.approx(0.5 - 1 / 64, abs=0.02)  # half, less the margin
    assert skin_tone.ita_table(cohort, guard=False)["group"].tolist()[3] == "dark"


def test_table_of_a_smaller_size_and_other_selectors(cohort):
    full = skin_tone.ita_table(cohort, selector="whole")
    assert full["ita"].notna().all()
    for options in ({"selector": "whole", "size": 16}, {"selector": "ring"}, {"selector": "border"}):
        np.testing.assert_allclose(skin_tone.ita_table(cohort, **options)["ita"], full["ita"], atol=0.1)
    with pytest.raises(ValueError, match="unknown skin selector 'patch'"):
        skin_tone.ita_table(cohort, selector="patch")


def test_mask_of_another_size_is_named(cohort, tmp_path):
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(tmp_path / "light_mask.png")
    with pytest.raises(ValueError, match="light: the mask is"):
        skin_tone.ita_table(cohort)
