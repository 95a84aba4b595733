"""Skin tone of a cohort by two formulas, and the shares that each calls dark."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from skinlib.across.tone import formulas, gaps_within, measure_tone, tone_group, unguarded
from skinlib.exhibits.estimates import Arm
from skinlib.figures.tone import tone_histogram, tone_plane
from skinlib.images.colour import lab_to_rgb
from skinlib.images.skin_tone import ita

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


def test_shares_are_of_images_with_an_angle(cohort):
    tone = measure_tone(cohort).merge(cohort[["image_id", "source"]], on="image_id")
    extra = tone.iloc[[0]].assign(image_id="x", source=np.nan, b=np.nan, group=np.nan, group_unguarded=np.nan)
    cells = formulas(pd.concat([tone, extra]), dataset="d").set_index(["row", "metric"])
    assert cells.loc[("all", "n"), "ours"] == 4
    assert cells.loc[("all", "dark"), ["ours", "n"]].tolist() == [pytest.approx(1 / 3), 3]
    assert cells.loc[("all", "dark_unguarded"), "ours"] == pytest.approx(2 / 3)
    assert cells.loc[("a", "dark"), "ours"] == 0.5 and cells.loc[("b", "blue_cast"), "ours"] == 1
    assert math.isnan(cells.loc[("missing", "dark"), "ours"])
    assert cells.loc[("missing", "dark"), "note"] != ""


def test_histogram_counts_what_has_an_angle():
    figure = tone_histogram({"one": [90.0, 90.0, -90.0, 30.0, 20.0, np.nan], "two": [10.0]})
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles[0] == "one: 5 images, 1 without an angle; 40.0% at or below 28 degrees"
    heights = sorted(round(bar.get_height()) for bar in figure.axes[0].patches if 0 < bar.get_height() != 1.0)
    assert heights == [2]  # the two at 90; 30, 20 and -90 are bars of 1
    assert len(tone_plane([60.0, 70.0], [5.0, -5.0]).axes) == 1


def test_a_gap_between_clinics_is_none_within_them():
    rng = np.random.default_rng(0)
    frames = []
    for clinic, share, shift in (("a", 0.9, 0.0), ("b", 0.1, 0.6)):  # the dark clinic is the hard one
        label = np.r_[np.ones(100, int), np.zeros(100, int)]
        p = np.clip(0.5 + shift * (label - 0.5) + rng.uniform(-0.4, 0.4, 200), 0, 1)
        dark = np.tile(np.arange(100) < 100 * share, 2)
        frame = pd.DataFrame({"label": label, "p_benign": 1 - p, "p_malignant": p, "source": clinic})
        frames.append(frame.assign(group=np.where(dark, "dark", "light")))
    alone = frames[0].iloc[:5].assign(source="c", group="dark")
    table = pd.concat([*frames, alone], ignore_index=True).assign(dataset="d", split="s", part="test", seed=0)
    table["image_id"] = [f"i{k}" for k in range(len(table))]
    found = gaps_within(Arm(table, 0.5), "source", n_boot=100).set_index(["row", "metric"])
    for clinic in "ab":
        cell = found.loc[(f"gap within {clinic}", "roc_auc")]
        assert cell["low"] < 0 < cell["high"] and "p = " in cell["note"]
    light, dark = (table[(table["group"] == name) & (table["source"] != "c")] for name in ("light", "dark"))
    pooled = [roc_auc_score(rows["label"], rows["p_malignant"]) for rows in (light, dark)]
    assert pooled[0] - pooled[1] > 0.2
    assert math.isnan(found.loc[("gap within c", "recall"), "ours"])
    assert found.loc[("gap within c", "recall"), "note"] == "a group has no image"
