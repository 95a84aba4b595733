"""What two configurations of a plan differ in."""

import dataclasses

from skinlib.config import RunConfig


def difference(a: RunConfig, b: RunConfig) -> set[str]:
    return {f.name for f in dataclasses.fields(RunConfig) if getattr(a, f.name) != getattr(b, f.name)}
