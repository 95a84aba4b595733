"""Metrics against hand-worked answers and scikit-learn, and resamples against repeated rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_rows import binary_table, random_table, three_classes
from sklearn import metrics as sk

from skinlib.evaluation import metrics, tables
from skinlib.evaluation.resampled import mean_over

SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=30)


def of_several(table):
    """Every multi-class metric of a table by name."""
    return {name: metrics.multiclass(name)(table) for name in metrics.MULTICLASS | metrics.WEIGHTED}


def rows_of(matrix):
    """A table of two classes that has a given confusion matrix."""
    truth, call = np.repeat(np.argwhere(np.ones((2, 2))), np.ravel(matrix), axis=0).T
    return pd.DataFrame(np.eye(2)[call], columns=["p_benign", "p_melanoma"]).assign(label=truth)


def test_four_rows_by_hand():
    found = metrics.binary_metrics([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], threshold=0.4)
    assert (found["tp"], found["fn"], found["tn"], found["fp"]) == (1, 1, 1, 1)
    assert found["roc_auc"] == 0.75 and found["average_precision"] == pytest.approx(5 / 6)
    assert found["brier"] == pytest.approx(0.158125) and found["ece"] == pytest.approx(0.3375)
    assert metrics.binary_metrics([0, 1], [0.46, 0.47])["ece"] == pytest.approx(0.495)  # 7 / 15 lies between them
    assert [found[name] for name in ("recall", "precision", "f1", "accuracy", "specificity")] == [0.5] * 5


def test_published_counts_give_the_published_rates():
    """Table 3 of Rumale et al.: 253, 35, 955, 250; its printed specificity 0.7927 is 0.7925 by its own counts."""
    y = np.repeat([1, 1, 0, 0], [253, 35, 955, 250])
    found = metrics.binary_metrics(y, np.repeat([0.46, 0.4599, 0.2, 0.9], [253, 35, 955, 250]), threshold=0.46)
    printed = {"recall": 0.8785, "precision": 0.5030, "f1": 0.6397, "accuracy": 0.8091, "specificity": 0.7925}
    assert {name: round(found[name], 4) for name in printed} == printed


@pytest.mark.parametrize("seed", range(3))
def test_binary_metrics_agree_with_scikit_learn(seed):
    table = random_table(300, seed)
    y, p = tables.outcome(table)
    call, found = p >= 0.42, metrics.binary_metrics(table, threshold=0.42)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(y, p))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(y, p))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(y, p))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, call))
    assert found["f1"] == pytest.approx(sk.f1_score(y, call))
    assert [found[cell] for cell in ("tn", "fp", "fn", "tp")] == sk.confusion_matrix(y, call).ravel().tolist()


def test_zero_denominators_are_nan():
    nan = {name for name, value in metrics.binary_metrics([0, 0], [0.2, 0.3]).items() if np.isnan(value)}
    assert nan == {"roc_auc", "average_precision", "recall", "precision", "f1", "balanced_accuracy", "fn_rate"}
    nothing_called = metrics.binary_metrics([0, 1], [0.2, 0.3])
    assert np.isnan(nothing_called["precision"]) and nothing_called["f1"] == 0


@given(SCORED, st.integers(0, 5), st.sampled_from(sorted(metrics.BINARY)))
def test_counts_stand_for_repeated_rows(rows, seed, name):
    table = binary_table([label for label, _ in rows], [score / 20 for _, score in rows])
    counts = np.random.default_rng(seed).integers(0, 4, len(table))
    counts[0] += 1
    metric = metrics.binary(name, 0.4)
    repeated = metric(table.iloc[np.repeat(np.arange(len(table)), counts)])
    assert metric.weighted(table, counts[None].astype(float))[0] == pytest.approx(repeated, nan_ok=True)


@given(SCORED, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows, shuffler):
    mixed = shuffler.sample(rows, len(rows))
    first, second = ({"y": [a for a, _ in part], "p": [b / 20 for _, b in part]} for part in (rows, mixed))
    found = metrics.binary_metrics(np.array(first["y"], int), first["p"], 0.4)
    assert found == pytest.approx(metrics.binary_metrics(np.array(second["y"], int), second["p"], 0.4), nan_ok=True)


def test_multiclass_by_hand_and_a_tie_is_wrong():
    values = [[0.8, 0.1, 0.1], [0.4, 0.4, 0.2], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]]
    table = pd.DataFrame(values, columns=["p_nv", "p_mel", "p_bcc"]).assign(label=[0, 0, 1, 2])
    assert metrics.predicted(table).tolist() == [0, -1, 1, 2]
    found = of_several(table)
    assert found["accuracy"] == 0.75 and found["balanced_accuracy"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert metrics.confusion(table)["tie"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("seed", range(2))
def test_multiclass_agrees_with_scikit_learn(seed):
    table = three_classes(seed)
    values, _ = tables.probabilities(table)
    call, truth = values.argmax(axis=1), table["label"]
    found = of_several(table)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, call))
    assert found["macro_precision"] == pytest.approx(sk.precision_score(truth, call, average="macro"))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(truth, call, average="macro"))
    assert found["macro_auc"] == pytest.approx(sk.roc_auc_score(truth, values, multi_class="ovr"))
    assert np.array_equal(metrics.confusion(table), sk.confusion_matrix(truth, call))
    specificity = [sk.recall_score(truth != index, call != index) for index in range(3)]
    assert metrics.per_class(table)["specificity"].to_numpy() == pytest.approx(specificity)
    wanted = {
        "weighted_recall": sk.recall_score(truth, call, average="weighted"),
        "weighted_precision": sk.precision_score(truth, call, average="weighted"),
        "weighted_f1": sk.f1_score(truth, call, average="weighted"),
        "weighted_specificity": np.average(specificity, weights=np.bincount(truth)),
    }
    assert {name: found[name] for name in metrics.WEIGHTED} == pytest.approx(wanted)
    assert wanted["weighted_recall"] == pytest.approx(metrics.multiclass("accuracy")(table))


@pytest.mark.parametrize("name", sorted(metrics.MULTICLASS | metrics.WEIGHTED))
def test_multiclass_counts_stand_for_repeated_rows(name):
    table = three_classes(rows=60)
    counts = np.random.default_rng(1).integers(0, 3, 60)
    metric = metrics.multiclass(name)
    repeated = metric(table.iloc[np.repeat(np.arange(60), counts)])
    assert metric.weighted(table, counts[None].astype(float))[0] == pytest.approx(repeated)


def test_a_class_without_rows_leaves_no_macro_average_and_weighted_ones_without_it():
    table = three_classes().query("label != 2")
    found = of_several(table)
    assert np.isnan(found["balanced_accuracy"]) and np.isnan(found["macro_auc"]) and not np.isnan(found["accuracy"])
    values, _ = tables.probabilities(table)
    wanted = sk.f1_score(table["label"], values.argmax(axis=1), average="weighted", labels=[0, 1, 2])
    assert metrics.multiclass("weighted_f1")(table) == pytest.approx(wanted)
    lacking = of_several(rows_of([[4, 0], [0, 0]]))  # no melanoma, and none is called
    assert all(np.isnan(lacking[name]) for name in metrics.MULTICLASS if name != "accuracy")
    tied = pd.DataFrame({"p_a": [0.5, 0.9], "p_b": [0.5, 0.1], "label": [0, 0]})
    assert metrics.multiclass("weighted_recall")(tied) == 0.5


def test_seeds_are_averaged_and_not_pooled():
    first = binary_table([0, 1], [0.1, 0.2], seed=0)
    both = pd.concat([first, binary_table([0, 1], [0.8, 0.9], seed=1)], ignore_index=True)
    auc = metrics.binary("roc_auc")
    assert auc(both) == 0.75  # pooled: the benign 0.8 is above the malignant 0.2
    averaged = mean_over(auc, "seed")
    assert averaged(both) == 1.0
    drawn = np.array([[2.0, 2, 0, 0], [1, 0, 1, 1]])  # only the first seed; no malignant row in the first seed
    assert averaged.weighted(both, drawn) == pytest.approx([1.0, np.nan], nan_ok=True)


def test_faulty_arrays_are_refused():
    faulty = {"one length": ([0, 1], [0.5]), "labels must be": ([0, 2], [0.1, 0.2]), "finite": ([0, 1], [0.1, np.nan])}
    for message, (y, p) in faulty.items():
        with pytest.raises(ValueError, match=message):
            metrics.binary_metrics(y, p)
    with pytest.raises(ValueError, match="threshold="):
        metrics.binary_metrics(random_table(20), 0.46)


def test_who_always_says_benign_has_a_high_weighted_recall():
    found = of_several(rows_of([[304, 0], [75, 0]]))
    assert round(found["weighted_recall"], 4) == 0.8021
    assert found["macro_recall"] == 0.5 and np.isnan(found["macro_precision"])
