"""One card a data set (``cards.yaml``): what it is, where it comes from, its classes in order, the counts it must have.

Nothing in the library infers a class order from the data it finds: the order is written there once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

# Label spaces of some diagnoses, in label order; images of others are left out. A set has each under its own code,
# spelt alike but for the case, or its card names a stand-in.
SELECTIONS = {"bcc_scc_mel": ("bcc", "scc", "mel")}
SPACES = ("diagnosis", "malignancy", *SELECTIONS)
MALIGNANCY = ("benign", "malignant")


@dataclass(frozen=True)
class Archive:
    """A file to download."""

    url: str
    filename: str
    checksum: str | None = None  # algorithm:hex, None where the publisher names none
    unpack_to: str = ""  # folder in that of the set, for the file or the content of the archive


@dataclass(frozen=True)
class Card:
    """What is known about a data set before one file of it is read."""

    name: str
    folder: str  # under the data root
    title: str
    source: str
    licence: str
    citation: str
    classes: tuple[str, ...] = ()  # codes in label order; empty where the set has no diagnosis
    class_names: dict[str, str] = field(default_factory=dict)  # code -> readable name
    malignant: tuple[str, ...] = ()  # the codes that are 1 in the label space ``malignancy``
    stand_ins: dict[str, str] = field(default_factory=dict)  # diagnosis that the set lacks -> the code nearest to it
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # part (``all`` without parts) -> class -> images
    official: dict[str, int] | None = None  # part (train, val, test) -> images, None where there are no official parts
    notes: str = ""
    archives: tuple[Archive, ...] = ()

    def expected(self, part: str) -> int | None:
        """Official number of images of a part (``all``: a set without parts), None where it is not known."""
        if self.official and part in self.official:
            return self.official[part]
        return sum(self.counts[part].values()) if part in self.counts else None


class _Cards(dict):
    def __missing__(self, name: str) -> Card:
        raise ValueError(f"Unknown data set {name!r}: choose one of {', '.join(self)}.")


def _read_cards() -> dict[str, Card]:
    cards = {}
    for name, facts in yaml.safe_load(Path(__file__).with_name("cards.yaml").read_text(encoding="utf-8")).items():
        names = facts.pop("classes", {})
        facts |= {
            "malignant": tuple(facts.get("malignant", ())),
            "counts": {part: dict(zip(names, n, strict=True)) for part, n in facts.get("counts", {}).items()},
            "archives": tuple(archive for entry in facts.get("archives", ()) for archive in _archives(entry)),
        }
        cards[name] = Card(name=name, classes=tuple(names), class_names=names, **facts)
    return cards


def _archives(entry: dict) -> Iterator[Archive]:
    if "files" in entry:
        yield from (Archive(f"{entry['url']}/{file}", file) for file in entry["files"])
    else:
        yield Archive(**{"filename": entry["url"].rpartition("/")[2], **entry})


CARDS: dict[str, Card] = _Cards(_read_cards())


def class_names(dataset: str, space: str = "diagnosis") -> tuple[str, ...]:
    """Class codes of a data set in label order: the card's, ``("benign", "malignant")``, or those of a selection.

    The codes of a selection (a key of `SELECTIONS`) are the set's own, so that a stand-in keeps its name: of HAM10000
    ``("bcc", "akiec", "mel")``. Raises ValueError for a set that has no diagnosis, or lacks a class of a selection.
    """
    if space not in SPACES:
        raise ValueError(f"Unknown label space {space!r}: choose one of {', '.join(SPACES)}.")
    card = CARDS[dataset]
    if not card.classes:
        raise ValueError(f"{dataset} has no diagnosis, so it has no label space {space!r}.")
    if space == "malignancy":
        return MALIGNANCY
    if space == "diagnosis":
        return card.classes
    codes = card.stand_ins | {code.lower(): code for code in card.classes}
    if absent := ", ".join(name for name in SELECTIONS[space] if name not in codes):
        raise ValueError(f"{dataset} has no {absent} for label space {space!r}, but {', '.join(card.classes)}")
    return tuple(codes[name] for name in SELECTIONS[space])


def kept(dataset: str, space: str) -> tuple[str, ...]:
    """Class codes of a data set whose images a label space keeps: all of the card's, or those of a selection."""
    names = class_names(dataset, space)
    return names if space in SELECTIONS else CARDS[dataset].classes


def relabel(cohort: pd.DataFrame, space: str) -> pd.DataFrame:
    """A copy of the cohort whose column ``label`` is the index of each row's class in ``class_names(dataset, space)``.

    For ``malignancy`` the cohort may hold several data sets. A selection leaves rows of other diagnoses out and numbers
    the rest from 0. Raises ValueError for a diagnosis that the card does not list, several class lists at once, or a
    selection of which a class has no row.
    """
    names = list(pd.unique(cohort["dataset"]))
    if len({class_names(name, space) for name in names}) > 1:
        raise ValueError(f"The data sets {', '.join(names)} have different classes: relabel to 'malignancy' instead.")
    labels = pd.Series(float("nan"), index=cohort.index)
    for name in names:
        card, rows = CARDS[name], cohort["dataset"] == name
        diagnosis = cohort.loc[rows, "diagnosis"]
        if strange := diagnosis[~diagnosis.isin(card.classes)].unique().tolist():
            raise ValueError(f"{name} has no class {', '.join(map(str, strange))}: its card lists {card.classes}.")
        codes = {code: i for i, code in enumerate(kept(name, space))}
        if space == "malignancy":
            codes = {code: int(code in card.malignant) for code in card.classes}
        labels.loc[rows] = diagnosis.map(codes).astype(float)
    if space not in SELECTIONS:
        return cohort.assign(label=labels.astype("int64"))
    counts = {code: int((labels == i).sum()) for name in names for i, code in enumerate(class_names(name, space))}
    if empty := [code for code, n in counts.items() if not n]:
        raise ValueError(f"no image of {', '.join(empty)}, which label space {space!r} needs: {counts}; read more")
    whole = labels.notna()
    return cohort[whole].assign(label=labels[whole].astype("int64")).reset_index(drop=True)
