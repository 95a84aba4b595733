"""Reading a stranger's table: what is accepted, and that every fault is listed at once."""

import numpy as np
import pandas as pd
import pytest
from prediction_rows import binary_table

from skinlib.evaluation import report, tables


def written(tmp_path, text):
    path = tmp_path / "theirs.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_round_trip(tmp_path):
    table = binary_table([0, 1, 1], [0.1, 1 / 3, 0.7], lesion_id=["001", "001", None])
    table.to_csv(tmp_path / "table.csv.gz", index=False)
    found = report.read_predictions(tmp_path / "table.csv.gz")
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert found["lesion_id"].iloc[0] == "001" and found["p_malignant"].tolist() == [0.1, 1 / 3, 0.7]


def test_class_names_as_labels_and_one_score(tmp_path):
    found = report.read_predictions(written(tmp_path, "image_id,label,p_malignant\n1,benign,0.25\n2,malignant,0.75\n"))
    assert found["label"].tolist() == [0, 1] and found["p_benign"].tolist() == [0.75, 0.25]
    assert found["image_id"].tolist() == ["1", "2"]


def test_every_fault_is_listed(tmp_path):
    rows = "a,val,nv,0.5,0.5", "a,Test,mole,0.2,0.9", ",dev,mel,1.2,-0.2", "d,val,,0.5,", "e,val,nv,half,0.5"
    text = "\n".join(["image_id,part,label,p_nv,p_mel", *rows])
    with pytest.raises(tables.PredictionTableError) as caught:
        report.read_predictions(written(tmp_path, text))
    message = str(caught.value)
    for fault in (
        "theirs.csv", "p_nv: 1 values are no numbers, first 'half'", "image_id missing in 1 rows", "image a",
        "unknown labels ['mole']", "label missing in 1 rows", "p_nv outside [0, 1] in 1 rows", "p_mel missing",
        "do not sum to 1", "part is dev",
    ):  # fmt: skip
        assert fault in message, fault
    assert len(caught.value.findings) >= 9


@pytest.mark.parametrize(("text", "fault"), [
    ("", "is no CSV table in UTF-8"), ("image_id,label\na,0\n", "two or more different p_<class> columns"),
    ("p_benign,p_malignant\n0.5,0.5\n", "no column image_id; it has p_benign, p_malignant; no column label"),
    ("image_id,label,p_benign,p_malignant\n", "no rows"),
    *((f"image_id,label,p_benign,p_malignant\na,{label},0.5,0.5\n", "unknown labels") for label in (2, 0.5)),
    ("image_id,label,p_a,p_b,p_malignant\na,1,.5,.2,.3\n", "label is a number, and p_malignant one of several"),
    ("image_id,label,p_a,p_b,split\na,1,.5,.5,Val\nb,1,.5,.5,test\n", "the column split says val or test"),
    ("Image_ID,LABEL,p_a,p_b,Part,Patient_ID\na,1,.5,.5,Dev,p\n", r"^theirs.csv: part is dev in some rows[^;]*$"),
    *((f"image_id,lesion_id,label,p_a,p_b\nx,{a},1,.5,.5\ny,{b},0,.5,.5\n", "2 names differ in spelling")
      for a, b in (("L1", "l1"), ("7", "7.0"), ("a", "a.jpg"), ("P 1", "P_1"))),
])  # fmt: skip
def test_single_faults(tmp_path, text, fault):
    with pytest.raises(tables.PredictionTableError, match=fault):
        report.read_predictions(written(tmp_path, text))


PLAIN = "image_id,label,part,p_benign,p_malignant\n0012,1,val,0.25,0.75\nNA,0,test,0.5,0.5\n"
SAVED = {
    "as it is": PLAIN, "semicolons and decimal commas": PLAIN.replace(",", ";").replace("0.", "0,"),
    "tabs": PLAIN.replace(",", "\t"), "a byte order mark and CRLF": "\ufeff" + PLAIN.replace("\n", "\r\n"),
    "a comma at the end of every row": PLAIN.replace("\n", ",\n").replace("malignant,\n", "malignant\n"),
    "a comma at the end of every line": PLAIN.replace("\n", ",\n"), "blanks": PLAIN.replace(",", " , "),
    "labels that became floats": PLAIN.replace(",1,", ",1.0,").replace(",0,", ",0.0,"),
    "names of classes": PLAIN.replace(",1,", ",malignant,").replace(",0,", ",benign,"),
    "the positive class first": "image_id,label,part,p_malignant,p_benign\n0012,1,val,0.75,0.25\nNA,0,test,0.5,0.5\n",
}  # fmt: skip


@pytest.mark.parametrize("saved", SAVED)
def test_a_table_is_the_same_however_it_was_saved(tmp_path, saved):
    found = report.read_predictions(written(tmp_path, SAVED[saved]))
    assert list(found) == ["image_id", "label", "part", "p_benign", "p_malignant"]
    assert found.values.tolist() == [["0012", 1, "val", 0.25, 0.75], ["NA", 0, "test", 0.5, 0.5]]


@pytest.mark.parametrize("rows", ["a,1,0,7\nb,0,0,2\n", "a,1,0.7\nb,0,0,2\n", "a,1,0,7,9\n"])
def test_rows_longer_than_the_header_are_refused(tmp_path, rows):
    with pytest.raises(tables.PredictionTableError, match=r"has more cells than it|no CSV table"):
        report.read_predictions(written(tmp_path, "image_id,label,p_malignant\n" + rows))


@pytest.mark.parametrize(("text", "column", "wanted"), [
    ("image_id,label,p_a,p_b\nx,1,0,1.0000001\ny,0,1,0\n", "p_b", [1.0, 0.0]),
    ("image_id,label,p_NV,p_UNK\na,UNK,.2,.8\nb,NV,.5,.5\n", "label", [1, 0]),
], ids=["rounding of single precision", "a class called as a word for nothing"])  # fmt: skip
def test_what_is_no_fault(tmp_path, text, column, wanted):
    assert report.read_predictions(written(tmp_path, text))[column].tolist() == wanted


@pytest.mark.parametrize(("names", "labels"), [("p_1,p_2,p_3", "1.0 2.0"), ("p_01,p_02,p_03", "1 2e0")])
def test_labels_name_classes_that_are_numbers(tmp_path, names, labels):
    text = "image_id,label,{}\na,{},.8,.1,.1\nb,{},.1,.8,.1\n"
    assert report.read_predictions(written(tmp_path, text.format(names, *labels.split())))["label"].tolist() == [0, 1]
    with pytest.raises(tables.PredictionTableError, match=r"unknown labels \['no class 0'\]"):
        report.read_predictions(written(tmp_path, text.format(names, 0, 1)))


def test_words_for_nothing_are_missing_and_codes_stay_codes(tmp_path):
    rows = [f"i{k},{k % 2},{word},0012,3,.5,.5" for k, word in enumerate(["None", "null", "unknown", "-", "NA", "L1"])]
    text = "\n".join(["image_id,label,lesion_id,ward,type,p_benign,p_malignant", *rows])
    found = report.read_predictions(written(tmp_path, text))
    assert found["lesion_id"].isna().tolist() == [True] * 5 + [False]
    assert set(found["ward"]) == {"0012"} and found["type"].tolist() == [3] * 6


def test_to_binary_adds_up_the_malignant_classes():
    table = pd.DataFrame([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], columns=["p_nv", "p_mel", "p_bcc"]).assign(label=[0, 2])
    found = tables.to_binary(table, ("mel", "bcc"))
    assert tables.classes(found) == ("benign", "malignant")
    assert found["p_malignant"].to_numpy() == pytest.approx([0.5, 0.9]) and found["label"].tolist() == [0, 1]
    for wrong in (("scc",), ("nv", "mel", "bcc")):
        with pytest.raises(tables.PredictionTableError, match=r"malignant classes \['scc'\]|are none or all"):
            tables.to_binary(table, wrong)
    with pytest.raises(tables.PredictionTableError, match="no column p_malignant"):
        tables.scores(table)


def test_clusters_take_the_patient_then_the_lesion_then_the_image():
    table = pd.DataFrame({"image_id": list("abcd"), "lesion_id": ["l", "l", "m", np.nan], "patient_id": np.nan})
    table["patient_id"] = ["p", np.nan, np.nan, np.nan]
    assert tables.clusters(table).tolist() == ["patient_id:p", "patient_id:p", "lesion_id:m", "image_id:d"]
    assert len(set(tables.clusters(pd.DataFrame({"x": [1, 2]})))) == 2
