import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from skinlib.evaluation.tables import PredictionTableError
from skinlib.exhibits.estimates import judge
from skinlib.exhibits.multiclass import by_stratum, compare, measure, metric, rarest

CLASSES = ("bcc", "akiec", "mel")
NAMES = ("accuracy", "macro_f1", "macro_precision", "macro_recall", "f1_of_mel", "recall_of_akiec")


def table_of(signal: float, *, n: int = 120, seeds: tuple = (0,)) -> pd.DataFrame:
    """A run a seed, of the same images; two images a lesion, one class a lesion."""
    label, parts = np.repeat(np.arange(n // 2) % 3, 2), []
    for seed in seeds:
        logits = np.random.default_rng([seed, 7]).normal(size=(n, 3)) + signal * np.eye(3)[label]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        ids = {"image_id": [f"i{k:03d}" for k in range(n)], "lesion_id": [f"l{k // 2}" for k in range(n)]}
        more = {
            "patient_id": np.nan,
            "dataset": "ham10000",
            "split": "grouped",
            "part": "test",
            "seed": seed,
            "fold": 0,
        }
        parts.append(pd.DataFrame(ids | more | {"label": label} | {f"p_{c}": p[:, k] for k, c in enumerate(CLASSES)}))
    return pd.concat(parts, ignore_index=True)


def test_values_are_those_of_scikit_learn():
    table = table_of(1.0)
    y, called = table["label"], table[[f"p_{c}" for c in CLASSES]].to_numpy().argmax(1)
    found = {one["metric"]: one for one in measure("x", table, NAMES, n_boot=50)}
    wanted = {
        "accuracy": accuracy_score(y, called),
        "macro_f1": f1_score(y, called, average="macro"),
        "macro_precision": precision_score(y, called, average="macro"),
        "macro_recall": recall_score(y, called, average="macro"),
        "f1_of_mel": f1_score(y, called, average=None)[2],
        "recall_of_akiec": recall_score(y, called, average=None)[1],
    }
    for name, value in wanted.items():
        assert found[name]["ours"] == pytest.approx(value)
        assert found[name]["low"] <= value <= found[name]["high"]
        assert (found[name]["row"], found[name]["n"], found[name]["dataset"]) == ("x", 120, "ham10000")


def test_over_seeds_the_metrics_are_averaged_and_the_scores_are_not():
    both = table_of(1.0, seeds=(0, 1))
    alone = [metric("macro_f1", part)(part.reset_index(drop=True)) for _, part in both.groupby("seed")]
    (one,) = measure("x", both, ["macro_f1"], n_boot=50)
    assert one["ours"] == pytest.approx(np.mean(alone)) and one["n"] == 120


def test_paired_differences_get_a_verdict_by_rule():
    weak, strong = (table_of(signal, seeds=(0, 1)) for signal in (0.3, 2.5))
    cells = compare("better", strong, weak.sample(frac=1, random_state=0), ["accuracy"], n_boot=200)
    cells += compare("worse", weak, strong, ["accuracy"], n_boot=200)
    cells += compare("same", strong, strong, ["accuracy"], n_boot=200)
    notes = [one["note"] for one in judge(cells, suffix="_diff")]
    assert [note.split(" (")[0] for note in notes] == ["helps", "harms", "no evidence"]
    assert all("Holm over 3" in note for note in notes)
    assert cells[0]["metric"] == "accuracy_diff" and cells[0]["ours"] == pytest.approx(-cells[1]["ours"])
    assert (cells[2]["ours"], cells[2]["low"], cells[2]["high"]) == (0, 0, 0)
    with pytest.raises(PredictionTableError, match="different rows"):
        compare("x", strong, weak.iloc[:-1], ["accuracy"])


def test_a_metric_that_does_not_exist_is_an_empty_cell_that_says_so():
    table = table_of(1.0, n=12)
    table = table[table["label"] != 2].reset_index(drop=True)
    (one,) = measure("x", table, ["recall_of_mel"], n_boot=20)
    assert np.isnan(one["ours"]) and "no interval" in one["note"]
    (other,) = compare("x", table, table, ["recall_of_mel"], n_boot=20)
    assert np.isnan(other["ours"]) and np.isnan(other["p"]) and "not defined" in other["note"]


def test_strata_are_measured_apart():
    table = table_of(1.0)
    strata = {f"i{k:03d}": "small" if k < 40 else "large" for k in range(100)}
    found = by_stratum("x", table, strata, ["accuracy"], n_boot=20)
    assert [(one["row"], one["n"]) for one in found] == [("x, small", 40), ("x, large", 60)]
    (alone,) = measure("x, small", table.iloc[:40], ["accuracy"], n_boot=20)
    assert found[0] == alone


def test_unknown_metrics_are_refused():
    for name in ("dice", "f1_of_scc", "harm_of_mel"):
        with pytest.raises(ValueError, match=f"no metric '{name}'; there are accuracy.* one of bcc, akiec, mel"):
            metric(name, table_of(1.0, n=12))


def test_strata_are_the_rarest_label_of_each_lesion_and_keep_every_class():
    table = table_of(1.0, n=60).iloc[[*range(0, 60, 3), 2, 8]].reset_index(drop=True)
    table["label"], table["lesion_id"] = [0] * 14 + [1] * 6 + [2, 2], [f"l{k}" for k in range(20)] + ["l0", "l21"]
    found = rarest(table)
    assert found[0] == 2 and found[1] == 0 and found[14] == 1  # lesion l0 has an image of the rarest class
    assert list(found[-2:]) == [2, 2]
    (plain,) = measure("x", table, ["macro_recall"], n_boot=200)
    (kept,) = measure("x", table, ["macro_recall"], n_boot=200, strata=found)
    assert "does not exist" in plain["note"] and np.isnan(plain["low"])
    assert kept["low"] <= kept["ours"] <= kept["high"] and kept["note"] == ""
    (same,) = compare("x", table, table, ["macro_recall"], n_boot=50, strata=found)
    assert same["ours"] == 0 and same["p"] == 1
