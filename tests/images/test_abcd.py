"""Asymmetry, border and colour: worked answers, the drawn truth, and the same at every resolution, place and turn."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from skimage.color import rgb2lab
from written import disc, write_cohort

from skinlib.across.abcd import unchanged
from skinlib.data.synthetic_draw import Look, draw
from skinlib.data.synthetic_people import people
from skinlib.images import abcd

KINDS = ["mel", "nv", "bcc", "akiec", "bkl", "df", "vasc"]
SHAPES = ["asymmetry", "border", "solidity"]


def looks(count, seed=0):
    """Looks of all classes whose asymmetry and border are drawn apart, each uniform in 0..1."""
    rng = np.random.default_rng(seed)
    table = people(KINDS * (count // 7 + 1), [1] * 7 * (count // 7 + 1), rng).head(count)
    names = [field.name for field in fields(Look)]
    for row in table.itertuples():
        look = Look(**{name: getattr(row, name) for name in names})
        yield replace(look, asymmetry=float(rng.uniform()), border=float(rng.uniform()))


def grid(side):
    return np.mgrid[:side, :side] - (side - 1) / 2


def flat(mask, color=(120, 80, 60)):
    return np.full((*mask.shape, 3), color, dtype=np.uint8)


def of(mask):
    return abcd.measure(flat(mask), mask)


def test_a_disc_is_symmetric_round_and_of_one_colour_and_an_ellipse_symmetric_and_longer_than_round():
    found = of(disc(200, 50))
    assert found["asymmetry"] < 0.005 and found["border"] == pytest.approx(1, abs=0.01)
    assert found["solidity"] == pytest.approx(1, abs=0.01)
    assert (found["colours"], found["colour_deviation"], found["cut"]) == (1, pytest.approx(0, abs=0.01), 0)
    y, x = grid(300)
    found = of((y / 40) ** 2 + (x / 80) ** 2 < 1)
    a, b = 80, 40
    around = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))  # Ramanujan 1914
    assert found["asymmetry"] < 0.005
    assert found["border"] == pytest.approx(around**2 / (4 * np.pi * np.pi * a * b), rel=0.02)


def test_a_half_disc_leaves_uncovered_what_two_segments_leave():
    """A half disc mirrors into itself about one axis; about the other, x = 4/(3 pi), what sticks out is counted."""
    y, x = grid(300)
    half = (y**2 + x**2 < 90**2) & (x > 0)
    fold = 4 / (3 * np.pi)  # the centroid, in radii
    columns = np.linspace(0, 1, 20001)
    height = np.sqrt(1 - columns**2)
    mirrored = np.interp(2 * fold - columns, columns, height, left=0, right=0)
    uncovered = np.trapezoid(np.maximum(height - mirrored, 0), columns) / np.trapezoid(height, columns)
    assert of(half)["asymmetry"] == pytest.approx(uncovered / 2, rel=0.25)  # corners are smoothed away
    assert of(half)["asymmetry"] > 10 * of(disc(200, 50))["asymmetry"]


def test_notches_lower_the_solidity_and_raise_the_border():
    y, x = grid(300)
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    stars = [of(radius < 70 * (1 + depth * np.cos(12 * angle))) for depth in (0.0, 0.08, 0.2)]
    assert np.all(np.diff([star["border"] for star in stars]) > 0.1)
    assert np.all(np.diff([star["solidity"] for star in stars]) < -0.03)
    assert max(star["asymmetry"] for star in stars) < 0.01  # even notches are no asymmetry


def test_two_colours_count_and_their_distance_is_the_deviation():
    mask = disc(200, 50)
    image = flat(mask, (51, 0, 0))
    image[:, 100:] = (204, 51, 51)
    found = abcd.measure(image, mask)
    lab = rgb2lab(np.array([[(51, 0, 0), (204, 51, 51)]], dtype=np.uint8))[0]
    assert found["colours"] == 2
    assert found["colour_deviation"] == pytest.approx(np.linalg.norm(lab[0] - lab[1]) / 2, rel=0.06)
    image[:, 100:] = (51, 0, 0)
    image[80:86, 80:86] = (204, 51, 51)  # half a percent of the lesion
    assert abcd.measure(image, mask)["colours"] == 1


def test_every_reference_colour_is_its_own():
    mask = disc(64, 20)
    for color in abcd.REFERENCE_COLOURS.values():
        assert abcd.measure(flat(mask, color), mask)["colours"] == 1
    image = flat(mask)
    for row, color in enumerate(abcd.REFERENCE_COLOURS.values()):
        image[12 + 7 * row : 19 + 7 * row] = color
    image[:12], image[54:] = image[12], image[53]
    assert abcd.measure(image, mask)["colours"] == 6


@pytest.mark.parametrize("turn", ["rotate", "mirror", "shift"])
def test_place_and_turn_change_nothing(turn):
    look = replace(next(looks(1)), center_x=0.5, center_y=0.5, hairs=0, radius=0.25, ruler=False, vignette=False)
    drawing = draw(look, (200, 200))
    image, mask = drawing.image, drawing.mask
    moves = {"rotate": lambda a: np.rot90(a), "mirror": lambda a: a[:, ::-1], "shift": lambda a: np.roll(a, 15, 1)}
    moved = abcd.measure(np.ascontiguousarray(moves[turn](image)), np.ascontiguousarray(moves[turn](mask)))
    for name, value in abcd.measure(image, mask).items():
        assert moved[name] == pytest.approx(value, rel=0.02, abs=1e-3), name


@pytest.fixture(scope="module")
def drawn():
    """80 lesions at 128 pixels: their measures and the drawn truth."""
    chosen = list(looks(80))
    drawings = [draw(look, (128, 128)) for look in chosen]
    found = pd.DataFrame([abcd.measure(drawing.image, drawing.mask) for drawing in drawings])
    truth = pd.DataFrame([{"asymmetry": look.asymmetry, "border": look.border} for look in chosen])
    return found, truth.assign(colours=[len(look.colors) + look.veil + look.white_centre for look in chosen])


def test_the_measures_follow_the_drawn_truth_and_not_each_others(drawn):
    (found, truth), least = drawn, {"asymmetry": 0.9, "border": 0.95, "colours": 0.4}
    for name, limit in least.items():
        assert stats.spearmanr(found[name], truth[name])[0] > limit, name
    assert abs(stats.spearmanr(found["asymmetry"], truth["border"])[0]) < 0.3
    assert abs(stats.spearmanr(found["border"], truth["asymmetry"])[0]) < 0.3


def test_from_512_to_128_pixels_nothing_changes():
    large, small = [], []
    for look in looks(24, seed=1):
        drawing = draw(look, (512, 512))
        large.append(abcd.measure(drawing.image, drawing.mask))
        image = Image.fromarray(drawing.image).resize((128, 128), Image.Resampling.BOX)
        mask = Image.fromarray(drawing.mask).resize((128, 128), Image.Resampling.NEAREST)
        small.append(abcd.measure(np.asarray(image), np.asarray(mask)))
    small, large = pd.DataFrame(small), pd.DataFrame(large)
    change = (small / large - 1).abs()
    assert (change[["border", "solidity"]].max() < 0.05).all()
    # Of the few lesions that are all but symmetric (below 0.02) a twentieth of the measure is a thousandth of the area,
    # and of a lesion of one colour it is a tenth of a unit of CIELAB: there the median lesion gives the limit.
    for name in ("asymmetry", "colour_deviation"):
        assert unchanged(small[name], large[name]).all(), name
        assert change[name].quantile(0.9) < 0.05 and change[name].median() < 0.02
    assert (change["colours"] == 0).mean() > 0.9


def test_a_lesion_that_the_image_cuts_off_has_no_shape():
    found = of(np.ones((60, 80), dtype=bool))
    assert found["cut"] == 1 and np.isnan([found[name] for name in SHAPES]).all() and found["colours"] == 1
    touching = of(disc(200, 60, at=(-50, 0)))
    assert 0 < touching["cut"] < abcd.MOST_CUT and np.isfinite([touching[name] for name in SHAPES]).all()


def test_a_speck_in_a_large_image_is_measured_on_its_own():
    mask = np.zeros((1500, 2000), dtype=bool)
    mask[700, 900] = True
    assert of(mask)["cut"] == 0  # resized with the whole image it would need 45 GB


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="the mask is empty"):
        of(np.zeros((20, 20), dtype=bool))
    with pytest.raises(ValueError, match="pass a mask of the image's size"):
        abcd.measure(flat(disc(50, 10)), disc(40, 10))


def test_the_table_and_that_stored_measures_are_measured_once(cohort, tmp_path, monkeypatch):
    table = abcd.abcd_table(cohort)
    assert table["note"].tolist() == ["", "cut off", "empty mask", "no mask"]
    assert table["asymmetry"].notna().tolist() == [True, False, False, False]
    assert table["colours"].notna().tolist() == [True, True, False, False]
    assert abcd.abcd_table(cohort, ["bare", "round"])["image_id"].tolist() == ["bare", "round"]
    with pytest.raises(ValueError, match="'other' first"):
        abcd.abcd_table(cohort, ["other"])
    first = abcd.stored(cohort, tmp_path / "cache")
    pd.testing.assert_frame_equal(first, abcd.abcd_table(cohort))
    monkeypatch.setattr(abcd, "measure", None)
    pd.testing.assert_frame_equal(abcd.stored(cohort, tmp_path / "cache"), first)
    renamed = cohort.assign(image_id=["a", "b", "c", "d"])
    assert abcd.stored(renamed, tmp_path / "cache")["image_id"].tolist() == ["a", "b", "c", "d"]
    with pytest.raises(TypeError):  # another order is another table
        abcd.stored(cohort.iloc[::-1], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.tmp"))


@pytest.fixture
def cohort(tmp_path):
    masks = {"round": disc(80, 20), "filling": disc(80, 200), "empty": disc(80, 0), "bare": None}
    gray = {name: None if mask is None else np.uint8(255) * mask for name, mask in masks.items()}
    return write_cohort(tmp_path, {name: (flat(disc(80, 20)), mask) for name, mask in gray.items()})
