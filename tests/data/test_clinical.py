import layouts
import numpy as np
import pandas as pd
import pytest

from skinlib.data import clinical
from skinlib.data.readers import read
from skinlib.data.readers_files import DataError
from skinlib.data.synthetic import synthesise


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("pad")
    layouts.lay_pad(root)
    (root / "synthetic.json").write_text("{}")
    return read("pad_ufes_20", root, allow_missing=True)


def test_the_literature_has_81_columns_and_the_cleaned_encoding_one_brazil_fewer():
    literature, cleaned = clinical.columns("literature"), clinical.columns("cleaned")
    assert (len(literature), len(cleaned)) == (81, 80)
    assert set(literature) - set(cleaned) == {"background_father_BRASIL"} and len(set(literature)) == 81
    assert len(clinical.questions()) == 21
    sizes = {name: place.stop - place.start for name, place in clinical.blocks("literature").items()}
    assert (sizes["background_father"], sizes["background_mother"], sizes["region"]) == (13, 11, 14)
    assert (sizes["fitspatrick"], sizes["itch"], sizes["smoke"], sizes["age"]) == (6, 3, 2, 1)
    for encoding in clinical.ENCODINGS:
        for name, place in clinical.blocks(encoding).items():
            assert all(column.startswith(name) for column in clinical.columns(encoding)[place])


def test_what_gives_the_label_away_is_no_feature(cohort):
    assert not [name for name in clinical.columns() if "biopsed" in name or "diagnos" in name]
    other = cohort.assign(biopsed=~cohort["biopsed"], diagnosis="MEL", label=2)
    np.testing.assert_array_equal(clinical.encode(other), clinical.encode(cohort))


def test_the_typed_rows_by_hand(cohort):
    assert cohort["image_id"].tolist() == ["PAT_9001_9101_530", "PAT_9002_9102_939", "PAT_9002_9103_940"]
    table = pd.DataFrame(clinical.encode(cohort), columns=clinical.columns())
    wanted = {"age": 8, "region_ARM": 1, "region_FACE": 0, "itch_False": 1, "grew_UNK": 1, "grew_True": 0}
    assert table.loc[0, list(wanted)].to_dict() == wanted
    never = ["smoke_True", "smoke_False", "gender_MALE", "diameter_1", "fitspatrick_3.0", "background_father_UNK"]
    assert table.loc[0, never].isna().all()  # never asked: in no column a 1, nor a 0
    wanted = {"fitspatrick_3.0": 1, "diameter_2": 5, "background_mother_UNK": 1, "gender_FEMALE": 1}
    assert table.loc[1, list(wanted)].to_dict() == wanted
    np.testing.assert_array_equal(clinical.encode(cohort.assign(skin_type=cohort["skin_type"].astype("Int64"))), table)
    for name, place in clinical.blocks().items():
        if place.stop - place.start > 1:
            assert set(table.iloc[:, place].sum(axis=1)) <= {0, 1}, name


def test_brasil_is_another_country_in_the_literature_only(cohort):
    encoded = lambda name: pd.DataFrame(clinical.encode(cohort, name), columns=clinical.columns(name))
    literature, cleaned = encoded("literature"), encoded("cleaned")
    assert literature["background_father_BRASIL"].tolist()[1:] == [1, 0]
    assert literature["background_father_BRAZIL"].tolist()[1:] == [0, 1]
    assert cleaned["background_father_BRAZIL"].tolist()[1:] == [1, 1]


def test_asked_counts_unknown_answers_and_not_blanks(cohort):
    asked = clinical.asked(cohort)
    assert asked.loc[0, ["grew", "changed", "age"]].all() and not asked.loc[0, ["smoke", "gender"]].any()
    assert asked.loc[[1, 2]].all().all() and list(asked) == list(clinical.questions())


def test_a_blank_row_is_all_missing(cohort):
    names = ["sex", "site", "skin_type", *(n for n in clinical.questions() if n in cohort)]
    blank = cohort.assign(answered_unknown="", spelt_brasil="")
    blank.loc[1, names] = np.nan
    assert np.isnan(clinical.encode(blank)[1]).all() and not np.isnan(clinical.encode(blank)[2]).any()


def test_an_unknown_answer_is_named_and_a_cohort_without_the_columns_is_refused(cohort):
    strange = cohort.copy()
    strange.loc[0, "site"] = "tail"
    strange.loc[2, "background_mother"] = "ATLANTIS"
    with pytest.raises(DataError) as caught:
        clinical.encode(strange)
    assert "region: TAIL at PAT_9001_9101_530" in str(caught.value)
    assert "background_mother: ATLANTIS at PAT_9002_9103_940" in str(caught.value)
    assert "the features (skinlib/data/pad_ufes_20.csv) do not know" in str(caught.value)
    with pytest.raises(DataError, match="lack the clinical columns diameter_1, itch; a list"):
        clinical.encode(cohort.drop(columns=["itch", "diameter_1"]))
    with pytest.raises(ValueError, match="no encoding 'modern'; there are literature, cleaned"):
        clinical.encode(cohort, "modern")


def test_rows_are_encoded_one_by_one(cohort):
    whole = clinical.encode(cohort)
    for row in range(len(cohort)):
        np.testing.assert_array_equal(clinical.encode(cohort.iloc[[row]]), whole[[row]])


def test_the_drawn_set_has_the_same_layout(tmp_path):
    synthesise(tmp_path, datasets=["pad_ufes_20"], images=120, size=32)
    rows = clinical.encode(read("pad_ufes_20", tmp_path), "literature")
    assert rows.shape == (120, 81)
    blank = pd.DataFrame(np.isnan(rows), columns=clinical.columns("literature"))
    assert blank["smoke_True"].any() and (blank["smoke_True"] == blank["gender_MALE"]).all()
    assert not blank[["age", "region_ARM", "itch_UNK"]].any().any()


def test_where_only_the_table_is_read_rows_without_image_are_kept_and_a_changed_table_is_said(tmp_path):
    layouts.lay_pad(tmp_path)
    (tmp_path / "synthetic.json").write_text("{}")
    next((tmp_path / "pad_ufes_20" / "images").rglob("*_939.png")).unlink()
    with pytest.raises(DataError, match="found 2 of 3 images"):
        read("pad_ufes_20", tmp_path)
    assert len(read("pad_ufes_20", tmp_path, allow_missing=True)) == 2
    whole = read("pad_ufes_20", tmp_path, need_images=False)
    assert len(whole) == 3 and whole.attrs["findings"] == []
    assert whole["image_path"].isna().tolist() == [False, True, False]
    (tmp_path / "synthetic.json").unlink()  # the official counts are asked for
    with pytest.raises(DataError, match=r"found 3 of 2298 rows \(3 label rows\)"):
        read("pad_ufes_20", tmp_path, need_images=False)
