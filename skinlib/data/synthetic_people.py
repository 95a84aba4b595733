"""Who is drawn: patients with several lesions, lesions with several images, and the look of each class.

Classes differ in the *distribution* of structure (outline, colours off centre, network, vessels, scales, veil; see
``kinds.csv``) and overlap in all of it; skin, size, darkness, light, hair, ruler, dark corners and place in the picture
are independent of the class, so that neither mean colour nor file gives it away.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from skinlib.data.synthetic_draw import Look

_TABLE = pd.read_csv(Path(__file__).with_name("kinds.csv"), index_col=["group", "name"])
# Drawn class -> group -> name -> chance, mean (outline, a clipped normal; age) or, for clinic and region, share.
KINDS = {
    kind: {group: rows.droplevel("group").dropna().to_dict() for group, rows in column.groupby("group", sort=False)}
    for kind, column in _TABLE.items()
}
MALIGNANT_KINDS = tuple(kind for kind, of_kind in KINDS.items() if of_kind["patient"]["malignant"])
# Del Bino and Bernerd (2013): lower limit of the angle, degrees.
ITA_CUTS = (-30.0, 10.0, 28.0, 41.0, 55.0)
ITA_NAMES = ("dark", "brown", "tan", "intermediate", "light", "very light")
_ITA_RANGES = ((-48.0, -31.0), (-29.0, 9.0), (11.0, 27.0), (29.0, 40.0), (42.0, 54.0), (56.0, 66.0))
_ITA_DECK = np.repeat(range(6), (2, 3, 3, 4, 4, 4))  # cards of each category, dark to very light
# Images a lesion as in HAM10000 (5514 lesions with one image, 1423 with two, 490 with three, 43 with more).
_IMAGES_A_LESION = (0.738, 0.191, 0.066, 0.005)
# How many of a structure a lesion has, where it has it: a number that knows no class.
_NUMBER = {
    "streaks": (10, 19), "globules": (8, 24), "milia": (7, 18), "vessels": (6, 12), "scales": (18, 36),
    "lacunae": (3, 8),
}  # fmt: skip


def people(kinds: list[str], images: list[int], rng: np.random.Generator) -> pd.DataFrame:
    """Return a row an image, in random order; ``kinds`` and ``images`` say what each lesion is and how often seen."""
    rows, patient, room = [], -1, 0
    # Benign and malignant have a deck each: by plain chance a small set would tie skin tone to the class.
    decks = {malignant: _shuffled(rng) for malignant in (False, True)}
    for lesion, position in enumerate(rng.permutation(len(kinds))):
        kind = KINDS[kinds[position]]
        if room == 0:  # a new patient, with one to three lesions on the same skin
            patient, room = patient + 1, int(rng.choice((1, 2, 3), p=(0.62, 0.28, 0.10)))
            tone = next(decks[kinds[position] in MALIGNANT_KINDS])
            skin = rng.uniform(*_ITA_RANGES[tone]), rng.uniform(7, 15), rng.uniform(11, 18)  # ITA, a*, b*
            age = float(np.clip(5 * round(rng.normal(kind["patient"]["age"], 14) / 5), 5, 85))
            male = bool(rng.random() < kind["patient"]["male"])
        room -= 1
        look = _look(kind, skin, rng)
        who = {"patient": patient, "lesion": lesion, "kind": kinds[position], "age": age, "male": male}
        rows += [who | asdict(_view(look, rng)) for _ in range(images[position])]
    table = pd.DataFrame(rows)
    table["malignant"] = table["kind"].isin(MALIGNANT_KINDS)
    table["ita_category"] = [ITA_NAMES[i] for i in np.digitize(table["ita"], ITA_CUTS)]
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)


def images_a_lesion(total: int, rng: np.random.Generator) -> list[int]:
    """How often each lesion is pictured, in HAM10000's proportions, summing to ``total``."""
    out: list[int] = []
    while (left := total - sum(out)) > 0:
        out.append(min(left, 1 + int(rng.choice(len(_IMAGES_A_LESION), p=_IMAGES_A_LESION))))
    return out


def _shuffled(rng: np.random.Generator) -> Iterator[int]:
    """ITA categories from a deck that is shuffled again when it is used up."""
    while True:
        yield from rng.permutation(_ITA_DECK).tolist()


def _look(kind: dict, skin: tuple[float, float, float], rng: np.random.Generator) -> Look:
    """One lesion: each structure is there or not by the chances of its class."""
    has = {name: bool(rng.random() < chance) for name, chance in kind["structure"].items()}
    count = {name: int(rng.integers(low, high)) * has[name] for name, (low, high) in _NUMBER.items()}
    further = [color for color, chance in kind["color"].items() if rng.random() < chance]
    colors = tuple(rng.permutation(further or ["light_brown"]).tolist())
    typical, atypical = kind["network"].values()
    network = str(rng.choice(("none", "typical", "atypical"), p=(1 - typical - atypical, typical, atypical)))
    return Look(
        *map(float, skin),
        radius=float(rng.uniform(0.21, 0.37)),
        aspect=float(rng.uniform(0.72, 1.0)),
        asymmetry=float(np.clip(rng.normal(kind["outline"]["asymmetry"], 0.17), 0, 1)),
        border=float(np.clip(rng.normal(kind["outline"]["border"], 0.17), 0, 1)),
        softness=float(rng.uniform(0.06, 0.22)),
        density=float(rng.uniform(0.45, 1.15)),
        colors=colors,
        network=network,
        negative_network=has["negative"] and network == "none",
        **count,
        veil=has["veil"],
        white_centre=has["white_centre"],
        form_seed=int(rng.integers(2**31)),
    )


def _view(look: Look, rng: np.random.Generator) -> Look:
    """One picture of a lesion: place, turn, zoom, light and what lies over it."""
    return replace(
        look,
        view_seed=int(rng.integers(2**31)),
        radius=float(np.clip(look.radius * rng.uniform(0.9, 1.1), 0.18, 0.40)),
        center_x=float(rng.uniform(0.42, 0.58)),
        center_y=float(rng.uniform(0.42, 0.58)),
        rotation=float(rng.uniform(0, 2 * np.pi)),
        light=float(rng.uniform(0, 0.12)),
        hairs=int(rng.integers(3, 16)) * int(rng.random() < 0.35),
        ruler=bool(rng.random() < 0.12),
        vignette=bool(rng.random() < 0.20),
    )
