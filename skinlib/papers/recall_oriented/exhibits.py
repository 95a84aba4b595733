"""What notebooks on Rumale et al. 2026 share: the average of the folds and the threshold rule."""

import pandas as pd

from skinlib.evaluation.thresholds import choose_threshold
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored
from skinlib.training.tables import ensemble

MIN_RECALL = 0.85  # gamma of the threshold rule; the paper does not print it: ours


def average_folds(members: Runs, view: str = "mean") -> pd.DataFrame:
    """Return the mean of the folds' networks on the test images, one ensemble a seed; ``view`` as of `Runs.test`."""
    groups = members.by("seed").values()
    means = [ensemble([one.test(view) for one in group.by("fold").values()]) for group in groups]
    return pd.concat(means, ignore_index=True)


def at_threshold(test: pd.DataFrame, val: pd.DataFrame) -> Scored:
    """Return test rows at the threshold t* that the validation rows of the same seed choose.

    Source: Rumale et al. 2026, t* = argmax_t { F1(t) | Recall(t) >= gamma }.
    """
    return Scored(test, {int(seed): choose_threshold(rows, recall=MIN_RECALL).t for seed, rows in val.groupby("seed")})
