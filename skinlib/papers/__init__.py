"""One folder a paper: its model, the plan of its runs, and its exhibits."""

from __future__ import annotations

import importlib
import pkgutil

from skinlib.config import RunConfig


def paper_names() -> list[str]:
    """Return the papers there are: the folders of this package."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def plan_of(paper: str, profile: dict) -> dict[str, RunConfig]:
    """Return the runs that ``paper`` needs under ``profile``, by name.

    Raises
    ------
    ValueError
        When no plan of that name exists.
    """
    if paper not in paper_names():
        raise ValueError(f"no plan for paper {paper!r}; there are {', '.join(paper_names())}")
    return importlib.import_module(f"{__name__}.{paper}.plan").plan(profile)
