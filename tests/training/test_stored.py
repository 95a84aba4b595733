import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinlib.evaluation.segmentation import per_image
from skinlib.reporting.arms import rounded
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


SHORT = pd.DataFrame(
    {"image_id": list("abcd"), "lesion_id": None, "patient_id": None, "label": [0, 1, 2, 2]}
    | {"p_a": [0.9996, 1 / 3, 0.0, 0.2504], "p_b": [0.0002, 1 / 3, 0.0, 0.2503], "p_c": [0.0002, 1 / 3, 1.0, 0.4993]}
)


def test_short_probabilities_sum_to_one_and_keep_their_order():
    parts = stored.in_parts(SHORT, 1000)
    assert parts.tolist() == [[1000, 0, 0], [334, 333, 333], [0, 0, 1000], [251, 250, 499]]  # the rest to the largest
    again = SHORT.assign(**{f"p_{name}": parts[:, k] / 1000 for k, name in enumerate("abc")})
    assert np.array_equal(stored.in_parts(again, 1000), parts)
    drawn = np.random.default_rng(0).dirichlet(np.full(7, 0.1), 500)
    table = pd.DataFrame(drawn.round(6), columns=[f"p_{k}" for k in range(7)])
    parts = stored.in_parts(table, 1000)
    assert (parts.sum(axis=1) == 1000).all() and parts.min() == 0 and np.abs(parts / 1000 - drawn).max() < 0.001 + 1e-5
    assert (
        np.take_along_axis(parts, np.argsort(drawn), 1)[:, 1:]
        >= np.take_along_axis(parts, np.argsort(drawn), 1)[:, :-1]
    ).all()
    exact = pd.DataFrame(parts / 1000, columns=list(table))
    assert np.array_equal(stored.in_parts(exact, 1000), parts)


def test_short_probabilities_are_read_as_they_were(tmp_path):
    path = tmp_path / "run" / "predictions.csv.gz"
    stored.write_short(SHORT, path, parts=1000)
    kept = pd.read_csv(stored.packed(path))
    assert "label" not in kept  # it lies with the names, once for all runs
    assert kept["p_c"].isna().all() and kept["p_a"].tolist() == [1000, 334, 0, 251]  # of the commonest none
    found = stored.read(path)
    assert list(found) == list(SHORT) and found["label"].tolist() == SHORT["label"].tolist()
    assert found[["p_a", "p_b", "p_c"]].to_numpy().tolist() == (stored.in_parts(SHORT, 1000) / 1000).tolist()
    two = SHORT.drop(columns="p_c").assign(p_b=1 - SHORT["p_a"])
    stored.write_short(two, path, parts=1000)
    assert stored.read(path)["p_b"].tolist() == [0.0, 0.667, 1.0, 0.75]


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.0, "0.0000"),
        (0.5, "0.5000"),
        (0.12345, "0.1235"),
        (0.0003, "0.0003"),
        (0.00034, "3.4e-04"),
        (2e-6, "2.0e-06"),
    ],
)
def test_a_small_probability_keeps_two_digits(score, text):
    assert stored.brief(score) == text
    assert stored.brief(float(text)) == text  # so that what was kept before stays as it is


@given(st.lists(st.floats(0, 1), min_size=2))
def test_kept_probabilities_are_in_the_same_order(scores):
    ordered = sorted(scores)
    kept = [float(stored.brief(score)) for score in ordered]
    assert kept == sorted(kept)
    assert kept == pytest.approx(ordered, abs=5.1e-5) and kept == [float(stored.brief(score)) for score in kept]


def test_what_the_evidence_keeps_is_what_the_tables_are_made_of(tmp_path):
    """A sure network: four decimals would tie the first three images, of which one has the class."""
    names = pd.DataFrame({name: list("abcd") for name in stored.NAMES})
    sure = names.assign(label=[0, 0, 1, 1], p_a=[0.999999, 0.99997, 0.99998, 0.2], p_b=[1e-6, 3e-5, 2.04e-5, 0.8])
    path = tmp_path / "run" / "predictions.csv.gz"
    stored.write_short(sure, path)
    found = stored.read(path)
    assert found["p_b"].tolist() == [1e-6, 3e-5, 2e-5, 0.8] == rounded(sure)["p_b"].tolist()


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
