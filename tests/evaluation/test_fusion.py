"""Decision-level fusion: worked tables, and what must hold of any tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import log_loss

from skinlib.evaluation import fusion, tables
from skinlib.evaluation.fusion import error_correlation, stack
from skinlib.evaluation.metrics import multiclass, predicted
from skinlib.evaluation.tables import PredictionTableError, TestDataError

OBJECTIVES = pytest.mark.parametrize("objective", fusion.OBJECTIVES)


def table(values, label, part="val"):
    values = np.asarray(values, float)
    ids = {"image_id": [f"i{k}" for k in range(len(values))], "part": part, "label": np.asarray(label, int)}
    return pd.DataFrame(ids | {f"p_{name}": values[:, k] for k, name in enumerate("abcdefg"[: values.shape[1]])})


def members_of(seed, count=3, rows=60, classes=3, part="val", signal=1.5):
    """Members of different skill whose errors share a part."""
    rng = np.random.default_rng(seed)
    label = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
    shared, found = rng.normal(size=(rows, classes)), {}
    for k in range(count):
        logits = signal * (1 - k / (2 * count)) * np.eye(classes)[label] + 0.6 * shared + rng.normal(size=shared.shape)
        found[f"m{k}"] = table(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), label, part)
    return found


several = given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 4))
quick = settings(max_examples=12)


@quick
@several
def test_weights_lie_on_the_simplex_and_are_no_worse_than_any_member(seed, count, classes):
    members = members_of(seed, count, classes=classes)
    for objective in fusion.OBJECTIVES:
        found = fusion.simplex_weights(members, objective=objective, steps=6)
        w = np.array(list(found.weights.values()))
        assert (w >= 0).all() and w.sum() == pytest.approx(1) and found.loss <= min(found.alone.values()) + 1e-12
        fused = fusion.weighted_mean(members, found)
        if objective == "log_loss":
            assert found.loss == pytest.approx(log_loss(fused["label"], tables.probabilities(fused)[0]), abs=1e-9)
        else:
            assert found.loss == pytest.approx(1 - multiclass("balanced_accuracy")(fused))


@quick
@several
def test_the_order_of_members_orders_the_weights_and_nothing_else(seed, count, classes):
    members = members_of(seed, count, classes=classes)
    turned = dict(reversed(members.items()))
    first, second = fusion.simplex_weights(members), fusion.simplex_weights(turned)
    assert list(second.weights) == list(members)[::-1] and second.loss == pytest.approx(first.loss, abs=1e-8)
    for name, weight in first.weights.items():
        assert second.weights[name] == pytest.approx(weight, abs=1e-3)
    for fuse in (fusion.mean, fusion.majority_vote):
        pd.testing.assert_frame_equal(fuse(members), fuse(turned))


@quick
@given(st.integers(0, 10_000))
def test_the_log_loss_is_the_least_that_a_general_optimiser_finds(seed):
    members = members_of(seed, 3)
    p, first = fusion.stacked(members)
    truth = p[:, np.arange(len(first)), first["label"]]
    softmax = lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    starts = [np.zeros(3), *(4 * np.eye(3))]
    best = min(minimize(lambda z: -np.log(softmax(z) @ truth).mean(), start).fun for start in starts)
    assert fusion.simplex_weights(members).loss <= best + 1e-7


@quick
@given(st.integers(0, 10_000))
def test_a_member_twice_changes_nothing(seed):
    members = members_of(seed, 2)
    alone, both = fusion.simplex_weights(members), fusion.simplex_weights(members | {"again": members["m0"]})
    assert both.loss == pytest.approx(alone.loss, abs=1e-8)
    assert both.weights["m0"] + both.weights["again"] == pytest.approx(alone.weights["m0"], abs=1e-3)


def test_weights_by_hand():
    """Two members that are each right on one of two rows: log(w 0.8 + (1-w) 0.2) + log(w 0.2 + (1-w) 0.8)."""
    members = {"x": table([[0.8, 0.2], [0.8, 0.2]], [0, 1]), "y": table([[0.2, 0.8], [0.2, 0.8]], [0, 1])}
    found = fusion.simplex_weights(members)
    assert found.weights == pytest.approx({"x": 0.5, "y": 0.5}) and found.loss == pytest.approx(np.log(2))
    assert found.alone["x"] == pytest.approx(-(np.log(0.8) + np.log(0.2)) / 2)


def test_a_perfect_member_gets_all_the_weight():
    label = [0, 1, 0, 1]
    members = {"noise": table([[0.5, 0.5]] * 4, label), "perfect": table(np.eye(2)[label], label)}
    for objective in fusion.OBJECTIVES:
        found = fusion.simplex_weights(members, objective=objective)
        assert found.weights == pytest.approx({"noise": 0, "perfect": 1}, abs=1e-4)
    assert fusion.best_member(members) == "perfect"


def test_a_probability_of_zero_is_no_infinite_loss():
    members = {"x": table([[0.0, 1.0], [0.9, 0.1]], [0, 0]), "y": table([[0.3, 0.7], [0.4, 0.6]], [0, 0])}
    found = fusion.simplex_weights(members)
    assert np.isfinite(found.loss) and np.isfinite(list(found.alone.values())).all()


def test_balanced_accuracy_can_be_better_where_the_log_loss_is_not():
    """The confident member wins the log loss; only the other one finds the rare class."""
    label = [0] * 9 + [1]
    confident = table([[0.98, 0.02]] * 9 + [[0.7, 0.3]], label)
    rare = table([[0.65, 0.35]] * 9 + [[0.05, 0.95]], label)
    by_steps = fusion.simplex_weights({"confident": confident, "rare": rare}, objective="balanced_accuracy")
    assert by_steps.loss == 0 and by_steps.weights["rare"] >= 0.3


def test_lattice_holds_every_point_once():
    points, wanted = fusion.lattice(3, 4), {p for p in itertools.product(range(5), repeat=3) if sum(p) == 4}
    assert {tuple((4 * p).astype(int)) for p in points} == wanted and len(points) == len(wanted) == 15
    assert np.allclose(points.sum(1), 1) and fusion.lattice(1, 4).tolist() == [[1.0]]


def test_votes_by_hand():
    label = [0, 1, 2]
    members = {
        "x": table([[0.9, 0.1, 0.0], [0.4, 0.5, 0.1], [0.1, 0.0, 0.9]], label),
        "y": table([[0.2, 0.8, 0.0], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], label),
        "z": table([[0.4, 0.6, 0.0], [0.9, 0.1, 0.0], [0.0, 0.9, 0.1]], label),
    }
    fused = fusion.majority_vote(members)
    assert predicted(fused).tolist() == [1, 1, 2]
    # first row: 1 vote and 2 votes, the mean 0.5 and 0.5, over 4
    assert fused.loc[0, ["p_a", "p_b", "p_c"]].tolist() == pytest.approx([1.5 / 4, 2.5 / 4, 0])
    two = {name: members[name] for name in ("x", "y")}
    assert predicted(fusion.majority_vote(two)).tolist()[0] == 0  # one vote each: the mean is 0.55 to 0.45


@quick
@several
def test_a_vote_is_never_overruled(seed, count, classes):
    members = members_of(seed, count, classes=classes)
    calls = np.stack([predicted(one) for one in members.values()])
    most = np.stack([(calls == k).sum(0) for k in range(classes)], 1)
    fused = predicted(fusion.majority_vote(members))
    assert (most[np.arange(len(fused)), fused] == most.max(1)).all()


def test_the_mean_is_the_mean_by_image_not_position_and_one_member_is_itself():
    members = members_of(0)
    fused = fusion.mean(members)
    wanted = np.mean([tables.probabilities(one)[0] for one in members.values()], axis=0)
    assert np.allclose(tables.probabilities(fused)[0], wanted)
    assert fused["image_id"].tolist() == members["m0"]["image_id"].tolist()
    alone = {"m1": members["m1"]}
    pd.testing.assert_frame_equal(fusion.mean(alone), members["m1"])
    assert fusion.simplex_weights(alone).weights == {"m1": 1.0}
    members = members_of(1)
    shuffled = members | {"m1": members["m1"].sample(frac=1, random_state=0)}
    pd.testing.assert_frame_equal(fusion.mean(shuffled), fusion.mean(members))


def test_stacking_learns_what_weights_cannot_say():
    """A member that is always wrong in the same way is of use to stacking and of none to a mean."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    liar = np.where(label == 0, 0.1, 0.9)[:, None] + rng.normal(0, 0.02, (200, 1))
    noise = rng.uniform(0.3, 0.7, (200, 1))
    half = {"val": np.arange(100), "test": np.arange(100, 200)}
    make = lambda p, part: table(np.hstack([p, 1 - p])[half[part]].clip(0, 1), label[half[part]], part)
    fit, use = ({"liar": make(liar, part), "noise": make(noise, part)} for part in ("val", "test"))
    assert multiclass("accuracy")(stack(fit, use)) == 1 and multiclass("accuracy")(fusion.mean(use)) < 0.1
    assert stack(fit, use)["part"].eq("test").all()


@quick
@given(st.integers(0, 1000))
def test_stacking_does_not_depend_on_the_order_of_rows(seed):
    members = members_of(seed)
    mixed = {name: one.sample(frac=1, random_state=seed) for name, one in members.items()}
    first, second = stack(members, members), stack(mixed, members)
    assert np.allclose(tables.probabilities(first)[0], tables.probabilities(second)[0], atol=1e-3)


@OBJECTIVES
def test_nothing_is_chosen_on_test_rows(objective):
    members = members_of(0, part="test")
    for choose in (fusion.simplex_weights, fusion.best_member):
        with pytest.raises(TestDataError, match="must not be chosen on test rows"):
            choose(members, objective=objective)
    with pytest.raises(TestDataError):
        stack(members, members)
    one = members_of(0)
    with pytest.raises(TestDataError):
        fusion.simplex_weights(one | {"m0": one["m0"].assign(part="test")}, objective=objective)


def test_tables_that_do_not_fit_are_refused():
    members = members_of(0)
    second = members["m1"]
    with pytest.raises(PredictionTableError, match="no member to fuse"):
        fusion.mean({})
    changed = {"different rows": second.iloc[:-1], "different labels": second.assign(label=0)}
    changed["member m1 has the classes"] = second.rename(columns={"p_a": "p_z"})
    for words, other in changed.items():
        with pytest.raises(PredictionTableError, match=words):
            fusion.mean(members | {"m1": other})
    for words, weights in {"simplex": {"m0": 0.5, "m1": 0.7, "m2": -0.2}, r"are of \['m0'\]": {"m0": 1.0}}.items():
        with pytest.raises(ValueError, match=words):
            fusion.weighted_mean(members, weights)
    with pytest.raises(ValueError, match="objective 'accuracy' is unknown"):
        fusion.simplex_weights(members, objective="accuracy")
    with pytest.raises(PredictionTableError, match="used on"):
        stack(members, {"m0": members["m0"]})
    rows = members["m0"]["label"] > 0
    with pytest.raises(PredictionTableError, match="class a has no row"):
        fusion.best_member({name: one[rows] for name, one in members.items()}, objective="balanced_accuracy")
    with pytest.raises(PredictionTableError, match="class a has no validation row"):
        stack({name: one[rows] for name, one in members.items()}, members)


def test_error_correlation_by_hand():
    label = [0, 0, 0, 0]
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    members = {
        "x": table([right, right, wrong, wrong], label), "y": table([right, right, wrong, wrong], label),
        "z": table([wrong, wrong, right, right], label), "never": table([right] * 4, label),
    }  # fmt: skip
    found = error_correlation(members).set_index(["a", "b"])
    assert found.loc[("x", "y")].tolist() == pytest.approx([1, 0, 0.5, 0.5])
    assert found.loc[("x", "z")].tolist() == pytest.approx([-1, 1, 0, 1])
    assert np.isnan(found.loc[("x", "never"), "correlation"])
    assert len(found) == 6 and error_correlation({"x": members["x"]}).empty


def test_the_floor_bounds_what_one_rounded_probability_costs():
    label = np.tile([0, 1], 10)
    good = np.where(np.eye(2)[label] == 1, 0.8, 0.2)
    good[0] = [0, 1]
    alone = fusion.simplex_weights({"good": table(good, label), "dull": table(np.full((20, 2), 0.5), label)}).alone
    assert alone["good"] == pytest.approx(-(19 * np.log(0.8) + np.log(fusion.FLOOR)) / 20)
