"""Scaling, the parts of the Brier score, conformal sets and net benefit, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from skinlib.evaluation.calibration import brier_parts, conformal_sets, net_benefit, scaled, scaling
from skinlib.evaluation.tables import TestDataError, labels, probabilities


def rows(values, y, part="val", **more):
    values = np.asarray(values, float)
    scores = {f"p_{k}": values[:, k] for k in range(values.shape[1])}
    return pd.DataFrame({"image_id": [f"{part}{i}" for i in range(len(y))], "label": y, "part": part} | scores | more)


def binary(p, y, part="val", **more):
    table = rows(np.column_stack([1 - np.asarray(p, float), p]), y, part, **more)
    return table.rename(columns={"p_0": "p_benign", "p_1": "p_malignant"})


def drawn(n, sharpness, part="val", seed=0):
    """Return rows whose labels follow softmax(z), and which say softmax(sharpness z)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    y = [rng.choice(3, p=p) for p in softmax(z, axis=1)]
    return rows(softmax(sharpness * z, axis=1), y, part)


def test_a_temperature_undoes_what_made_a_network_too_sure_and_no_order_changes():
    val = drawn(4000, 2.5)
    w, b = scaling(val)
    assert w == pytest.approx(np.full(3, 0.4), abs=0.03) and (b == 0).all()
    before, after = probabilities(val)[0], probabilities(scaled(val, w, b))[0]
    assert (before.argmax(1) == after.argmax(1)).all() and after.sum(1) == pytest.approx(1)


def test_a_vector_finds_a_class_that_is_said_too_often_and_only_validation_rows_are_taken():
    val = drawn(12_000, 1.0)
    shifted = probabilities(val)[0] * [4, 1, 1]
    w, b = scaling(rows(shifted / shifted.sum(1, keepdims=True), labels(val)), vector=True)
    assert w == pytest.approx(np.ones(3), abs=0.1) and b - b.mean() == pytest.approx(
        np.log(4) * np.array([-2, 1, 1]) / 3, abs=0.1
    )
    for fit in (scaling, lambda test: conformal_sets(test, test)):
        with pytest.raises(TestDataError):
            fit(drawn(20, 1.0, "test"))


def test_the_parts_of_the_brier_score_by_hand():
    # Two bins: 0.2 said four times, one malignant; 0.8 said four times, three malignant.
    found = brier_parts([1, 0, 0, 0, 1, 1, 1, 0], [0.2] * 4 + [0.8] * 4)
    by_hand = {"brier": 0.19, "reliability": 0.05**2, "resolution": 0.25**2, "uncertainty": 0.25, "within": 0}
    assert found == pytest.approx(by_hand)
    assert brier_parts([0, 1], [0.21, 0.29])["within"] == pytest.approx(2 * 0.04 * 0.5 * -1 + 0.04**2)


def test_conformal_sets_by_hand_and_their_coverage():
    # Nine validation rows of true-class probabilities 0.1 to 0.9; at 80 % the quantile is the 8th of 1 - p: 0.8.
    p = np.arange(1, 10) / 10
    val, test = binary(p, np.ones(9, int)), binary([0.15, 0.25, 0.5, 0.85], [1, 1, 0, 0], "test")
    found = conformal_sets(val, test, level=0.8)
    assert found.tolist() == [[True, False], [True, True], [True, True], [False, True]]
    big, other = (
        table.round(4) for table in (drawn(3000, 1.7), drawn(3000, 1.7, "test", seed=1))
    )  # as files hold them
    truth = labels(other)
    for by in (None, "class"):
        sets = conformal_sets(big, other, by=by)
        covered = sets[np.arange(len(truth)), truth]
        assert covered.mean() == pytest.approx(0.9, abs=0.02)
        if by:
            assert [covered[truth == k].mean() for k in range(3)] == pytest.approx([0.9] * 3, abs=0.03)


def test_a_group_has_its_own_quantile_and_one_of_too_few_validation_rows_full_sets():
    says = np.r_[np.full(20, 0.9), np.full(20, 0.6), np.full(9, 0.9)]  # nine cannot promise nine of ten
    val = binary(says, np.ones(49, int), who=["a"] * 20 + ["b"] * 20 + ["d"] * 9)
    test = binary([0.7, 0.7, 0.99, 0.99], [1, 1, 1, 1], "test", who=["a", "b", "c", "d"])
    full = [True, True]
    assert conformal_sets(val, test, by="who").tolist() == [[False, False], [False, True], full, full]


def test_each_class_has_its_own_quantile():
    # Benign rows say 0.9 to benign, malignant ones 0.6 to malignant: together 0.6 will do, benign alone asks for 0.9.
    val = binary(np.r_[np.full(20, 0.1), np.full(20, 0.6)], np.repeat([0, 1], 20))
    test = binary([0.3, 0.05, 0.7], [0, 0, 1], "test")
    assert conformal_sets(val, test).tolist() == [[True, False], [True, False], [False, True]]
    assert conformal_sets(val, test, by="class").tolist() == [[False, False], [True, False], [False, True]]


def test_net_benefit_by_hand():
    # 2 of 4 malignant. At t = 0.2 one of two is found and one of two benign called: 1/2 pi - 1/2 (1 - pi) / 4.
    y, p = [1, 1, 0, 0], [0.9, 0.1, 0.3, 0.1]
    found = net_benefit(y, p, thresholds=[0.2, 0.5])
    assert found["model"].to_list() == pytest.approx([0.5 * 0.5 - 0.5 * 0.5 / 4, 0.5 * 0.5])
    assert found["all"].to_list() == pytest.approx([0.5 - 0.5 / 4, 0.0])
    rare = net_benefit(y, p, thresholds=[0.2], prevalence=0.05)
    assert rare.loc[0, "model"] == pytest.approx(0.5 * 0.05 - 0.5 * 0.95 / 4) and rare.loc[0, "all"] == pytest.approx(
        0.05 - 0.95 / 4
    )
