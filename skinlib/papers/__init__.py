"""One folder a paper: its model, the plan of its runs, and its exhibits."""

import importlib
import os
import pkgutil

from skinlib.config import Planned, RunConfig


def paper_names() -> list[str]:
    """Return the papers there are: the folders of this package."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def planned(paper: str, profile: dict) -> list[Planned]:
    """Return the runs that ``paper`` needs under ``profile``; ValueError for another name, or settings without a plan.

    The environment variable ``SKINLIB_SEED`` is added to every seed, for the same work with other luck.
    """
    if paper not in paper_names():
        raise ValueError(f"no plan for paper {paper!r}; there are {', '.join(paper_names())}")
    try:
        found = importlib.import_module(f"{__name__}.{paper}.plan").plan(profile)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"the key {error} is missing or unknown" if isinstance(error, KeyError) else error
        raise ValueError(f"profile {profile['name']}: the settings of {paper} make no plan ({what})") from error
    if not (by := os.environ.get("SKINLIB_SEED") or "0").isdecimal():
        raise ValueError(f"SKINLIB_SEED is {by!r}; give a whole number, or nothing")
    return [one._replace(config=RunConfig.from_dict(_shifted(one.config.to_dict(), int(by)))) for one in found]


def _shifted(values: object, by: int) -> object:
    """Return a configuration's values with every seed moved, those of the runs that it is built on too."""
    if not isinstance(values, dict):
        return values
    return {name: value + by if name == "seed" else _shifted(value, by) for name, value in values.items()}


def plan_of(paper: str, profile: dict) -> dict[str, RunConfig]:
    """Return the runs that ``paper`` needs under ``profile``, by name."""
    return {one.name: one.config for one in planned(paper, profile)}
