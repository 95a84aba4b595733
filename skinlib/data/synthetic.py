"""Synthetic data sets with known truth, written in each official layout and read by the same readers as the real ones.

They show that the compendium runs and let a newcomer learn on it; they say nothing about skin.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from skinlib.data.cards import CARDS
from skinlib.data.readers_files import SYNTHETIC_MARKER
from skinlib.data.readers_sets import WORDS
from skinlib.data.synthetic_draw import Look, draw
from skinlib.data.synthetic_layouts import LAYOUTS, write_images, write_tables
from skinlib.data.synthetic_people import images_a_lesion, people
from skinlib.paths import new_folder, write_atomic

TRUTH_FILE = "synthetic_truth.csv"
# Class of a set -> the kind that is drawn for it, where its code is not the kind's; or several kinds with their shares.
_KIND = {
    "malignant": "mel", "melanoma": "mel", "nevus": "nv", "common_nevus": "nv", "NEV": "nv", "AK": "akiec",
    "ACK": "akiec", "seborrheic_keratosis": "bkl", "SEK": "bkl", "atypical_nevus": "atypical_nv",
}  # fmt: skip
_MIXED = {"benign": {"nv": 0.75, "bkl": 0.18, "df": 0.07}, "": {"nv": 0.60, "mel": 0.25, "bkl": 0.15}}  # "": no classes
# Part of ISIC 2016 -> share of the 404 training and validation melanomas of ISIC 2017 that are its melanomas again.
_REPEATED = {"test": 63 / 404, "train": 147 / 404}
_FIRST = ["dataset", "part", "image_id", "lesion_id", "patient_id", "diagnosis", "kind", "malignant", "age", "male"]


def synthesise(
    root: str | Path, *, datasets: Iterable[str] = ("ham10000",), images: int = 600, size: int = 128, seed: int = 0
) -> pd.DataFrame:
    """Draw data sets into a new or empty data root, each in its official layout.

    Parameters
    ----------
    datasets : names of cards; ``isic2018_task3`` draws ``ham10000`` too (its training part) and, beyond that, a tenth
        of ``images`` for validation and a quarter for test.
    images : images a set, at least 8 a class.
    size : width in pixels (at least 32), height the same or, for the ISIC 2016 to 2018 Task 1-2 sets and PH2, 3/4.
    seed : the same seed gives the same bytes.

    Returns the truth, also written to ``synthetic_truth.csv``: a row an image with its ids, class, the fields of
    ``Look``, ``ita_category``, ``area`` (mask, share of the picture), ``hair`` (covered share) and ``file`` below root.
    """
    names = {datasets} if isinstance(datasets, str) else set(datasets)
    least = max(8 * max(len(CARDS[name].classes), 1) for name in names)
    if images < least or size < 32:
        raise ValueError(f"{images} images of {size} pixels are too few or too small: at least {least} of 32 pixels.")
    if "isic2018_task3" in names:
        names.add("ham10000")
    names = [name for name in CARDS if name in names]
    truth = pd.concat([_population(name, images, seed) for name in names], ignore_index=True)
    if {"isic2016", "isic2017"} <= set(names):
        truth = _repeat_melanomas(truth, _generator("isic2017", seed, 2))
    root = Path(root).resolve()
    if root.is_dir():
        if any(root.iterdir()):
            raise FileExistsError(f"{root} has files already: draw into an empty folder.")
        root.rmdir()
    with new_folder(root) as place:
        measured = []
        for row in truth.itertuples():
            look = Look(**{field.name: getattr(row, field.name) for field in fields(Look)})
            drawing = draw(look, (int(size * LAYOUTS.loc[row.dataset, "height"]), size))
            file = write_images(place, row, drawing)
            measured.append({"area": float(drawing.mask.mean()), "hair": drawing.hair, "file": file})
        truth = truth.assign(**pd.DataFrame(measured))
        for name in names:
            write_tables(place, name, truth, _generator(name, seed, 1))
        truth = truth.assign(colors=truth["colors"].map(" ".join)).drop(columns="number")
        write_atomic(place / TRUTH_FILE, truth.to_csv(index=False, float_format="%.5g"))
        settings = {"generator": "skinlib.data.synthetic", "images": images, "size": size, "seed": seed, "sets": names}
        write_atomic(place / SYNTHETIC_MARKER, json.dumps(settings, indent=1))
    return truth


def _generator(name: str, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, list(CARDS).index(name), stream])


def _population(name: str, images: int, seed: int) -> pd.DataFrame:
    """Truth of a set before drawing; patients of two official parts are different people."""
    rng, card = _generator(name, seed, 0), CARDS[name]
    counts = {code: sum(part[code] for part in card.counts.values()) for code in card.classes} or {"": 1}
    parts, code_of = [], {}
    shares_of_parts = LAYOUTS.loc[name, list(WORDS)].dropna().to_dict() or {"": 1.0}
    for part, share in shares_of_parts.items():
        kinds, times = [], []
        for code, number in allocate(counts, max(round(images * share), len(counts))).items():
            shares = _MIXED.get(code, {_KIND.get(code, code.lower()): 1.0})
            pictured = images_a_lesion(number, rng)
            code_of |= dict.fromkeys(shares, code)
            times += pictured
            kinds += rng.choice(list(shares), size=len(pictured), p=list(shares.values())).tolist()
        parts.append(people(kinds, times, rng).assign(part=part))
    table = _with_ids(name, pd.concat(parts, ignore_index=True))
    return table.assign(diagnosis=table["kind"].map(code_of))[[*_FIRST, *(c for c in table if c not in _FIRST)]]


def _repeat_melanomas(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Make some ISIC 2017 training and validation melanomas the pictures of ISIC 2016 melanomas, under their ids."""
    out, columns = truth.copy(), [name for name in truth if name not in ("dataset", "part", "diagnosis")]
    melanomas = truth[truth["kind"] == "mel"]
    new = melanomas[(melanomas["dataset"] == "isic2017") & (melanomas["part"] != "test")]
    place = rng.permutation(new.index)
    for part, share in _REPEATED.items():
        old = rng.permutation(melanomas.index[(melanomas["dataset"] == "isic2016") & (melanomas["part"] == part)])
        count = min(round(share * len(place)), len(old))
        out.loc[place[:count], columns] = out.loc[old[:count], columns].to_numpy()
        place = place[count:]
    return out.astype(truth.dtypes)


def _with_ids(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Ids that rise with the (random) order of the rows and lie outside those of the real sets."""
    number = 9_000_000 + 100_000 * list(CARDS).index(name) + pd.Series(range(len(table)))
    first = number.groupby(table["part"]).transform("min")  # each part counts its patients and lesions from 0
    patient, lesion = ((first + table.pop(column)).astype("str") for column in ("patient", "lesion"))
    table = table.assign(dataset=name, number=number, patient_id="PAT_" + patient, lesion_id="HAM_" + lesion)
    if name == "pad_ufes_20":
        return table.assign(lesion_id=lesion, image_id="PAT_" + patient + "_" + lesion + "_" + number.astype("str"))
    return table.assign(image_id=("IMD" if name == "ph2" else "ISIC_") + number.astype("str"))


def allocate(counts: dict[str, int], images: int) -> dict[str, int]:
    """Share ``images`` among classes by ``counts``: at least 6 each or, without room for it, half an equal share."""
    floor = max(1, min(6, images // (2 * len(counts))))
    shares = {code: max(floor, int(images * count / sum(counts.values()))) for code, count in counts.items()}
    shares[max(counts, key=counts.get)] += images - sum(shares.values())
    return shares
