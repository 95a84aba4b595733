"""The regression run must fail for every way in which results go wrong, and only then."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from skinlib.exhibits.write import COLUMNS
from skinlib.workflow import regression

CLASSES = ("akiec", "mel", "nv")


def predictions(seed: int = 0, *, permuted: bool = False, n: int = 240) -> pd.DataFrame:
    """Three classes; the score of the true class is shifted so that one-vs-rest AUC is about 0.85."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % 3
    score = random.normal(size=(n, 3))
    score[np.arange(n), label] += 1.6
    p = np.exp(score) / np.exp(score).sum(1, keepdims=True)
    if permuted:
        label = random.permutation(label)
    return pd.DataFrame({"label": label, **{f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)}})


def trained_table(table: pd.DataFrame, classes=CLASSES) -> pd.DataFrame:
    rows = []
    for name in classes:
        k = CLASSES.index(name)
        truth, score = table["label"] == k, table[f"p_{name}"]
        hit = table[[f"p_{c}" for c in CLASSES]].to_numpy().argmax(1) == k
        auc, recall = roc_auc_score(truth, score), recall_score(truth, hit)
        rows += [[name, "roc_auc", auc, auc - 0.05, auc + 0.05, len(table), 0.9]]
        rows += [[name, "recall", recall, recall - 0.1, recall + 0.1, int(truth.sum()), 0.8]]
        rows += [[name, "fn", int((truth & ~hit).sum()), None, None, int(truth.sum()), 35]]
    rows += [
        ["weights", "roc_auc", None, None, None, None, 0.95],
        ["training", "seconds_total", 12.5, None, None, None, 9000],
    ]
    columns = ["row", "metric", "ours", "low", "high", "n", "published"]
    frame = pd.DataFrame(rows, columns=columns).assign(dataset="ham10000", split="grouped", note="")
    frame.loc[frame["row"] == "weights", "note"] = "not run: no weights"
    return frame[COLUMNS]


def data_table(table: pd.DataFrame) -> pd.DataFrame:
    counts = table["label"].value_counts().sort_index()
    frame = pd.DataFrame({"row": CLASSES, "metric": "images", "ours": counts.to_numpy(), "n": len(table)})
    return frame.reindex(columns=COLUMNS).assign(dataset="ham10000", split="grouped", published=100.0)


def write(folder, table=None, *, trained=None, data=None) -> None:
    table = predictions() if table is None else table
    (folder / "paper").mkdir(parents=True, exist_ok=True)
    exhibits = {"table3": ("trained", trained_table(table) if trained is None else trained)}
    exhibits["table1"] = ("data", data_table(table) if data is None else data)
    for name, (kind, frame) in exhibits.items():
        frame.to_csv(folder / "paper" / f"{name}.csv", index=False)
        (folder / "paper" / f"{name}.json").write_text(json.dumps({"kind": kind}))
    (folder / "paper" / "table3.png").write_bytes(b"png")


@pytest.fixture
def expected(tmp_path):
    write(tmp_path / "first")
    assert regression.accept(tmp_path / "first", tmp_path / "expected") == 0
    return tmp_path / "expected"


@pytest.fixture
def found(tmp_path):
    return tmp_path / "found"


def failures(found, expected) -> pd.DataFrame:
    """Return what failed, after checking that the exit status says the same."""
    status = regression.compare(found, expected)
    result = pd.read_csv(found / "regression.csv", keep_default_na=False)
    failed = result[result["verdict"] == "FAILED"]
    assert status == (1 if len(failed) else 0)
    return failed


def test_the_same_results_pass_and_every_cell_is_looked_at(found, expected):
    write(found)
    assert failures(found, expected).empty
    result = pd.read_csv(found / "regression.csv", keep_default_na=False)
    assert (result["column"] == "ours").sum() == 11 + 3  # cells of table3 and table1


def test_another_seed_passes(found, expected):
    write(found, predictions(seed=1))
    assert failures(found, expected).empty


def test_permuted_labels_fail_by_their_auc(found, expected):
    write(found, predictions(permuted=True))
    failed = failures(found, expected)
    assert set(failed.loc[failed["metric"] == "roc_auc", "row"]) == set(CLASSES)
    ranges = pd.read_csv(expected / "paper" / "table3.csv").query("metric == 'roc_auc' and kind == 'range'")
    assert (ranges["low"] > 0.6).all(), "a range that holds 0.5 would find nothing"


def test_a_dropped_class_fails(found, expected):
    write(found, trained=trained_table(predictions(), classes=("akiec", "nv")))
    failed = failures(found, expected)
    assert list(failed["column"]) == ["rows"]
    assert failed["expected"].item() == "11 cells; mel / roc_auc"


def test_swapped_rows_fail(found, expected):
    trained = trained_table(predictions())
    write(found, trained=trained.iloc[[1, 0, *range(2, len(trained))]])
    assert list(failures(found, expected)["column"]) == ["rows"]


def test_swapped_labels_of_two_rows_fail(found, expected):
    data = data_table(predictions())
    data.loc[0, "ours"], data.loc[1, "ours"] = 81, 79  # two classes of 80: one image moved from one to the other
    write(found, data=data)
    assert list(failures(found, expected)["row"]) == ["akiec", "mel"]


def test_a_changed_published_cell_fails(found, expected):
    trained = trained_table(predictions())
    trained.loc[1, "published"] = 0.8001
    write(found, trained=trained)
    failed = failures(found, expected)
    assert failed[["row", "metric", "column", "expected", "got"]].values.tolist() == [
        ["akiec", "recall", "published", "0.8", "0.8001"]
    ]


@pytest.mark.parametrize("column", ["n", "dataset", "split"])
def test_a_changed_count_data_set_or_split_fails(found, expected, column):
    trained = trained_table(predictions())
    trained[column] = trained[column].astype(object)
    trained.loc[0, column] = 239 if column == "n" else "other"
    write(found, trained=trained)
    assert list(failures(found, expected)["column"]) == [column]


@pytest.mark.parametrize("value", [None, float("inf"), "0.8x"])
def test_a_number_that_is_none_fails(found, expected, value):
    trained = trained_table(predictions())
    trained["ours"] = trained["ours"].astype(object)
    trained.loc[0, "ours"] = value
    write(found, trained=trained)
    assert list(failures(found, expected)["column"]) == ["ours"]


def test_a_reason_that_changes_or_becomes_a_number_fails(found, expected):
    trained = trained_table(predictions())
    trained.loc[trained["row"] == "weights", ["ours", "note"]] = [0.9, ""]
    write(found, trained=trained)
    assert set(failures(found, expected)["column"]) == {"ours", "note"}


def test_time_may_differ_but_must_be_there(found, expected):
    trained = trained_table(predictions())
    time = trained["metric"] == "seconds_total"
    trained.loc[time, "ours"] = 500.0
    write(found, trained=trained)
    assert failures(found, expected).empty
    trained.loc[time, "ours"] = 0.0
    write(found, trained=trained)
    assert list(failures(found, expected)["metric"]) == ["seconds_total"]


def test_missing_and_new_exhibits_and_figures_fail(found, expected):
    write(found)
    (found / "paper" / "table1.json").unlink()
    (found / "paper" / "table3.png").unlink()
    (found / "paper" / "new.json").write_text('{"kind": "data"}')
    failed = failures(found, expected)
    assert sorted(zip(failed["exhibit"], failed["column"], strict=True)) == [
        ("paper/new", "exhibit"),
        ("paper/table1", "exhibit"),
        ("paper/table3", "figure"),
    ]


def test_another_set_of_columns_fails(found, expected):
    write(found, trained=trained_table(predictions()).rename(columns={"split": "part"}))
    assert list(failures(found, expected)["column"]) == ["columns"]


def test_ranges_are_as_worked_out_by_hand():
    cells = [
        ["a", "roc_auc", 0.9, 0.5, 1.0, 40],  # an AUC has the margin 0.15 whatever its interval
        ["a", "recall", 0.6, 0.4, 0.8, 40],  # half width 0.2
        ["a", "precision", 0.6, 0.1, 1.0, 40],  # half width 0.45, but 0.25 at most
        ["a", "fn", 3, None, None, 40],  # 0.15 * 40 = 6, and no count is below 0
        ["a", "recall_gap", 0.05, None, None, 40],  # a difference may be negative
        ["a", "p_value", 0.04, None, None, 40],
    ]
    columns = ["row", "metric", "ours", "low", "high", "n"]
    frame = pd.DataFrame(cells, columns=columns).reindex(columns=COLUMNS).astype(object)
    frame = frame.where(frame.notna(), "").astype(str)
    stored = regression.to_store(frame, "trained")
    assert stored[["low", "high"]].astype(float).values.tolist() == [
        [0.75, 1.0],
        [0.4, 0.8],
        [0.35, 0.85],
        [0.0, 9.0],
        [-0.1, 0.2],
        [0.0, 1.0],
    ]


def store(cells: list[list], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(cells, columns=columns).reindex(columns=COLUMNS).astype(object)
    return frame.where(frame.notna(), "").astype(str)


def test_differences_may_be_negative():
    cells = [
        ["gap", "roc_auc", 0.02, -0.1, 0.3, 40],  # half width 0.2: that of a difference counts, of an AUC it does not
        ["final - plain", "recall", -0.3, None, None, 40],
        ["final - plain", "fn", -5, -9, -1, 40],  # 0.15 * 40 = 6
        ["a step", "brier_change", 0.01, None, None, 40],
        ["final", "threshold", 0.02, 0.02, 0.48, 40],  # its whole interval, though that is wider than 0.25
    ]
    stored = regression.to_store(store(cells, ["row", "metric", "ours", "low", "high", "n"]), "trained")
    ranges = [[-0.18, 0.22], [-0.45, -0.15], [-11, 1], [-0.14, 0.16], [0, 0.48]]
    assert stored[["low", "high"]].astype(float).to_numpy() == pytest.approx(np.array(ranges))


def test_flags_and_cells_that_training_may_empty():
    columns = ["row", "metric", "ours", "note"]
    undefined = "precision does not exist for this table"
    cells = [["one fold: flag", "recall", 1, "the paper's cut"], ["plain", "precision", None, undefined]]
    rates = ("precision", "malignant_precision", "recall")
    cells += [["final", metric, 0.6, ""] for metric in rates]
    stored = regression.to_store(store(cells, columns), "trained")
    assert stored["kind"].tolist() == ["any", "any", "range", "range", "range"]
    assert regression.to_store(store(cells[:1], columns), "data")["kind"].tolist() == ["exact"]
    cells = [[*cells[0][:2], 0, ""], ["plain", "precision", 0.2, ""]]
    cells += [["final", metric, None, undefined] for metric in rates]
    checks = regression.compare_exhibit("p/t", stored, store(cells, columns))
    assert [check["row"] + check["metric"] for check in checks if check["verdict"] == "FAILED"] == ["finalrecall"]


def test_how_many_maps_have_heat_is_a_result_but_how_many_images_is_not():
    columns = ["row", "metric", "ours", "n"]
    cells = [["Grad-CAM++ minus centred blob", "iou_diff", 0.1, 165], ["random blob", "iou", 0.1, 165]]
    cells += [["seg", "iou", 0.1, 165]]
    stored = regression.to_store(store(cells, columns), "trained")
    for n, wrong in ((164, ["seg"]), (120, [cell[0] for cell in cells])):
        checks = regression.compare_exhibit("p/t", stored, store([[*cell[:3], n] for cell in cells], columns))
        assert [check["row"] for check in checks if check["verdict"] == "FAILED"] == wrong


def test_how_many_lesions_are_unsure_and_how_few_are_called_are_results():
    columns = ["row", "metric", "ours", "n", "note"]
    cells = [["fusion on, ambiguous lesions", "recall", 0.5, 86, ""], ["all", "recall", 0.5, 86, ""]]
    cells += [["all", "precision", None, 149, "counts only: 0 called malignant (fewer than 10)"]]
    cells += [["dark", "recall", None, 3, "counts only: 1 malignant (fewer than 10)"]]
    stored = regression.to_store(store(cells, columns), "trained")
    assert stored["kind"].tolist() == ["range", "range", "any", "absent"]
    cells[0][3] = cells[1][3] = 97
    cells[2][4], cells[3][4] = "counts only: 8 called malignant (fewer than 10)", "counts only: 2 malignant"
    checks = regression.compare_exhibit("p/t", stored, store(cells, columns))
    found = [(check["row"], check["column"]) for check in checks if check["verdict"] == "FAILED"]
    assert found == [("all", "n"), ("dark", "note")]
    cells[0][3] = 110  # more than a margin away: no longer the same question
    checks = regression.compare_exhibit("p/t", stored, store(cells, columns))
    assert [check["column"] for check in checks if check["verdict"] == "FAILED"] == ["n", "n", "note"]


def test_widening_keeps_what_was_in_range(tmp_path, expected):
    shifted = trained_table(predictions())
    shifted.loc[0, "ours"] = 0.6
    write(tmp_path / "second", trained=shifted)
    assert len(failures(tmp_path / "second", expected)) == 1
    regression.accept(tmp_path / "second", expected, widen=True)
    write(tmp_path / "third")
    for folder in ("second", "third"):
        assert failures(tmp_path / folder, expected).empty


def test_nothing_to_accept_and_nothing_accepted_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="make reproduce PROFILE=smoke"):
        regression.accept(tmp_path, tmp_path / "expected")
    with pytest.raises(FileNotFoundError, match="make accept"):
        regression.compare(tmp_path, tmp_path / "expected")
