"""Exhibits as tables: ours joined with the published numbers, written with a record of what made them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd

from skinlib.exhibits.published import CORRECTED, KEY, published
from skinlib.paths import write_atomic, write_json
from skinlib.provenance import git_commit

TESTED = ["p", "p_adjusted", "family", "verdict", "units"]
OURS = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "note", *TESTED]
COLUMNS = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note", *TESTED]
NUMBERS = ["ours", "low", "high", "n", "published", "p", "p_adjusted", "units"]
KINDS = ("trained", "data")


def exhibit(ours: pd.DataFrame, *, paper: str, exhibit: str, missing: str | None = None) -> pd.DataFrame:
    """Put our numbers beside the published ones; no published cell is dropped.

    Parameters
    ----------
    ours
        Long table with row, metric, ours and, where they exist, low, high, n, dataset, split, note.
    missing
        Reason written into every cell that has no number of ours and no note ("not run: no weights").

    Returns
    -------
    DataFrame
        `COLUMNS`, and `CORRECTED` where the published file has it: the published cells in the paper's order, then ours
        alone in the order given.

    Raises
    ------
    ValueError
        When a cell of ours is given twice, a column is unknown, or a cell has no number of ours and no reason.
    """
    _check(ours, exhibit)
    theirs = published(paper, exhibit).drop(columns="source").rename(columns={"note": "theirs"})
    ours = ours.reindex(columns=OURS)
    keys = pd.concat([theirs[KEY], ours[KEY]]).drop_duplicates()
    frame = keys.merge(ours, on=KEY, how="left").merge(theirs, on=KEY, how="left")
    frame[NUMBERS] = frame[NUMBERS].astype(float)
    note = frame["note"].astype(object).where(frame["note"].notna(), "").astype(str)
    silent = frame["ours"].isna() & (note == "")
    if silent.any() and not missing:
        first = frame[silent].iloc[0]
        raise ValueError(
            f"{paper}/{exhibit}: row {first['row']!r}, metric {first['metric']!r} ({int(silent.sum())} such) has no "
            "number of ours and no reason in its note; give one, or pass missing='not run: ...'"
        )
    note = note.where(~silent, missing or "")
    printed = frame["theirs"].astype(object).where(frame["theirs"].notna(), "").astype(str)
    joined = ["; ".join(filter(None, [a, f"paper: {b}" if b else ""])) for a, b in zip(note, printed, strict=True)]
    columns = [*COLUMNS, CORRECTED] if CORRECTED in frame else COLUMNS
    return frame.assign(note=joined)[columns].reset_index(drop=True)


def _check(ours: pd.DataFrame, exhibit: str) -> None:
    if absent := [name for name in (*KEY, "ours") if name not in ours]:
        raise ValueError(f"{exhibit}: our table has no column {', '.join(absent)}")
    if unknown := [name for name in ours if name not in OURS]:
        raise ValueError(
            f"{exhibit}: our table has unknown columns {', '.join(map(str, unknown))}; it may have {', '.join(OURS)}"
        )
    if len(twice := ours[ours.duplicated(KEY)]):
        raise ValueError(
            f"{exhibit}: row {twice['row'].iloc[0]!r}, metric {twice['metric'].iloc[0]!r} is given twice by us"
        )


def target(study, *, paper: str, exhibit: str) -> Path:
    """Return the path of an exhibit without its ending: results, profile, paper, name; another data set is named."""
    default = study.profile["dataset"]
    name = exhibit if study.dataset == default else f"{exhibit}-{study.dataset}"
    return Path(study.results_root) / study.name / paper / name


def record(study, *, paper: str, exhibit: str, kind: str, runs: Sequence, notebook: str) -> dict:
    """Return what made an exhibit, for the file beside it."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    return {
        "paper": paper,
        "exhibit": exhibit,
        "notebook": notebook,
        "commit": git_commit(),
        "profile": study.name,
        "dataset": "+".join(sorted({run.config.dataset for run in runs})) or study.dataset,
        "kind": kind,
        "synthetic": bool(study.synthetic),
        "runs": [run.id for run in runs],
        "seeds": sorted({run.config.seed for run in runs}) if len(runs) else [int(study.seed)],
        "epochs": [run.metrics["epochs"] for run in runs],
        "image_visits": sum(run.metrics["images"] for run in runs),
        "stale": "older code" if any(run.stale for run in runs) else None,
    }


def write(
    frame: pd.DataFrame,
    *,
    paper: str,
    exhibit: str,
    study,
    kind: str = "trained",
    runs: Sequence = (),
    notebook: str = "",
) -> Path:
    """Write an exhibit as CSV, and beside it a JSON that says what made it.

    Parameters
    ----------
    frame
        What `exhibit` returned.
    study
        Has name (of the profile), profile, results_root, dataset, synthetic and seed.
    kind
        ``trained`` when the numbers depend on a trained model, ``data`` when they follow from the data alone.
    runs
        The runs behind the numbers, each with id, config, metrics and stale.

    Returns
    -------
    Path
        ``<results_root>/<profile>/<paper>/<exhibit>[-<dataset>].csv``

    Raises
    ------
    ValueError
        When the frame lacks a column of an exhibit: use `exhibit` first.
    """
    if [name for name in frame if name != CORRECTED] != COLUMNS:
        raise ValueError(
            f"{paper}/{exhibit} has columns {', '.join(frame.columns)}; an exhibit has {', '.join(COLUMNS)}"
        )
    path = target(study, paper=paper, exhibit=exhibit)
    made_by = record(study, paper=paper, exhibit=exhibit, kind=kind, runs=list(runs), notebook=notebook)
    write_json(path.with_name(f"{path.name}.json"), made_by)
    return write_atomic(path.with_name(f"{path.name}.csv"), frame.to_csv(index=False, float_format="%.6g"))


def write_picture(data: bytes, ending: str, *, paper: str, exhibit: str, study, **made) -> Path:
    """Write an exhibit's picture; it shares its record with the table. Arguments as in `write`."""
    path = target(study, paper=paper, exhibit=exhibit)
    write_json(path.with_name(f"{path.name}.json"), record(study, paper=paper, exhibit=exhibit, **made))
    return write_atomic(path.with_name(f"{path.name}{ending}"), data)


def select(frame: pd.DataFrame, metrics: Sequence[str], *, rows: Sequence[str] | None = None) -> pd.DataFrame:
    """Return some cells of an exhibit, for the figure that draws them (``fig3`` is cut from ``table1``)."""
    kept = frame["metric"].isin(list(metrics)) & (True if rows is None else frame["row"].isin(list(rows)))
    return frame[kept].reset_index(drop=True)


def show(frame: pd.DataFrame, *, digits: int = 3, wide: bool = False) -> pd.io.formats.style.Styler:
    """Return an exhibit for the eye: rounded, ours with its interval, the published number beside it.

    Parameters
    ----------
    digits
        Decimals of shares; counts stay whole numbers.
    wide
        A row of the exhibit a line, with its metrics side by side, instead of a cell a line.
    """
    whole = (
        frame.groupby("metric")[["ours", "low", "high", "published"]]
        .transform(lambda x: bool((x.dropna() % 1 == 0).all()))
        .all(axis=1)
    )
    places = [0 if counted else digits for counted in whole]
    cells = frame.assign(
        ours=[_interval(*values) for values in zip(frame["ours"], frame["low"], frame["high"], places, strict=True)],
        published=[_number(value, d) for value, d in zip(frame["published"], places, strict=True)],
        n=[_number(value, 0) for value in frame["n"]],
    )
    if not wide:
        shown = cells[["row", "metric", "ours", "published", "n", "note"]]
        return shown.rename(columns={"ours": "ours [low, high]"}).style.hide(axis="index")
    rows, metrics = frame["row"].drop_duplicates(), frame["metric"].drop_duplicates()
    table = cells.pivot(index="row", columns="metric", values=["ours", "published"]).swaplevel(axis=1)
    empty = table.columns[(table.fillna("") == "").all()]
    columns = [(metric, side) for metric in metrics for side in ("ours", "published") if (metric, side) not in empty]
    return table.loc[list(rows), columns].fillna("").rename_axis(index=None, columns=(None, None)).style


def _number(value: float, digits: int) -> str:
    if pd.isna(value):
        return ""
    places = Decimal(1).scaleb(-digits if abs(value) < 100 else 0)
    return f"{Decimal(repr(float(value))).quantize(places, ROUND_HALF_UP):,}"  # 0.8785 to 0.879, as the papers round


def _interval(value: float, low: float, high: float, digits: int) -> str:
    text = _number(value, digits)
    return text if pd.isna(low) or not text else f"{text} [{_number(low, digits)}, {_number(high, digits)}]"
