import shutil
import zipfile
from pathlib import Path

import layouts
import pandas as pd
import pytest

from skinlib.data import readers_files as files
from skinlib.data.cards import CARDS
from skinlib.data.readers import COLUMNS, read
from skinlib.data.readers_files import DataError, clean, images_of

LAYS = {
    "ham10000": layouts.lay_ham, "isic2016": layouts.lay_2016, "isic2017": layouts.lay_2017,
    "isic2018_task12": layouts.lay_task12, "isic2019": layouts.lay_2019, "pad_ufes_20": layouts.lay_pad,
}  # fmt: skip


def lay_ph2(root: Path, deeper: str = "") -> Path:
    base = root / "ph2" / deeper
    base.mkdir(parents=True)
    (base / "PH2_dataset.txt").write_bytes((layouts.FIXTURES / "ph2" / "PH2_dataset.txt").read_bytes())
    layouts.lay_ph2_images(base)
    return base


def as_synthetic(root: Path) -> Path:
    """With this marker the official counts are not asked for, so that a tiny set can be complete."""
    (root / "synthetic.json").write_text("{}")
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", LAYS)
def test_contract_columns(tmp_path, name):
    LAYS[name](tmp_path)
    cohort = read(name, as_synthetic(tmp_path))
    assert tuple(cohort.columns[: len(COLUMNS)]) == COLUMNS and cohort.index.tolist() == list(range(len(cohort)))
    assert cohort["image_id"].is_monotonic_increasing and (cohort["dataset"] == name).all()
    assert all(Path(p).is_absolute() and Path(p).is_file() for p in cohort["image_path"])
    notes = ["answered_unknown", "spelt_brasil"]
    assert not cohort.drop(columns=notes, errors="ignore").isin(["unknown", "UNK", ""]).any(axis=None)
    assert cohort.attrs["findings"] == []


def test_ham10000(tmp_path):
    layouts.lay_ham(tmp_path)
    cohort = read("ham10000", tmp_path, allow_missing=True).set_index("image_id")
    assert cohort["diagnosis"].tolist() == ["bkl", "nv", "mel", "bkl", "akiec"]
    assert cohort["label"].tolist() == [4, 1, 0, 4, 3] and cohort["label"].dtype == "int64"
    assert cohort["lesion_id"].nunique() == 4 and cohort["patient_id"].isna().all()
    assert cohort.loc["ISIC_0090004", "image_path"].endswith("HAM10000_images_part_2/ISIC_0090004.JPG")
    assert cohort.loc["ISIC_0090001", "mask_path"].endswith("ISIC_0090001_segmentation.png")
    assert cohort.loc["ISIC_0090002"][["age", "sex", "site"]].isna().all()
    assert cohort.loc["ISIC_0090003", "age"] == 0 and cohort.loc["ISIC_0090005", "source"] == "vienna_dias"
    assert cohort["dx_type"].tolist() == ["histo", "follow_up", "histo", "histo", "histo"]


def test_ham10000_as_kaggle_writes_it_without_masks_and_with_every_image_twice(tmp_path):
    layouts.lay_ham(tmp_path, "ham10000_kaggle")
    layouts.touch(tmp_path / "ham10000" / "ham10000_images_part_1", "ISIC_0090001.jpg", "ISIC_0090002.jpg")
    cohort = read("ham10000", as_synthetic(tmp_path))
    assert cohort["source"].isna().all() and cohort["mask_path"].isna().all() and cohort["label"].tolist() == [6, 5]
    assert cohort["sex"].tolist()[0] == "male" and pd.isna(cohort["sex"][1])


@pytest.mark.parametrize("folder", ["images", "HAM10000_images", "."])
def test_ham10000_in_one_folder(tmp_path, folder):
    layouts.lay_ham(tmp_path, "ham10000_kaggle")
    base = tmp_path / "ham10000"
    (base / folder).mkdir(exist_ok=True)
    for path in (base / "HAM10000_images_part_1").iterdir():
        path.rename(base / folder / path.with_suffix(".png").name)
    (base / "HAM10000_images_part_1").rmdir()
    assert len(read("ham10000", as_synthetic(tmp_path))) == 2


def test_isic2016_label_files_without_header_in_both_spellings(tmp_path):
    layouts.lay_2016(tmp_path)
    cohort = read("isic2016", tmp_path, allow_missing=True)
    assert cohort["diagnosis"].tolist() == ["benign", "malignant", "benign", "benign", "malignant"]
    assert cohort["official_split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert cohort["mask_path"].str.endswith("_Segmentation.png").all()
    assert cohort.attrs["findings"] == [
        "train: found 3 of 900 images (3 label rows)", "test: found 2 of 379 images (2 label rows)",
    ]  # fmt: skip


def test_isic2017_third_class_and_metadata_in_the_data_folder(tmp_path):
    layouts.lay_2017(tmp_path)
    cohort = read("isic2017", as_synthetic(tmp_path))
    assert cohort["diagnosis"].tolist() == ["nevus", "melanoma", "seborrheic_keratosis", "melanoma", "nevus"]
    assert cohort["official_split"].tolist() == ["train", "train", "train", "val", "test"]
    assert cohort["age"].fillna(-1).tolist() == [55, -1, 30, -1, -1]
    assert not cohort["image_path"].str.contains("superpixels").any()


def test_isic2018_task12_has_masks_and_no_diagnosis(tmp_path):
    layouts.lay_task12(tmp_path)
    cohort = read("isic2018_task12", as_synthetic(tmp_path))
    assert cohort["label"].isna().all() and cohort["diagnosis"].isna().all()
    for name in layouts.ATTRIBUTES:
        assert cohort[f"attribute_{name}"].str.endswith(f"_attribute_{name}.png").all()
    (tmp_path / "isic2018" / "ISIC2018_Task1_Training_GroundTruth" / "ISIC_0080002_segmentation.png").unlink()
    layouts.touch(tmp_path / "isic2018" / "ISIC2018_Task1_Training_GroundTruth", "ISIC_0080009_segmentation.png")
    cohort = read("isic2018_task12", tmp_path, allow_missing=True)
    assert cohort["image_id"].tolist() == ["ISIC_0080001"]
    assert cohort.attrs["findings"] == [
        "train: found 2 of 3 images (3 label rows); 1 labelled ids have no image: ISIC_0080009",
        "train: 1 images have no mask: ISIC_0080002",
    ]


def test_isic2018_task3_takes_training_images_from_ham10000_and_the_rest_from_its_own_folders(tmp_path):
    layouts.lay_ham(tmp_path)
    layouts.lay_task3(tmp_path)
    cohort = read("isic2018_task3", tmp_path, allow_missing=True)
    assert cohort["official_split"].tolist() == ["train", "train", "val", "test"]
    assert cohort["diagnosis"].tolist() == ["BKL", "MEL", "NV", "AKIEC"]
    assert "/ham10000/" in cohort["image_path"][0] and "/ISIC2018_Task3_Test_Input/" in cohort["image_path"][3]
    assert cohort["lesion_id"].tolist()[:2] == ["HAM_0900071", "HAM_0900073"]  # the official groupings
    assert cohort["age"].tolist()[:2] == [80, 0] and cohort["mask_path"].notna().tolist() == [True, True, False, False]
    assert "3 images have no label row" in " ".join(cohort.attrs["findings"])
    (tmp_path / "isic2018" / "ISIC2018_Task3_Training_LesionGroupings.csv").unlink()
    cohort = read("isic2018_task3", tmp_path, allow_missing=True)
    assert cohort["lesion_id"].tolist()[:2] == ["HAM_0900001", "HAM_0900003"]
    (tmp_path / "isic2018" / "ISIC2018_Task3_Validation_GroundTruth.csv").unlink()
    with pytest.raises(DataError) as caught:
        read("isic2018_task3", tmp_path)
    assert any("val: label file" in finding for finding in caught.value.findings)
    assert set(read("isic2018_task3", tmp_path, allow_missing=True)["official_split"]) == {"train", "test"}


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tab", "\t")])
def test_isic2018_task3_test_labels_as_dataverse_gives_them(tmp_path, suffix, separator):
    layouts.lay_ham(tmp_path)
    layouts.lay_task3(tmp_path)
    base = tmp_path / "isic2018"
    shutil.rmtree(base / "ISIC2018_Task3_Test_GroundTruth")
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
    rows = head + "HAMTEST_1,ISIC_0090041,vasc,histo,35,male,back,x"
    (base / f"ISIC2018_Task3_Test_GroundTruth{suffix}").write_text(rows.replace(",", separator))
    (base / "ISIC2018_Task3_Test_Input").rename(base / "ISIC2018_Task3_Test_Images")
    row = read("isic2018_task3", tmp_path, allow_missing=True).query("official_split == 'test'").iloc[0]
    assert (row["diagnosis"], row["lesion_id"], row["age"], row["site"]) == ("VASC", "HAMTEST_1", 35, "back")
    assert "/ISIC2018_Task3_Test_Images/" in row["image_path"]


def test_a_label_file_may_call_its_images_image_id_and_a_folder_may_be_doubled_by_unpacking(tmp_path):
    layouts.lay_2019(tmp_path)
    before = read("isic2019", as_synthetic(tmp_path))
    for path in (tmp_path / "isic2019").glob("*.csv"):
        edit(path, "image,", "image_id,")
    pd.testing.assert_frame_equal(read("isic2019", tmp_path), before)
    assert not [line for line in before.attrs["findings"] if "not in it" in line]
    images = tmp_path / "isic2019" / "ISIC_2019_Training_Input"
    images.rename(tmp_path / "moved")
    images.mkdir()
    metadata = tmp_path / "isic2019" / "ISIC_2019_Training_Metadata.csv"
    edit(metadata, "ISIC_0090001", "ISIC_0090001.jpg")
    with pytest.raises(DataError, match=r"Metadata.csv: 1 images are not in it: ISIC_0090001"):
        read("isic2019", tmp_path)
    edit(metadata, "ISIC_0090001.jpg", "ISIC_0090001")
    (images / images.name.lower()).mkdir()
    (tmp_path / "moved").rename(images / images.name.lower() / images.name)
    assert read("isic2019", tmp_path)["image_path"].notna().all()


def test_two_files_of_one_image_are_named_with_their_folders(tmp_path):
    layouts.lay_ham(tmp_path)
    layouts.touch(tmp_path / "ham10000" / "HAM10000_images_resized_64", "ISIC_0090001.jpg")
    with pytest.raises(DataError, match=r"ISIC_0090001 in .*HAM10000_images_part_1 and .*HAM10000_images_resized_64"):
        read("ham10000", as_synthetic(tmp_path))


def test_blank_lesion_ids_are_a_gap_since_a_grouped_split_would_leak(tmp_path):
    layouts.lay_ham(tmp_path)
    path = tmp_path / "ham10000" / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    table.assign(lesion_id=["None", *table["lesion_id"][1:]]).to_csv(path, index=False)
    with pytest.raises(DataError, match="1 images have no lesion id, so splits would leak: ISIC_009"):
        read("ham10000", as_synthetic(tmp_path))
    layouts.lay_pad(tmp_path)
    path = tmp_path / "pad_ufes_20" / "metadata.csv"
    pd.read_csv(path, dtype=str).assign(patient_id="missing").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"images have no patient id, so splits would leak: PAT_"):
        read("pad_ufes_20", tmp_path)
    pd.read_csv(path, dtype=str).assign(patient_id=["PAT_9", "pat 9", "PAT_1"]).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"patient_id: PAT_9, pat 9: 2 names differ in spelling alone"):
        read("pad_ufes_20", as_synthetic(tmp_path))
    table = pd.DataFrame({"image_id": range(50), "lesion_id": ["0"] * 41 + list("abcdefghi")})
    files.need_ids(table, "lesion_id", path, found := files.Findings())
    assert found.gaps == ["metadata.csv: lesion_id 0 is that of 41 rows; a code for unknown?"]


def test_isic2019_and_a_row_marked_unk_is_a_fault(tmp_path):
    layouts.lay_2019(tmp_path)
    cohort = read("isic2019", as_synthetic(tmp_path))
    assert cohort["diagnosis"].tolist() == ["NV", "SCC", "AK"] and cohort["label"].tolist() == [1, 7, 3]
    assert cohort["source"].fillna("?").tolist() == ["HAM", "MSK4", "?"]
    assert cohort["site"].fillna("?").tolist() == ["anterior torso", "?", "head/neck"]
    path = tmp_path / "isic2019" / "ISIC_2019_Training_GroundTruth.csv"
    edit(path, "ISIC_0090003,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0", "ISIC_0090003" + ",0.0" * 8 + ",1.0")
    with pytest.raises(DataError, match="do not mark exactly one class: ISIC_0090003"):
        read("isic2019", tmp_path, allow_missing=True)
    edit(tmp_path / "isic2019" / "ISIC_2019_Training_Metadata.csv", "lesion_id", "lesion")
    with pytest.raises(DataError, match=r"no image has a lesion id in .*: splits would leak"):
        read("isic2019", tmp_path, allow_missing=True)


@pytest.mark.parametrize("deeper", ["", "PH2Dataset"])
def test_ph2_text(tmp_path, deeper):
    lay_ph2(tmp_path, deeper)
    cohort = read("ph2", as_synthetic(tmp_path))
    assert cohort["diagnosis"].tolist() == ["common_nevus", "atypical_nevus", "melanoma"]
    assert cohort["colors"].tolist() == ["4", "3 4", "1 4 5 6"]
    assert cohort["histological_diagnosis"].fillna("?").tolist() == ["?", "?", "Melanoma"]
    assert cohort["streaks"].tolist() == ["A", "P", "P"]
    assert cohort["image_path"].str.endswith(".bmp").all() and cohort["mask_path"].str.endswith("_lesion.bmp").all()


def test_ph2_sheet_says_the_same_as_the_text(tmp_path):
    base, text = lay_ph2(tmp_path), read("ph2", as_synthetic(tmp_path))
    (base / "PH2_dataset.txt").unlink()
    header = [
        "Image Name", "Histological Diagnosis", "Common Nevus", "Atypical Nevus", "Melanoma", "Asymmetry\n(0/1/2)",
        "Pigment Network\n(AT/T)", "Dots/Globules\n(A/AT/T)", "Streaks\n(A/P)", "Regression Areas\n(A/P)",
        "Blue-Whitish Veil\n(A/P)", "White", "Red", "Light-Brown", "Dark-Brown", "Blue-Gray", "Black",
    ]  # fmt: skip
    rows = [
        ["IMD901", "", "X", "", "", "0", "T", "A", "A", "A", "A", "", "", "", "X"],
        ["IMD902", "", "", "X", "", "1", "AT", "AT", "P", "A", "A", "", "", "X", "X"],
        ["IMD903", "Melanoma", "", "", "X", "2", "AT", "AT", "P", "P", "P", "X", "", "", "X", "X", "X"],
    ]
    layouts.write_sheet(base / "PH2_dataset.xlsx", [["Legends"], [], header, *rows])
    pd.testing.assert_frame_equal(read("ph2", tmp_path), text)
    # Cells need not say where they are (ECMA-376, 18.3.1.4), and the first sheet may have another name.
    cells = lambda row: "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in row)
    lines = "".join(f"<row>{cells(row)}</row>" for row in [["Legends"], [], header, *rows])
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(base / "PH2_dataset.xlsx", "w") as book:
        book.writestr("xl/worksheets/table.xml", f"<worksheet {space}><sheetData>{lines}</sheetData></worksheet>")
    pd.testing.assert_frame_equal(read("ph2", tmp_path), text)
    (base / "PH2_dataset.xlsx").write_text("<html>Log in</html>")
    with pytest.raises(DataError, match=r"PH2_dataset.xlsx is no sheet of a spreadsheet program"):
        read("ph2", tmp_path)


def test_pad_ufes_20(tmp_path):
    layouts.lay_pad(tmp_path)
    cohort = read("pad_ufes_20", as_synthetic(tmp_path)).set_index("lesion_id")
    assert cohort["image_id"].tolist() == ["PAT_9001_9101_530", "PAT_9002_9102_939", "PAT_9002_9103_940"]
    assert cohort["image_path"]["9103"].endswith("imgs_part_2/PAT_9002_9103_940.jpg")  # the table says .png
    assert cohort["patient_id"].nunique() == 2
    assert cohort["background_father"].fillna("?").tolist() == ["?", "BRAZIL", "BRAZIL"]
    assert cohort["background_mother"].fillna("?").tolist() == ["?", "?", "ITALY"]
    assert cohort["answered_unknown"].tolist() == ["grew changed", "background_mother", ""]
    assert cohort["spelt_brasil"].tolist() == ["", "background_father", ""]
    assert cohort["skin_type"].fillna(0).tolist() == [0, 3, 6]
    assert cohort["smoke"].isna().tolist() == [True, False, False] and cohort["itch"].tolist() == [False, True, True]
    assert cohort["sex"].fillna("?").tolist() == ["?", "female", "male"]
    assert cohort["mask_path"].isna().all() and cohort["weak_mask_path"].notna().tolist() == [False, True, False]


def test_everything_wrong_is_said_at_once(tmp_path):
    layouts.lay_ham(tmp_path)
    table = tmp_path / "ham10000" / "HAM10000_metadata.csv"
    edit(table, "HAM_0900002,ISIC_0090002,nv", "HAM_0900002,ISIC_0090001,nevus")
    edit(table, "0.0,female,lower", "700,none of them,lower")
    (tmp_path / "ham10000" / "HAM10000_images_part_2" / "ISIC_0090005.jpg").unlink()
    with pytest.raises(DataError) as caught:
        read("ham10000", as_synthetic(tmp_path), allow_missing=True)
    text = "\n".join(caught.value.findings)
    assert "image_id: 2 values duplicated: ISIC_0090001" in text
    assert "diagnosis: 1 values not allowed" in text and "nevus at ISIC_0090001" in text
    assert "age: 1 values not allowed (in_range(0, 120)): 700.0 at ISIC_0090003" in text
    assert "sex: 1 values not allowed" in text and "none of them" in text
    assert "found 4 of 5 images (5 label rows); 1 labelled ids have no image: ISIC_0090005" in text
    assert "1 images have no label row: ISIC_0090002" in text


def test_gaps_of_images_and_masks_raise_unless_allowed_and_the_rows_stay(tmp_path):
    layouts.lay_ham(tmp_path)
    with pytest.raises(DataError, match=r"found 5 of 10015 images") as caught:
        read("ham10000", tmp_path)
    assert "allow_missing=True" in str(caught.value)
    where = tmp_path / "ham10000" / "HAM10000_segmentations_lesion_tschandl"
    (where / "ISIC_0090003_segmentation.png").unlink()
    with pytest.raises(DataError, match="1 images have no mask: ISIC_0090003"):
        read("ham10000", as_synthetic(tmp_path))
    cohort = read("ham10000", tmp_path, allow_missing=True).set_index("image_id")
    assert pd.isna(cohort.loc["ISIC_0090003", "mask_path"]) and len(cohort) == 5


@pytest.mark.parametrize(("old", "new", "words"), [
    ("dx_type,age", "dx_type,years", "missing column age"), (",80.0,", ",old,", "not a number: old"),
])  # fmt: skip
def test_faults_always_raise(tmp_path, old, new, words):
    layouts.lay_ham(tmp_path)
    layouts.touch(tmp_path / "ham10000" / "HAM10000_images_part_2", "ISIC_0090001.png")
    with pytest.raises(DataError, match="two files for one image id: ISIC_0090001"):
        read("ham10000", tmp_path, allow_missing=True)
    edit(tmp_path / "ham10000" / "HAM10000_metadata.csv", old, new)
    with pytest.raises(DataError, match=words):
        read("ham10000", tmp_path, allow_missing=True)


def test_class_counts_of_a_complete_label_file_are_compared(tmp_path, monkeypatch):
    layouts.lay_2016(tmp_path)
    monkeypatch.setitem(CARDS["isic2016"].official, "train", 3)
    findings = read("isic2016", tmp_path, allow_missing=True).attrs["findings"]
    wrong = "the classes are not counted as in the official set: benign 2 instead of 727, malignant 1 instead of 173"
    assert f"train: {wrong}" in findings


def test_names_and_folders_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="Unknown data set 'ham'"):
        read("ham", tmp_path)
    with pytest.raises(DataError, match="folder ham10000/ is missing"):
        read("ham10000", tmp_path)
    (tmp_path / "ham10000").mkdir()
    with pytest.raises(DataError, match=r"HAM10000_metadata\.csv is not in"):
        read("ham10000", tmp_path)
    (tmp_path / "isic2016").mkdir()
    with pytest.raises(DataError, match="No part of the set"):
        read("isic2016", tmp_path)


@pytest.mark.parametrize("content", [b"", b"lesion_id,image_id\na,b\na,b,c\n", b"lesion_id,image_id\n\xff\xfe,b\n"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    layouts.lay_ham(tmp_path)
    (tmp_path / "ham10000" / "HAM10000_metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"HAM10000_metadata.csv is no CSV table in UTF-8"):
        read("ham10000", tmp_path)


def test_images_of_a_folder_and_of_a_table(tmp_path):
    layouts.touch(tmp_path, "b.JPG", "a.png", "notes.txt")
    layouts.touch(tmp_path / "sub", "c.jpeg", "._c.jpeg")
    (tmp_path / "linked").symlink_to(tmp_path / "sub", target_is_directory=True)
    cohort = images_of(tmp_path)
    assert cohort["image_id"].tolist() == ["a", "b", "c"]
    assert cohort["image_path"].iloc[2] == str((tmp_path / "sub" / "c.jpeg").resolve())
    assert cohort.attrs["left_out"] == ["linked", "notes.txt"]
    (tmp_path / "list.csv").write_text("image_path,\u200bimage_id,age\ufeff\nx/a.png,0012,40\nx/b.png,0013,50\n")
    cohort = images_of(tmp_path / "list.csv")
    assert cohort["image_id"].tolist() == ["0012", "0013"]
    assert cohort["image_path"].iloc[0] == str((tmp_path / "x" / "a.png").resolve())
    assert cohort["age"].tolist() == [40, 50]


@pytest.mark.parametrize(("text", "message"), [
    ("name\na.png\n", "no column image_path; it has name"), ("image_path\n", "no image"),
    ("image_path\na.png\nb/a.png\n", "'a' is there twice"),
    ("image_path,image_id\na.png,1\n,2\n", "image_path is blank in row 2 below the header"),
    ("image_path,image_id\na.png,1\nb.png, \n", "image_id is blank in row 2"), ("", "no CSV table"),
    ("image_path,site\na.png,\"arm\nb.png,leg\nc.png,\"\n", "row 1 below the header has a cell of several lines"),
    ("image_path,age,age \na.png,5,6\n", "the column age is there twice"),
    ("image_path,age\na.png,5,6,7\n", "rows have several cells more than line 1"),
    ("sep=;\nimage_path\na.png\n", "'sep=;', is no header"), ("image_path\na\x07.png\n", "no UTF-8, or none"),
])  # fmt: skip
def test_tables_that_name_no_images_are_refused(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        images_of(tmp_path / "list.csv")


@pytest.mark.parametrize("value", ["999", "-1", "unknown age", "55+", "inf", '"1,000"'])
@pytest.mark.parametrize("name", ["Age", "diameter_1", "diameter_2"])
def test_a_number_out_of_its_range_is_refused_with_its_row(tmp_path, name, value):
    (tmp_path / "list.csv").write_text(f"image_path,{name},sex\na.png,55,male\nb.png,{value},female\n")
    with pytest.raises(DataError, match=rf"{name.lower()} is .* in row 2 below the header; give 0 to"):
        images_of(tmp_path / "list.csv")


def test_a_list_with_answers_keeps_their_kinds(tmp_path):
    rows = ["image_path;image_id;age;smoke;diameter_1;site;patient_id;itch", "a.png;NA;61;False;2;Arm;007;unk"]
    (tmp_path / "list.csv").write_text("\n".join([*rows, "b.png;0012;unknown;True;3.5;None;7.0;"]))
    cohort = images_of(tmp_path / "list.csv")
    assert cohort["answered_unknown"].fillna("never asked").tolist() == ["itch", "never asked"]
    assert cohort["site"].iloc[0] == "arm" and clean(pd.Series(["A\u0308 "])).tolist() == ["\u00c4"]
    assert cohort["patient_id"].tolist() == ["007", "7.0"]
    assert cohort["image_id"].tolist() == ["NA", "0012"] and cohort["age"].tolist()[0] == 61
    assert cohort["smoke"].tolist() == [False, True] and cohort["diameter_1"].tolist() == [2, 3.5]
    assert cohort["age"].isna().tolist() == cohort["site"].isna().tolist() == [False, True]


def test_hidden_folders_are_not_searched(tmp_path):
    for folder in (".ipynb_checkpoints", "inside/.trash", "inside"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / f"{len(folder)}.webp").write_bytes(b"")
    assert images_of(tmp_path)["image_id"].tolist() == ["6"]
