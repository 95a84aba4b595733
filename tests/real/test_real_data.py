"""The facts of data/README.md on the real files; sets that are only partly on disk are read with ``allow_missing``."""

import functools
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlib.data import checks, clinical
from skinlib.data.cards import CARDS, relabel
from skinlib.data.readers import read
from skinlib.paths import project_root
from skinlib.training.predict import predict
from skinlib.training.runs import cohort_of, load


@pytest.fixture(scope="module")
def cohorts(root):
    """Read each set once."""
    return functools.cache(lambda name: read(name, root, allow_missing=True))


@pytest.mark.needs("ham10000")
def test_ham10000_is_complete(root, cohorts):
    cohort = read("ham10000", root)
    assert cohort["diagnosis"].value_counts().to_dict() == CARDS["ham10000"].counts["all"]  # 10,015 in all
    images = cohort.groupby("lesion_id").size().value_counts().sort_index()
    assert images.to_dict() == {1: 5514, 2: 1423, 3: 490, 4: 34, 5: 5, 6: 4}
    assert cohort[["age", "sex", "site"]].isna().sum().tolist() == [57, 57, 234]
    assert cohort.groupby("lesion_id")["diagnosis"].nunique().max() == 1
    assert relabel(cohort, "malignancy")["label"].sum() == 1954


@pytest.mark.needs("ham10000")
def test_ham10000_source_clinics(cohorts):
    if cohorts("ham10000")["source"].isna().all():
        pytest.skip("the 7-column metadata names no source")
    sources = cohorts("ham10000")["source"].value_counts().to_dict()
    assert sources == {"vidir_molemax": 3954, "vidir_modern": 3363, "rosendahl": 2259, "vienna_dias": 439}


@pytest.mark.needs("ham10000", "isic2018_task3")
def test_task3_training_is_ham10000(cohorts):
    ham, task3 = cohorts("ham10000"), cohorts("isic2018_task3")
    training = task3[task3["official_split"] == "train"].set_index("image_id")
    assert sorted(training.index) == sorted(ham["image_id"])
    same = training.loc[ham["image_id"], ["label", "lesion_id"]].to_numpy() == ham[["label", "lesion_id"]].to_numpy()
    assert same.all()


@pytest.mark.needs("isic2016")
def test_isic2016_is_what_its_label_files_say(cohorts):
    cohort = cohorts("isic2016")
    counts = cohort.groupby(["official_split", "diagnosis"]).size()
    for (part, code), number in counts.items():
        assert number <= CARDS["isic2016"].counts[part][code]
    assert not any("not counted as" in finding for finding in cohort.attrs["findings"])
    assert cohort["mask_path"].notna().all()


@pytest.mark.needs("isic2016", "isic2017")
def test_isic2016_test_images_stand_in_the_isic2017_label_files(root):
    """305 of 379 test images, 63 of the 75 melanomas: counted on the label files, for not all images are on disk."""
    base = root / "isic2016"
    test = pd.read_csv(base / "ISBI2016_ISIC_Part3_Test_GroundTruth.csv", header=None, names=["image_id", "melanoma"])
    files = [root / "isic2017" / f"ISIC-2017_{word}_Part3_GroundTruth.csv" for word in ("Training", "Validation")]
    later = pd.concat([pd.read_csv(file) for file in files])
    both = test.merge(later, on="image_id")
    assert len(both) == 305 and later["melanoma"].sum() == 404
    assert ((both["melanoma_x"] == 1) & (both["melanoma_y"] == 1)).sum() == 63


@pytest.mark.needs("isic2016", "isic2018_task12")
def test_isic2016_in_isic2018_task12_by_id_and_by_hash(cohorts):
    old, new = cohorts("isic2016"), cohorts("isic2018_task12")
    shared = old[old["image_id"].isin(new["image_id"])].groupby("official_split").size()
    assert shared["train"] == 806 and shared["test"] == 339
    some = pd.concat([old.head(60), new], ignore_index=True)
    found = checks.exact_duplicates(some)
    assert found["same_id"].all() and len(found) == 60


@pytest.mark.needs("ham10000", "isic2018_task12")
def test_task12_shares_no_image_with_task3(cohorts):
    assert set(cohorts("isic2018_task12")["image_id"]).isdisjoint(cohorts("ham10000")["image_id"])


@pytest.mark.needs("isic2018_task12")
def test_task12_has_five_attribute_masks_an_image(cohorts):
    cohort = cohorts("isic2018_task12")
    attributes = cohort[cohort["official_split"] == "train"].filter(like="attribute_")
    assert attributes.shape == (2594, 5) and attributes.notna().all(axis=None)


@pytest.mark.needs("pad_ufes_20")
def test_pad_ufes_20_table(root, cohorts):
    table = pd.read_csv(root / "pad_ufes_20" / "metadata.csv")
    assert table["diagnostic"].value_counts().to_dict() == CARDS["pad_ufes_20"].counts["all"]
    assert (table["patient_id"].nunique(), table["lesion_id"].nunique()) == (1373, 1641)
    cohort = cohorts("pad_ufes_20").set_index("image_id")
    rows = table.set_index(table["img_id"].str.removesuffix(".png")).loc[cohort.index]
    np.testing.assert_array_equal(cohort["skin_type"], rows["fitspatrick"])
    assert (cohort["smoke"].isna() == rows["smoke"].isna()).all()
    cancer = cohort["diagnosis"].isin(["BCC", "SCC", "MEL"])
    assert cohort.loc[cancer, "smoke"].notna().all() and cohort.loc[~cancer, "smoke"].isna().any()
    assert cohort.loc[cancer, "biopsed"].all()
    assert not cohort["background_father"].isin(["BRASIL", "UNK"]).any()
    questions = cohort["answered_unknown"].str.split().explode().value_counts()
    assert questions["grew"] == (rows["grew"] == "UNK").sum()


@pytest.mark.needs("pad_ufes_20")
def test_the_81_columns_of_pad_ufes_20_are_its_dummies(root):
    """The table's own dummy columns, as the literature makes them, from all 2,298 rows, images or not."""
    table = pd.read_csv(root / "pad_ufes_20" / "metadata.csv", dtype=str, keep_default_na=False)
    table.index = table["img_id"].str.removesuffix(".png")
    whole = read("pad_ufes_20", root, need_images=False)
    assert len(whole) == 2298
    rows = pd.DataFrame(clinical.encode(whole, "literature"), whole["image_id"], clinical.columns("literature"))
    for name, answers in clinical.questions("literature").items():
        column = table[name].loc[rows.index]
        if answers:
            dummies = pd.get_dummies(column).drop(columns="", errors="ignore").add_prefix(f"{name}_")
            assert set(dummies) == {f"{name}_{answer}" for answer in answers}
            assert (rows[list(dummies)].fillna(0) == dummies).all(axis=None)
            assert (rows[list(dummies)].isna().all(axis=1) == (column == "")).all()
        else:
            np.testing.assert_array_equal(rows[name], pd.to_numeric(column.replace("", None)).astype("float32"))


@pytest.mark.needs("ham10000")
def test_ham10000_files_are_sound(cohorts):
    sample = cohorts("ham10000").sample(300, random_state=0)
    assert checks.unreadable(sample).empty and checks.mask_size(sample).empty
    for path in sample["mask_path"].head(50):
        assert (np.asarray(Image.open(path).convert("L")) > 128).any()


@pytest.mark.needs("ham10000")
def test_ham10000_near_duplicates_are_mostly_of_one_lesion(cohorts):
    cohort = cohorts("ham10000")
    twice = cohort[cohort["lesion_id"].duplicated(keep=False)].head(1500)
    pairs = checks.near_duplicates(twice, threshold=2)
    lesion = cohort.set_index("image_id")["lesion_id"]
    same = lesion[pairs["image_a"]].to_numpy() == lesion[pairs["image_b"]].to_numpy()
    assert len(pairs) > 5 and same.mean() > 0.5


@pytest.mark.needs("ham10000")
@pytest.mark.parametrize("path", sorted((project_root() / "results" / "models").glob("*/half.safetensors")))
def test_a_published_network_gives_its_stored_predictions(root, tmp_path, path):
    run = load(shutil.copytree(path.parent, tmp_path / "runs" / path.parent.name))
    seen = run.predictions("identity").query("part == 'test'").head(32).filter(regex="^image_id$|^p_")
    cohort = cohort_of(run.config, root).set_index("image_id").loc[seen["image_id"]].reset_index()
    np.testing.assert_allclose(predict(run, cohort)[list(seen)].iloc[:, 1:], seen.iloc[:, 1:], atol=2e-3)


@pytest.mark.needs("ph2")
def test_ph2_has_160_benign_and_40_melanoma(root):
    labels = relabel(read("ph2", root), "malignancy")["label"]
    assert labels.value_counts().to_dict() == {0: 160, 1: 40}


@pytest.mark.needs("isic2019")
def test_isic2019(cohorts):
    cohort = cohorts("isic2019")  # 25,331 images
    assert cohort["diagnosis"].value_counts().to_dict() == CARDS["isic2019"].counts["train"]
