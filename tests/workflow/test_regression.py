"""The regression run must fail for every way in which results go wrong, on the same machine and on another."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from skinlib.exhibits.write import COLUMNS
from skinlib.paths import write_json
from skinlib.workflow import regression

CLASSES = ("akiec", "mel", "nv")
MACHINES = ("the same", "another")


def predictions(seed: int = 0, *, permuted: bool = False, n: int = 240) -> pd.DataFrame:
    """Three classes; the score of the true class is shifted so that one-vs-rest AUC is about 0.85."""
    random, label = np.random.default_rng(seed), np.arange(n) % 3
    score = random.normal(size=(n, 3))
    score[np.arange(n), label] += 1.6
    p = np.exp(score) / np.exp(score).sum(1, keepdims=True)
    if permuted:
        label = random.permutation(label)
    return pd.DataFrame({"label": label, **{f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)}})


def trained_table(table: pd.DataFrame, *, seconds: float = 12.5) -> pd.DataFrame:
    rows = []
    for k, name in enumerate(CLASSES):
        truth, score = table["label"] == k, table[f"p_{name}"]
        hit = table[[f"p_{c}" for c in CLASSES]].to_numpy().argmax(1) == k
        auc, recall, missed = roc_auc_score(truth, score), recall_score(truth, hit), int((truth & ~hit).sum())
        rows += [[name, "roc_auc", auc, auc - 0.05, auc + 0.05, len(table), 0.9, ""]]
        rows += [[name, "recall", recall, recall - 0.1, recall + 0.1, int(truth.sum()), 0.8, ""]]
        rows += [[name, "fn", missed, None, None, int(truth.sum()), 35, ""]]
        rows += [[name, "age_of_missed", 40 + missed / 7, None, None, missed, None, f"of {missed} missed"]]
        rows += [[f"{name}, children", "accuracy", float(hit[:9].mean()), None, None, 9, None, ""]]
    rows += [["weights", "roc_auc", None, None, None, None, 0.95, "not run: no weights"]]
    rows += [["training", "seconds_total", seconds, None, None, None, 9000, "on a desk"]]
    columns = ["row", "metric", "ours", "low", "high", "n", "published", "note"]
    return pd.DataFrame(rows, columns=columns).assign(dataset="ham10000", split="grouped").reindex(columns=COLUMNS)


def data_table() -> pd.DataFrame:
    frame = pd.DataFrame({"row": CLASSES, "metric": "images", "ours": [80, 80, 80], "n": 240})
    return frame.reindex(columns=COLUMNS).assign(dataset="ham10000", split="grouped", published=100.0)


def write(results, trained=None, *, seed=0, machine="the same", data=None, code="c0"):
    """Write the results of the profile ``smoke`` and the weights behind them; return their folder."""
    found = results / "smoke"
    trained = trained_table(predictions(seed)) if trained is None else trained
    for name, frame in (("table3", trained), ("table1", data_table() if data is None else data)):
        write_json(found / "paper" / f"{name}.json", {})
        frame.to_csv(found / "paper" / f"{name}.csv", index=False)
    (found / "paper" / "table3.png").write_bytes(b"png")
    write_json(found / "state" / "plan.json", {"paper": {"run": {"id": f"a{seed}", "code": code}}})
    (results / "runs" / f"a{seed}").mkdir(parents=True)
    (results / "runs" / f"a{seed}" / "model.safetensors").write_bytes(machine.encode())
    return found


@pytest.fixture
def expected(tmp_path):
    first = write(tmp_path / "first")
    others = [write(tmp_path / f"seed{seed}", seed=seed) for seed in (1, 2, 3, 4)]
    others.append(write(tmp_path / "again", trained_table(predictions(), seconds=14.0)))
    assert regression.accept(first, tmp_path / "expected", others) == 0
    return tmp_path / "expected"


def failures(found, expected) -> pd.DataFrame:
    """Return what failed, after checking that the exit status says the same."""
    status = regression.compare(found, expected)
    result = pd.read_csv(found / "regression.csv", keep_default_na=False)
    failed = result[result["verdict"] == "FAILED"]
    assert status == (1 if len(failed) else 0)
    return failed


def stored(expected, metric="roc_auc", name="table3") -> pd.DataFrame:
    frame = pd.read_csv(expected / "paper" / f"{name}.csv")
    return frame[frame["metric"] == metric]


def test_what_moves_with_the_seed_is_trained_and_has_a_band(expected):
    kinds = {metric: set(stored(expected, metric)["kind"]) for metric in ("roc_auc", "fn", "age_of_missed", "accuracy")}
    trained = {metric: {"trained"} for metric in ("roc_auc", "fn", "accuracy")}
    assert kinds == trained | {"age_of_missed": {"conditional"}}
    assert set(stored(expected, "seconds_total")["kind"]) == {"machine"}
    assert set(stored(expected, "images", "table1")["kind"]) == {"data"}
    assert stored(expected, "accuracy")[["least", "most"]].isna().all(axis=None), "nine images are too few for a band"


def test_a_band_is_as_worked_out_by_hand():
    rows = {"row": list("abcdef"), "metric": ["auc", "auc", "auc", "called x", "called y", "f1"]}
    frame = lambda values: pd.DataFrame(rows | {"n": "40 40 9 40 40 ".split(" "), "ours": values.split(" ")})
    table, seeds = frame("0.8 0.7 0.1 3 0 1"), [frame("0.9 0.7 0.9 5 0 0"), frame("0.84 0.7  4 0 1")]
    bands = regression.judge(table, seeds, [table])[["kind", "least", "most"]].T.to_numpy().tolist()
    assert bands == [["trained"] * 6, ["0.7", "0.6", "", "1", "-2", ""], ["1", "0.8", "", "7", "2", ""]]


def test_the_same_results_pass_every_cell(expected, tmp_path, capsys):
    found = write(tmp_path / "found")
    assert failures(found, expected).empty
    assert "every cell exactly: 1 of 1 runs are the same" in capsys.readouterr().out
    result = pd.read_csv(found / "regression.csv", keep_default_na=False)
    assert (result["column"] == "ours").sum() == 17 + 3  # cells of table3 and table1


def test_on_another_machine_another_training_passes_in_its_bands_and_says_so(expected, tmp_path, capsys):
    trained = trained_table(predictions(9), seconds=99.0)
    assert failures(write(tmp_path / "found", trained, machine="another"), expected).empty
    assert "1 of 1 runs have other weights than expected, first paper/run" in capsys.readouterr().out
    assert len(failures(write(tmp_path / "here", trained), expected)) > 20, "on the same machine nothing may move"


def test_few_numbers_may_lie_just_outside_their_bands(expected, tmp_path, monkeypatch):
    least, most = stored(expected)[["least", "most"]].iloc[0]
    for k, (share, allowed, failed) in enumerate([(0.9, 0.2, 0), (1.1, 0.2, 1), (0.9, 0.0, 1)]):
        trained = trained_table(predictions())
        trained.loc[0, "ours"] = most + share * (most - least)
        monkeypatch.setattr(regression, "CHANCE", allowed)
        assert regression.compare(write(tmp_path / str(k), trained, machine="another"), expected) == failed


def test_where_the_code_has_changed_every_cell_counts(expected, tmp_path):
    trained = trained_table(predictions(9))
    assert len(failures(write(tmp_path / "found", trained, machine="another", code="c1"), expected)) > 20


@pytest.mark.parametrize("machine", MACHINES)
class TestOnBothMachines:
    def test_permuted_labels_fail_by_their_auc(self, machine, expected, tmp_path):
        failed = failures(write(tmp_path / "f", trained_table(predictions(permuted=True)), machine=machine), expected)
        assert set(failed.loc[(failed["metric"] == "roc_auc") & (failed["column"] == "ours"), "row"]) == set(CLASSES)

    def test_a_dropped_class_fails(self, machine, expected, tmp_path):
        trained = trained_table(predictions())
        found = write(tmp_path / "f", trained[~trained["row"].str.startswith("mel")], machine=machine)
        failed = failures(found, expected)
        assert (failed["column"].item(), failed["expected"].item()) == ("rows", "17 cells; mel / roc_auc")

    def test_swapped_rows_fail(self, machine, expected, tmp_path):
        trained = trained_table(predictions())
        found = write(tmp_path / "f", trained.iloc[[1, 0, *range(2, len(trained))]], machine=machine)
        assert list(failures(found, expected)["column"]) == ["rows"]

    def test_one_image_moved_from_one_class_to_another_fails(self, machine, expected, tmp_path):
        found = write(tmp_path / "f", data=data_table().assign(ours=[81, 79, 80]), machine=machine)
        assert list(failures(found, expected)["row"]) == ["akiec", "mel"]

    @pytest.mark.parametrize("change", [("published", 0.8001), ("n", 239), ("dataset", "other"), ("split", "other")])
    def test_a_changed_published_cell_count_data_set_or_split_fails(self, machine, expected, tmp_path, change):
        trained, (column, value) = trained_table(predictions()).astype(object), change
        trained.loc[1, column] = value
        failed = failures(write(tmp_path / "f", trained, machine=machine), expected)
        assert failed[["row", "metric", "column", "got"]].values.tolist() == [["akiec", "recall", column, str(value)]]

    @pytest.mark.parametrize("value", [None, float("inf"), "0.8x"])
    def test_a_number_that_is_none_fails(self, machine, expected, tmp_path, value):
        trained = trained_table(predictions()).astype(object)
        trained.loc[0, "ours"] = value
        assert list(failures(write(tmp_path / "f", trained, machine=machine), expected)["column"]) == ["ours"]

    def test_time_may_differ_but_must_be_there(self, machine, expected, tmp_path):
        slow, none = (trained_table(predictions(), seconds=seconds) for seconds in (500.0, 0.0))
        assert failures(write(tmp_path / "slow", slow, machine=machine), expected).empty
        assert list(failures(write(tmp_path / "none", none, machine=machine), expected)["metric"]) == ["seconds_total"]

    def test_missing_and_new_exhibits_figures_and_columns_fail(self, machine, expected, tmp_path):
        found = write(tmp_path / "f", trained_table(predictions()).rename(columns={"split": "part"}), machine=machine)
        for name in ("table1.json", "table3.png"):
            (found / "paper" / name).unlink()
        write_json(found / "paper" / "new.json", {})
        failed = failures(found, expected)[["exhibit", "column"]].values.tolist()
        gone = [[f"paper/{name}", "figure"] for name in ("new", "table1", "table3")]
        assert failed == [*gone, ["paper/table3", "columns"]]


def test_on_another_machine_a_reason_may_take_the_place_of_a_number(expected, tmp_path):
    trained = trained_table(predictions()).astype(object)
    trained.loc[1, ["ours", "note"]] = [None, "recall is not defined"]
    assert failures(write(tmp_path / "there", trained, machine="another"), expected).empty
    assert set(failures(write(tmp_path / "here", trained), expected)["column"]) == {"ours", "note"}


def test_a_note_that_names_the_processor_is_the_same_on_all(tmp_path, monkeypatch):
    for name in ("AMD EPYC", "Intel Xeon"):
        (tmp_path / "t.csv").write_text(f'row,note\na,"{name}, 1 thread"\n')
        monkeypatch.setattr(regression, "processor", lambda name=name: name)
        assert regression.read(tmp_path / "t.csv")["note"].item() == "one processor, 1 thread"


def test_accepting_without_other_seeds_keeps_kinds_and_stretches_bands(expected, tmp_path):
    before = stored(expected)
    trained = trained_table(predictions()).astype(object)
    trained.loc[0, "ours"], trained.loc[1, "metric"] = 0.6, "precision"
    found = write(tmp_path / "second", trained)
    assert len(failures(found, expected)) == 1
    regression.accept(found, expected)
    assert failures(write(tmp_path / "third", trained), expected).empty
    after = stored(expected)
    assert (after["least"].iloc[0], after["most"].iloc[0]) == (0.6, before["most"].iloc[0])
    assert after.iloc[1:].equals(before.iloc[1:])
    assert stored(expected, "precision")["kind"].tolist() == ["new"]


def test_a_row_that_some_seeds_lack_moves_and_one_named_after_its_seed_keeps_its_place():
    ours = lambda rows: [f"0.{k}" for k in range(len(rows))]
    frame = lambda *rows: pd.DataFrame({"row": rows, "metric": "auc", "ours": ours(rows), "n": ""})
    kinds = lambda table, *seeds: regression.judge(table, seeds, [])["kind"].tolist()
    assert kinds(frame("a, seed 0", "b"), frame("a, seed 1", "b")) == ["data", "data"]
    assert kinds(frame("a", "b"), frame("a")) == ["conditional", "conditional"]


def test_nothing_to_accept_and_nothing_accepted_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="make reproduce PROFILE=smoke"):
        regression.accept(tmp_path / "smoke", tmp_path / "expected")
    with pytest.raises(FileNotFoundError, match="make accept"):
        regression.compare(tmp_path, tmp_path / "expected")
