"""The shape of a card: what is known about a data set before one file of it is read."""

from dataclasses import dataclass, field

CC0 = "CC-0 (public domain)"
CC_BY_NC = "CC BY-NC 4.0 (attribution, non-commercial)"
SEVEN_NAMES = (
    "melanoma",
    "melanocytic nevus",
    "basal cell carcinoma",
    "actinic keratosis / Bowen's disease",
    "benign keratosis",
    "dermatofibroma",
    "vascular lesion",
)
HAM_COUNTS = (1113, 6705, 514, 327, 1099, 115, 142)
TSCHANDL = "Tschandl, Rosendahl, Kittler: The HAM10000 dataset. Scientific Data 5, 180161 (2018)"


@dataclass(frozen=True)
class Archive:
    """A file to download. ``checksum`` is ``algorithm:hex`` or None where the publisher names none.

    ``unpack_to`` is the folder, relative to the folder of the set, that takes the file or the content of the archive.
    """

    url: str
    filename: str
    checksum: str | None = None
    unpack_to: str = ""


@dataclass(frozen=True)
class Card:
    """What is known about a data set before one file of it is read.

    Attributes
    ----------
    folder : folder of the set under the data root.
    classes : class codes in label order; empty where the set has no diagnosis.
    class_names : code -> readable name.
    malignant : the codes that are 1 in the label space ``malignancy``.
    stand_ins : diagnosis that the set lacks, as `skinlib.data.cards.SELECTIONS` spells it -> the code nearest to it.
    counts : part -> class -> number of images; the part of a set without official parts is ``all``.
    official : official part (train, val, test) -> number of images, or None where there are no official parts.
    """

    name: str
    folder: str
    title: str
    source: str
    licence: str
    citation: str
    classes: tuple[str, ...] = ()
    class_names: dict[str, str] = field(default_factory=dict)
    malignant: tuple[str, ...] = ()
    stand_ins: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    official: dict[str, int] | None = None
    notes: str = ""
    archives: tuple[Archive, ...] = ()

    def expected(self, part: str) -> int | None:
        """Official number of images of a part (``all``: a set without parts), None where it is not known."""
        if self.official and part in self.official:
            return self.official[part]
        return sum(self.counts[part].values()) if part in self.counts else None
