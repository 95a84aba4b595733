"""The arithmetic of the audit by hand, and ten false cells put into a copy of the printed numbers."""

import shutil

import pandas as pd
import pytest

from skinlib.across.audit import FOLLOWS, LAST_DIGIT, OFFICIAL, WRONG, audit, printed, read
from skinlib.paths import project_root

PRINTED = project_root() / "data" / "published"
KEY = ["paper", "exhibit", "row", "metric"]
# A cell of each rule, and what is written in its place: file, row, metric.
FALSE = [
    ("recall_oriented/table3", "final", "f1", "0.6497"), ("recall_oriented/table2", "ResNet50", "fn", "25"),
    ("recall_oriented/table7", "total", "benign", "1250"), ("recall_oriented/table6", "low contrast", "count", "9"),
    ("recall_oriented/fig6", "final", "roc_auc", "0.9162"), ("joint_reverse_mtl/table4", "seg", "iou", "0.7844"),
    ("joint_reverse_mtl/table3", "mtl2", "weighted_f1", "0.8166"), ("metadata_sr/table2", "ACK", "f1", "0.98"),
    ("attention_autoencoder/fig2", "proposed - attention", "accuracy_change", "0.039"),
    ("joint_reverse_mtl/table1", "Balaji et al. 2020 [40], classification, ISIC 2017", "accuracy", "0.927"),
]  # fmt: skip


def cells(rows: dict[str, dict[str, str]], exhibit: str = "table1", source: str = "Table 1") -> pd.DataFrame:
    about = {"paper": "p", "exhibit": exhibit, "source": source}
    long = [about | {"row": row, "metric": m, "published": text} for row, of in rows.items() for m, text in of.items()]
    return pd.DataFrame(long)


def test_a_number_stands_for_all_that_round_to_it_and_a_last_zero_may_be_put_there():
    assert printed("0.503") == (0.503, pytest.approx(0.0005), pytest.approx(0.0015))
    assert printed("0.5450") == (0.545, pytest.approx(0.00005), pytest.approx(0.0005))
    assert (printed("35").half, printed("10710000", "parameters").half) == (0, 5000)


@pytest.mark.parametrize(("rows", "metric", "low", "high", "verdict"), [
    ({"a": {"tp": "33", "fn": "42", "tn": "277", "fp": "27", "recall": "0.44"}}, "recall", 0.44, 0.44, FOLLOWS),
    ({"a": {"tp": "33", "fn": "42", "tn": "277", "fp": "27", "f1": "0.480"}}, "f1", 66 / 135, 66 / 135, WRONG),
    ({"a": {"tn": "955", "fp": "250", "specificity": "0.7924"}}, "specificity", 955 / 1205, 955 / 1205, LAST_DIGIT),
    ({"test": {"malignant": "288", "benign": "9"}, "a": {"fn": "35", "recall": ".88"}}, "recall", 0.878, 0.88, FOLLOWS),
    ({"a": {"precision": "0.5", "recall": "0.5", "f1": "0.6"}}, "f1", 0.45, 0.55, FOLLOWS),
    ({"a": {"dice": "0.90", "iou": "0.81"}}, "iou", 0.810, 0.905, FOLLOWS),  # 0.895 / 1.105
    ({"a": {"dice": "0.90", "iou": "0.79"}}, "iou", 0.810, 0.905, WRONG),
    ({"a": {"recall": "0.9", "specificity": "0.7", "accuracy": "0.98"}}, "accuracy", 0.65, 0.95, WRONG),
    ({"x test": {"benign": "3", "malignant": "1"}, "x": {"recall": "1.00", "specificity": "0.50", "accuracy": "0.72"}},
     "accuracy", 0.62, 0.63, WRONG),
    ({"a": {"n": "3"}, "b": {"n": "4"}, "total": {"n": "8"}}, "n", 7, 7, WRONG),
    ({"a": {"auc": "0.91"}, "b": {"auc": "0.85"}, "a - b": {"auc_change": "0.06"}}, "auc_change", 0.05, 0.07, FOLLOWS),
    ({"a": {"recall": "0.81"}, "b": {"recall": "0.78"}, "gap": {"recall": "0.05"}}, "recall", 0.02, 0.04, LAST_DIGIT),
])  # fmt: skip
def test_what_follows_in_one_table(rows, metric, low, high, verdict):
    found = audit(cells(rows)).query("metric == @metric").iloc[-1]
    assert found[["low", "high"]].to_list() == pytest.approx([low, high], abs=6e-3)
    assert found["verdict"] == verdict


def test_one_number_in_two_places_and_what_is_known_from_outside():
    table = cells({"final": {"f1": "0.64"}, "MTL [7]": {"recall": "0.9"}, "train": {"n": "9"}}, "table3")
    figure = cells({"final": {"f1": "0.69"}}, "fig6", "Fig. 6 (numbers of Table 3)")
    text = cells({"final, section 4": {"f1": "0.64"}}, "claims")
    cited = cells({"Others [7]": {"recall": "0.4"}}, "table5")
    found = audit(pd.concat([table, figure, text, cited, cells({"train": {"n": "10"}}, OFFICIAL)])).set_index("exhibit")
    assert found["verdict"].loc[["fig6", "table5", "claims"]].to_list() == [WRONG, WRONG, FOLLOWS]
    assert found.loc["table3"].query("metric == 'n'")[["low", "verdict"]].to_numpy().tolist() == [[10, WRONG]]
    assert OFFICIAL not in found.index


def test_ten_false_cells_are_found_by_rule(tmp_path):
    copy = shutil.copytree(PRINTED, tmp_path / "published")
    before = audit(read(copy)).query("verdict == @WRONG")
    for name, row, metric, text in FALSE:
        table = pd.read_csv(file := copy / f"{name}.csv", dtype=str, keep_default_na=False)
        at = (table["row"] == row) & (table["metric"] == metric)
        assert at.sum() == 1 and table.loc[at, "published"].item() != text
        table.loc[at, "published"] = text
        table.to_csv(file, index=False)
    after = audit(read(copy)).query("verdict == @WRONG")
    new = after.merge(before[KEY], how="left", indicator=True).query("_merge == 'left_only'")
    seen = set(zip(new["paper"] + "/" + new["exhibit"], new["row"], strict=True))
    assert {(name, row) for name, row, *_ in FALSE} <= seen
