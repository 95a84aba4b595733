"""The multi-task paper's printed numbers against its own counts, and the network's parts against its printed sizes."""

import functools
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from comparing import printed

from skinlib import models
from skinlib.evaluation import metrics
from skinlib.exhibits.published import published
from skinlib.papers.joint_reverse_mtl.model import VARIANTS
from skinlib.papers.joint_reverse_mtl.plan import PROPOSED

PAPER = "joint_reverse_mtl"
cells = functools.partial(printed, PAPER)


def rates(*counts):
    """Return what the library makes of the counts tn, fp, fn and tp."""
    truth, call = np.repeat(np.argwhere(np.ones((2, 2))), np.array(counts, int), axis=0).T
    table = pd.DataFrame(np.eye(2)[call], columns=["p_benign", "p_malignant"]).assign(label=truth)
    assert metrics.confusion(table).to_numpy().ravel().tolist() == list(counts)
    found = {name: metrics.multiclass(name)(table) for name in ("weighted_recall", "weighted_f1")}
    of_calls = metrics.binary_metrics(table)
    return found | {name: of_calls[name] for name in ("specificity", "recall", "fp_rate", "fn_rate")}


def test_table2_counts_the_views():
    table = cells("table2")
    for row in ("isic2016 train", "isic2016 train, augmented", "isic2016 test", "ph2 test"):
        assert table[row, "benign"] + table[row, "malignant"] == table[row, "n"]
    assert table["isic2016 train, augmented", "benign"] == 4 * table["isic2016 train", "benign"]
    assert table["isic2016 train, augmented", "malignant"] == 16 * table["isic2016 train", "malignant"]
    assert table["isic2016", "n"] == table["isic2016 train", "n"] + table["isic2016 test", "n"]


@pytest.mark.parametrize(("exhibit", "rows", "sizes"), [
    ("table3", ["cls", "mtl0", "mtl1", "mtl2", "mtl3", "mtl4"], (304, 75)), ("table4", ["cls", "proposed"], (160, 40)),
])  # fmt: skip
def test_rates_follow_from_the_confusion_matrices_but_for_one(exhibit, rows, sizes):
    table, wrong = cells(exhibit), []
    for row in rows:
        tn, fp, fn, tp = (table[row, cell] for cell in ("tn", "fp", "fn", "tp"))
        assert (tn + fp, fn + tp) == sizes
        for metric, value in rates(tn, fp, fn, tp).items():
            if table[row, metric] != pytest.approx(value, abs=6e-5):
                wrong.append((row, metric))
    assert wrong == ([("mtl3", "weighted_f1")] if exhibit == "table3" else [])


def corrected(exhibit):
    frame = published(PAPER, exhibit).dropna(subset="published_corrected").set_index(["row", "metric"])
    return frame["published_corrected"].to_dict()


def test_the_f1_of_mtl3_is_the_one_of_the_text():
    table, claims = cells("table3"), cells("claims")
    exact = rates(*(table["mtl3", cell] for cell in ("tn", "fp", "fn", "tp")))["weighted_f1"]
    assert claims["mtl3, section 4.2", "weighted_f1"] == round(exact, 4) == 0.8100
    assert table["mtl3", "weighted_f1"] == table["mtl3", "weighted_recall"]  # printed in the wrong column
    assert corrected("table3") == corrected("mtl4_leakage") == {("mtl3", "weighted_f1"): 0.81}
    assert list(corrected("lambda_sweep").values()) == [0.81]


def test_the_earlier_works_rates_are_swapped_in_table5():
    first, later = cells("table1"), cells("table5")
    name = "Al-masni and Al-Shamiri 2023 [47], classification, ISIC 2016"
    benign = round(304 * first[name, "specificity"])
    found = round(379 * first[name, "recall"]) - benign
    assert (benign, found) == (272, 33) and later["MTL [47]", "recall"] == round(benign / 304, 3)
    assert later["MTL [47]", "specificity"] == round(found / 75, 3)
    right = {("MTL [47]", "recall"): later["MTL [47]", "specificity"]}
    assert corrected("table5") == right | {("MTL [47]", "specificity"): later["MTL [47]", "recall"]}


def test_table5_the_leak_and_the_costs_repeat_table3():
    table, later = cells("table3"), cells("table5")
    for row, name in (("cls", "ResNet50 [70]"), ("mtl4", "Proposed MTL")):
        for metric in ("recall", "specificity"):
            assert later[name, metric] == pytest.approx(table[row, metric], abs=6e-4)
    for exhibit, rows in (("mtl4_leakage", {"mtl3": "mtl3", "mtl4, as published": "mtl4"}), ("cost", None)):
        for (row, metric), value in cells(exhibit).items():
            name = rows[row] if rows else row
            if (name, metric) in table:
                assert value == table[name, metric]


def counts(variant):
    with torch.device("meta"):  # shapes without numbers
        network = models.build(PROPOSED.replace(variant=variant, backbone="resnet50", options={}))
    return {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}


def test_parameters_are_as_many_as_published_and_each_variant_adds_the_parts_that_its_sentence_says():
    printed, parts = cells("table3"), {variant: counts(variant) for variant in VARIANTS}
    totals = {variant: sum(each.values()) for variant, each in parts.items()}
    assert totals == {
        "cls": 23_778_690, "seg": 10_709_954, "mtl0": 10_759_428, "mtl1": 10_795_460,
        "mtl2": 10_857_092, "mtl3": 10_898_956, "mtl4": 10_898_956,
    }  # fmt: skip
    for variant in VARIANTS[1:]:
        assert round(totals[variant], -4) == printed[variant, "parameters"]  # to every printed digit
    for before, after in pairwise(VARIANTS[1:]):
        step = printed[after, "parameters"] - printed[before, "parameters"]
        assert abs(totals[after] - totals[before] - step) < 10_000
    assert abs(totals["cls"] / printed["cls", "parameters"] - 1) < 0.005
    added = {b: {n: k - parts[a].get(n, 0) for n, k in parts[b].items()} for a, b in pairwise(VARIANTS[1:])}
    added = {variant: {name: k for name, k in each.items() if k} for variant, each in added.items()}
    # 320-128-64-2; 64 more inputs; a second encoder level; gates 128-128 and 64-64; two modules of CBAM
    lesion = (64 * 9 + 1) * 32 + (32 * 9 + 1) * 32 + 2 * 64
    assert added == {
        "mtl0": {"fc": 321 * 128 + 129 * 64 + 65 * 2}, "mtl1": {"fc": 64 * 128, "lesion": lesion},
        "mtl2": {"fc": 320 * 128, "gates": 129 * 128 + 65 * 64}, "mtl3": {"cbam": 2 * 20_932}, "mtl4": {},
    }  # fmt: skip
