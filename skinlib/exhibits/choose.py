"""Which images a gallery shows: by rule, never by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

PLACES = {"highest": 1.0, "upper quartile": 0.75, "median": 0.5, "lower quartile": 0.25, "lowest": 0.0}


def choose(
    table: pd.DataFrame,
    by: str,
    *,
    within: str | None = None,
    groups: Sequence | None = None,
    places: Sequence[str] = ("highest", "median", "lowest"),
) -> pd.DataFrame:
    """Return the images at some places of the order of a measure, each image once.

    Parameters
    ----------
    table
        With ``image_id`` and the column ``by``; rows without a value are left out.
    within
        A column whose groups each give their own images; ``groups`` are its values, else those that there are.
    places
        Of `PLACES`, quantiles of the order; equal values are ordered by image id.

    Returns
    -------
    DataFrame
        A row a group and place: the row of ``table`` with ``place``. Where a group has fewer images than places the
        last places have no image, and ``image_id`` is missing.
    """
    known = table[table[by].notna()].sort_values([by, "image_id"], kind="stable", ignore_index=True)
    if within is None:
        return pd.DataFrame(_places(known, places))
    values = dict.fromkeys(known[within]) if groups is None else groups
    return pd.DataFrame([{**one, within: v} for v in values for one in _places(known[known[within] == v], places)])


def _places(rows: pd.DataFrame, places: Sequence[str]) -> list[dict]:
    found, free = [], list(range(len(rows)))
    for place in places:
        if not free:
            found.append({"image_id": np.nan, "place": place})
            continue
        goal = PLACES[place] * (len(rows) - 1)
        nearest = min(free, key=lambda k: (abs(k - goal), k))
        free.remove(nearest)
        found.append({**rows.iloc[nearest].to_dict(), "place": place})
    return found
