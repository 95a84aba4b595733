"""PH2, the external set of the multi-task paper: its images where they are at hand, scored by finished runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlib.data import readers
from skinlib.data.cards import CARDS, relabel
from skinlib.exhibits.arms import rounded
from skinlib.exhibits.estimates import Arm
from skinlib.papers.joint_reverse_mtl.arms import CALLED, Row
from skinlib.training.predict import predict
from skinlib.training.segment import segment, trained_on_masks

EXTERNAL = "ph2"


def external_set(root: str | Path) -> tuple[pd.DataFrame | None, str]:
    """Return PH2 with labels 0 benign and 1 malignant, or None; and a sentence that says which."""
    card = CARDS[EXTERNAL]
    if not (Path(root) / card.folder).is_dir():
        return None, f"not run: {card.title} is not under the data root ({card.folder}/); put it there and run again"
    cohort = relabel(readers.read(EXTERNAL, root, allow_missing=True), "malignancy")
    return cohort, f"{card.title}: {len(cohort)} images, {int(cohort['label'].sum())} melanomas"


def external_tables(rows: Mapping[str, Row], cohort: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Apply networks to the external set.

    Parameters
    ----------
    rows
        Name -> network, whose runs are applied, every seed.

    Returns
    -------
    tuple
        Predictions and raw mask scores, each with a column ``row``; and row -> image id -> (H, W) bool, the masks of
        its first seed.
    """
    diagnoses, outlines, masks = [], [], {}
    for name, row in rows.items():
        for run in row.runs:
            if row.diagnosis is not None:
                diagnoses.append(rounded(predict(run, cohort)).assign(row=name))
            if trained_on_masks(run.config):
                scores, found = segment(run, cohort)
                outlines.append(scores[scores["stage"] == "raw"].assign(row=name))
                masks.setdefault(name, found)
    return pd.concat(diagnoses, ignore_index=True), pd.concat(outlines, ignore_index=True), masks


def external_rows(diagnoses: pd.DataFrame, outlines: pd.DataFrame, config) -> dict[str, Row]:
    """Return row -> network on the external set, from the tables of `external_tables` or the evidence of them."""
    about = {"dataset": EXTERNAL, "split": "external"}
    note = f"trained on {config.dataset} alone"

    def arm(table: pd.DataFrame, name: str) -> Arm | None:
        mine = table[table["row"] == name]
        return Arm(mine.drop(columns="row").assign(**about), CALLED, note) if len(mine) else None

    found = list(dict.fromkeys([*diagnoses["row"], *outlines["row"]]))
    return {name: Row(arm(diagnoses, name), arm(outlines, name)) for name in found}
