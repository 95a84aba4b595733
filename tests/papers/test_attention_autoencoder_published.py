"""What the attention autoencoder's paper prints, against itself and against the data that it names."""

import functools

import pytest
from comparing import printed

from skinlib.data.cards import CARDS, class_names
from skinlib.exhibits.published import published
from skinlib.papers.attention_autoencoder.plan import PROPOSED

PAPER = "attention_autoencoder"
cells = functools.partial(printed, PAPER)
LADDER = ("baseline", "attention", "autoencoder", "proposed")


def test_the_steps_of_figure_2_are_changeerences_of_its_rows_and_the_claims_repeat_them():
    table, claims = cells("fig2"), cells("claims")
    steps = [row for row, metric in table if metric == "accuracy_change"]
    assert len(steps) == 5
    for row in steps:
        after, before = row.split(" - ")
        assert table[row, "accuracy_change"] == pytest.approx(table[after, "accuracy"] - table[before, "accuracy"])
    for (row, metric), value in claims.items():
        if metric == "accuracy_change":
            assert value == table[row, metric]
    f1 = table["proposed", "macro_f1"] - table["baseline", "macro_f1"]
    assert claims["proposed - baseline", "macro_f1_change"] == pytest.approx(f1)
    for metric in ("accuracy", "macro_f1"):
        assert [table[row, metric] for row in LADDER] == sorted(table[row, metric] for row in LADDER)


def test_the_called_superior_accuracy_is_ninth_of_ten_and_other_exhibits_repeat_figure_2():
    accuracy = {row: value for (row, metric), value in cells("fig3").items() if metric == "accuracy"}
    own = accuracy.pop("proposed")
    assert own == cells("fig2")["proposed", "accuracy"] == cells("fusion_choices")["concatenate", "accuracy"]
    assert len(accuracy) == 9 and [row for row, value in accuracy.items() if value < own] == ["Wang et al. 2022 [6]"]
    table, transfer = cells("fig2"), cells("transfer")
    assert transfer["imagenet, 100 %", "accuracy"] == table["proposed", "accuracy"]
    assert transfer["baseline, imagenet, 100 %", "accuracy"] == table["baseline", "accuracy"]


def test_what_is_claimed_and_not_measured_has_no_number():
    for name in ("attention_maps", "small_and_noisy"):
        assert published(PAPER, name)["published"].isna().all()
    dice = {row: value for (row, metric), value in cells("segmentation").items() if value == value}
    assert dice == {"Kumar and Patel 2023 [10]": 0.89, "Ahmed and Zhao 2022 [13]": 0.87}  # of other papers


def test_the_notes_on_the_data_are_right():
    notes = published(PAPER, "settings").set_index(["row", "metric"])["note"]
    assert "scc" not in {code.lower() for code in CARDS["isic2018_task3"].classes}
    counts = CARDS["isic2018_task3"].counts["train"]
    for code in class_names("isic2018_task3", PROPOSED.label_space):
        assert f"{code} {counts[code]}" in notes["data", "balance"]
    settings = cells("settings")
    assert (settings["image", "height"], settings["image", "width"]) == PROPOSED.image_size
