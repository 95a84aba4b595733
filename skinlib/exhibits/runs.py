"""The finished runs of a plan as a table: chosen by label, read as prediction tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

import pandas as pd

from skinlib.config import Planned
from skinlib.paths import read_json
from skinlib.training.runs import Run


@dataclasses.dataclass(frozen=True)
class Runs:
    """Runs of one plan in its order: ``planned`` says what they are, ``open_run`` opens one, when it is asked for."""

    planned: tuple[Planned, ...]
    open_run: Callable[[Planned], Run]

    def __len__(self) -> int:
        return len(self.planned)

    def __iter__(self) -> Iterator[Run]:
        return map(self.open_run, self.planned)

    @property
    def first(self) -> Run:
        """The first run."""
        return self.open_run(self.planned[0])

    @property
    def labels(self) -> pd.DataFrame:
        """A row a run: its labels, by its name."""
        return pd.DataFrame([dict(one.labels) for one in self.planned], index=[one.name for one in self.planned])

    def where(self, **labels) -> Runs:
        """Return the runs with these labels; of a collection of values any will do, None: the label is not there."""
        if not self.has(**labels):
            have = self.labels.reset_index(drop=True).drop_duplicates().to_string(max_rows=20)
            raise KeyError(f"no run with {labels}; the plan has\n{have}")
        return dataclasses.replace(self, planned=tuple(one for one in self.planned if _fits(one, labels)))

    def has(self, **labels) -> bool:
        """Tell whether the plan has a run with these labels."""
        return any(_fits(one, labels) for one in self.planned)

    def by(self, label: str) -> dict[object, Runs]:
        """Return value of a label -> the runs that have it, in the order of the plan."""
        values = dict.fromkeys(one.labels[label] for one in self.planned if label in one.labels)
        return {value: self.where(**{label: value}) for value in values}

    def test(self, view: str = "mean") -> pd.DataFrame:
        """Return the predictions of the test images of all these runs, of one view (mean, identity), with labels."""
        return self._rows("test", lambda run: run.predictions(view))

    def val(self, view: str = "mean") -> pd.DataFrame:
        """Return the predictions of the validation images, as `test` does."""
        return self._rows("val", lambda run: run.predictions(view))

    def outlines(self, stage: str = "raw") -> pd.DataFrame:
        """Return the mask scores of the test images, of one stage (raw, postprocessed), with labels."""
        return self._rows("test", lambda run: run.segmentation(stage))

    def _rows(self, part: str, read: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        tables = []
        for one in self.planned:
            table = read(self.open_run(one)).query("part == @part")
            tables.append(table.assign(**{name: value for name, value in one.labels.items() if name not in table}))
        return pd.concat(tables, ignore_index=True)


def _fits(one: Planned, labels: Mapping[str, object]) -> bool:
    several = lambda wanted: isinstance(wanted, Collection) and not isinstance(wanted, str)
    found = [(one.labels.get(name), wanted) for name, wanted in labels.items()]
    return all(value in wanted if several(wanted) else value == wanted for value, wanted in found)


def machine(run: Run) -> str:
    """Return in words on what a run was trained, for the note of a cost."""
    seen = read_json(run.path / "environment.json")
    where = seen["gpu"] or f"{seen['processor']}, {seen['threads']} threads"
    return f"{where}; {run.config.backbone}, {run.config.image_size[0]} px, {run.config.precision}"
