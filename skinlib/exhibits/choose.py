"""Which images a gallery shows: by rule, never by eye."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

PLACES = {"highest": 1.0, "upper quartile": 0.75, "median": 0.5, "lower quartile": 0.25, "lowest": 0.0}


def choose(
    table: pd.DataFrame,
    by: str,
    *,
    within: str | Sequence[str] | None = None,
    places: Sequence[str] = ("highest", "median", "lowest"),
    each: int = 1,
) -> pd.DataFrame:
    """Return the images at some places of the order of a measure.

    Parameters
    ----------
    table
        With ``image_id`` and the column ``by``; rows without a value are left out.
    within
        Columns whose groups each give their own images.
    places
        Of `PLACES`, quantiles of the order; equal values are ordered by image id.
    each
        Images at each place, next to each other in the order.

    Returns
    -------
    DataFrame
        Rows of ``table`` with ``place``, group by group; an image of a small group appears once.
    """
    known = table[table[by].notna()].sort_values([by, "image_id"], kind="stable")
    groups = [rows for _, rows in known.groupby(within, sort=False)] if within else [known]
    chosen = []
    for rows in groups:
        for place in places:
            start = round(PLACES[place] * (len(rows) - 1) - (each - 1) * PLACES[place])
            chosen.append(rows.iloc[max(start, 0) : max(start, 0) + each].assign(place=place))
    found = pd.concat(chosen, ignore_index=True) if chosen else known.assign(place="")
    return found.drop_duplicates([*([within] if isinstance(within, str) else within or []), "image_id"])
