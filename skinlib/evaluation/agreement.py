"""How alike members err: what fusing them can bring at most."""

from itertools import combinations

import numpy as np
import pandas as pd

from skinlib.evaluation import tables
from skinlib.evaluation.fusion import stacked, with_probabilities
from skinlib.evaluation.metrics import predicted


def error_correlation(members):
    """How alike the members err: a row a pair, on any rows (chooses nothing).

    Returns
    -------
    DataFrame a, b; correlation (phi) of their errors, NaN where one of them never or always errs; disagreement (share
    of rows with different calls); both_wrong; either_right, the most that a choice between the two could reach
    """
    values, first = stacked(members)
    called = np.stack([predicted(with_probabilities(first, value)) for value in values])
    wrong = called != tables.labels(first)
    rows = []
    for i, j in combinations(range(len(members)), 2):
        varied = wrong[i].any() and wrong[j].any() and not (wrong[i].all() or wrong[j].all())
        rows.append(
            {
                "a": list(members)[i],
                "b": list(members)[j],
                "correlation": float(np.corrcoef(wrong[i], wrong[j])[0, 1]) if varied else float("nan"),
                "disagreement": float((called[i] != called[j]).mean()),
                "both_wrong": float((wrong[i] & wrong[j]).mean()),
                "either_right": float((~(wrong[i] & wrong[j])).mean()),
            }
        )
    names = ["a", "b", "correlation", "disagreement", "both_wrong", "either_right"]
    return pd.DataFrame(rows, columns=names)
