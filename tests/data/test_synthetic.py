import json
import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.color import rgb2lab
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinlib.data import synthetic
from skinlib.data.cards import CARDS
from skinlib.data.readers import read
from skinlib.data.readers_files import is_synthetic
from skinlib.data.synthetic import TRUTH_FILE, allocate, synthesise
from skinlib.data.synthetic_draw import Look, draw, skin_rgb
from skinlib.data.synthetic_layouts import fitzpatrick, padded_jpeg
from skinlib.data.synthetic_people import MALIGNANT_KINDS, images_a_lesion, people

PLAIN = Look(
    ita=35.0, skin_a=10.0, skin_b=15.0, radius=0.25, aspect=1.0, asymmetry=0.0, border=0.0, softness=0.06, density=0.8,
    colors=("dark_brown",), network="none", negative_network=False, streaks=0, globules=0, milia=0, vessels=0, scales=0,
    lacunae=0, veil=False, white_centre=False, form_seed=1, view_seed=2,
)  # fmt: skip


def look(**changes) -> Look:
    return replace(PLAIN, **changes)


@pytest.fixture(scope="module")
def all_sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("all")
    return root, synthesise(root, datasets=CARDS, images=72, size=32, seed=3)


@pytest.fixture(scope="module")
def ham(tmp_path_factory):
    root = tmp_path_factory.mktemp("ham")
    return root, synthesise(root, images=500, size=40, seed=0)


@pytest.mark.parametrize("name", CARDS)
def test_every_layout_is_read_without_allow_missing(all_sets, name):
    root, truth = all_sets
    cohort = read(name, root).set_index("image_id")
    of_set = truth[truth["dataset"] == name].set_index("image_id")
    assert set(of_set.index) <= set(cohort.index) and cohort.attrs["findings"] == []
    here = cohort.loc[of_set.index]
    if CARDS[name].classes:
        assert (here["diagnosis"] == of_set["diagnosis"]).all() and set(here["diagnosis"]) == set(CARDS[name].classes)
    if CARDS[name].official and name != "isic2018_task12":
        assert set(cohort["official_split"]) == set(CARDS[name].official)
    for column in ("lesion_id", "patient_id"):
        known = here[column].dropna()
        assert (known == of_set.loc[known.index, column]).all()


def test_masks_on_disk_are_the_truth(all_sets):
    root, truth = all_sets
    for name in ("ham10000", "isic2016", "ph2"):
        cohort = read(name, root).set_index("image_id")
        for row in truth[truth["dataset"] == name].head(10).itertuples():
            mask = np.asarray(Image.open(cohort.loc[row.image_id, "mask_path"])) > 128
            assert mask.mean() == pytest.approx(row.area, abs=1e-6)
            with Image.open(cohort.loc[row.image_id, "image_path"]) as image:
                assert image.size == mask.shape[::-1]


def test_task2_masks_lie_in_the_lesion_and_follow_the_truth(all_sets):
    root, truth = all_sets
    cohort = read("isic2018_task12", root).set_index("image_id")
    for row in truth[truth["dataset"] == "isic2018_task12"].itertuples():
        files = cohort.loc[row.image_id]
        lesion = np.asarray(Image.open(files["mask_path"])) > 128
        columns = ("attribute_pigment_network", "attribute_globules")
        network, globules = (np.asarray(Image.open(files[column])) > 128 for column in columns)
        assert network.any() == (row.network != "none") and globules.any() <= (row.globules > 0)
        assert not ((network | globules) & ~lesion).any()


def test_pad_keeps_unk_answers_shared_blanks_and_patients_with_several_lesions(tmp_path):
    synthesise(tmp_path, datasets=["pad_ufes_20"], images=200, size=32)
    cohort = read("pad_ufes_20", tmp_path)
    shared = cohort[["smoke", "sex", "skin_type", "diameter_1", "cancer_history"]].isna()
    assert (shared.nunique(axis=1) == 1).all()
    blank = shared["smoke"].groupby(cohort["diagnosis"]).mean()
    assert blank[["BCC", "MEL", "SCC"]].eq(0).all() and blank[["ACK", "NEV", "SEK"]].min() > 0.3
    assert cohort["answered_unknown"].str.contains("grew").any()
    assert cohort.groupby("patient_id")["lesion_id"].nunique().max() > 1
    assert cohort.groupby("lesion_id")["patient_id"].nunique().max() == 1


def test_marker_and_truth_table(ham):
    root, truth = ham
    assert is_synthetic(root) and not is_synthetic(root / "ham10000")
    assert json.loads((root / "synthetic.json").read_text())["sets"] == ["ham10000"]
    stored = pd.read_csv(root / TRUTH_FILE, dtype={"part": "str"}, keep_default_na=False)
    pd.testing.assert_frame_equal(stored, truth, check_dtype=False, rtol=1e-4)
    assert len(truth) == 500 and truth["ita_category"].nunique() == 6
    assert (truth["malignant"] == truth["kind"].isin(MALIGNANT_KINDS)).all()
    assert not [path for path in root.parent.iterdir() if path.name.startswith(".ham")]


def test_lesions_are_pictured_several_times_and_patients_have_several(ham):
    _, truth = ham
    assert 1.2 < len(truth) / truth["lesion_id"].nunique() < 1.5
    assert truth.groupby("patient_id")["lesion_id"].nunique().mean() > 1.2
    same = truth.groupby("lesion_id")[["diagnosis", "ita", "form_seed", "colors", "patient_id"]].nunique()
    assert same.eq(1).all(axis=None)
    assert truth.groupby("patient_id")[["ita", "age", "male"]].nunique().eq(1).all(axis=None)
    counts = ham[1]["diagnosis"].value_counts()  # roughly HAM10000's, and every class is there
    assert counts.min() >= 6
    assert (counts[["nv", "mel"]] / 500).tolist() == [pytest.approx(0.67, abs=0.03), pytest.approx(0.111, abs=0.01)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    files = lambda root: {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synthesise(tmp_path / name, images=56, size=32, seed=seed)
    one, two, other = (files(tmp_path / name) for name in "abc")
    images = [path for path in one if path.suffix == ".jpg"]
    assert one == two and len(images) == 56 and all(one[path] != other[path] for path in images if path in other)


def test_mean_colour_tells_little_and_files_and_order_tell_nothing(ham):
    root, truth = ham
    pixels = np.stack([np.asarray(Image.open(root / file)).reshape(-1, 3) for file in truth["file"]])
    colours = np.hstack([pixels.mean(axis=1), pixels.std(axis=1)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    by_patient = {"groups": truth["patient_id"], "cv": GroupKFold(5)}
    score = cross_val_predict(model, colours, truth["malignant"], **by_patient, method="predict_proba")
    assert roc_auc_score(truth["malignant"], score[:, 1]) <= 0.75
    assert len({(root / file).stat().st_size for file in truth["file"]}) == 1
    assert roc_auc_score(truth["malignant"], truth["image_id"].rank().to_numpy()) == pytest.approx(0.5, abs=0.09)
    assert roc_auc_score(truth["malignant"], truth["file"].str.contains("part_2")) == pytest.approx(0.5, abs=0.09)


def test_overlays_place_size_and_skin_are_independent_of_the_class():
    rng = np.random.default_rng(0)
    kinds = rng.choice(["nv", "bkl", "mel", "bcc", "akiec"], 6000, p=[0.6, 0.1, 0.1, 0.1, 0.1]).tolist()
    truth = people(kinds, [1] * len(kinds), rng)
    for column in ("hairs", "ruler", "vignette", "radius", "center_x", "light", "ita", "density", "softness"):
        assert roc_auc_score(truth["malignant"], truth[column]) == pytest.approx(0.5, abs=0.035), column
    for column in ("asymmetry", "border", "vessels", "veil", "age"):
        assert roc_auc_score(truth["malignant"], truth[column]) > 0.6, column


def test_skin_tones_are_shared_out_evenly_among_benign_and_malignant_patients(ham):
    patients = ham[1].drop_duplicates("patient_id")
    shares = pd.crosstab(patients["malignant"], patients["ita_category"], normalize="index")
    assert (shares.loc[True] - shares.loc[False]).abs().max() < 0.1


@pytest.mark.parametrize("ita", [-40.0, -5.0, 20.0, 35.0, 48.0, 60.0])
def test_skin_has_the_ita_that_the_truth_says(ita):
    lightness, _, b = rgb2lab(skin_rgb(ita, 10.0, 15.0)[None, None]).ravel()
    assert math.degrees(math.atan2(lightness - 50, b)) == pytest.approx(ita, abs=0.2)
    drawing = draw(look(ita=ita, light=0.08), (64, 64))
    far = np.hypot(*np.mgrid[-32:32, -32:32]) > 0.36 * 64
    skin = rgb2lab(drawing.image)[far].mean(axis=0)
    assert math.degrees(math.atan2(skin[0] - 50, skin[2])) == pytest.approx(ita, abs=2)


def test_a_plain_lesion_is_a_disc_of_the_radius_that_the_truth_says_in_wide_pictures_too():
    drawing = draw(look(), (200, 200))
    assert drawing.mask.mean() == pytest.approx(math.pi * 0.25**2, rel=0.02)
    rows, columns = np.nonzero(drawing.mask)
    assert rows.mean() == pytest.approx(100, abs=1) and columns.mean() == pytest.approx(100, abs=1)
    assert drawing.image[100, 100].mean() < 0.6 * drawing.image[:20].mean() and drawing.hair == 0
    rows, columns = np.nonzero(draw(look(), (150, 200)).mask)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2)


def test_asymmetry_and_border_are_seen_in_the_outline():
    mirrored = lambda mask: (mask & mask[:, ::-1]).sum() / (mask | mask[:, ::-1]).sum()  # what both share
    perimeter = lambda mask: (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    smooth, skewed, rough = (draw(look(**c), (200, 200)).mask for c in ({}, {"asymmetry": 1.0}, {"border": 1.0}))
    assert mirrored(smooth) > 0.97 > 0.9 > mirrored(skewed) and perimeter(rough) > 1.1 * perimeter(smooth)


@pytest.mark.parametrize("change", [
    {"network": "typical"}, {"network": "atypical"}, {"negative_network": True}, {"streaks": 8}, {"globules": 12},
    {"milia": 12}, {"vessels": 6}, {"scales": 12}, {"lacunae": 5}, {"veil": True}, {"white_centre": True},
    {"colors": ("dark_brown", "red")},
])  # fmt: skip
def test_each_structure_changes_the_lesion_and_not_the_skin(change):
    plain, changed = (draw(lk, (96, 96)) for lk in (look(), look(**change)))
    difference = np.abs(plain.image.astype(int) - changed.image).max(axis=2)
    assert difference[changed.mask].max() > 25
    far = np.hypot(*np.mgrid[-48:48, -48:48]) > 0.36 * 96
    assert difference[far].max() <= 1


@pytest.mark.parametrize("change", [{"hairs": 8}, {"ruler": True}, {"vignette": True}])
def test_each_overlay_darkens_what_it_covers_and_leaves_the_mask_alone(change):
    plain, changed = (draw(lk, (96, 96)) for lk in (look(), look(**change)))
    assert (plain.mask == changed.mask).all()
    assert (plain.image.min(axis=2).astype(int) - changed.image.min(axis=2)).max() > 50
    assert (changed.hair > 0) == ("hairs" in change)


def test_two_views_show_one_lesion():
    one, two = (draw(look(asymmetry=0.8, globules=9, rotation=r), (128, 128)) for r in (0.0, math.pi / 2))
    assert (np.rot90(one.mask, -1) == two.mask).mean() > 0.98


@pytest.mark.parametrize("extra", [0, 1, 3, 4, 5, 65_537, 65_538, 65_540, 131_074, 131_076, 200_000])
def test_padded_jpeg_has_the_size_and_the_pixels(tmp_path, extra):
    Image.fromarray(draw(PLAIN, (32, 32)).image).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    padded = padded_jpeg(data, len(data) + extra)
    assert len(padded) == len(data) + extra
    (tmp_path / "b.jpg").write_bytes(padded)
    one, two = (np.asarray(Image.open(tmp_path / f"{name}.jpg")) for name in "ab")
    assert (one == two).all()
    with pytest.raises(ValueError, match="more than the"):
        padded_jpeg(data, len(data) - 1)


def test_shares_and_skin_types_by_hand():
    assert allocate({"a": 900, "b": 90, "c": 10}, 100) == {"a": 85, "b": 9, "c": 6}
    assert allocate({"a": 900, "b": 100}, 8) == {"a": 6, "b": 2}
    times = images_a_lesion(1000, np.random.default_rng(0))
    assert sum(times) == 1000 and min(times) == 1 and max(times) <= 4
    assert [fitzpatrick(a) for a in (60, 50, 35, 20, 0, -40)] == [1, 2, 3, 4, 5, 6]


def test_drawn_sets_are_never_mixed_with_other_data(tmp_path):
    (tmp_path / "real" / "ham10000").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="draw into an empty folder"):
        synthesise(tmp_path / "real", datasets="ph2", images=24, size=32)
    assert [path.name for path in tmp_path.rglob("*")] == ["real", "ham10000"]


def test_a_failure_leaves_no_folder_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "write_tables", mock.Mock(side_effect=OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        synthesise(tmp_path / "new", images=56, size=32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "words"), [
    ({"datasets": ["ham"]}, "Unknown data set"), ({"images": 20}, "at least 56"), ({"size": 16}, "too small"),
])  # fmt: skip
def test_refuses(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        synthesise(tmp_path, **options)
