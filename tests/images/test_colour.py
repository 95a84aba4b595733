"""Colour constancy, CLAHE and CIELAB against answers worked by hand and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import color
from written import flat

from skinlib.images import colour

IMAGES = arrays(np.uint8, (5, 6, 3))


@given(IMAGES)
def test_lab_equals_scikit_image_and_its_round_trip_is_exact_on_codes(image):
    np.testing.assert_allclose(colour.rgb_to_lab(image), color.rgb2lab(image), atol=2e-3)
    np.testing.assert_allclose(colour.rgb_to_lab(image / 255), color.rgb2lab(image), atol=2e-3)
    np.testing.assert_array_equal(colour.lab_to_rgb(colour.rgb_to_lab(image)), image)


def test_lab_of_known_colours():
    lab = colour.rgb_to_lab(np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], dtype=np.uint8))[0]
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.02)


def test_shades_of_gray_of_greys_of_one_colour_and_of_black():
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8), 3, axis=2)
    np.testing.assert_array_equal(colour.shades_of_gray(grey), grey)
    # light = (200, 100, 100) / sqrt(60000); I' = I / (sqrt(3) e) = sqrt(60000 / 3) = 141.42 in every channel
    np.testing.assert_array_equal(colour.shades_of_gray(flat(200, 100, 100)), flat(141, 141, 141))
    np.testing.assert_array_equal(colour.shades_of_gray(flat(0, 0, 0)), flat(0, 0, 0))
    assert not colour.shades_of_gray(flat(90, 90, 0))[..., 2].any()


def test_shades_of_gray_by_hand_at_p_one_two_and_six():
    # two pixels: red (60, 80) -> sqrt(5000) = 70.711; green and blue (100, 0) -> 70.711: equal light, nothing changes
    image = np.array([[[60, 100, 0], [80, 0, 100]]], dtype=np.uint8)
    np.testing.assert_array_equal(colour.shades_of_gray(image, p=2), image)
    # p = 1: means 70, 50, 50; norm sqrt(9900) = 99.50; gains 99.50 / (sqrt(3) * mean) = 0.8207, 1.1489, 1.1489
    expected = np.array([[[49, 115, 0], [66, 0, 115]]], dtype=np.uint8)
    np.testing.assert_array_equal(colour.shades_of_gray(image, p=1), expected)
    # p = 6, as it is used: means 73.24, 89.09, 89.09; norm 145.7; gains 1.149, 0.9444, 0.9444
    expected = np.array([[[69, 94, 0], [92, 0, 94]]], dtype=np.uint8)
    for found in (colour.shades_of_gray(image), colour.apply(image, "shades_of_gray")):
        np.testing.assert_array_equal(found, expected)


def test_shades_of_gray_clips_before_the_cast():
    image = flat(40, 40, 10)
    image[0, 0] = (255, 255, 255)  # blue gain is above 1: the white pixel would wrap round
    assert colour.shades_of_gray(image, p=1)[0, 0, 2] == 255


def test_clahe_raises_local_contrast_and_keeps_hue():
    ramp = np.linspace(110, 140, 64)[None, :, None] * np.array([1.0, 0.8, 0.7])
    image = np.broadcast_to(ramp, (64, 64, 3)).astype(np.uint8)
    before, after = colour.rgb_to_lab(image), colour.rgb_to_lab(colour.clahe(image))
    assert after[..., 0].std() > 2 * before[..., 0].std()
    middle = (slice(None), slice(24, 40))  # away from colours that leave sRGB
    np.testing.assert_allclose(after[middle][..., 1:], before[middle][..., 1:], atol=1.5)
    np.testing.assert_array_equal(colour.clahe(flat(180, 140, 120)), flat(180, 140, 120))


def test_pipeline_runs_left_to_right():
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    both = colour.apply(image, "shades_of_gray+clahe")
    np.testing.assert_array_equal(both, colour.clahe(colour.shades_of_gray(image)))
    assert (both != colour.apply(image, "clahe+shades_of_gray")).any()
    assert colour.apply(image, "none") is image


@pytest.mark.parametrize("pipeline", ["", "gray_world", "none+clahe", "clahe+"])
def test_unknown_step_is_named(pipeline):
    with pytest.raises(ValueError, match="unknown colour step"):
        colour.apply(flat(1, 2, 3), pipeline)


def test_other_arrays_and_exponents_are_refused():
    for image in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="expected an RGB image"):
            colour.shades_of_gray(image)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        colour.rgb_to_lab(np.full((2, 2, 3), 200.0))
    for p in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite p"):
            colour.shades_of_gray(flat(1, 2, 3), p)


@given(IMAGES, st.floats(0.5, 12))
def test_shades_of_gray_keeps_order_within_a_channel(image, p):
    out = colour.shades_of_gray(image, p)
    for c in range(3):
        order = np.argsort(image[..., c], axis=None)
        assert (np.diff(out[..., c].ravel()[order].astype(int)) >= 0).all()
