"""The printed numbers of the metadata paper against its own counts and its own words."""

import functools

import numpy as np
import pytest
from comparing import printed

from skinlib.data.cards import CARDS
from skinlib.exhibits.published import published
from skinlib.papers.metadata_sr.plan import METHODS, PROPOSED

PAPER = "metadata_sr"
cells = functools.partial(printed, PAPER)
CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
BACKBONES = ("VGG-13", "ResNet-50", "EfficientNet-B4", "MobileNet-V2", "DenseNet-121")
ROWS = ("No metadata", "Concat", "MetaNet", "MetaBlock", "Visual", "Proposed")
FOUND = {"ACK": 107, "BCC": 120, "MEL": 8, "NEV": 38, "SCC": 16, "SEK": 36}  # the only fractions of a part of 383 rows
TESTED = {"ACK": 122, "BCC": 141, "MEL": 9, "NEV": 40, "SCC": 32, "SEK": 39}


def test_table1_has_thirty_rows():
    table = published(PAPER, "table1")
    assert list(dict.fromkeys(table["row"])) == [f"{row}, {backbone}" for row in ROWS for backbone in BACKBONES]
    assert table.groupby("row")["metric"].agg(set).map(len).eq(3).all()
    assert len(METHODS) == len(ROWS) + 1  # and the proposed fusion without its task


def test_table2_counts_a_sixth_of_the_images_and_not_a_tenth():
    table, counts = cells("table2"), CARDS["pad_ufes_20"].counts["all"]
    for name in CLASSES:
        recall = FOUND[name] / TESTED[name]
        assert abs(recall - table[name, "accuracy"]) < 1e-4  # one of them is cut, not rounded
        assert table[name, "recall"] == table[name, "sensitivity"] == pytest.approx(recall, abs=0.0051)
        assert abs(counts[name] / 6 - TESTED[name]) < 1 and abs(counts[name] / 10 - TESTED[name]) > 3
    assert sum(TESTED.values()) == 383 == round(2298 * PROPOSED.test_share)


def test_the_vgg_row_follows_from_table2():
    table1, recalls = cells("table1"), [FOUND[name] / TESTED[name] for name in CLASSES]
    assert round(np.mean(recalls), 3) == table1["Proposed, VGG-13", "balanced_accuracy"]
    assert round(sum(FOUND.values()) / 383, 3) == table1["Proposed, VGG-13", "accuracy"]
    gain = cells("claims")["proposed", "balanced_accuracy"] - cells("claims")["Visual [14]", "balanced_accuracy"]
    assert gain / (1 / TESTED["MEL"] / 6) == pytest.approx(1.4, abs=0.01)  # in melanomas


def test_precision_specificity_and_f1_of_table2_are_one_matrix():
    """The false positives that the precisions imply add up to the errors, and give the printed specificities."""
    table, wrong = cells("table2"), 0
    for name in CLASSES:
        false = round(FOUND[name] / table[name, "precision"] - FOUND[name])
        wrong += false
        precision, recall = FOUND[name] / (FOUND[name] + false), FOUND[name] / TESTED[name]
        specificity = 1 - false / (383 - TESTED[name])
        assert table[name, "precision"] == pytest.approx(precision, abs=0.0051)
        assert table[name, "f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=0.0051)
        assert table[name, "specificity"] == pytest.approx(specificity, abs=0.0075)  # MEL: 0.997, printed 0.99
    assert wrong == 383 - sum(FOUND.values())


def test_what_the_text_says_of_the_tables():
    table1, table2, claims = cells("table1"), cells("table2"), cells("claims")
    best = max(value for (row, metric), value in table1.items() if metric == "balanced_accuracy" and "Prop" not in row)
    assert best == claims["Visual [14]", "balanced_accuracy"] == table1["Visual, ResNet-50", "balanced_accuracy"]
    assert claims["proposed, ResNet-50", "balanced_accuracy"] == table1["Proposed, ResNet-50", "balanced_accuracy"]
    below = [
        (backbone, metric)
        for backbone in BACKBONES
        for metric in ("accuracy", "balanced_accuracy", "roc_auc")
        for row in ROWS[:-1]
        if table1[f"{row}, {backbone}", metric] >= table1[f"Proposed, {backbone}", metric]
    ]
    assert below == [("MobileNet-V2", "roc_auc")]  # "outperforms existing SOTA results for all the models"
    assert min(table2[name, "specificity"] for name in CLASSES) > claims["every class", "specificity_above"]
    low = [name for name in CLASSES if table2[name, "sensitivity"] < claims["every class but SCC", "recall_above"]]
    assert low == ["SCC"]


def test_table3_is_below_the_bilinear_row_in_balanced_accuracy():
    table3, table1 = cells("table3"), cells("table1")
    for metric in ("accuracy", "balanced_accuracy", "roc_auc"):
        assert table3["Bilinear", metric] == table1["Proposed, VGG-13", metric]
    assert all(table3[row, "balanced_accuracy"] < 0.832 for row in ("Bicubic", "NinaSR", "EDSR"))


def test_the_settings_are_those_of_the_plan():
    settings = cells("settings")
    assert (settings["loss", "alpha"], settings["loss", "beta"]) == tuple(PROPOSED.losses.values())
    assert settings["training", "learning_rate"] == PROPOSED.lr and settings["training", "epochs"] == PROPOSED.epochs
    assert settings["training", "batch_size"] == PROPOSED.batch_size
    assert settings["training", "schedule_step"] == PROPOSED.schedule_step
    assert settings["super-resolution", "height"] == 2 * settings["image", "height"] == 7 * 2**6
    assert sum(settings[f"data, {name}", "images"] for name in CLASSES) == settings["data", "images"] == 2298
    assert CARDS["pad_ufes_20"].counts["all"] == {name: settings[f"data, {name}", "images"] for name in CLASSES}
