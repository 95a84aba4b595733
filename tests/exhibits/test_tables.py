"""Ours next to theirs: no published cell is lost, no empty cell is silent, and the file says what made it."""

from types import SimpleNamespace

import pandas as pd
import pytest

from skinlib.exhibits import write as tables
from skinlib.exhibits.published import exhibits, published
from skinlib.paths import read_json
from skinlib.study import Study

PAPER = "recall_oriented"


def run(name, seed, stale=()):
    metrics = {"images": 100, "epochs": 2}
    return SimpleNamespace(id=name, config=SimpleNamespace(seed=seed, dataset="ham10000"), metrics=metrics, stale=stale)


def ours(*rows):
    return pd.DataFrame(rows, columns=["row", "metric", "ours"])


@pytest.mark.parametrize("name", exhibits(PAPER))
def test_no_published_cell_is_dropped(name):
    frame = tables.exhibit(ours(("mine", "roc_auc", 0.5)), paper=PAPER, exhibit=name, missing="not run: a test")
    theirs = published(PAPER, name)
    assert list(frame.columns) == tables.COLUMNS and len(frame) == len(theirs) + 1
    head = frame.iloc[:-1]
    assert head[["row", "metric"]].to_numpy().tolist() == theirs[["row", "metric"]].to_numpy().tolist()
    pd.testing.assert_series_equal(head["published"], theirs["published"])
    assert frame.iloc[-1]["row"] == "mine" and pd.isna(frame.iloc[-1]["published"])
    assert all(note.startswith("not run: a test") for note in head["note"])


def test_ours_joins_by_row_and_metric_whatever_its_order():
    mine = ours(("extra", "roc_auc", 0.7), ("final", "recall", 0.8), ("final", "roc_auc", 0.9))
    frame = tables.exhibit(mine, paper=PAPER, exhibit="table3", missing="not run").set_index(["row", "metric"])
    assert frame.loc[("final", "roc_auc"), ["ours", "published"]].tolist() == [0.9, 0.9262]
    assert frame.loc[("final", "recall"), ["ours", "published"]].tolist() == [0.8, 0.8785]
    assert frame.index[-1] == ("extra", "roc_auc")


def test_an_empty_cell_needs_a_reason():
    mine = ours(("final", "roc_auc", 0.9))
    with pytest.raises(ValueError, match=r"row 'final', metric 'recall' \(12 such\) has no number"):
        tables.exhibit(mine, paper=PAPER, exhibit="table3")
    rest = published(PAPER, "table3").iloc[1:]
    noted = pd.DataFrame({"row": rest["row"], "metric": rest["metric"], "ours": None, "note": "not run: no weights"})
    frame = tables.exhibit(pd.concat([mine, noted]), paper=PAPER, exhibit="table3")
    assert frame["note"].iloc[1].startswith("not run: no weights; paper: 253 of 288")


def test_faulty_tables_of_ours_are_refused():
    for mine, words in (
        (ours(("final", "roc_auc", 0.9), ("final", "roc_auc", 0.8)), "given twice"),
        (ours(("final", "roc_auc", 0.9)).assign(colour="red"), "has row, metric, ours, colour; it needs"),
        (ours(("final", "roc_auc", 0.9)).drop(columns="ours"), "has row, metric; it needs row, metric, ours"),
    ):
        with pytest.raises(ValueError, match=words):
            tables.exhibit(mine, paper=PAPER, exhibit="table3", missing="not run")


def test_an_exhibit_is_written_with_a_record_of_what_made_it_and_another_data_set_in_its_name(tmp_path):
    place = {"name": "smoke", "data_root": tmp_path, "results_root": tmp_path, "dataset": "ham10000", "paper": PAPER}
    study = Study(profile={"dataset": "ham10000"}, seed=0, device="cpu", synthetic=True, notebook="24", **place)
    runs = [run("aa", 1), run("bb", 0, stale=("config.py",))]
    frame = study.exhibit("table3", ours(("final", "roc_auc", 0.9)), runs=runs, missing="not run")
    read = pd.read_csv(tmp_path / "smoke" / PAPER / "table3.csv")
    assert read["ours"].iloc[0] == 0.9
    pd.testing.assert_series_equal(read["published"], frame["published"])
    made = {"runs": ["aa", "bb"], "seeds": [0, 1], "epochs": [2, 2], "image_visits": 200, "stale": "older code"}
    made |= {"synthetic": True, "kind": "trained", "notebook": "24", "exhibit": "table3", "dataset": "ham10000"}
    assert made.items() <= read_json(tmp_path / "smoke" / PAPER / "table3.json").items()
    study.exhibit("fig2", ours(("mine", "n", 1)), dataset="ph2")
    record = read_json(tmp_path / "smoke" / PAPER / "fig2-ph2.json")
    assert (record["stale"], record["kind"], record["exhibit"], record["seeds"]) == (None, "data", "fig2", [0])


def test_show_puts_the_interval_next_to_the_published_value():
    rows = {"row": "final", "metric": ["roc_auc", "fn"], "ours": [0.91234, 40], "low": [0.9, 30], "high": [0.92, 50]}
    frame = tables.exhibit(pd.DataFrame(rows), paper=PAPER, exhibit="table3", missing="not run")
    shown = tables.show(frame).data.set_index("metric")
    assert shown.loc["roc_auc", "ours [low, high]"] == "0.912 [0.900, 0.920]"
    assert shown.loc["roc_auc", "published"] == "0.926"
    assert shown.loc["fn", ["ours [low, high]", "published"]].tolist() == ["40 [30, 50]", "35"]
    wide = tables.show(frame, wide=True).data
    assert wide.loc["final", ("fn", "ours")] == "40 [30, 50]" and wide.loc["final", ("recall", "published")] == "0.879"
    assert tables.show(frame.iloc[:0], wide=True).data.empty
    none = pd.DataFrame({"row": "final", "metric": ["ece"], "ours": [0.0], "low": [0.0], "high": [0.0142]})
    shown = tables.show(tables.exhibit(none, paper=PAPER, exhibit="table3", missing="not run")).data
    assert shown.set_index("metric").loc["ece", "ours [low, high]"] == "0.000 [0.000, 0.014]"
    assert ("recall", "ours") not in wide.columns
