"""What `make reproduce` remembers: small files that say which data, runs and notebooks are done; the Snakefile asks."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from skinlib.config import load_profile
from skinlib.data.readers_files import DataError
from skinlib.data.roots import data_digest, find_data
from skinlib.papers import paper_names, plan_of
from skinlib.paths import project_root, read_json, write_atomic, write_json
from skinlib.provenance import canonical_json, code_fingerprint, digest
from skinlib.workflow.catalogue import Card, check_keys, image_visits, listing, selected

MACHINERY = ("workflow", "data/download.py")  # whose change cannot change what a notebook shows


def code_of(system: str) -> str:
    """Return a digest of the code that a training run of a system passes through."""
    return digest(canonical_json(code_fingerprint(system)))[:12]


@dataclasses.dataclass(frozen=True)
class Work:
    """One profile on one data root: where its files lie and what is to be done. `Work.open` makes it."""

    given: str  # the profile's name, or its file with the whole path
    profile: dict
    results: Path
    data: Path
    generated: bool  # the data are ours to draw
    notebooks: Path
    cards: tuple[Card, ...]

    folder = property(lambda self: self.results / self.profile["name"])  # the profile's results
    state = property(lambda self: self.folder / "state")  # remembered here: which data, runs and notebooks are done
    stop_file = property(lambda self: self.state / "stop")  # there while an interrupted call ends: no run is begun
    data_stamp = property(lambda self: self.state / "data.json")  # which data; when it changes, runs are planned anew
    configs = property(lambda self: self.state / "configs")  # of planned runs, as `skinlib train` takes them
    own = property(lambda self: Path(self.given).suffix != "")  # a file of the user's
    profile_file = property(lambda self: project_root() / "profiles" / f"{self.given}{'' if self.own else '.yaml'}")
    # Paper -> name of run -> id, code, visits; without the papers whose data cannot be read.
    plan_file = property(lambda self: self.state / "plan.json")

    @classmethod
    def open(cls, profile: str, *, data: str = "", only: str = "", results: str = "", notebooks: str = "") -> Work:
        """Load the profile, find data and notebooks; "" means the default of each."""
        own = profile.endswith((".yaml", ".yml"))
        given = str(Path(profile).resolve()) if own else profile
        loaded = load_profile(given)
        if own:  # the others are what is known
            check_keys(loaded)
        top = Path(results or project_root() / "results").resolve()
        folder = Path(notebooks or project_root() / "notebooks").resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is no folder of notebooks")
        generated = not data and loaded["data"]["kind"] == "synthetic"
        cards = tuple(selected(loaded, only, folder))
        return cls(given, loaded, top, find_data(loaded, data, top), generated, folder, cards)

    @property
    def place(self) -> str:
        """The words that make another process open the same work."""
        words = ["--profile", self.given, "--results", str(self.results), "--notebooks", str(self.notebooks)]
        return shlex.join(words + ([] if self.generated else ["--data", str(self.data)]))

    def stamp_data(self) -> None:
        """Write the data stamp where it is not yet true; the file's time then changes only with the data."""
        seen = {"root": str(self.data), "digest": data_digest(self.profile) if self.generated else listing(self.data)}
        if not self.data_stamp.is_file() or read_json(self.data_stamp) != seen:
            write_json(self.data_stamp, seen)

    def papers(self, cards: Sequence[Card] | None = None) -> list[str]:
        """Return the profile's papers whose runs the notebooks need."""
        needed = {paper for card in cards or self.cards if card.needs == "plan" for paper in card.papers}
        return [paper for paper in self.profile["papers"] if paper in needed]

    def write_plan(self) -> dict[str, str]:
        """Write id and code of every run of the profile's papers; return paper -> why it was left out."""
        plans, left_out = {}, {}
        for paper in self.profile["papers"]:
            try:
                plans[paper] = self._plan(paper)
            except DataError as error:  # its data cannot be read; its notebooks will fail for that reason, alone
                left_out[paper] = " ".join(str(error).split())
        write_json(self.plan_file, plans)
        return left_out

    def _plan(self, paper: str) -> dict[str, dict]:
        from skinlib.models import system_of
        from skinlib.training.identify import check_networks, identify

        plan, real = {}, self.profile["data"]["kind"] != "reference"
        check_networks(configs := plan_of(paper, self.profile) if real else {})
        for name, config in configs.items():
            found = identify(config, data_root=self.data, results_root=self.results)
            plan[name] = {"id": found.id, "code": code_of(config.system), "visits": image_visits(config, self.profile)}
            plan[name]["parents"] = parents = sorted(found.parents.values())
            if not system_of(config).reads_images(config):  # a training of seconds: one job for all of its kind
                plan[name]["group"] = f"features_{digest(canonical_json(parents))[:8]}"
            write_atomic(self.configs / f"{found.id}.json", config.to_json())
        return plan

    def planned(self, papers: Sequence[str]) -> dict[str, dict]:
        """Return run id -> entry of the written plan, each id once."""
        plans = read_json(self.plan_file)
        return {entry["id"]: entry for paper in papers for entry in plans.get(paper, {}).values()}

    def jobs(self, papers: Sequence[str]) -> dict[Path, list[str]]:
        """Return what is trained in one process: its stamp, whose name changes with configurations and code -> run ids.

        It is a run, or those of a paper that read no image and have the same parents, or all where the profile says so.
        """
        found = {}
        for paper in papers:
            grouped = {}
            for key, entry in self.planned([paper]).items():
                job = f"{paper}_{entry['group']}" if "group" in entry else key
                grouped.setdefault(paper if self.profile.get("together") else job, {})[key] = entry["code"]
            for job, codes in grouped.items():
                code = codes.get(job) or digest(canonical_json(list(map(list, codes.items()))))[:12]
                found[self.state / "runs" / f"{job}-{code}.json"] = list(codes)
        return found

    def run_stamp(self, entry: dict) -> Path:
        """Return the file that says that a planned run is trained by today's code."""
        return self.state / "runs" / f"{entry['id']}-{entry['code']}.json"

    def stamp_run(self, run_id: str, system: str, *, planned: str) -> None:
        """Say that a run of a system is trained; a ValueError when it is not the run that was planned."""
        if run_id != planned:
            raise ValueError(f"{planned} was planned, {run_id} trained: `precision: auto` differs here; say which")
        self.stamp(self.run_stamp({"id": run_id, "code": code_of(system)}), [run_id])

    def stamp(self, file: Path, ids: Sequence[str]) -> None:
        """Say in ``file`` that runs are trained; what said so of older code goes, so that going back trains anew."""
        write_json(file, {"runs": list(ids)})
        for other in set(file.parent.glob(f"{file.stem.rpartition('-')[0]}-*.json")) - {file}:
            other.unlink(missing_ok=True)

    def notebook_stamp(self, stem: str) -> Path:
        """Return the file that says that a notebook was executed to its end."""
        return self.state / "notebooks" / f"{stem}.ok"

    def status_file(self, stem: str) -> Path:
        """Return the file in which the runner says how a notebook went."""
        return self.state / "notebooks" / f"{stem}.json"

    def code_behind(self, card: Card) -> list[str]:
        """Return the library's files that can change what a notebook shows; other papers' files cannot."""
        library, others = project_root() / "skinlib", set(paper_names()) - set(card.papers)
        left_out = [library / name for name in (*MACHINERY, *(f"papers/{paper}" for paper in others))]
        files = sorted(file for kind in ("py", "csv", "yaml") for file in library.rglob(f"*.{kind}"))
        return [str(file) for file in files if not any(file.is_relative_to(other) for other in left_out)]
