"""Post-processing of masks drawn by hand: # is lesion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from skinlib.images import masks

MASKS = arrays(bool, (3, 6, 7))
QUICK = settings(max_examples=40)


def drawn(*rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


TWO = drawn("##...", "##..#", "...##", ".....")
LARGEST = drawn("##...", "##...", ".....", ".....")


def test_the_largest_component_stays_of_equal_ones_the_first_and_corners_join():
    assert np.array_equal(masks.largest_component(TWO), LARGEST)
    diagonal = drawn("#....", ".#...", "..#..", ".....")
    assert np.array_equal(masks.largest_component(diagonal), diagonal)
    found = masks.largest_component(drawn("..##.", "#....", "#...."))
    assert np.array_equal(found, drawn("..##.", ".....", "....."))


def test_holes_are_filled_and_bays_are_not():
    holed = drawn(".###.", ".#.#.", ".###.", "##.##", "#...#")
    assert np.array_equal(masks.postprocess(holed[None])[0], drawn(".###.", ".###.", ".###.", "##.##", "#...#"))
    assert masks.postprocess(drawn(".#.", "#.#", ".#.")[None])[0, 1, 1]  # closed by corners alone


def test_small_objects_go_and_those_of_the_size_stay():
    speckled = drawn("##...", "##..#", ".....", "##...")
    assert np.array_equal(masks.remove_small(speckled, 2 / 20), drawn("##...", "##...", ".....", "##..."))
    assert np.array_equal(masks.remove_small(speckled, 4 / 20), LARGEST)
    assert not masks.remove_small(speckled, 4.1 / 20).any()


def test_the_steps_come_in_the_papers_order():
    ring = drawn("####.", "#..#.", "#..#.", "####.", "....."), drawn(".....", "....#", ".....", ".....", ".....")
    found = masks.postprocess(np.stack(ring), small=0.5)  # the ring has 12 pixels, and 16 with its hole: enough of 25
    assert found[0].sum() == 16 and not found[1].any()


def test_a_lesion_below_the_default_size_is_none():
    mask = np.zeros((2, 100, 100), bool)
    mask[0, 0, :19] = mask[1, 0, :20] = True
    assert masks.postprocess(mask).any(axis=(1, 2)).tolist() == [False, True]


@given(MASKS)
@QUICK
def test_once_is_enough(found):
    once = masks.postprocess(found)
    assert once.dtype == bool and once.shape == found.shape and np.array_equal(masks.postprocess(once), once)


@pytest.mark.parametrize("mask", [np.zeros((4, 5), bool), np.ones((4, 5), bool)], ids=["nothing", "everything"])
def test_nothing_and_everything_stay_as_they_are(mask):
    kept = mask.copy()
    for step in (masks.largest_component, masks.remove_small):
        assert np.array_equal(step(mask), kept)
    assert np.array_equal(masks.postprocess(mask[None])[0], kept) and np.array_equal(mask, kept)
    assert masks.postprocess(mask[:0].reshape(0, 4, 5)).shape == (0, 4, 5)
