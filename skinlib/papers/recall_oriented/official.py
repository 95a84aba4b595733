"""The official test part of ISIC 2018 Task 3: what is known of it, and its images where they are under the data root.

Its training images are HAM10000's, so a system trained on HAM10000 has seen none of the test part.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from skinlib.data import readers
from skinlib.data.cards import CARDS, relabel
from skinlib.data.readers_files import folders

OFFICIAL = "isic2018_task3"
IMAGES = "ISIC2018_Task3_Test_Input"


def official_counts() -> dict[str, tuple[int, int]]:
    """Return "official <part>" -> (benign, malignant), where the card of the set counts the classes."""
    card = CARDS[OFFICIAL]
    found = {}
    for part, counts in card.counts.items():
        malignant = sum(counts[code] for code in card.malignant)
        found[f"official {part}"] = (sum(counts.values()) - malignant, malignant)
    return found


def official_test(root: str | Path, *, trained_on: str) -> tuple[pd.DataFrame | None, str]:
    """Return the official test part with labels 0 benign and 1 malignant, or None; and a sentence that says which.

    Parameters
    ----------
    trained_on
        The data set of the runs; those trained on Task 3 itself have its test part in their own tables already.
    """
    base, card = Path(root) / CARDS[OFFICIAL].folder, CARDS[OFFICIAL]
    if trained_on == OFFICIAL:
        return None, f"{card.title}: the tables above are of its official test part already"
    if not folders(base, IMAGES):
        return None, f"NOT RUN: the official test images of {card.title} are not there ({card.folder}/{IMAGES})"
    cohort = readers.read(OFFICIAL, root, allow_missing=True)
    test = relabel(cohort[cohort["official_split"] == "test"].reset_index(drop=True), "malignancy")
    if test.empty:
        return None, f"NOT RUN: {card.title} has test images here and no labels of them"
    expected = card.expected("test")
    return test, f"{card.title}: {len(test)} of {expected} official test images, {int(test['label'].sum())} malignant"
