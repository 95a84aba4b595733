"""Checks of the ABCD measures on tables whose numbers are worked out by hand, and on two drawn lesions."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlib.across import abcd as checks
from skinlib.images import abcd


def measured(n=40):
    a = np.arange(n, dtype=float)
    columns = {"image_id": [f"i{k:02d}" for k in range(n)], "note": "", "diagnosis": np.resize(["mel", "nv"], n)}
    return pd.DataFrame(columns | {name: a + k for k, name in enumerate(abcd.MEASURES)} | {"cut": 0.0})


def test_extremes_are_the_ends_of_each_measure():
    ends = checks.extremes(measured(), ["border"], each=2)
    assert list(ends["image_id"]) == ["i00", "i01", "i39", "i38"]
    assert list(ends["place"]) == ["lowest", "lowest", "highest", "highest"]
    nothing = measured().assign(border=np.nan)
    assert checks.extremes(nothing, ["border"]).empty


def test_the_drawn_truth_is_followed_or_not():
    table = measured()
    truth = pd.DataFrame({"image_id": table["image_id"], "asymmetry": table["asymmetry"], "border": -table["border"]})
    truth["colors"] = [" ".join(["red"] * (1 + k // 10)) for k in range(40)]
    truth = truth.assign(veil=False, white_centre=np.arange(40) >= 30)
    both = checks.with_truth(table, truth)
    assert list(both["true_n_colours"].iloc[[0, 10, 39]]) == [1, 2, 5]
    assert len(checks.truth_plane(both).axes) == 4


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


def test_real_images_are_measured_at_sizes_that_they_have(tmp_path):
    cohort = pd.DataFrame([saved(tmp_path, "large", disc(300, 80)), saved(tmp_path, "small", disc(100, 30))])
    found = pd.DataFrame(checks.shrunk(cohort))
    assert list(found["size"]) == [128, 256] and set(found["image_id"]) == {"large"}
    assert found["border"].to_list() == pytest.approx([1, 1], abs=0.02)


def test_marked_structures_by_hand(tmp_path):
    rows = []
    for k in range(4):
        row = saved(tmp_path, f"i{k}", disc(80, 20 + 2 * k))
        marks = np.zeros((80, 80), np.uint8)
        marks[:9, :9] = 255 * (k % 2)
        Image.fromarray(marks).save(tmp_path / f"i{k}_streaks.png")
        rows.append(row | {"attribute_streaks": str(tmp_path / f"i{k}_streaks.png")})
    kept = checks.marked(pd.DataFrame(rows), 10)
    assert list(kept["streaks"]) == [0, 1, 0, 1]
    assert list(kept["sampled"]) == [1, 1, 1, 1]
    few = checks.marked(pd.DataFrame(rows), 2)  # i0 and i2 at even steps, of which neither has streaks
    assert list(few["image_id"]) == ["i0", "i1", "i2", "i3"] and few["streaks"].sum() == 2  # and no case is lost
    assert list(few["sampled"]) == [1, 0, 1, 0]
    assert checks.marked(pd.DataFrame(rows).drop(columns="attribute_streaks"), 10).empty
