"""One card a data set: what it is, where it comes from, its classes in order and the counts that reading asserts.

Nothing in the library infers a class order from the data at hand: it is written here once. A class code is spelt as the
official file spells it (``nv`` in HAM10000, ``NV`` in ISIC 2018 Task 3), and codes of one position mean the same
diagnosis in both of these sets, so that a label index can be carried from one to the other.
"""

import pandas as pd

from skinlib.data.card import CC_BY_NC, HAM_COUNTS, SEVEN_NAMES, TSCHANDL, Archive, Card
from skinlib.data.cards_isic import ISIC_CARDS

__all__ = ["CARDS", "MALIGNANCY", "SPACES", "Archive", "Card", "class_names", "relabel"]

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
SPACES = ("diagnosis", "malignancy")
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
    """Class codes of a data set in label order: the card's, or ``("benign", "malignant")`` for ``malignancy``.

    Raises
    ------
    ValueError
        Unknown data set or label space, or a set without a diagnosis.
    """
    if space not in SPACES:
        raise ValueError(f"Unknown label space {space!r}: choose one of {', '.join(SPACES)}.")
    if dataset not in CARDS:
        raise ValueError(f"Unknown data set {dataset!r}: choose one of {', '.join(CARDS)}.")
    if not CARDS[dataset].classes:
        raise ValueError(f"{dataset} has no diagnosis, so it has no label space {space!r}.")
    return CARDS[dataset].classes if space == "diagnosis" else MALIGNANCY


def relabel(cohort: pd.DataFrame, space: str) -> pd.DataFrame:
    """A copy of the cohort whose column ``label`` is the index of each row's class in ``class_names(dataset, space)``.

    Parameters
    ----------
    cohort : columns ``dataset`` and ``diagnosis``; for ``malignancy`` it may hold several data sets.
    space : ``diagnosis`` (as the card lists the classes) or ``malignancy`` (0 benign, 1 malignant).

    Raises
    ------
    ValueError
        A diagnosis that the card does not list, several class lists at once in the space ``diagnosis``,
        or a set without a diagnosis.
    """
    out = cohort.copy()
    names = list(pd.unique(cohort["dataset"]))
    if len({class_names(name, space) for name in names}) > 1:
        raise ValueError(f"The data sets {', '.join(names)} have different classes: relabel to 'malignancy' instead.")
    out["label"] = pd.Series(-1, index=cohort.index, dtype="int64")
    for name in names:
        card, rows = CARDS[name], cohort["dataset"] == name
        codes = {
            code: i if space == "diagnosis" else int(code in card.malignant) for i, code in enumerate(card.classes)
        }
        labels = cohort.loc[rows, "diagnosis"].map(codes)
        if labels.isna().any():
            strange = cohort.loc[labels.index[labels.isna()], "diagnosis"].unique()
            raise ValueError(f"{name} has no class {', '.join(map(str, strange))}: its card lists {card.classes}.")
        out.loc[rows, "label"] = labels.astype("int64")
    return out
