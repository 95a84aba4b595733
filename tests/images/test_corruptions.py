import numpy as np
import pandas as pd
import pytest
from written import write_cohort

from skinlib.images.corruptions import CORRUPTIONS, corrupt
from skinlib.images.difficulty import difficulty_table, thirds

GREY = np.full((3, 40, 60, 3), 120, np.uint8)
LEVELS = {"blur": (0.01, 0.1), "noise": (0.05, 0.2), "hair": (3, 40)}


def busy() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_higher_level_changes_more_and_none_changes_nothing(kind):
    images = busy()
    none, little, much = (corrupt(images, kind, level) for level in (0, *LEVELS[kind]))
    assert np.array_equal(none, images) and none is not images
    assert none.dtype == little.dtype == np.uint8 and little.shape == images.shape
    far = [np.abs(found.astype(int) - images).mean() for found in (little, much)]
    assert 0 < far[0] < far[1]
    assert np.array_equal(little, corrupt(images, kind, LEVELS[kind][0]))  # drawn from the seed alone


def test_the_levels_by_hand():
    blurred = corrupt(GREY, "blur", 0.1)
    assert np.array_equal(blurred, GREY)  # nothing to blur
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


def test_size_and_contrast_of_a_lesion(tmp_path):
    pictures = {}
    for name, side in (("a", 8), ("b", 16), ("c", 4)):
        image, mask = np.full((32, 32, 3), 200, np.uint8), np.zeros((32, 32), np.uint8)
        image[8 : 8 + side, 8 : 8 + side], mask[8 : 8 + side, 8 : 8 + side] = 90, 255
        pictures[name] = (image, None if name == "c" else mask)
    table = difficulty_table(write_cohort(tmp_path, pictures), ["b", "a", "c"])
    assert list(table) == ["image_id", "area", "hair", "ruler", "contrast", "note"]
    assert table["image_id"].tolist() == ["b", "a", "c"]
    assert table["area"].tolist()[:2] == [0.25, 0.0625] and np.isnan(table["area"][2])
    assert (table["contrast"][:2] > 30).all() and table["note"][2] == "no mask"


def test_thirds_by_hand():
    values = pd.Series([6.0, 1, np.nan, 3, 2, 5, 4], list("abcdefg"))
    found = thirds(values, ["small", "medium", "large"])
    assert found.to_dict() == {"b": "small", "e": "small", "d": "medium", "g": "medium", "f": "large", "a": "large"}
    assert list(dict.fromkeys(found)) == ["small", "medium", "large"]
    assert set(thirds(values, ["s", "m", "l"], within=values + 100)) == {"s"}  # the terciles of other images
    with pytest.raises(ValueError, match="three names"):
        thirds(values, ["small", "large"])
