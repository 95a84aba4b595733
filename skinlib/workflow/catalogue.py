"""What there is: notebooks and what each needs, papers with a plan, and the data of a profile.

Nothing here knows which papers there are; it looks into `skinlib.papers` and at the profile.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import os
from pathlib import Path

from skinlib.config import RunConfig, load_profile
from skinlib.papers import paper_names
from skinlib.paths import project_root
from skinlib.provenance import canonical_json, digest


@dataclasses.dataclass(frozen=True)
class Card:
    """What a notebook says about itself in its metadata, under ``skinlib``."""

    path: Path
    papers: tuple[str, ...]
    needs: str  # plan: the finished runs of its papers; none
    minutes: dict[str, float]  # profile -> minutes on the reference machine
    evidence: bool = False  # it runs whole on results/reference, without data and weights

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def number(self) -> int:
        """The number its name begins with."""
        return int(self.stem.partition("_")[0])


def read_card(path: Path) -> Card:
    """Read a notebook's own card.

    Raises
    ------
    ValueError
        When the name does not begin with a number, or the metadata lack ``skinlib`` or one of its keys.
    """
    card = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("skinlib", {})
    if absent := [key for key in ("papers", "needs", "minutes") if key not in card]:
        raise ValueError(f"{path.name}: metadata.skinlib lacks {', '.join(absent)}; add it to the notebook's metadata")
    if card["needs"] not in ("plan", "none"):
        raise ValueError(f"{path.name}: metadata.skinlib.needs is {card['needs']!r}; write plan or none")
    if not path.stem.partition("_")[0].isdigit():
        raise ValueError(f"{path.name}: the name of a notebook begins with its number")
    return Card(path, tuple(card["papers"]), card["needs"], dict(card["minutes"]), card.get("evidence", False))


def check_keys(profile: dict) -> None:
    """Refuse a key that nothing reads, at the top of a profile or of a paper's mapping.

    Read is what the shipped profiles have, and what a plan takes beside that (its ``RECIPE``).

    Raises
    ------
    ValueError
        Naming the key, and the known one that is nearest to it.
    """
    shipped = [load_profile(path) for path in sorted((project_root() / "profiles").glob("*.yaml"))]
    parts = [("", profile, {*paper_names()}.union(*shipped))]
    for paper in [name for name in paper_names() if name in profile]:
        recipe = getattr(importlib.import_module(f"skinlib.papers.{paper}.plan"), "RECIPE", ())
        parts.append((f"{paper}.", profile[paper], {*recipe}.union(*(each.get(paper, ()) for each in shipped))))
    for where, values, known in parts:
        if known and (unknown := [str(key) for key in values if key not in known]):
            near = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"is {near[0]} meant?" if near else f"known are {', '.join(sorted(known))}"
            raise ValueError(f"profile {profile['name']}: nothing reads the key {where}{unknown[0]}; {hint}")


def selected(profile: dict, only: str, folder: Path) -> list[Card]:
    """Return the notebooks of a profile: those of its papers and those of no paper; ``only`` names numbers ("24 43").

    A profile of evidence has those notebooks alone that say that they run on it.

    Raises
    ------
    ValueError
        When a number is no notebook's, or its papers are not in the profile.
    """
    cards = [read_card(path) for path in sorted(folder.glob("*.ipynb"))]
    fitting = [card for card in cards if not card.papers or set(card.papers) & set(profile["papers"])]
    if profile["data"]["kind"] == "reference":
        fitting = [card for card in fitting if card.evidence]
    words = str(only).replace(",", " ").split()
    if unknown := [word for word in words if not word.isdigit() or int(word) not in {card.number for card in fitting}]:
        have = " ".join(f"{card.number:02d}" for card in fitting)
        raise ValueError(f"ONLY={unknown[0]}: profile {profile['name']} has no such notebook; it has {have or 'none'}")
    return [card for card in fitting if not words or card.number in map(int, words)]


def listing(root: Path) -> str:
    """Return a digest of a data root; a file that comes or goes or an edited table changes it, images are not read.

    Linked folders belong to it.
    """
    seen, walked = [], set()
    for folder, below, names in os.walk(root, followlinks=True):
        below.sort()  # of two links to one folder it is always the same that counts
        real = os.path.realpath(folder)
        if real in walked:  # a link to a folder above would have no end
            below.clear()
            continue
        walked.add(real)
        tables = [Path(folder, name).stat() for name in sorted(names) if name.endswith((".csv", ".txt", ".json"))]
        about = [os.path.relpath(folder, root), len(names), Path(folder).stat().st_mtime_ns]
        seen.append([*about, *([table.st_size, table.st_mtime_ns] for table in tables)])
    return digest(canonical_json(seen))


def image_visits(config: RunConfig, profile: dict) -> int:
    """Return about how many images a run reads, all epochs together."""
    from skinlib.data.cards import CARDS, kept

    counted = [(code, n) for part in CARDS[config.dataset].counts.values() for code, n in part.items()]
    whole = sum(n for _, n in counted)
    chosen = sum(n for code, n in counted if code in kept(config.dataset, config.label_space))
    known = (profile["data"].get("images") or whole) * chosen / max(whole, 1)
    share = (1 - config.test_share) * ((config.folds - 1) / config.folds if config.fold is not None else 1)
    return int(config.epochs * (config.visits or known * share))
