import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinlib.evaluation.segmentation import FROM_CELLS, per_image
from skinlib.exhibits.arms import rounded
from skinlib.training import stored


def test_names_that_do_not_repeat_are_kept_as_they_stand(tmp_path):
    rows = pd.DataFrame({"image_id": ["a", "b", "b"], "lesion_id": ["x", None, None], "patient_id": None, "p": 0.25})
    stored.write_short(rows, tmp_path / "run" / "table.csv.gz")
    found = stored.read(tmp_path / "run" / "table.csv.gz")
    assert found["image_id"].tolist() == ["a", "b", "b"] and found["lesion_id"].isna().tolist() == [False, True, True]
    assert found["p"].tolist() == [0.25] * 3 and list(found) == list(rows)


def test_a_table_that_does_not_fit_its_names_is_refused(tmp_path):
    path = tmp_path / "run" / "table.csv.bz2"
    stored.write_short(pd.DataFrame({"image_id": ["a", "b"], "lesion_id": None, "patient_id": None, "p": 0.5}), path)
    rows = pd.read_csv(path)
    pd.concat([rows, rows.head(1)]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="has 3 rows for the 2 images"):
        stored.read(path)


@pytest.mark.parametrize(
    ("score", "four", "three"),
    [
        (0.0, "0.0000", "0.000"),
        (0.5, "0.5000", "0.500"),
        (0.12345, "0.1235", "0.123"),
        (0.003, "0.0030", "0.003"),
        (0.00034, "3.4e-04", "3e-04"),
        (0.0003, "0.0003", "3e-04"),
        (2e-6, "2.0e-06", "2e-06"),
    ],
)
def test_a_small_probability_keeps_a_digit_or_two(score, four, three):
    assert (stored.brief(score), stored.brief(score, 3)) == (four, three)
    assert stored.brief(float(four)) == four  # so that what was kept before stays as it is
    assert stored.brief(float(three), 3) == three


@given(st.lists(st.floats(0, 1), min_size=2), st.sampled_from([3, 4]))
def test_kept_probabilities_are_in_the_same_order(scores, decimals):
    ordered = sorted(scores)
    kept = [float(stored.brief(score, decimals)) for score in ordered]
    assert kept == sorted(kept)
    assert kept == pytest.approx(ordered, abs=0.51 * 10**-decimals)
    assert kept == [float(stored.brief(score, decimals)) for score in kept]


def test_what_the_evidence_keeps_is_what_the_tables_are_made_of(tmp_path):
    """A sure network: four decimals would tie the first three images, of which one has the class."""
    names = pd.DataFrame({name: list("abcd") for name in stored.NAMES})
    sure = names.assign(label=[0, 0, 1, 1], p_a=[0.999999, 0.99997, 0.99998, 0.2], p_b=[1e-6, 3e-5, 2.04e-5, 0.8])
    path = tmp_path / "run" / "predictions.csv.gz"
    stored.write_short(sure, path)
    found = stored.read(path)
    assert found["p_b"].tolist() == [1e-6, 3e-5, 2e-5, 0.8] == rounded(sure)["p_b"].tolist()
    stored.write_short(sure.assign(p_b=[0.00123, 3e-5, 0.01234, 0.8]), path, decimals=3)
    assert stored.read(path)["p_b"].tolist() == [0.001, 3e-5, 0.012, 0.8]


def test_scores_from_counts_are_read_as_the_store_writes_them(tmp_path):
    """147 of 160 is 0.91875: as text 0.9187, rounded by numpy 0.9188."""
    truth = np.zeros((2, 16, 16), bool)
    truth[:, :6] = True  # 96 of 256 pixels
    predicted = truth.copy()
    predicted[0, 6, :13] = True
    rows = per_image(predicted, truth, ["a", "b"]).assign(lesion_id=None, patient_id=None)
    whole = io.StringIO(rows.to_csv(index=False, float_format=f"%.{stored.DIGITS}f"))
    stored.write_short(rows, tmp_path / "run" / "masks.csv.gz")
    found = stored.read(tmp_path / "run" / "masks.csv.gz")
    assert found["specificity"].tolist() == [0.9187, 1] and found["empty_prediction"].dtype == bool
    wanted = pd.read_csv(whole, dtype=stored.AS_TEXT)
    pd.testing.assert_frame_equal(found, wanted[list(found)], check_exact=True)
    assert set(pd.read_csv(tmp_path / "run" / "masks.csv.bz2")) & {"tn", *FROM_CELLS} == set()


def test_only_whole_tables_of_mask_scores_are_slimmed():
    masks = np.eye(4, dtype=bool)[None]
    rows = per_image(masks, masks, ["a"]).assign(gate="ones")
    assert stored.slim(rows)["pixels"].tolist() == [16] and "dice" not in stored.slim(rows)
    pd.testing.assert_frame_equal(stored.completed(stored.slim(rows))[list(rows)], rows)
    counts = pd.DataFrame({"tp": [1], "fp": [2], "fn": [3], "tn": [4]})  # of a diagnosis
    sizes = pd.DataFrame({"image_id": ["a"], "pixels": [128]})
    assert all(stored.slim(each) is each and stored.completed(each) is each for each in (counts, sizes))


def test_text_is_read_the_same_alone_and_packed_with_that_of_other_runs(tmp_path):
    files = {"one/config.json": '{"a": 1}\n', "one/history.csv": "epoch\n0\n", "two/config.json": '{"a": "ü"}\n'}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "one" / "predictions.csv.bz2").write_bytes(b"stays")
    with pytest.raises(FileNotFoundError, match=r"two.history\.csv"):
        stored.text(tmp_path / "two" / "history.csv")
    stored.pack_texts(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["predictions.csv.bz2", stored.TEXTS]
    assert {name: stored.text(tmp_path / name) for name in files} == files
    with pytest.raises(FileNotFoundError, match=r"two.history\.csv"):
        stored.text(tmp_path / "two" / "history.csv")
    once = (tmp_path / stored.TEXTS).read_bytes()
    for name, text in reversed(files.items()):
        (tmp_path / name).write_text(text, encoding="utf-8")
    stored.pack_texts(tmp_path)
    assert (tmp_path / stored.TEXTS).read_bytes() == once
