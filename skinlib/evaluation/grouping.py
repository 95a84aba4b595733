"""Groups of rows by the columns of a table (skin tone, sex, age band), for fairness and recalibration."""

import numpy as np
import pandas as pd

from skinlib.evaluation.tables import PredictionTableError

MOST_GROUPS = 20


def group_key(table, group):
    """Name (N,) of each row's group as text; a missing value is the group "missing", never left out.

    Parameters
    ----------
    group : column name, or a tuple of names for intersections ("dark, male")

    Raises
    ------
    PredictionTableError
        A column is not there, or has more than 20 values (a measurement: bin it first).
    """
    columns = (group,) if isinstance(group, str) else tuple(group)
    absent = [column for column in columns if column not in table]
    if absent:
        raise PredictionTableError([f"no column {column} to group by" for column in absent])
    texts = [
        table[column].astype(object).map(_group_name).where(table[column].notna(), "missing").astype(object)
        for column in columns
    ]
    wide = [column for column, text in zip(columns, texts, strict=True) if text.nunique() > MOST_GROUPS]
    if wide:
        raise PredictionTableError(
            [f"column {column} has more than {MOST_GROUPS} values: bin it first" for column in wide]
        )
    return np.array([", ".join(row) for row in zip(*texts, strict=True)], dtype=object)


def _group_name(value):
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def group_order(table, group):
    """Names of the groups in the order of a categorical column, else numbers before text; "missing" last."""
    names = set(group_key(table, group))
    if isinstance(group, str) and isinstance(table[group].dtype, pd.CategoricalDtype):
        given = [_group_name(category) for category in table[group].cat.categories]
        return [name for name in [*given, "missing"] if name in names]
    numbers = {name: pd.to_numeric(name, errors="coerce") for name in names}

    def place(name):
        text = np.isnan(numbers[name])
        return name == "missing", text, 0.0 if text else numbers[name], name

    return sorted(names, key=place)
