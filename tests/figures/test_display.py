"""What a notebook shows: stamped pictures, outlines that stay inside their mask, and the tables of the data sets."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlib.across import data_sets, leakage
from skinlib.data.cards import CARDS
from skinlib.figures.display import LINE, outlined, sheet
from skinlib.figures.style import STAMP, displayed, new


@pytest.mark.parametrize(("synthetic", "stamps"), [(True, [STAMP]), (False, [])])
def test_a_picture_is_a_png_with_the_stamp_of_drawn_data(synthetic, stamps):
    figure, _ = new(height=1)
    shown = displayed(figure, SimpleNamespace(synthetic=synthetic))
    assert shown.data.startswith(b"\x89PNG")
    assert [text.get_text() for text in figure.texts] == stamps


def test_the_outline_is_the_rim_of_the_mask_and_the_image_is_not_changed():
    image, mask = np.zeros((7, 7, 3), np.uint8), np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    drawn = (outlined(image, mask) == LINE).all(axis=-1)
    rim = mask.copy()
    rim[3, 3] = False
    assert np.array_equal(drawn, rim)
    assert not image.any()
    assert np.array_equal(outlined(image, None), image)


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


def test_a_sheet_has_a_title_for_each_row(tmp_path):
    paths = [save(tmp_path / f"{k}.png", np.full((8, 8, 3), 30 * k)) for k in range(3)]
    rows = pd.DataFrame({"image_id": list("abc"), "image_path": paths, "diagnosis": ["nv", "mel", "nv"]})
    figure = sheet(rows.assign(mask_path=np.nan))
    assert [axis.get_title() for axis in figure.axes] == ["nv", "mel", "nv"]


def pairs(*rows):
    return pd.DataFrame(rows, columns=["image_a", "dataset_a", "image_b", "dataset_b"])


def test_shared_counts_images_of_a_once_and_leaves_out_parts_of_one_set():
    cut = {
        "x train": pd.DataFrame({"image_id": ["1", "2", "3"], "dataset": "x"}),
        "x test": pd.DataFrame({"image_id": ["4"], "dataset": "x"}),
        "y": pd.DataFrame({"image_id": ["3", "8", "9"], "dataset": "y"}),
    }
    look = pairs(("1", "x", "8", "y"), ("1", "x", "9", "y"), ("9", "y", "2", "x"), ("4", "x", "1", "x"))
    table = data_sets.shared(cut, {"by_look": look})
    wanted = {"a": "x train", "b": "y", "images_a": 3, "images_b": 3, "by_id": 1, "by_look": 2}
    assert table.to_dict("records") == [wanted]


def test_class_table_keeps_the_order_of_the_card():
    rows = pd.DataFrame({"image_id": list("abcd"), "lesion_id": ["L1", "L1", "L2", np.nan]})
    table = data_sets.classes("ham10000", rows.assign(diagnosis=["nv", "nv", "nv", "mel"]))
    assert tuple(table.index) == CARDS["ham10000"].classes
    assert table.loc["nv", ["images", "lesions", "official"]].tolist() == [3, 2, 6705]
    assert table.loc[["mel", "df"], ["images", "lesions"]].to_numpy().tolist() == [[1, 1], [0, 0]]


def test_a_root_without_sets_finds_none(tmp_path):
    cohorts, absent = data_sets.found(tmp_path)
    assert (cohorts, set(absent.values())) == ({}, {"not found"}) and set(absent) == set(CARDS)


def test_likeness_sees_through_exposure_and_not_through_chance(tmp_path):
    rng = np.random.default_rng(0)
    first, second = rng.integers(60, 160, (2, 64, 64))
    grey = {"a": first, "lighter": first + 60, "b": second, "plain": np.full((64, 64), 90)}
    cohort = pd.DataFrame({
        "image_id": list(grey), "dataset": "x",
        "image_path": [save(tmp_path / f"{k}.png", np.stack([v] * 3, -1)) for k, v in grey.items()],
    })  # fmt: skip
    r = leakage.likeness(pairs(("a", "x", "lighter", "x"), ("a", "x", "b", "x"), ("a", "x", "plain", "x")), cohort)
    assert r[0] == pytest.approx(1) and abs(r[1]) < 0.1 and np.isnan(r[2])
