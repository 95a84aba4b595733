"""What a published profile knows of a paper without an image: the base of what each paper's exhibits ask."""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar

from skinlib.config import load_profile
from skinlib.papers import plan_of
from skinlib.workflow import reference

BOOT = {"n_boot": 200, "seed": 0}  # the values must agree to the last printed digit, the intervals nearly


def in_order(folder, paper):
    """The runs in the order of the plan, as notebooks meet them; the file that names them has the alphabet's."""
    found = reference.open_evidence(folder, paper)
    return {name: found[name] for name in plan_of(paper, load_profile(folder.name)) if name in found}


@dataclasses.dataclass(frozen=True)
class Published:
    """The runs and the kept tables of ``paper`` in ``results/reference/<profile>``."""

    folder: Path
    paper: ClassVar[str]

    @functools.cached_property
    def runs(self):
        return in_order(self.folder, self.paper)

    @property
    def where(self):
        return {"dataset": self.config.dataset, "split": self.config.split}

    def kept(self, name):
        return reference.kept_table(self.folder, self.paper, name)
