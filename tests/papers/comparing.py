"""What two configurations of a plan differ in, what every plan promises, and what a paper prints."""

import copy
import dataclasses

from skinlib.config import RunConfig
from skinlib.exhibits.published import published


def printed(paper: str, exhibit: str) -> dict[tuple[str, str], float]:
    frame = published(paper, exhibit)
    return dict(zip(zip(frame["row"], frame["metric"], strict=True), frame["published"], strict=True))


def value(frame, row: str, metric: str, column: str = "ours"):
    """Return one cell of a long table."""
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def configs(plan, profile: dict) -> dict[str, RunConfig]:
    return {one.name: one.config for one in plan(profile)}


def difference(a: RunConfig, b: RunConfig) -> set[str]:
    return {f.name for f in dataclasses.fields(RunConfig) if getattr(a, f.name) != getattr(b, f.name)}


def assert_pure(plan, profile: dict) -> None:
    """A plan leaves its profile alone and says the same twice; each run has one name, which ends with its seed where it
    has one, and labels of its own; JSON gives each back.
    """
    before, first = copy.deepcopy(profile), plan(profile)
    assert profile == before and first == plan(copy.deepcopy(profile))
    assert len({one.name for one in first}) == len({one.config.to_json() for one in first}) == len(first)
    assert len({tuple(sorted(one.labels.items())) for one in first}) == len(first)
    ends = [one.name.rpartition("/")[2] for one in first]
    assert all(end == f"seed{one.config.seed}" for one, end in zip(first, ends, strict=True) if "seed" in end)
    assert all(RunConfig.from_json(one.config.to_json()) == one.config for one in first)
