import numpy as np
import pytest

from skinlib.images.corruptions import CORRUPTIONS, corrupt

GREY = np.full((3, 40, 60, 3), 120, np.uint8)
LEVELS = {"blur": (0.01, 0.1), "noise": (0.05, 0.2), "hair": (3, 40)}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_higher_level_changes_more_and_none_changes_nothing(kind):
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    none, little, much = (corrupt(images, kind, level) for level in (0, *LEVELS[kind]))
    assert np.array_equal(none, images) and none is not images
    assert none.dtype == little.dtype == np.uint8 and little.shape == images.shape
    far = [np.abs(found.astype(int) - images).mean() for found in (little, much)]
    assert 0 < far[0] < far[1]
    assert np.array_equal(little, corrupt(images, kind, LEVELS[kind][0]))  # drawn from the seed alone


def test_the_levels_by_hand():
    assert np.array_equal(corrupt(GREY, "blur", 0.1), GREY)  # nothing to blur
    step = GREY.copy()
    step[:, :, 30:] = 220
    profile = corrupt(step, "blur", 0.1)[0, 20, :, 0].astype(float)  # standard deviation 0.1 * 40 = 4 pixels
    share = (np.interp(33.5, np.arange(60), profile) - 120) / 100
    assert share == pytest.approx(0.841, abs=0.02)  # a standard deviation beyond the step
    noisy = corrupt(GREY, "noise", 0.1).astype(float)
    assert noisy.std() == pytest.approx(25.5, rel=0.05) and noisy.mean() == pytest.approx(120, abs=1)
    assert not np.array_equal(noisy[0], noisy[1])
    hairy = corrupt(GREY, "hair", 5)
    assert (hairy <= GREY).all() and 0.005 < (hairy < GREY).any(-1).mean() < 0.4
    assert not np.array_equal(corrupt(GREY, "hair", 5, seed=1), hairy)


def test_unknown_corruptions_are_refused():
    with pytest.raises(ValueError, match="no corruption 'fog'; there are blur, noise, hair"):
        corrupt(GREY, "fog", 1)
    with pytest.raises(ValueError, match="the level of blur is -1"):
        corrupt(GREY, "blur", -1)
