"""The multi-task paper's printed numbers against its own counts, and the network's parts against its printed sizes."""

from itertools import pairwise

import pytest

from skinlib.exhibits.published import exhibits, published
from skinlib.papers.joint_reverse_mtl.parts import LADDER, counts, parts

PAPER = "joint_reverse_mtl"
COUNTS = ["parameters", "tp", "tn", "fp", "fn", "n", "benign", "malignant"]


def cells(exhibit):
    frame = published(PAPER, exhibit)
    return dict(zip(zip(frame["row"], frame["metric"], strict=True), frame["published"], strict=True))


def weighted(tn, fp, fn, tp):
    """Return weighted recall, weighted F1, specificity and recall of a confusion matrix."""
    n, benign, malignant = tn + fp + fn + tp, tn + fp, fn + tp
    f1 = benign * 2 * tn / (2 * tn + fp + fn) + malignant * 2 * tp / (2 * tp + fp + fn)
    return {
        "weighted_recall": (tn + tp) / n,
        "weighted_f1": f1 / n,
        "specificity": tn / benign,
        "recall": tp / malignant,
        "fp_rate": fp / benign,
        "fn_rate": fn / malignant,
    }


def test_every_exhibit_of_the_paper_is_there_and_parses():
    wanted = {f"table{k}" for k in range(1, 6)} | {f"fig{k}" for k in (1, 5, 6, 7)}
    wanted |= {
        "mtl4_leakage",
        "lambda_sweep",
        "corner_shortcut",
        "dominance",
        "cost",
        "claims",
        "settings",
        "against_single",
        "controls",
        "gates",
        "longer",
    }
    wanted |= {"embeddings", "gradcam", "localisation", "tone"}  # of the notebooks across systems
    assert set(exhibits(PAPER)) == wanted
    for name in wanted:
        frame = published(PAPER, name)
        assert (frame["source"] != "").all()
        rates = frame[~frame["metric"].isin(COUNTS)]
        if name.startswith("table"):
            assert rates["published"].between(0, 1).all()


def test_table2_counts_the_views():
    table = cells("table2")
    for row in ("isic2016 train", "isic2016 train, augmented", "isic2016 test", "ph2 test"):
        assert table[row, "benign"] + table[row, "malignant"] == table[row, "n"]
    assert table["isic2016 train, augmented", "benign"] == 4 * table["isic2016 train", "benign"]
    assert table["isic2016 train, augmented", "malignant"] == 16 * table["isic2016 train", "malignant"]
    assert table["isic2016", "n"] == table["isic2016 train", "n"] + table["isic2016 test", "n"]


@pytest.mark.parametrize(
    ("exhibit", "rows", "sizes"),
    [
        ("table3", ["cls", "mtl0", "mtl1", "mtl2", "mtl3", "mtl4"], (304, 75)),
        ("table4", ["cls", "proposed"], (160, 40)),
    ],
)
def test_rates_follow_from_the_confusion_matrices_but_for_one(exhibit, rows, sizes):
    table, wrong = cells(exhibit), []
    for row in rows:
        tn, fp, fn, tp = (table[row, cell] for cell in ("tn", "fp", "fn", "tp"))
        assert (tn + fp, fn + tp) == sizes
        for metric, value in weighted(tn, fp, fn, tp).items():
            if table[row, metric] != pytest.approx(value, abs=6e-5):
                wrong.append((row, metric))
    assert wrong == ([("mtl3", "weighted_f1")] if exhibit == "table3" else [])


def test_the_f1_of_mtl3_is_the_one_of_the_text():
    table, claims = cells("table3"), cells("claims")
    exact = weighted(*(table["mtl3", cell] for cell in ("tn", "fp", "fn", "tp")))["weighted_f1"]
    assert claims["mtl3, section 4.2", "weighted_f1"] == round(exact, 4) == 0.8100
    assert table["mtl3", "weighted_f1"] == table["mtl3", "weighted_recall"]  # printed in the wrong column


def test_the_earlier_works_rates_are_swapped_in_table5():
    first, later = cells("table1"), cells("table5")
    name = "Al-masni and Al-Shamiri 2023 [47], classification, ISIC 2016"
    benign = round(304 * first[name, "specificity"])
    found = round(379 * first[name, "recall"]) - benign
    assert (benign, found) == (272, 33)
    assert later["MTL [47]", "recall"] == round(benign / 304, 3)
    assert later["MTL [47]", "specificity"] == round(found / 75, 3)


def test_table5_repeats_table3():
    table, later = cells("table3"), cells("table5")
    for row, name in (("cls", "ResNet50 [70]"), ("mtl4", "Proposed MTL")):
        for metric in ("recall", "specificity"):
            assert later[name, metric] == pytest.approx(table[row, metric], abs=6e-4)


def test_the_leak_and_the_costs_repeat_table3():
    table = cells("table3")
    for exhibit, rows in (("mtl4_leakage", {"mtl3": "mtl3", "mtl4, as published": "mtl4"}), ("cost", None)):
        for (row, metric), value in cells(exhibit).items():
            name = rows[row] if rows else row
            if (name, metric) in table:
                assert value == table[name, metric]


@pytest.fixture(scope="module")
def table():
    return parts()


def test_the_networks_have_the_published_numbers_of_parameters(table):
    printed, totals = cells("table3"), table.groupby("variant")["total"].last().to_dict()
    assert totals == {
        "cls": 23_778_690, "seg": 10_709_954, "mtl0": 10_759_428, "mtl1": 10_795_460,
        "mtl2": 10_857_092, "mtl3": 10_898_956, "mtl4": 10_898_956,
    }  # fmt: skip
    for variant in LADDER:
        assert round(totals[variant], -4) == printed[variant, "parameters"]  # to every printed digit
    for before, after in pairwise(LADDER):
        step = printed[after, "parameters"] - printed[before, "parameters"]
        assert abs(totals[after] - totals[before] - step) < 10_000
    assert abs(totals["cls"] / printed["cls", "parameters"] - 1) < 0.005


def test_the_table_of_parts_adds_up_and_reads_every_sentence(table):
    assert table["variant"].unique().tolist() == ["cls", *LADDER]
    assert sum(counts("mtl3").values()) == table.loc[table["variant"] == "mtl3", "total"].iloc[-1]
    added = table.set_index(["variant", "part"])["parameters"]
    # 320-128-64-2; 64 more inputs; a second encoder level; gates 128-128 and 64-64; two modules of CBAM
    assert added["mtl0", "fc"] == 321 * 128 + 129 * 64 + 65 * 2
    assert added["mtl1", "fc"] == 64 * 128
    assert added["mtl1", "lesion"] == (64 * 9 + 1) * 32 + (32 * 9 + 1) * 32 + 2 * 64
    assert added["mtl2", "fc"] == 320 * 128
    assert added["mtl2", "gates"] == 129 * 128 + 65 * 64
    assert added["mtl3", "cbam"] == 2 * 20_932
    assert added["mtl4", "none"] == 0
    assert table["reading"].str.len().min() > 15
