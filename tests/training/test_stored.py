import pandas as pd

from skinlib.training import stored


def test_a_table_has_six_significant_digits_and_the_same_bytes_each_time(tmp_path):
    rows = pd.DataFrame({
        "image_id": ["007", "8", "9"], "lesion_id": ["1", None, None], "patient_id": None, "label": [0, 1, 1],
        "p_a": [0.123456789, 1.23456789e-9, 1.0], "empty": [True, False, True],
    })  # fmt: skip
    path = stored.write(rows, tmp_path / "run" / stored.PREDICTIONS)
    found = stored.read(path)
    assert found["image_id"].tolist() == ["007", "8", "9"] and found["lesion_id"].isna().tolist() == [False, True, True]
    assert found["p_a"].tolist() == [0.123457, 1.23457e-9, 1.0]
    assert list(found) == list(rows) and found["empty"].dtype == bool and found["label"].dtype == int
    assert stored.write(found, tmp_path / "again.csv.gz").read_bytes() == path.read_bytes()


def test_evidence_is_what_is_small_and_the_last_file_comes_last(tmp_path, monkeypatch):
    written, real = [], stored.write_atomic
    monkeypatch.setattr(stored, "write_atomic", lambda path, data: written.append(path.name) or real(path, data))
    for name in (stored.DONE, stored.CONFIG, stored.WEIGHTS, stored.MASKS, stored.SCORES, "last.json"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text(name)
    kept = stored.copy_evidence(tmp_path / "run", tmp_path / "evidence")
    assert kept == tmp_path / "evidence" / "run" and written == [stored.CONFIG, stored.SCORES, stored.DONE]
    assert {file.name: file.read_text() for file in kept.iterdir()} == {name: name for name in written}
