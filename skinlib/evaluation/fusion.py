"""Decision-level fusion: one prediction table from the tables of several members, all functions of tables.

Weights lie on the simplex (none negative, their sum 1) and are chosen on validation rows. Two objectives: the log loss
of the weighted mean, which is convex, so there is one best value; and balanced accuracy, a step function, for which the
points of a lattice are tried.
"""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

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
    """Probabilities of all members on the same rows.

    Parameters
    ----------
    members : name -> prediction table; rows in any order (matched by image_id, then seed and fold)

    Returns
    -------
    values : (M, N, K) float64
    first : the table of the first member, whose rows these are

    Raises
    ------
    PredictionTableError
        No member, or tables that differ in their rows, labels or classes, or are faulty.
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


def with_probabilities(first, values):
    """The table `first` with probabilities (N, K) of all members together, each row scaled to sum 1."""
    values = values / values.sum(axis=1, keepdims=True)
    columns = {f"p_{name}": values[:, index] for index, name in enumerate(tables.classes(first))}
    return first.assign(**columns)


def weighted_mean(members, weights):
    """Weighted mean of the members' probabilities.

    Parameters
    ----------
    members : name -> prediction table
    weights : `Weights`, or name -> weight of every member

    Returns
    -------
    DataFrame : the rows of the first member with the mean as their probabilities

    Raises
    ------
    ValueError
        Weights of other members, a negative one, or a sum other than 1.
    """
    given = weights.weights if isinstance(weights, Weights) else dict(weights)
    if set(given) != set(members):
        raise ValueError(f"weights are of {sorted(given)}, members are {sorted(members)}")
    w = np.array([given[name] for name in members], float)
    if (w < 0).any() or abs(w.sum() - 1) > 1e-6:
        raise ValueError(f"weights lie on the simplex (none negative, sum 1), got {given}")
    values, first = stacked(members)
    return with_probabilities(first, np.tensordot(w, values, 1))


def mean(members):
    """Plain mean of the members' probabilities."""
    values, first = stacked(members)
    return with_probabilities(first, values.mean(axis=0))


def majority_vote(members):
    """Majority vote: the probability of a class is its share of the votes; equal votes are decided by the mean.

    The mean counts as one vote more, dealt out by probability: it can break a tie and never overrule a vote. A member
    without a single largest probability votes for none.
    """
    values, first = stacked(members)
    called = np.stack([predicted(with_probabilities(first, value)) for value in values])  # (M, N), -1: a tie
    votes = (called[:, :, None] == np.arange(values.shape[2])).sum(axis=0)
    return with_probabilities(first, votes + values.mean(axis=0))


def best_member(members, *, objective="log_loss", floor=FLOOR):
    """Name of the member with the lowest loss on validation rows; of equal ones the first.

    Raises
    ------
    TestDataError
        The tables hold test or external rows.
    """
    values, first = on_validation(members, "the best member")
    losses = _losses(values, first, np.eye(len(values)), objective, floor)
    return list(members)[int(np.argmin(losses))]


def simplex_weights(members, *, objective="log_loss", steps=20, floor=FLOOR):
    """Weights on the simplex that are best on validation rows.

    Parameters
    ----------
    members : name -> prediction table of validation rows (column `part` = val)
    objective : log_loss, or balanced_accuracy (all points of a lattice are tried; of equal ones the lowest log loss)
    steps : spacing 1 / steps of the lattice
    floor : least probability in a logarithm; of tables in coarse steps half a step, or one rounded to 0 outweighs all

    Returns
    -------
    Weights; never worse on these rows than the best member alone

    Raises
    ------
    TestDataError
        The tables hold test or external rows.
    PredictionTableError
        As `stacked`.
    ValueError
        An objective that nobody knows.

    Source: Ashok et al. 2023, section IV, "the weights are optimized based on model performance during validation". By
    what measure is not said: log loss is ours. It is minimised by the EM steps of mixture weights (Dempster, Laird and
    Rubin 1977), w <- w * mean(p_member / p_mixture), which stay on the simplex and never raise it.
    """
    values, first = on_validation(members, "weights of members")
    corners = np.eye(len(values))
    if objective == "balanced_accuracy":
        points = np.concatenate([corners, lattice(len(values), steps)])
        ties = _losses(values, first, points, "log_loss", floor)
        rank = np.lexsort((ties, _losses(values, first, points, objective, floor)))
        best = points[rank[0]]
    else:
        points = np.concatenate([corners, _mixture(_of_truth(values, first, floor))[None]])
        best = points[np.argmin(_losses(values, first, points, objective, floor))]
    alone = _losses(values, first, corners, objective, floor)
    loss = float(_losses(values, first, best[None], objective, floor)[0])
    named = lambda numbers: dict(zip(members, map(float, numbers), strict=True))
    return Weights(named(best), objective, loss, named(alone))


def lattice(members, steps):
    """All points (P, M) of the simplex whose weights are multiples of 1 / steps, the corners among them."""
    bars = np.array(list(combinations(range(steps + members - 1), members - 1)), int)  # between the heaps of steps
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + members - 1)])
    return (np.diff(edges, axis=1) - 1) / steps


def on_validation(members, purpose):
    """Refuse members whose tables hold other than validation rows, else return what `stacked` returns."""
    for table in members.values():
        tables.require_validation(table, purpose)
    return stacked(members)


def _of_truth(values, first, floor):
    """Probability (M, N) that each member gives the true class, not below the floor."""
    return np.maximum(values[:, np.arange(len(first)), tables.labels(first)], floor)


def _mixture(p, *, tolerance=1e-9, most=20_000):
    """Weights (M,) of lowest log loss of the mixture of p (M, N); stops within `tolerance` of it."""
    w = np.full(len(p), 1 / len(p))
    for _ in range(most):
        gain = (p / (w @ p)).mean(axis=1)  # the gradient; at the optimum 1 where w > 0, at most 1 elsewhere
        w = w * gain
        if gain.max() - 1 < tolerance:  # by concavity the log loss is above its least by at most this
            break
    return w / w.sum()


def _losses(values, first, points, objective, floor):
    """The objective (P,) at points (P, M) of the simplex."""
    if objective == "log_loss":
        return np.array([-np.log(w @ _of_truth(values, first, floor)).mean() for w in points])
    if objective == "balanced_accuracy":
        label = tables.labels(first)
        rows = np.bincount(label, minlength=values.shape[2])
        if (rows == 0).any():
            name = tables.classes(first)[int(np.argmin(rows))]
            raise tables.PredictionTableError([f"class {name} has no row: there is no balanced accuracy to choose by"])
        return np.array([1 - _mean_recall(np.tensordot(w, values, 1), label, rows) for w in points])
    raise ValueError(f"objective {objective!r} is unknown; choose {' or '.join(OBJECTIVES)}")


def _mean_recall(p, label, rows):
    """Balanced accuracy of p (N, K) as `skinlib.evaluation.metrics` has it, without making a table: a tie is wrong."""
    truth = p[np.arange(len(label)), label]
    right = (p >= truth[:, None]).sum(axis=1) == 1
    return (np.bincount(label[right], minlength=len(rows)) / rows).mean()
