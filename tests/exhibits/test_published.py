"""The published numbers parse, and what the paper prints is checked against its own counts."""

import pytest

from skinlib.exhibits import published as room
from skinlib.exhibits.published import exhibits, published

PAPER = "recall_oriented"
MALIGNANT, BENIGN = 288, 1205


def cells(exhibit):
    return published(PAPER, exhibit).set_index(["row", "metric"])["published"].to_dict()


def from_counts(tp, fn, fp):
    return {"recall": tp / (tp + fn), "precision": tp / (tp + fp), "f1": 2 * tp / (2 * tp + fn + fp)}


WANTED = {
    PAPER: "fig3 fig6 fig7 fig9 table8_recalibrated unbundled cost " + " ".join(f"table{k}" for k in range(1, 9)),
    "attention_autoencoder": "fig2 fig3 attention_maps segmentation transfer small_and_noisy fusion_choices",
    "joint_ensemble": "members_vs_fusion modularity throughput",
    "joint_reverse_mtl": "table1 table2 table3 table4 table5 fig6 mtl4_leakage lambda_sweep cost",
    "metadata_sr": "table1 table2 table3 fig3 fig4 fig5 ablation leakage probes",  # the last two in words
}
COUNTS = set("parameters tp tn fp fn n benign malignant added count year best_epoch benign_per_malignant".split())
COUNTS |= {"images_per_second", "seconds_per_fold", "seconds_test_set", "seconds_total"}
NO_SHARES = {(PAPER, "claims"), ("joint_reverse_mtl", "claims")}  # changes among them are below 0


@pytest.mark.parametrize("paper", WANTED)
def test_every_exhibit_of_a_paper_is_there_and_parses(paper):
    assert set(exhibits(paper)) == {*WANTED[paper].split(), "claims", "settings"}
    assert [name for name in exhibits(PAPER) if "table" in name][-2:] == ["table8", "table8_recalibrated"]
    for name in exhibits(paper):
        frame = published(paper, name)
        columns = frame.drop(columns="published_corrected", errors="ignore").columns
        assert list(columns) == ["row", "metric", "published", "source", "note"] and (frame["source"] != "").all()
        if name != "settings" and (paper, name) not in NO_SHARES:
            assert frame.loc[~frame["metric"].isin(COUNTS), "published"].dropna().between(0, 1).all()
        assert not name.startswith("table") or (paper, name) == (PAPER, "table5") or frame["published"].notna().all()


def test_table1_adds_up():
    table = cells("table1")
    for part, n, benign, malignant in (
        ("train", 9885, 8070, 1815), ("validation", 193, 140, 53), ("test", 1493, 1205, 288),
    ):  # fmt: skip
        assert (table[part, "n"], table[part, "benign"], table[part, "malignant"]) == (n, benign, malignant)
        assert benign + malignant == n and table[part, "benign_fraction"] == pytest.approx(benign / n, abs=0.0005)
        assert table[part, "malignant_fraction"] == pytest.approx(malignant / n, abs=0.0005)
    assert table["train", "benign"] - 8061 == 9  # more than the official part holds


def test_table2_gap_and_recall_follow_from_the_other_columns():
    table = cells("table2")
    for row in ("EfficientNet-B3", "DenseNet", "ResNet50"):
        assert table[row, "auc_gap"] == pytest.approx(table[row, "val_roc_auc"] - table[row, "roc_auc"], abs=1e-9)
        assert table[row, "recall"] == pytest.approx(1 - table[row, "fn"] / MALIGNANT, abs=1e-4)
    assert round(199 / 288, 4) == 0.6910 != table["DenseNet", "recall"]


def test_table3_follows_from_its_counts_but_for_the_specificity():
    table = {metric: value for (_, metric), value in cells("table3").items()}
    tp, fn, tn, fp = (table[name] for name in ("tp", "fn", "tn", "fp"))
    assert (tp + fn, tn + fp) == (MALIGNANT, BENIGN)
    for metric, value in from_counts(tp, fn, fp).items():
        assert table[metric] == pytest.approx(value, abs=5e-5)
    assert table["recall"] == round(253 / 288, 4) == 0.8785 and table["accuracy"] == round(1208 / 1493, 4)
    assert table["specificity"] != round(955 / 1205, 4) == 0.7925


def test_table4_rows_that_do_not_follow_from_their_counts_are_noted():
    frame, table = published(PAPER, "table4").set_index(["row", "metric"]), cells("table4")
    noted = set()
    for row in frame.index.get_level_values("row").unique():
        fn, fp = table[row, "fn"], table[row, "fp"]
        for metric, value in from_counts(MALIGNANT - fn, fn, fp).items():
            if abs(table[row, metric] - value) > 0.0005 or "does not follow" in frame.loc[(row, metric), "note"]:
                noted.add((row, metric))
                assert f"{value:.4f}" in frame.loc[(row, metric), "note"]
    assert ("+ recall-optimised threshold", "precision") in noted and ("+ 3-fold CV", "f1") in noted
    assert not any(row in ("+ TTA ensemble", "+ differential LR + scheduler") for row, _ in noted)


def test_table6_and_table7_add_up():
    modes = {key: value for key, value in cells("table6").items() if key[1] == "count"}
    total = modes.pop(("all", "count"))
    assert sum(modes.values()) == total == cells("table3")["final", "fn"]
    for row, _ in modes:
        assert cells("table6")[row, "fraction_of_fn"] == pytest.approx(modes[row, "count"] / 35, abs=0.0005)
    groups = cells("table7")
    for metric in ("n", "benign", "malignant", "fraction"):
        assert groups["light", metric] + groups["dark", metric] == pytest.approx(groups["total", metric])
    assert (groups["total", "benign"], groups["total", "malignant"]) == (BENIGN, MALIGNANT)


def test_table8_is_consistent_in_itself_and_is_not_table3():
    table = cells("table8")
    positives = {"all": 288, "light": 143, "dark": 145}
    false_alarms = {"all": 200, "light": 96, "dark": 104}
    for row, count in positives.items():
        fn = table[row, "fn"]
        for metric, value in from_counts(count - fn, fn, false_alarms[row]).items():
            assert table[row, metric] == pytest.approx(value, abs=5e-5)
        assert table[row, "fn_rate"] == pytest.approx(fn / count, abs=5e-5)
    assert false_alarms["light"] + false_alarms["dark"] == false_alarms["all"]
    assert abs(table["gap", "roc_auc"] - (table["light", "roc_auc"] - table["dark", "roc_auc"])) < 1e-9
    final = cells("table3")
    assert table["all", "threshold"] == final["final", "threshold"]
    assert table["all", "fn"] == 59 and final["final", "fn"] == 35
    assert 59 not in {value for (_, metric), value in cells("table4").items() if metric == "fn"}


def test_figures_repeat_their_tables_and_the_last_step_of_table4_is_table3():
    steps, final = cells("table4"), cells("table3")
    for metric in ("roc_auc", "recall", "precision", "f1", "fn", "fp"):
        assert steps["+ TTA ensemble", metric] == final["final", metric]
    for figure, table in (("fig3", "table1"), ("fig6", "table3"), ("fig7", "table4"), ("fig9", "table8")):
        assert len(cells(figure)) >= 6 and cells(figure).items() <= cells(table).items()


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Write one exhibit of a made-up paper and return a reader for it."""
    monkeypatch.setattr(room, "project_root", lambda: tmp_path)

    def write(text):
        path = tmp_path / "data" / "published" / "mine" / "table1.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("row,metric,published,source,note\n" + text)
        return published("mine", "table1")

    return write


def test_faulty_files_and_unknown_names_are_named(typed):
    assert typed("a,auc,0.5,Table 1,\n")["published"].tolist() == [0.5]
    assert typed("a,auc,,Table 1,N/R\n")["published"].isna().all()
    for text, words in (
        ("a,auc,high,Table 1,\n", "row 'a', metric 'auc' is no number"), ("a,auc,1,T,\na,auc,2,T,\n", "given twice"),
        ("a,auc,,Table 1,\n", "neither a number nor a note"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            typed(text)
    with pytest.raises(ValueError, match="there are mine"):
        published("yours", "table1")
    assert published("mine", "table2").empty
