"""Hair, ruler and contrast on drawn images whose answer is known."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import color
from written import disc, flat, write_cohort

from skinlib.images import lesion

SKIN, DARK = (210, 170, 150), (40, 30, 25)


def skin(side=256):
    noise = np.random.default_rng(0).normal(0, 2, (side, side, 1))
    return np.clip(np.array(SKIN) + noise, 0, 255).astype(np.uint8)


def draw(lines, width=3, image=None):
    picture = Image.fromarray(skin() if image is None else image)
    pen = ImageDraw.Draw(picture)
    for line in lines:
        pen.line(line, fill=DARK, width=width)
    return np.asarray(picture)


def hair(image, mask=None):
    return lesion.hair_and_ruler(image, mask)[0].mean()


def ruler(image):
    return lesion.hair_and_ruler(image)[1].mean()


EDGE_TICKS = [(10 + 20 * i, 3, 10 + 20 * i, 17) for i in range(8)]
COMB = [(30, 200, 220, 200)] + [(30 + 12 * i, 192, 30 + 12 * i, 200) for i in range(16)]


def test_hair_coverage_is_the_area_of_the_lines():
    crossing = [(20, 30, 230, 120), (20, 220, 240, 60), (128, 10, 100, 250)]
    image = draw(crossing)
    truth = (image.max(axis=2) < 100).mean()
    assert hair(image) == pytest.approx(truth, rel=0.25) and hair(draw(crossing[:1])) < hair(image)
    assert ruler(image) == 0


def test_strokes_bars_bare_skin_and_a_streak_inside_the_lesion_are_no_hair_but_one_across_is():
    assert hair(draw([(100 + 30 * i, 100, 100 + 30 * i, 112) for i in range(4)])) == 0
    assert hair(draw([(20, 128, 236, 128)], width=20)) == 0 and hair(skin()) == 0 and ruler(skin()) == 0
    mask = disc(256, 60)
    streak, across = draw([(100, 128, 150, 128)]), draw([(20, 128, 236, 128)])
    assert hair(streak) > 0 and hair(streak, mask) == 0 and hair(across, mask) == hair(across) > 0


def test_coverage_hardly_depends_on_the_number_of_pixels():
    image = draw([(20, 30, 230, 120), (20, 220, 240, 60)])
    twice = np.asarray(Image.fromarray(image).resize((512, 512), Image.Resampling.BILINEAR))
    assert hair(twice) == pytest.approx(hair(image), rel=0.3)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("drawn", [EDGE_TICKS, COMB], ids=["ticks", "comb"])
def test_rulers_are_found_on_every_side(drawn, quarter_turns):
    image = np.rot90(draw(drawn, width=2), quarter_turns).copy()
    truth = (image.max(axis=2) < 100).mean()
    assert 0.5 * truth < ruler(image) < 3 * truth and hair(image) == 0


def test_a_tilted_ruler_is_found_and_uneven_few_or_central_ticks_are_none():
    turned = Image.fromarray(draw(EDGE_TICKS, width=2)).rotate(10, fillcolor=SKIN, resample=Image.Resampling.BILINEAR)
    assert ruler(np.asarray(turned)) > 0
    uneven = [(x, 3, x, 17) for x in (10, 21, 54, 61, 104, 143, 151, 230)]
    central = [(60 + 20 * i, 121, 60 + 20 * i, 135) for i in range(6)]
    for ticks in (uneven, EDGE_TICKS[:3], central):
        assert ruler(draw(ticks, width=2)) == 0


def test_contrast_is_the_distance_of_the_two_colours_and_needs_a_lesion_and_skin():
    image, mask = flat(*SKIN, side=128), disc(128, 30)
    image[mask] = (120, 80, 60)
    lab = color.rgb2lab(np.array([[SKIN, (120, 80, 60)]], dtype=np.uint8))[0]
    assert lesion.contrast(image, mask) == pytest.approx(np.linalg.norm(lab[0] - lab[1]), abs=1e-2)
    image[:10] = (10, 200, 10)  # beyond the ring
    assert lesion.contrast(image, mask) == pytest.approx(np.linalg.norm(lab[0] - lab[1]), abs=1e-2)
    image = skin(64)
    assert math.isnan(lesion.contrast(image, np.zeros((64, 64), dtype=bool)))
    assert math.isnan(lesion.contrast(image, np.ones((64, 64), dtype=bool)))
    with pytest.raises(ValueError, match="pass a mask of the image's size"):
        lesion.contrast(image, np.ones((8, 8), dtype=bool))


@pytest.fixture
def cohort(tmp_path):
    mask, ruled = np.uint8(255) * disc(256, 60), draw(EDGE_TICKS, width=2)
    pictures = {"hairy": (draw([(20, 128, 236, 100)]), mask), "ruled": (ruled, mask), "plain": (skin(), None)}
    return write_cohort(tmp_path, pictures)


def test_table(cohort):
    table = lesion.artefact_table(cohort).set_index("image_id")
    assert (table["hair"] > 0).tolist() == [True, False, False]
    assert (table["ruler"] > 0).tolist() == [False, True, False] and table["note"].tolist() == ["", "", "no mask"]
    assert table["contrast"].isna().tolist() == table["area"].isna().tolist() == [False, False, True]
    assert table["area"].iloc[0] == disc(256, 60).mean()
    assert lesion.artefact_table(cohort, ["plain", "hairy"])["image_id"].tolist() == ["plain", "hairy"]
    with pytest.raises(ValueError, match="'other' first"):
        lesion.artefact_table(cohort, ["plain", "other"])
