"""One card a data set: what it is, where it comes from, its classes in order and the counts that reading asserts.

Nothing in the library infers a class order from the data at hand: it is written here once. A class code is spelt as the
official file spells it (``nv`` in HAM10000, ``NV`` in ISIC 2018 Task 3), and codes of one position mean the same
diagnosis in both of these sets, so that a label index can be carried from one to the other.
"""

import pandas as pd

from skinlib.data.card import CC_BY_NC, HAM_COUNTS, SEVEN_NAMES, TSCHANDL, Archive, Card
from skinlib.data.cards_isic import ISIC_CARDS

__all__ = ["CARDS", "MALIGNANCY", "SELECTIONS", "SPACES", "Archive", "Card", "class_names", "kept", "relabel"]

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
# Label spaces of some diagnoses, in label order; images of others are left out. A set has each under its own code,
# spelt alike but for the case, or its card names what stands in.
SELECTIONS = {"bcc_scc_mel": ("bcc", "scc", "mel")}
SPACES = ("diagnosis", "malignancy", *SELECTIONS)
MALIGNANCY = ("benign", "malignant")
_HAM = ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")

_CARDS = (
    Card(
        name="ham10000",
        folder="ham10000",
        title="HAM10000",
        source="https://doi.org/10.7910/DVN/DBW86T",
        licence=CC_BY_NC,
        citation=TSCHANDL,
        classes=_HAM,
        class_names=dict(zip(_HAM, SEVEN_NAMES, strict=True)),
        malignant=("mel", "bcc", "akiec"),
        stand_ins={"scc": "akiec"},  # Bowen's disease, a part of it, is squamous cell carcinoma in situ
        counts={"all": dict(zip(_HAM, HAM_COUNTS, strict=True))},
        notes="No patient id: splits are lesion-grouped, never patient-grouped. 1.34 images a lesion. dx_type gives "
        "the label away and is no feature. The ids are exactly those of the ISIC 2018 Task 3 training part.",
        archives=(
            Archive(
                f"{DATAVERSE}/3172585",
                "HAM10000_images_part_1.zip",
                "md5:4639bfa73ab251610530a97c898e6e46",
                "HAM10000_images_part_1",
            ),
            Archive(
                f"{DATAVERSE}/3172584",
                "HAM10000_images_part_2.zip",
                "md5:da43d6cc50f6613013be07e8986b384b",
                "HAM10000_images_part_2",
            ),
            Archive(
                f"{DATAVERSE}/4338392?format=original", "HAM10000_metadata.csv", "md5:8f85fb1aa29d80a2797247e434deb79d"
            ),
            Archive(
                f"{DATAVERSE}/3838943",
                "HAM10000_segmentations_lesion_tschandl.zip",
                "md5:6e8d252e09cfdb0189199f15985a5b84",
            ),
        ),
    ),
    *ISIC_CARDS,
    Card(
        name="ph2",
        folder="ph2",
        title="PH2",
        source="https://www.fc.up.pt/addi/ph2%20database.html",
        licence="Free for research and education after registration with the ADDI project; no redistribution",
        citation="Mendonca et al.: PH2 - A dermoscopic image database for research and benchmarking. EMBC 2013",
        classes=("common_nevus", "atypical_nevus", "melanoma"),
        class_names={"common_nevus": "common nevus", "atypical_nevus": "atypical nevus", "melanoma": "melanoma"},
        malignant=("melanoma",),
        counts={"all": {"common_nevus": 80, "atypical_nevus": 80, "melanoma": 40}},
        notes="Not downloadable by program: register, then place the folder by hand.",
    ),
    Card(
        name="pad_ufes_20",
        folder="pad_ufes_20",
        title="PAD-UFES-20",
        source="https://doi.org/10.17632/zr7vgbcyr2.1",
        licence="CC BY 4.0 (attribution)",
        citation="Pacheco et al.: PAD-UFES-20. Data in Brief 32, 106221 (2020)",
        classes=("ACK", "BCC", "MEL", "NEV", "SCC", "SEK"),
        class_names={
            "ACK": "actinic keratosis",
            "BCC": "basal cell carcinoma",
            "MEL": "melanoma",
            "NEV": "nevus",
            "SCC": "squamous cell carcinoma",
            "SEK": "seborrheic keratosis",
        },
        malignant=("BCC", "MEL", "SCC"),
        counts={"all": {"ACK": 730, "BCC": 845, "MEL": 52, "NEV": 244, "SCC": 192, "SEK": 235}},
        notes="Smartphone images. biopsed gives the label away, and so nearly do the 804 blanks that eleven columns "
        "share. BRASIL is read as BRAZIL.",
        archives=(Archive("https://data.mendeley.com/public-api/zip/zr7vgbcyr2/download/1", "pad_ufes_20.zip"),),
    ),
)
CARDS: dict[str, Card] = {card.name: card for card in _CARDS}


def class_names(dataset: str, space: str = "diagnosis") -> tuple[str, ...]:
    """Class codes of a data set in label order: the card's, ``("benign", "malignant")``, or those of a selection.

    The codes of a selection (a key of `SELECTIONS`) are the set's own, so that a stand-in keeps its name: of HAM10000
    ``("bcc", "akiec", "mel")``.

    Raises
    ------
    ValueError
        Unknown data set or label space, a set without a diagnosis, or one that lacks a class of a selection.
    """
    if space not in SPACES:
        raise ValueError(f"Unknown label space {space!r}: choose one of {', '.join(SPACES)}.")
    if dataset not in CARDS:
        raise ValueError(f"Unknown data set {dataset!r}: choose one of {', '.join(CARDS)}.")
    card = CARDS[dataset]
    if not card.classes:
        raise ValueError(f"{dataset} has no diagnosis, so it has no label space {space!r}.")
    if space == "malignancy":
        return MALIGNANCY
    if space == "diagnosis":
        return card.classes
    codes = card.stand_ins | {code.lower(): code for code in card.classes}
    if absent := [name for name in SELECTIONS[space] if name not in codes]:
        raise ValueError(
            f"{dataset} has no class {', '.join(absent)}, so it has no label space {space!r}: its card lists "
            f"{', '.join(card.classes)}."
        )
    return tuple(codes[name] for name in SELECTIONS[space])


def kept(dataset: str, space: str) -> tuple[str, ...]:
    """Class codes of a data set whose images a label space keeps: all of the card's, or those of a selection."""
    names = class_names(dataset, space)
    return names if space in SELECTIONS else CARDS[dataset].classes


def relabel(cohort: pd.DataFrame, space: str) -> pd.DataFrame:
    """A copy of the cohort whose column ``label`` is the index of each row's class in ``class_names(dataset, space)``.

    Parameters
    ----------
    cohort : columns ``dataset`` and ``diagnosis``; for ``malignancy`` it may hold several data sets.
    space : ``diagnosis`` (as the card lists the classes), ``malignancy`` (0 benign, 1 malignant), or a key of
        `SELECTIONS`: rows of other diagnoses are left out and the rest is numbered from 0.

    Raises
    ------
    ValueError
        A diagnosis that the card does not list, several class lists at once in the space ``diagnosis`` or a selection,
        a set without a diagnosis, or a selection of which a class has no row.
    """
    names = list(pd.unique(cohort["dataset"]))
    if len({class_names(name, space) for name in names}) > 1:
        raise ValueError(f"The data sets {', '.join(names)} have different classes: relabel to 'malignancy' instead.")
    labels = pd.Series(float("nan"), index=cohort.index)
    for name in names:
        card, rows = CARDS[name], cohort["dataset"] == name
        diagnosis = cohort.loc[rows, "diagnosis"]
        if not (known := diagnosis.isin(card.classes)).all():
            strange = diagnosis[~known].unique()
            raise ValueError(f"{name} has no class {', '.join(map(str, strange))}: its card lists {card.classes}.")
        codes = {
            code: int(code in card.malignant) if space == "malignancy" else i
            for i, code in enumerate(kept(name, space))
        }
        labels.loc[rows] = diagnosis.map(codes).astype(float)
    if space not in SELECTIONS:
        return cohort.assign(label=labels.astype("int64"))
    counts = {code: int((labels == i).sum()) for name in names for i, code in enumerate(class_names(name, space))}
    if empty := [code for code, n in counts.items() if not n]:
        raise ValueError(
            f"The cohort has no image of {', '.join(empty)}, which the label space {space!r} is about ({counts}): "
            "read more of the data set, or choose one that has them."
        )
    whole = labels.notna()
    return cohort[whole].assign(label=labels[whole].astype("int64")).reset_index(drop=True)
