"""Localisation measures: scores worked by hand, ties, and the blobs a map has to beat."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skinlib.explain import localisation
from skinlib.explain.localisation import border_band, centred_blob, energy_inside, iou_at_area, pointing_game

HEAT = np.array([[1.0, 2.0], [3.0, 4.0]])
MAPS = arrays(np.float64, (4, 5), elements=st.integers(0, 6).map(float))
MASKS = arrays(bool, (4, 5))


def test_measures_by_hand_and_of_ties():
    mask = np.array([[0, 1], [0, 1]], dtype=bool)
    assert energy_inside(HEAT, mask) == 0.6  # (2 + 4) / 10
    assert pointing_game(HEAT, mask) == 1.0
    assert iou_at_area(HEAT, mask) == pytest.approx(1 / 3)  # highest two are 3 and 4; one of them in the mask
    assert pointing_game(HEAT, ~mask) == 0.0
    mask = np.array([[1, 0], [0, 0]], dtype=bool)
    heat = np.array([[4.0, 4.0], [1.0, 4.0]])  # ties share
    assert pointing_game(heat, mask) == pytest.approx(1 / 3)
    assert iou_at_area(heat, mask) == pytest.approx((1 / 3) / (2 - 1 / 3))


def test_overlap_of_the_kept_quarter():
    overlap = localisation.overlap
    one = np.arange(16.0).reshape(1, 4, 4)  # keeps 12..15
    assert overlap(one, one)[0] == 1 and overlap(one, one[:, ::-1, ::-1].copy())[0] == 0
    half = np.roll(one, 2, axis=2)  # the last row's order changes, the row stays
    assert overlap(one, half)[0] == 1
    shifted = np.zeros((1, 4, 4))
    shifted[0, 3, :2], shifted[0, 0, :2] = 1, 1  # two of four shared: 2 of 6
    assert overlap(one, shifted)[0] == pytest.approx(2 / 6)
    assert np.isnan(overlap(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))[0])


@given(MAPS, MASKS, st.permutations(range(20)))
def test_measures_lie_in_range_and_ignore_the_order_of_pixels(heat, mask, order):
    for measure in (energy_inside, pointing_game, iou_at_area):
        value = measure(heat, mask)
        shuffled = measure(heat.ravel()[order].reshape(4, 5), mask.ravel()[order].reshape(4, 5))
        if np.ptp(heat) == 0 or not mask.any():
            assert math.isnan(value) and math.isnan(shuffled)
        else:
            assert 0 <= value <= 1 and shuffled == pytest.approx(value)


@given(MASKS)
def test_the_mask_itself_scores_one(mask):
    if mask.any() and not mask.all():
        assert energy_inside(mask * 1.0, mask) == pointing_game(mask * 1.0, mask) == iou_at_area(mask * 1.0, mask) == 1


def test_bad_maps_and_a_map_without_a_mask_are_refused():
    for heat, side, words in ((HEAT, 3, "of one size"), (-HEAT, 2, ">= 0"), (HEAT * np.nan, 2, "finite")):
        for measure in (energy_inside, iou_at_area):
            with pytest.raises(ValueError, match=words):
                measure(heat, np.ones((side, side)))
    with pytest.raises(ValueError, match="zip"):
        localisation.localisation_table([HEAT], [], ["a"], rng=np.random.default_rng(0))


def test_a_centred_blob_lies_on_a_centred_disc_and_random_ones_cover_the_image_and_repeat_with_the_seed():
    rows, columns = np.ogrid[:101, :101]
    disc = (rows - 50) ** 2 + (columns - 50) ** 2 <= 20**2
    blob = centred_blob(int(disc.sum()), (101, 101))
    assert np.unravel_index(blob.argmax(), blob.shape) == (50, 50)
    assert energy_inside(blob, disc) == pytest.approx(1 - math.exp(-2), abs=0.01)  # 2 sigma of a round Gaussian
    assert iou_at_area(blob, disc) == 1.0
    random_blob = localisation.random_blob
    first = random_blob(20, (9, 12), np.random.default_rng(3))
    np.testing.assert_array_equal(first, random_blob(20, (9, 12), np.random.default_rng(3)))
    rng = np.random.default_rng(0)
    assert {int(random_blob(4, (3, 4), rng).argmax()) for _ in range(300)} == set(range(12))
    with pytest.raises(ValueError, match="empty mask"):
        centred_blob(0, (3, 4))


def test_table():
    corner = np.zeros((20, 20), dtype=bool)
    corner[:6, :6] = True
    maps = [corner * 1.0, np.zeros((20, 20)), np.ones((20, 20)) + corner]
    masks = [corner, corner, np.zeros((20, 20), dtype=bool)]
    table = localisation.localisation_table(maps, masks, ["a", "b", "c"], rng=np.random.default_rng(0))
    table = table.set_index("image_id")
    assert table["constant"].tolist() == [False, True, False] and table["mask_fraction"].tolist() == [0.09, 0.09, 0.0]
    assert table.loc["a", ["energy", "pointing", "iou"]].tolist() == [1.0, 1.0, 1.0]
    assert table.loc["b", ["energy", "pointing", "iou"]].isna().all()
    assert table.loc["b", "pointing_centre"] == 0 and table.loc["b", "iou_centre"] < 0.1
    assert 0 < table.loc["a", "energy_random"] < 0.5 and table.loc["c"].drop(["constant", "mask_fraction"]).isna().all()


def test_a_band_by_hand():
    mask = np.zeros((5, 7), dtype=bool)
    mask[:, :3] = True  # a straight border between columns 2 and 3; the image's edge is none
    radius = math.sqrt(15 / math.pi)  # 2.19
    for width, columns in ((0.1, [2, 3]), (0.5, [2, 3]), (1.0, [1, 2, 3, 4]), (2.0, [0, 1, 2, 3, 4, 5, 6])):
        assert max(width * radius, 1) < len(columns) / 2 + 1
        assert np.flatnonzero(border_band(mask, width).any(0)).tolist() == columns
        assert border_band(mask, width).all(0).sum() == len(columns)
    assert not border_band(np.ones((4, 4), bool)).any() and not border_band(np.zeros((4, 4), bool)).any()


def test_the_default_band_of_a_disc_has_its_area():
    rows, columns = np.ogrid[:201, :201]
    disc = (rows - 100) ** 2 + (columns - 100) ** 2 <= 50**2
    band = border_band(disc)
    assert band.sum() / disc.sum() == pytest.approx(1, abs=0.03) and (band & disc).any() and (band & ~disc).any()
    assert np.array_equal(band, border_band(~disc, localisation.BAND * math.sqrt(disc.sum() / (~disc).sum())))


def test_the_table_with_a_band():
    mask = np.zeros((20, 20), dtype=bool)
    mask[4:16, 4:16] = True
    ring = border_band(mask, 0.3)
    maps = [ring * 1.0, (mask & ~ring) * 1.0, np.ones((20, 20)), np.arange(400.0).reshape(20, 20)]
    masks = [mask, mask, mask, np.ones((20, 20), bool)]
    how = {"rng": np.random.default_rng(0), "band": 0.3}
    table = localisation.localisation_table(maps, masks, list("abcd"), **how).set_index("image_id")
    assert table["band"].tolist()[:2] == [1.0, 0.0] and table["band_fraction"].tolist() == [ring.mean()] * 3 + [0]
    assert table.loc["c", ["energy", "band"]].isna().all()  # constant: no evidence of looking anywhere
    assert 0 < table.loc["c", "band_centre"] < 1 and 0 < table.loc["c", "band_random"] < 1
    assert np.isnan(table.loc["d", "band"]) and table.loc["d", "energy"] == 1  # a lesion that fills the image
    assert table.loc["a", "energy"] == pytest.approx((ring & mask).sum() / ring.sum())
    plain = localisation.localisation_table(maps, masks, list("abcd"), rng=np.random.default_rng(0))
    both = [c for c in plain if c != "image_id"]
    np.testing.assert_array_equal(plain[both].to_numpy(float), table[both].to_numpy(float))
