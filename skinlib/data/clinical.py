"""The 21 clinical features of PAD-UFES-20 as numbers: the encoding of the literature, and one without its slips.

Answers are one-hot, numbers are numbers. Every level is written in ``pad_ufes_20.csv``, none inferred from the data. A
question that was never asked is NaN in all of its columns: no column says "missing", for which questions were asked
nearly gives the label away. ``biopsed`` does so altogether (every BCC, MEL and SCC is True) and is no feature.
"""

import numpy as np
import pandas as pd

from skinlib.data.readers_files import DataError, some
from skinlib.data.readers_sets import PAD_COLUMNS

SYMPTOMS = ("itch", "grew", "hurt", "changed", "bleed", "elevation")
_ASKED = PAD_COLUMNS[PAD_COLUMNS["answers"] != ""]
# Question of the official table -> its answers, () for a number. Order: the official table's.
CLEANED: dict[str, tuple[str, ...]] = {
    name: tuple(answers.split()) if answers != "number" else () for name, answers in _ASKED["answers"].items()
}
# The two encodings differ in these columns, and in that a network fed with the cleaned one scales its numbers:
# "literature", Pacheco & Krohling (2020, 2021), 81 columns, counts BRASIL (three fathers, no mother) apart from BRAZIL.
ENCODINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "literature": CLEANED | {"background_father": (*CLEANED["background_father"], "BRASIL")},
    "cleaned": CLEANED,
}
_SPELLINGS = {"FALSE": "False", "TRUE": "True"} | {str(skin): f"{skin}.0" for skin in range(1, 7)}


def questions(encoding: str = "cleaned") -> dict[str, tuple[str, ...]]:
    """Return question -> its answers, () for a number, in the order of the columns."""
    if encoding not in ENCODINGS:
        raise ValueError(f"no encoding {encoding!r}; there are {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding]


def columns(encoding: str = "cleaned") -> list[str]:
    """Return the names of the columns: ``<question>_<answer>``, or the question where it is a number."""
    asked = questions(encoding)
    return [f"{name}_{answer}" if answer else name for name, answers in asked.items() for answer in answers or ("",)]


def blocks(encoding: str = "cleaned") -> dict[str, slice]:
    """Return question -> its columns."""
    sizes = [max(1, len(answers)) for answers in questions(encoding).values()]
    ends = np.cumsum(sizes).tolist()
    return {name: slice(end - size, end) for name, size, end in zip(questions(encoding), sizes, ends, strict=True)}


def answers(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the answers as text, a column a question: "UNK" asked and not known, missing where never asked.

    ``cohort`` is PAD-UFES-20 as `skinlib.data.readers.read` returns it, any rows.
    """
    names = _ASKED["cohort"].to_dict()
    if lacking := sorted({*names.values(), "answered_unknown", "spelt_brasil"} - set(cohort)):
        raise DataError(
            f"the images lack the clinical columns {', '.join(lacking)}; a list needs them all, blank if never asked"
        )
    text = lambda value: _SPELLINGS.get(str(value).upper(), str(value).upper())
    table = {name: cohort[column].astype("object").map(text, "ignore") for name, column in names.items()}
    for note, word in (("answered_unknown", "UNK"), ("spelt_brasil", "BRASIL")):
        noted = cohort[note].fillna("").str.split().tolist()
        for name in names:
            table[name] = table[name].mask([name in of_row for of_row in noted], word)
    return pd.DataFrame(table, index=cohort.index)


def encode(cohort: pd.DataFrame, encoding: str = "cleaned") -> np.ndarray:
    """Return the encoded answers of a cohort: (N, D) float32, 81 columns of ``literature``, 80 of ``cleaned``.

    A question not answered is NaN in all its columns. Numbers are kept in years and millimetres; scaling them is a fit,
    which belongs to the training rows. A missing column, or an answer that is none of the question's, is a
    ``DataError`` that names all of them.
    """
    table, strange = answers(cohort), []
    encoded = np.full((len(table), len(columns(encoding))), np.nan, np.float32)
    for (name, levels), place in zip(questions(encoding).items(), blocks(encoding).values(), strict=True):
        column = table[name] if "BRASIL" in levels else table[name].replace("BRASIL", "BRAZIL")
        known = column.notna().to_numpy()
        if not levels:
            encoded[:, place.start] = pd.to_numeric(column, errors="coerce").to_numpy(np.float32)
            wrong = known & np.isnan(encoded[:, place.start])
        else:
            wrong = known & ~column.isin(levels).to_numpy()
            encoded[known, place] = column[known].to_numpy()[:, None] == np.array(levels, object)
        if wrong.any():
            found = f"{some(column[wrong].unique())} at {some(cohort.loc[wrong, 'image_id'])}"
            allowed = f"{', '.join(levels) or 'a number'}, or a blank, in the column {_ASKED['cohort'][name]}"
            strange.append(f"{name}: {found}; give {allowed}")
    if strange:
        raise DataError("answers that the features (skinlib/data/pad_ufes_20.csv) do not know", strange)
    return encoded


def asked(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return whether each question was asked, a bool column a question: an answer UNK was asked, a blank never."""
    return answers(cohort).notna()
