"""One folder a paper: its model, the plan of its runs, and its exhibits."""

from __future__ import annotations

import importlib
import pkgutil

from skinlib.config import RunConfig
from skinlib.exhibits.runs import Planned


def paper_names() -> list[str]:
    """Return the papers there are: the folders of this package."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def planned(paper: str, profile: dict) -> list[Planned]:
    """Return the runs that ``paper`` needs under ``profile``, by its ``plan(profile)``.

    Raises
    ------
    ValueError
        When no paper of that name exists.
    """
    if paper not in paper_names():
        raise ValueError(f"no plan for paper {paper!r}; there are {', '.join(paper_names())}")
    return importlib.import_module(f"{__name__}.{paper}.plan").plan(profile)


def plan_of(paper: str, profile: dict) -> dict[str, RunConfig]:
    """Return the runs that ``paper`` needs under ``profile``, by name."""
    return {one.name: one.config for one in planned(paper, profile)}
