"""Decision-level fusion: one prediction table from the tables of several members, and how alike these err.

Weights lie on the simplex (none negative, their sum 1) and are chosen on validation rows. Two objectives: the log loss
of the weighted mean, which is convex, so there is one best value; and balanced accuracy, a step function, for which the
points of a lattice are tried.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinlib.evaluation import tables
from skinlib.evaluation.metrics import predicted

FLOOR = 1e-6  # least probability in a logarithm: stored tables have six decimals
OBJECTIVES = ("log_loss", "balanced_accuracy")


@dataclass(frozen=True)
class Weights:
    """Weights on the simplex, by member; `loss` is the objective there (lower is better), `alone` that of each member.

    With the objective balanced accuracy, losses are 1 - balanced accuracy.
    """

    weights: dict
    objective: str
    loss: float
    alone: dict = field(compare=False)


def stacked(members):
    """Probabilities (M, N, K) of all members, name -> prediction table, and the first table, whose rows these are.

    Tables that differ in their rows (matched by image_id, then seed and fold), labels or classes are refused.
    """
    if not members:
        raise tables.PredictionTableError(["there is no member to fuse"])
    first = next(iter(members.values())).reset_index(drop=True)
    values = []
    for name, table in members.items():
        found, names = tables.probabilities(tables.aligned(first, table))
        if names != tables.classes(first):
            raise tables.PredictionTableError([f"member {name} has the classes {names}, not {tables.classes(first)}"])
        values.append(found)
    return np.stack(values), first


def _fused(first, values):
    """The table `first` with probabilities (N, K) of all members together, each row scaled to sum 1."""
    values = values / values.sum(axis=1, keepdims=True)
    return first.assign(**{f"p_{name}": values[:, index] for index, name in enumerate(tables.classes(first))})


def weighted_mean(members, weights):
    """The first member's rows with the mean of all probabilities by `Weights` or name -> weight, on the simplex."""
    given = weights.weights if isinstance(weights, Weights) else dict(weights)
    if set(given) != set(members):
        raise ValueError(f"weights are of {sorted(given)}, members are {sorted(members)}")
    w = np.array([given[name] for name in members], float)
    if (w < 0).any() or abs(w.sum() - 1) > 1e-6:
        raise ValueError(f"weights lie on the simplex (none negative, sum 1), got {given}")
    values, first = stacked(members)
    return _fused(first, np.tensordot(w, values, 1))


def mean(members):
    """Plain mean of the members' probabilities."""
    values, first = stacked(members)
    return _fused(first, values.mean(axis=0))


def majority_vote(members):
    """Majority vote: the probability of a class is its share of the votes; equal votes are decided by the mean.

    The mean counts as one vote more, dealt out by probability: it can break a tie and never overrule a vote. A member
    without a single largest probability votes for none.
    """
    values, first = stacked(members)
    votes = (_calls(values, first)[:, :, None] == np.arange(values.shape[2])).sum(axis=0)
    return _fused(first, votes + values.mean(axis=0))


def _calls(values, first):
    """Class (M, N) that each member calls, -1 where two share the largest probability."""
    return np.stack([predicted(_fused(first, value)) for value in values])


def best_member(members, *, objective="log_loss"):
    """Name of the member with the lowest loss on validation rows, of equal ones the first; refuses test rows."""
    values, first = _on_validation(members, "the best member")
    return list(members)[int(np.argmin(_losses(values, first, np.eye(len(values)), objective)))]


def simplex_weights(members, *, objective="log_loss", steps=20):
    """`Weights` that are best on validation rows, where they are never worse than the best member alone.

    For balanced_accuracy a lattice of spacing 1 / steps is tried; of equal points the lowest log loss wins.

    Source: Ashok et al. 2023, section IV, "the weights are optimized based on model performance during validation". By
    what measure is not said: log loss is ours.
    """
    values, first = _on_validation(members, "weights of members")
    corners = np.eye(len(values))
    best = lattice(len(values), steps) if objective == "balanced_accuracy" else _least_loss(_of_truth(values, first))
    points = np.concatenate([corners, best])
    losses = _losses(values, first, points, objective)
    best = np.lexsort((_losses(values, first, points, "log_loss"), losses))[0]
    named = lambda numbers: dict(zip(members, map(float, numbers), strict=True))
    return Weights(named(points[best]), objective, float(losses[best]), named(losses[: len(corners)]))


def lattice(members, steps):
    """All points (P, M) of the simplex whose weights are multiples of 1 / steps, the corners among them."""
    bars = np.array(list(combinations(range(steps + members - 1), members - 1)), int)  # between the heaps of steps
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + members - 1)])
    return (np.diff(edges, axis=1) - 1) / steps


def _on_validation(members, purpose):
    for table in members.values():
        tables.require_validation(table, purpose)
    return stacked(members)


def _of_truth(values, first):
    """Probability (M, N) that each member gives the true class, not below the floor."""
    return np.maximum(values[:, np.arange(len(first)), tables.labels(first)], FLOOR)


def _least_loss(p):
    """Weights (1, M) of lowest log loss of the mixture of p (M, N)."""
    found = minimize(
        lambda w: -np.log(w @ p).mean(),
        np.full(len(p), 1 / len(p)),
        jac=lambda w: -(p / (w @ p)).mean(axis=1),
        method="SLSQP",
        bounds=[(0, 1)] * len(p),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    return found.x.clip(0)[None] / found.x.clip(0).sum()


def _losses(values, first, points, objective):
    """The objective (P,) at points (P, M) of the simplex."""
    if objective == "log_loss":
        return np.array([-np.log(w @ _of_truth(values, first)).mean() for w in points])
    if objective != "balanced_accuracy":
        raise ValueError(f"objective {objective!r} is unknown; choose {' or '.join(OBJECTIVES)}")
    label = tables.labels(first)
    rows = np.bincount(label, minlength=values.shape[2])
    if (rows == 0).any():
        name = tables.classes(first)[int(np.argmin(rows))]
        raise tables.PredictionTableError([f"class {name} has no row: there is no balanced accuracy to choose by"])
    return np.array([1 - _mean_recall(np.tensordot(w, values, 1), label, rows) for w in points])


def _mean_recall(p, label, rows):
    """Balanced accuracy of p (N, K) as `skinlib.evaluation.metrics` has it, without making a table: a tie is wrong."""
    truth = p[np.arange(len(label)), label]
    right = (p >= truth[:, None]).sum(axis=1) == 1
    return (np.bincount(label[right], minlength=len(rows)) / rows).mean()


def stack(out_of_fold, targets):
    """Stacking: a multinomial logistic regression on the logarithms of all members' probabilities, C = 1 (ours).

    It learns on `out_of_fold`, validation rows by member, made without training on them and with a row of every class,
    and fuses `targets` of the same members. Source: Wolpert 1992; the paper (III) names it as what others do.
    """
    if list(out_of_fold) != list(targets):
        raise tables.PredictionTableError([f"stacking learns on {list(out_of_fold)} and is used on {list(targets)}"])
    values, first = _on_validation(out_of_fold, "a stacking model")
    label = tables.labels(first)
    absent = [name for index, name in enumerate(tables.classes(first)) if index not in label]
    if absent:
        raise tables.PredictionTableError([f"class {name} has no validation row to stack on" for name in absent])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    side_by_side = lambda p: np.log(np.maximum(p, FLOOR)).transpose(1, 0, 2).reshape(p.shape[1], -1)  # (N, M * K)
    model.fit(side_by_side(values), label)
    values, first = stacked(targets)
    return _fused(first, model.predict_proba(side_by_side(values)))


def error_correlation(members):
    """How alike the members err, on any rows (chooses nothing), a row a pair.

    Columns: a, b, correlation, disagreement, both_wrong, either_right. Correlation is phi of their errors, NaN where
    one of them never or always errs; disagreement the share of rows with different calls; either_right the most that a
    choice between the two could reach.
    """
    values, first = stacked(members)
    called = dict(zip(members, _calls(values, first), strict=True))
    wrong, rows = {name: calls != tables.labels(first) for name, calls in called.items()}, []
    for a, b in combinations(members, 2):
        varied = all(one.any() and not one.all() for one in (wrong[a], wrong[b]))
        correlation = float(np.corrcoef(wrong[a], wrong[b])[0, 1]) if varied else float("nan")
        both = float((wrong[a] & wrong[b]).mean())
        rows.append((a, b, correlation, float((called[a] != called[b]).mean()), both, 1 - both))
    return pd.DataFrame(rows, columns=["a", "b", "correlation", "disagreement", "both_wrong", "either_right"])
