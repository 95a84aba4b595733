"""What the auxiliary task is worth: its controls and targets; and how the split decides what a number says."""

from __future__ import annotations

import pandas as pd

from skinlib.exhibits.estimates import cell
from skinlib.papers.metadata_sr.arms import SPLIT, WORDS, Tables, backbones, changes, in_common, measured, units
from skinlib.papers.metadata_sr.plan import DEFAULT, PROTOCOLS, TABLE3

# Row as in data/published -> control of the plan.
CONTROLS = {
    "the task beside concatenation": "concat_task",
    "the task without metadata": "image_task",
    "no colour constancy": "no_constancy",
    "no CLAHE": "no_clahe",
    "a decoder that redraws the input": "self",
    "the native image as target": "native",
    "adaptive convolution as large as the map": "kernel",
    "eq. 3 as printed": "eq3",
    "81 columns of the literature": "literature",
    "imputation by the most frequent answer": "frequent",
    "blanks as zeros": "zeros",
}
# What each pair of runs asks: the first less the second.
QUESTIONS = {
    "the task: with - without": ("proposed", "without"),
    "the task beside concatenation: with - without": ("concat_task", "concat"),
    "the task without metadata: with - without": ("image_task", "image"),
    "a decoder alone: redraws the input - none": ("self", "without"),
    "super-resolution beyond a decoder: enlarges - redraws": ("proposed", "self"),
    "detail beyond the input: native target - enlarged": ("native", "proposed"),
}
TASK, BEYOND = "the task: with - without", "super-resolution beyond a decoder: enlarges - redraws"
TARGETS = {"bicubic": "Bicubic", "ninasr": "NinaSR", "ninasr_here": "NinaSR, trained here", "edsr": "EDSR"}


def arms(tables: Tables) -> dict[str, pd.DataFrame]:
    """Return short name -> predictions on the first backbone: methods and controls."""
    phi = backbones(tables)[0]
    found = {name: tables.get(f"{name}/{phi}/{DEFAULT}") for name in WORDS}
    found |= {name: tables.get(f"control/{name}/{phi}") for name in CONTROLS.values()}
    return {name: table for name, table in found.items() if table is not None}


def ablation(tables: Tables, **boot) -> pd.DataFrame:
    """Change the proposed run in one thing at a time, each with its paired change; and ask what the task is worth.

    A change is the altered run less the proposed one: where a part works, the run without it is worse and the verdict
    is *harms*. The questions (`QUESTIONS`) are differences the other way round, *helps* where the first is better.
    """
    mine = arms(tables)
    rows = {"proposed": "proposed", "without the task": "without"} | CONTROLS
    rows = {row: mine[name] for row, name in rows.items() if name in mine}
    whole = units(mine["proposed"])
    few = {row: f"{_said(units(table))} of {_said(whole)}" for row, table in rows.items() if units(table) < whole}
    cells = [one for row, table in rows.items() for one in measured(row, table, note=few.get(row, ""), **boot)]
    pairs = {row: (table, mine["proposed"]) for row, table in rows.items() if row != "proposed"}
    cells += changes(pairs, notes=dict.fromkeys(pairs, "less the proposed run"), **boot)
    asked = {row: (mine[a], mine[b]) for row, (a, b) in QUESTIONS.items() if a in mine and b in mine}
    return pd.DataFrame(cells + changes(asked, **boot))


def _said(numbers: set[int]) -> str:
    """Return the splits of some units in words."""
    return "split " + ", ".join(map(str, sorted({number // SPLIT for number in numbers})))


def answer(verdicts: pd.DataFrame, metric: str = "balanced_accuracy") -> str:
    """Say by rule whether super-resolution helps.

    Parameters
    ----------
    verdicts
        `skinlib.exhibits.ladder.verdicts` of `ablation`.

    Returns
    -------
    str
        "super-resolution helps" needs two verdicts: the task helps, and it helps beyond a decoder of equal size that
        redraws the input. The first alone says "an auxiliary decoder helps".
    """
    found = {row: verdicts.loc[row, metric] for row in (TASK, BEYOND) if row in verdicts.index}
    if TASK not in found:
        return "not asked: the profile trains no run without the task"
    if found[TASK] != "helps":
        return f"{found[TASK]}: {metric} with the task against without it"
    if BEYOND not in found:
        return "the task helps; whether it is the enlargement or the decoder was not asked in this profile"
    beyond = "super-resolution helps" if found[BEYOND] == "helps" else "an auxiliary decoder helps, its target is open"
    return f"{beyond} ({metric})"


def table3(tables: Tables, **boot) -> pd.DataFrame:
    """Compare targets of super-resolution (Table 3) on the splits and seeds that all of them have."""
    phi = backbones(tables)[0]
    found = {"Bilinear": tables[f"proposed/{phi}/{DEFAULT}"]}
    found |= {TARGETS[name]: tables[key] for name in TABLE3 if (key := f"target/{name}/{phi}") in tables}
    found = dict(zip(found, in_common(*found.values()), strict=True))
    here = "teacher trained here on the training images, no published weights"
    notes = {TARGETS["ninasr_here"]: here}
    cells = [one for row, table in found.items() for one in measured(row, table, note=notes.get(row, ""), **boot)]
    pairs = {row: (table, found["Bilinear"]) for row, table in found.items() if row != "Bilinear"}
    return pd.DataFrame(cells + changes(pairs, notes=dict.fromkeys(pairs, "less Bilinear"), **boot))


def protocols(tables: Tables, mates: pd.DataFrame, **boot) -> pd.DataFrame:
    """Score methods under other splits; test images differ between them, so nothing is paired.

    Parameters
    ----------
    mates
        protocol (``image/sixth`` ...), mates, n: test images that have another image of their patient in training.
    """
    phi, cells = backbones(tables)[0], []
    for method, words in WORDS.items():
        mine = {name: tables[key] for name in PROTOCOLS if (key := f"{method}/{phi}/{name}") in tables}
        if len(mine) > 1:  # the default alone says nothing of protocols
            for name, table in zip(mine, in_common(*mine.values()), strict=True):
                cells += measured(f"{words}, {name}", table, **boot)
    for one in mates.itertuples():
        about = {"n": one.n, "dataset": one.dataset, "split": one.protocol.partition("/")[0]}
        note = f"{one.mates} of {one.n} test images have an image of their patient in training"
        cells.append(cell(one.protocol, "share_with_mates", one.mates / one.n, note=note, **about))
    return pd.DataFrame(cells)


def leakage(tables: Tables, **boot) -> pd.DataFrame:
    """Compare a leaky with a clean training part of equal size on the same test images, paired.

    Rows ``leaky`` and ``clean`` are the last method's that the plan has; the others carry their name. Without any such
    pair the frame is empty.
    """
    methods = [name.split("/")[1] for name in tables if name.startswith("leak/") and name.endswith("/leaky")]
    cells, pairs, notes = [], {}, {}
    for method in methods:
        end = "" if method == methods[-1] else f", {WORDS[method]}"
        both = {arm: tables[f"leak/{method}/{arm}"] for arm in ("leaky", "clean")}
        for arm, table in both.items():
            cells += measured(arm + end, table, note=WORDS[method], **boot)
        pairs[f"leaky - clean{end}"] = tuple(both.values())
        notes[f"leaky - clean{end}"] = WORDS[method]
    found = cells + changes(pairs, notes=notes, **boot)
    return pd.DataFrame(found, columns=None if found else ["row", "metric", "ours"])
