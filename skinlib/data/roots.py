"""Where a profile's data are: the data root, and the synthetic sets drawn there."""

import os
import tempfile
from pathlib import Path

from skinlib.data import synthetic
from skinlib.data.cards import CARDS
from skinlib.paths import Lock, project_root, read_json, write_json
from skinlib.provenance import canonical_json, digest, file_digest


def find_data(profile: dict, given: str | Path = "", results: Path | None = None) -> Path:
    """Return the data root: the one given, else the profile's synthetic one, else SKINLIB_DATA, else data/raw.

    A profile of evidence has no data; its root is the reference of the profile that it is ``of``. Where the profile's
    real data set is not there, a ``FileNotFoundError`` says how to get it.
    """
    if profile["data"]["kind"] == "reference":
        return project_root() / "results" / "reference" / profile["data"]["of"]
    if not given and profile["data"]["kind"] == "synthetic":
        return (results or project_root() / "results") / "synthetic" / profile["name"]
    root = Path(given or os.environ.get("SKINLIB_DATA") or project_root() / "data" / "raw").expanduser().resolve()
    folder = root / CARDS[profile["dataset"]].folder
    if not folder.is_dir():
        fetch = f"skinlib data get {profile['dataset']} --root {root}"
        raise FileNotFoundError(f"{folder} is not there; give the data root (DATA=<root>), or fetch it: {fetch}")
    return root


def synthesise(profile: dict, root: Path) -> Path:
    """Draw a profile's synthetic data under ``root``, unless they are there and made by the same settings and code."""
    if profile["data"]["kind"] != "synthetic":
        raise ValueError(f"profile {profile['name']} is one of real data; draw those of smoke or sample")
    wanted, root = data_digest(profile), root.resolve()  # what a link leads to is replaced, not the link
    with Lock(root.parent / f".{root.name}.lock"):
        made = root / "made_from.json"
        drawn = read_json(made) if made.is_file() else {}
        if drawn.get("digest") == wanted and all((root / name).is_file() for name in drawn.get("files", ())):
            return root
        _refuse_what_was_not_drawn(root, made)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.") as name:
            fresh, settings = Path(name, "fresh"), {k: v for k, v in profile["data"].items() if k != "kind"}
            synthetic.synthesise(fresh, **settings)
            files = {str(path.relative_to(fresh)): file_digest(path) for path in _files(fresh)} | {made.name: ""}
            write_json(fresh / made.name, {"digest": wanted, "settings": settings, "files": files})
            _refuse_what_was_not_drawn(root, made)  # drawing takes minutes, in which a file may have come
            if root.exists():
                root.rename(Path(name, "old"))
            fresh.rename(root)
    return root


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _refuse_what_was_not_drawn(root: Path, made: Path) -> None:
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is no folder; name one for the data")
    drawn = dict(read_json(made).get("files", {})) if made.is_file() else {}
    there = {str(path.relative_to(root)): path for path in _files(root)}
    if others := sorted(k for k, path in there.items() if drawn.get(k, "none") not in ("", file_digest(path))):
        raise FileExistsError(f"{root} has {len(others)} files not drawn here, first {others[0]}; name another folder")


def generator_files() -> list[Path]:
    """Return the files that say how the synthetic data are drawn."""
    here = Path(__file__).parent
    return sorted([*here.glob("synthetic*.py"), *here.glob("*.csv")])


def data_digest(profile: dict) -> str:
    """Return what decides the synthetic data: the profile's settings and the generator's code."""
    return digest(canonical_json([profile["data"], [file_digest(path) for path in generator_files()]]))[:16]
