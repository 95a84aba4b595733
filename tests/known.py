"""What a published profile knows of a paper without an image: the base of what each paper's exhibits ask."""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar

from skinlib.reporting import reference

BOOT = {"n_boot": 200, "seed": 0}  # the values must agree to the last printed digit, the intervals nearly


@dataclasses.dataclass(frozen=True)
class Published:
    """The runs and the kept tables of ``paper`` in ``results/reference/<profile>``."""

    folder: Path
    paper: ClassVar[str]

    @functools.cached_property
    def runs(self):
        return reference.open_evidence(self.folder, self.paper)

    @property
    def where(self):
        return {"dataset": self.config.dataset, "split": self.config.split}

    def kept(self, name):
        return reference.kept_table(self.folder, self.paper, name)
