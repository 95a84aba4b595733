"""Checks of the ABCD measures on tables whose numbers are worked out by hand, and on discs."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlib.across import abcd as checks


def test_a_small_measure_may_move_by_a_twentieth_of_the_median_lesions():
    reference = pd.Series([0.1, 1.0, 2.0])  # median 1: limits 0.05, 0.05 and 0.1
    for factor, within in ((0.98, True), (-0.98, True), (1.02, False), (-1.02, False)):
        moved = reference + factor * pd.Series([0.05, 0.05, 0.1])
        assert (checks.unchanged(moved, reference) == within).all()


def saved(folder, name, mask):
    paths = {"image_path": folder / f"{name}.png", "mask_path": folder / f"{name}_mask.png"}
    image = np.full((*mask.shape, 3), 120, np.uint8)
    image[mask] = (90, 50, 40)
    Image.fromarray(image).save(paths["image_path"])
    Image.fromarray(np.uint8(mask) * 255).save(paths["mask_path"])
    return {"image_id": name} | {key: str(path) for key, path in paths.items()}


def disc(side, radius):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return y**2 + x**2 < radius**2


def test_lesions_are_measured_at_the_sizes_that_their_images_have():
    image = np.zeros((300, 300, 3), np.uint8)
    found = checks.at_sizes("large", image, disc(300, 80))
    assert [(one["image_id"], one["size"]) for one in found] == [("large", 128), ("large", 256)]
    assert [one["border"] for one in found] == pytest.approx([1, 1], abs=0.02)
    assert checks.at_sizes("small", image[:100, :100], disc(100, 30)) == []


def test_marked_structures_by_hand(tmp_path):
    rows = []
    for k in range(4):
        row = saved(tmp_path, f"i{k}", disc(80, 20 + 2 * k))
        marks = np.zeros((80, 80), np.uint8)
        marks[:9, :9] = 255 * (k % 2)
        Image.fromarray(marks).save(tmp_path / f"i{k}_streaks.png")
        rows.append(row | {"attribute_streaks": str(tmp_path / f"i{k}_streaks.png")})
    kept = checks.marked(pd.DataFrame(rows), 10)
    assert list(kept["streaks"]) == [0, 1, 0, 1] and list(kept["sampled"]) == [1, 1, 1, 1]
    few = checks.marked(pd.DataFrame(rows), 2)  # i0 and i2 at even steps, of which neither has streaks
    assert list(few["image_id"]) == ["i0", "i1", "i2", "i3"] and few["streaks"].sum() == 2  # and no case is lost
    assert list(few["sampled"]) == [1, 0, 1, 0]
    assert checks.marked(pd.DataFrame(rows).drop(columns="attribute_streaks"), 10).empty
