"""What there is: notebooks and what each needs, papers with a plan, and the data of a profile.

Nothing here knows which papers there are; it looks into `skinlib.papers` and at the profile.
"""

import dataclasses
import difflib
import importlib
import os
from pathlib import Path

import pandas as pd

from skinlib.config import RunConfig, load_profile
from skinlib.data.cards import CARDS, kept
from skinlib.papers import paper_names
from skinlib.paths import project_root, read_json
from skinlib.provenance import canonical_json, digest

UNNUMBERED = 999  # the number of a notebook whose name has none


@dataclasses.dataclass(frozen=True)
class Card:
    """What a notebook says about itself in its metadata, under ``skinlib``."""

    path: Path
    stem: str  # the file's name without its ending
    number: int  # with which the name begins
    papers: tuple[str, ...]
    needs: str  # plan: the finished runs of its papers; exhibits: those of all other notebooks; none
    minutes: dict[str, float]  # profile -> minutes on the reference machine
    evidence: bool  # it runs whole on results/reference, without data and weights


def read_notebook(path: Path) -> dict:
    """Read a notebook; a ValueError says what it or, where it has one, its own card lack."""
    try:
        notebook = read_json(path)
    except ValueError:
        notebook = {}
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"{path.name} is no notebook of format 4; open it in JupyterLab and save it, or move it away")
    if not (card := dict(notebook.get("metadata") or {}).get("skinlib")):
        return notebook
    if absent := [key for key in ("papers", "needs", "minutes") if key not in card]:
        raise ValueError(f"{path.name}: metadata.skinlib lacks {', '.join(absent)}; add it to the notebook's metadata")
    if card["needs"] not in ("plan", "exhibits", "none"):
        raise ValueError(f"{path.name}: metadata.skinlib.needs is {card['needs']!r}; write plan, exhibits or none")
    if not path.stem.partition("_")[0].isdecimal():
        raise ValueError(f"{path.name}: the name of a notebook begins with its number")
    return notebook


def read_card(path: Path) -> Card:
    """Read a notebook's own card; one without needs nothing, and one that cannot be read fails when it is executed."""
    number = path.stem.partition("_")[0]
    try:
        card = read_notebook(path)["metadata"]["skinlib"]
        about = (tuple(map(str, card["papers"])), card["needs"], dict(card["minutes"]), card.get("evidence", False))
    except (ValueError, TypeError, KeyError, AttributeError):
        about = ((), "none", {}, False)
    return Card(path, path.stem, int(number) if number.isdecimal() else UNNUMBERED, *about)


def check_keys(profile: dict) -> None:
    """Refuse keys that no shipped profile and no ``RECIPE`` of a plan has, and values of another kind than theirs."""
    shipped = [load_profile(path) for path in sorted((project_root() / "profiles").glob("*.yaml"))]
    recipe = lambda paper: {*getattr(importlib.import_module(f"skinlib.papers.{paper}.plan"), "RECIPE", ())}

    def check(where: str, values: dict, peers: list[dict], known: set) -> None:
        for name, value in values.items():
            key = f"profile {profile['name']}: {where}{name}"
            if known and name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f"is {near[0]} meant?" if near else f"known are {', '.join(sorted(known))}"
                raise ValueError(f"{key} is a key that nothing reads; {hint}")
            theirs = [each[name] for each in peers if each.get(name) is not None]
            kinds = {_kind(one): one for one in theirs}
            if kinds and not any(kind in _kind(value) or _kind(value) in kind for kind in kinds):
                kind, example = max(kinds.items())
                raise ValueError(f"{key} is {value!r:.60}; give {kind}, as {canonical_json(example):.80}")
            if isinstance(value, dict):
                theirs = [one for one in theirs if one]
                alike = len(theirs) > 1 and len(set(map(frozenset, theirs))) == 1  # else the keys are names of rows
                below = recipe(name).union(*theirs) if name in paper_names() else {*theirs[0]} if alike else set()
                check(f"{where}{name}.", value, theirs, below)

    check("", profile, shipped, {*paper_names()}.union(*shipped))


def _kind(value: object) -> str:
    """Return what a setting is; the kind of an empty list is a part of every list's."""
    many = {list: "lists", dict: "settings"}
    if isinstance(value, list):
        return f"a list of {many.get(type(value[0]), 'values')}" if value else "a list"
    return many[dict] if isinstance(value, dict) else "one value"


def selected(profile: dict, only: str, folder: Path) -> list[Card]:
    """Return the notebooks of a profile: those of its papers and those of no paper; of evidence those that run on it.

    ``only`` names numbers ("24 43"); one that is no notebook's of the profile is a ValueError.
    """
    cards = [read_card(path) for path in sorted(folder.glob("*.ipynb")) if path.is_file()]
    fitting = [card for card in cards if not card.papers or set(card.papers) & set(profile["papers"])]
    if profile["data"]["kind"] == "reference":
        fitting = [card for card in fitting if card.evidence]
    words = str(only).replace(",", " ").split()
    if wrong := [word for word in words if not word.isdecimal() or int(word) not in {card.number for card in fitting}]:
        have = " ".join(f"{card.number:02d}" for card in fitting)
        raise ValueError(f"ONLY={wrong[0]}: profile {profile['name']} has no such notebook; it has {have or 'none'}")
    return [card for card in fitting if not words or card.number in map(int, words)]


def listing(root: Path) -> str:
    """Return a digest of a data root; a file that comes or goes or an edited table changes it, images are not read."""
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
    counted = pd.DataFrame(CARDS[config.dataset].counts).sum(axis=1)
    chosen = counted[counted.index.isin(kept(config.dataset, config.label_space))].sum()
    known = (profile["data"].get("images") or counted.sum()) * chosen / max(counted.sum(), 1)
    share = (1 - config.test_share) * ((config.folds - 1) / config.folds if config.fold is not None else 1)
    return int(config.epochs * (config.visits or known * share))
