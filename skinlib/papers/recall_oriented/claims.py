"""Where the printed numbers of the recall-oriented paper contradict each other, computed from data/published."""

from __future__ import annotations

import pandas as pd

from skinlib.exhibits.published import published
from skinlib.papers.recall_oriented.official import official_counts

COLUMNS = ["what", "one place", "says", "another place", "says there"]


def _printed(exhibit: str) -> pd.Series:
    return published("recall_oriented", exhibit).set_index(["row", "metric"])["published"]


def contradictions() -> pd.DataFrame:
    """Return what the paper says in two ways that cannot both be true: a row a contradiction."""
    final, tone, split, networks, setting = map(_printed, ("table3", "table8", "table1", "table2", "settings"))
    model = "the final model on the test set"
    caught = split["test", "malignant"] - tone["all", "fn"]
    implied = round(caught / tone["all", "precision"] - caught)
    rows = [
        [f"ROC-AUC of {model}", "Table 3", final["final", "roc_auc"], "Table 8", tone["all", "roc_auc"]],
        [f"false negatives of {model}", "Table 3", final["final", "fn"], "Table 8", tone["all", "fn"]],
        [f"false positives of {model}", "Table 3", final["final", "fp"], "Table 8, from its precision", implied],
    ]
    first_stop = 1 + setting["training", "patience"]
    for row, epoch in networks.xs("best_epoch", level="metric").items():
        if epoch < first_stop:
            rows.append(
                [f"epoch at which {row} stopped early", "Table 2", epoch, "first that patience allows", first_stop]
            )
    for part, (benign, malignant) in official_counts().items():
        for name, number in (("benign", benign), ("malignant", malignant)):
            mine = split[part.removeprefix("official "), name]
            if mine != number:
                rows.append([f"{name} images, {part} part", "Table 1", mine, "the archive's label file", number])
    return pd.DataFrame(rows, columns=COLUMNS)


def arithmetic() -> pd.DataFrame:
    """Return the rates of Tables 3 and 4 that do not follow from the counts beside them: row, metric, printed, counts.

    A rate whose last printed digit is 0 is taken as printed to three decimals.
    """
    split = _printed("table1")
    rows = []
    for exhibit in ("table3", "table4"):
        printed = _printed(exhibit)
        for row in printed.index.unique("row"):
            fn, fp = printed[row, "fn"], printed[row, "fp"]
            tp, tn = split["test", "malignant"] - fn, split["test", "benign"] - fp
            rates = {"recall": tp / (tp + fn), "precision": tp / (tp + fp), "f1": 2 * tp / (2 * tp + fn + fp)}
            rates |= {"specificity": tn / (tn + fp), "accuracy": (tp + tn) / (tp + tn + fp + fn)}
            for metric, value in rates.items():
                rate = printed.get((row, metric), value)
                digits = 3 if round(1e4 * rate) % 10 == 0 else 4
                if round(value, digits) != round(rate, digits):
                    rows.append([exhibit, row, metric, rate, round(value, 4)])
    return pd.DataFrame(rows, columns=["exhibit", "row", "metric", "printed", "from the counts"])
