"""What there is: notebooks and what each needs, papers with a plan, and the data of a profile.

Nothing here knows which papers there are; it looks into `skinlib.papers` and at the profile.
"""

import dataclasses
import difflib
import importlib
import os
from collections.abc import Iterator
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
    needs: str  # plan: the finished runs of its papers; none
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
    if card["needs"] not in ("plan", "none"):
        raise ValueError(f"{path.name}: metadata.skinlib.needs is {card['needs']!r}; write plan or none")
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
    """Refuse a key that neither a shipped profile nor the ``RECIPE`` of a plan has; name the nearest that is known."""
    shipped = [load_profile(path) for path in sorted((project_root() / "profiles").glob("*.yaml"))]
    parts = [("", profile, {*paper_names()}.union(*shipped))]
    for paper in [name for name in paper_names() if name in profile]:
        recipe = getattr(importlib.import_module(f"skinlib.papers.{paper}.plan"), "RECIPE", ())
        peers = [each[paper] for each in shipped if paper in each]
        parts.append((f"{paper}.", profile[paper], {*recipe}.union(*peers)))
        parts += _alike(f"{paper}.", profile[paper], peers)
    for where, values, known in parts:
        if not isinstance(values, dict):
            raise ValueError(f"profile {profile['name']}: {where.removesuffix('.')} is {values!r}; give its settings")
        if known and (unknown := [str(key) for key in values if key not in known]):
            near = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"is {near[0]} meant?" if near else f"known are {', '.join(sorted(known))}"
            raise ValueError(f"profile {profile['name']}: nothing reads the key {where}{unknown[0]}; {hint}")


def _alike(where: str, values: object, peers: list[dict]) -> Iterator[tuple[str, dict, set]]:
    """Yield the mappings below that have the same keys in all shipped profiles: names of settings, and none of rows."""
    for name, value in values.items() if isinstance(values, dict) else ():
        same = [each[name] for each in peers if isinstance(each.get(name), dict) and each[name]]
        if len(same) > 1 and len(set(map(frozenset, same))) == 1:
            yield f"{where}{name}.", value, set(same[0])
        yield from _alike(f"{where}{name}.", value, same)


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
