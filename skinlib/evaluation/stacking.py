"""Stacking: a small model that learns from the members' own validation predictions how to join them."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinlib.evaluation import tables
from skinlib.evaluation.fusion import FLOOR, on_validation, stacked, with_probabilities


def stack(out_of_fold, targets, *, strength=1.0, seed=0, floor=FLOOR):
    """Stacking: a multinomial logistic regression on the logarithms of all members' probabilities.

    Parameters
    ----------
    out_of_fold : name -> table of validation rows, made by members that did not train on them
    targets : name -> table of the rows to fuse, of the same members
    strength : C of the L2 penalty on standardised inputs (ours: 1)
    floor : least probability in a logarithm

    Returns
    -------
    DataFrame : the rows of the first member of `targets` with the fused probabilities

    Raises
    ------
    TestDataError
        `out_of_fold` holds test or external rows.
    PredictionTableError
        Other members in `targets`, or a class without a row to learn from.

    Source: Wolpert 1992. The paper names stacking as what others do (section III).
    """
    if list(out_of_fold) != list(targets):
        raise tables.PredictionTableError([f"stacking learns on {list(out_of_fold)} and is used on {list(targets)}"])
    values, first = on_validation(out_of_fold, "a stacking model")
    label, names = tables.labels(first), tables.classes(first)
    if absent := [name for index, name in enumerate(names) if not (label == index).any()]:
        raise tables.PredictionTableError([f"class {name} has no validation row to stack on" for name in absent])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000, random_state=seed))
    model.fit(_inputs(values, floor), label)
    values, first = stacked(targets)
    return with_probabilities(first, model.predict_proba(_inputs(values, floor)))


def _inputs(values, floor):
    """Members' log probabilities side by side, (N, M * K)."""
    return np.log(np.maximum(values, floor)).transpose(1, 0, 2).reshape(values.shape[1], -1)
