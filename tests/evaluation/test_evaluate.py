"""`evaluate`: what a stranger's table turns into."""

import numpy as np
import pandas as pd
import pytest
from prediction_rows import binary_table, random_table, three_classes

from skinlib.evaluation import metrics, tables, thresholds
from skinlib.evaluation.report import evaluate
from skinlib.evaluation.statistics import bootstrap_ci


@pytest.fixture(scope="module")
def table():
    return random_table(400, lesions=250, part=np.repeat(["val", "test"], [150, 250]), sex=np.tile(["f", "m"], 200))


@pytest.fixture(scope="module")
def found(table):
    return evaluate(table, groups=["sex"], n=100)


def test_threshold_is_chosen_on_validation_and_used_on_test(table, found):
    chosen = thresholds.choose_threshold(table[table["part"] == "val"], step=None)
    assert found["threshold"].loc[0, "t"] == chosen.t and found["threshold"].loc[0, "chosen_on"] == "150 val rows"
    both = set.intersection(*(set(tables.clusters(rows)) for _, rows in table.groupby("part")))
    assert both and found["threshold"].loc[0, "note"].startswith(f"{len(both)} patients, lesions or images of the val")
    expected = metrics.binary_metrics(table[table["part"] == "test"], threshold=chosen.t)
    assert found["metrics"].set_index("metric")["value"].to_dict() == pytest.approx(expected)
    assert (found["metrics"]["part"] == "test").all() and (found["metrics"]["n"] == 250).all()


def test_intervals_are_those_of_lesions(table, found):
    val, test = (table[table["part"] == part] for part in ("val", "test"))
    wanted = bootstrap_ci(metrics.binary("roc_auc"), test, groups=tables.clusters(test), n=100)
    shown = found["metrics"].set_index("metric").loc["roc_auc", ["value", "low", "high"]]
    assert tuple(shown) == pytest.approx(tuple(wanted))
    wanted = thresholds.threshold_interval(val, groups=tables.clusters(val), n=100, step=None)
    assert tuple(found["threshold"].loc[0, ["t", "low", "high"]]) == pytest.approx(tuple(wanted))


def test_tables_of_a_binary_table(found):
    assert list(found) == ["rows", "threshold", "metrics", "reliability", "fairness sex", "gaps sex"]
    assert found["rows"]["n"].tolist() == [150, 250] and set(found["fairness sex"]["group"]) == {"all", "f", "m"}
    assert found["reliability"]["n"].sum() == 250


def test_a_large_table_is_resampled_less_often_and_at_least_so_often(table, monkeypatch):
    monkeypatch.setattr("skinlib.evaluation.report.MOST_DRAWN", 1000)
    for name, frame in evaluate(table, groups=["sex"], n=2000).items():
        pd.testing.assert_frame_equal(frame, evaluate(table, groups=["sex"], n=200)[name])


def test_without_parts_the_threshold_is_a_half_and_training_rows_are_not_evaluated_next_to_validation(table):
    plain = evaluate(table.drop(columns="part"), n=20)
    assert plain["threshold"].loc[0, "t"] == 0.5 and "convention" in plain["threshold"].loc[0, "note"]
    assert (plain["metrics"]["n"] == 400).all()
    trained = evaluate(table.assign(part=np.repeat(["train", "val"], 200)), n=20)
    assert set(trained["metrics"]["part"]) == {"val"}
    assert "of the rows that chose it" in trained["threshold"].loc[0, "note"]


def test_diagnoses_with_and_without_the_malignant_classes():
    table = three_classes(rows=90).assign(sex="f")
    several = evaluate(table, n=20)
    assert list(several) == ["rows", "metrics", "classes", "confusion"]
    assert several["confusion"][["nv", "mel", "bcc"]].to_numpy().sum() == 90
    both = evaluate(table, malignant=("mel", "bcc"), groups=["sex"], n=20)
    assert {"roc_auc", "macro_auc"} <= set(both["metrics"]["metric"]) and "fairness sex" in both
    with pytest.raises(tables.PredictionTableError, match="malignant classes"):
        evaluate(table, groups=["sex"])


def test_one_class_gives_reasons_and_a_perfect_table_says_that_its_intervals_have_no_width():
    only = evaluate(binary_table([0] * 20, np.linspace(0, 0.9, 20)), n=20)
    row = only["metrics"].set_index("metric").loc["roc_auc"]
    assert np.isnan(row["value"]) and "does not exist" in row["note"]
    assert "no malignant row" in only["threshold"].loc[0, "note"]
    perfect = evaluate(binary_table([0, 1] * 10, [0.1, 0.9] * 10), n=50)["metrics"].set_index("metric")
    assert perfect.loc["recall", "high"] == 1 and perfect.loc["recall", "note"].startswith("every resample alike")
    assert perfect.loc["brier", "note"] == "" and perfect.loc["tp", "note"] == ""


def test_tables_that_must_not_be_pooled_are_refused(table):
    for column, words in (("system", "2 values of system"), ("fold", "there several times")):
        with pytest.raises(tables.PredictionTableError, match=words):
            evaluate(pd.concat([table.assign(**{column: value}) for value in (0, 1)]))
    with pytest.raises(tables.PredictionTableError, match="2 values of system"):
        evaluate(table.assign(system=["a", np.nan] * (len(table) // 2)))
    with pytest.raises(tables.PredictionTableError, match="no column tone"):
        evaluate(table, groups=["tone"])
