"""Whether a probability means what it says: scaling, the parts of the Brier score, conformal sets, net benefit."""

import numpy as np
import pandas as pd
from mapie.classification import SplitConformalClassifier
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from skinlib.evaluation import tables
from skinlib.evaluation.metrics import as_arrays
from skinlib.evaluation.resampled import score_bins


class Given(ClassifierMixin, BaseEstimator):
    """An estimator whose rows are already the probabilities of ``k`` classes."""

    def __init__(self, k=2):
        self.k, self.classes_ = k, np.arange(k)

    fit = lambda self, *_, **__: self
    predict_proba = staticmethod(lambda rows: rows)
    predict = staticmethod(lambda rows: rows.argmax(axis=1))


def scaling(val, *, vector=False):
    """Fit softmax(w log p + b) to validation rows by likelihood: one w, the inverse temperature, and no b (Guo et al.
    2017, section 4.2); with ``vector`` a w and a b of each class. Returns (w, b), arrays (K,).
    """
    tables.require_validation(val, "a scaling")
    (values, names), y = tables.probabilities(val), tables.labels(val)
    logs, size = np.log(values.clip(1e-12)), len(names)
    parts = lambda x: (x[:size], x[size:]) if vector else (np.repeat(np.exp(x[0]), size), np.zeros(size))
    loss = lambda x: -log_softmax(parts(x)[0] * logs + parts(x)[1], axis=1)[np.arange(len(y)), y].mean()
    return parts(minimize(loss, np.repeat([1.0, 0.0], size) if vector else [0.0], method="L-BFGS-B").x)


def scaled(table, w, b):
    """Return a table whose probabilities are softmax(w log p + b)."""
    values, names = tables.probabilities(table)
    found = softmax(w * np.log(values.clip(1e-12)) + b, axis=1)
    return table.assign(**{f"p_{name}": found[:, k] for k, name in enumerate(names)})


def brier_parts(table_or_y, p=None, *, bins=10):
    """Brier score = reliability - resolution + uncertainty (Murphy 1973) + within, what the spread of scores within
    bins of equal width adds. Arguments as `metrics.binary_metrics`.
    """
    y, p = as_arrays(table_or_y, p)
    each = pd.DataFrame({"y": y, "p": p}).groupby(score_bins(p, bins)).transform("mean")  # of each row's bin
    found = {"brier": ((p - y) ** 2).mean(), "reliability": ((each["p"] - each["y"]) ** 2).mean()}
    found |= {"resolution": ((each["y"] - y.mean()) ** 2).mean(), "uncertainty": y.mean() * (1 - y.mean())}
    return found | {"within": found["brier"] - found["reliability"] + found["resolution"] - found["uncertainty"]}


def conformal_sets(val, test, *, level=0.9, by=None):
    """Return which classes are in the set of each test row, (N, K) bool: split conformal prediction by MAPIE.

    A class is in it where its probability reaches a quantile of what validation rows have of their true class (Sadinle
    et al. 2019). ``by``: None; ``class``, a quantile a class; a column, one a group. Too few rows, full sets.
    """
    tables.require_validation(val, "a conformal quantile")
    names, truth = tables.classes(val), tables.labels(val)
    p, asked = (x / x.sum(1, keepdims=True) for x, _ in map(tables.probabilities, (val, test)))  # stored to six digits

    def sets(rows, of):
        if rows.sum() < max(1 / level, 1 / (1 - level)):  # the quantile of so few is infinite
            return np.ones((len(of), len(names)), bool)
        one = SplitConformalClassifier(Given(len(names)), confidence_level=level, conformity_score="lac", prefit=True)
        return one.conformalize(p[rows], truth[rows]).predict_set(of)[1][:, :, 0].astype(bool)

    if by == "class":
        return np.stack([sets(truth == k, asked)[:, k] for k in range(len(names))], axis=1)
    found, groups = np.ones((len(asked), len(names)), bool), test[by] if by else np.zeros(len(test))
    for group in pd.unique(groups):
        here = np.asarray(groups == group)
        found[here] = sets(np.asarray(val[by] == group) if by else np.ones(len(p), bool), asked[here])
    return found


def net_benefit(table_or_y, p=None, *, thresholds, prevalence=None):
    """Net benefit per patient of acting from each threshold t on, TPR pi - FPR (1 - pi) t / (1 - t), on all; on none it
    is 0. ``prevalence`` pi is that of the rows where it is None. Source: Vickers and Elkin 2006.
    """
    y, p = as_arrays(table_or_y, p)
    pi, t = y.mean() if prevalence is None else prevalence, np.asarray(thresholds, float)
    odds, called = (1 - pi) * t / (1 - t), p[:, None] >= t
    model = called[y == 1].mean(axis=0) * pi - called[y == 0].mean(axis=0) * odds
    return pd.DataFrame({"threshold": t, "model": model, "all": pi - odds})
