"""Which images a gallery shows: by rule, never by eye."""

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
    """Return the images at some `PLACES` of the order of a measure, each once: the rows of ``table`` with ``place``.

    Equal values are ordered by image id, rows without one are left out; where images are fewer than places, the last
    places miss their ``image_id``. Each group of the column ``within``, of ``groups`` if given, has its own images.
    """
    known = table[table[by].notna()].sort_values([by, "image_id"], kind="stable", ignore_index=True)
    if within is not None:
        values = dict.fromkeys(known[within]) if groups is None else groups
        each = {value: choose(known[known[within] == value], by, places=places) for value in values}
        return pd.DataFrame([{**row, within: v} for v, rows in each.items() for row in rows.to_dict("records")])
    found, free = [], list(range(len(known)))
    for place in places:
        goal = PLACES[place] * (len(known) - 1)
        nearest = min(free, key=lambda k: (abs(k - goal), k), default=None)
        row = {"image_id": np.nan} if nearest is None else known.iloc[nearest].to_dict()
        free = [k for k in free if k != nearest]
        found.append({**row, "place": place})
    return pd.DataFrame(found)
