"""What the data of the metadata paper say before any network: blanks that name the label, guesses, like lesions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.config import RunConfig
from skinlib.data import clinical, splits
from skinlib.data.cards import class_names
from skinlib.evaluation.probes import CLASSIFIERS, SEES, probe
from skinlib.exhibits.estimates import cell
from skinlib.models.imputation import hidden_errors
from skinlib.papers.metadata_sr.arms import Tables, measured, unit

PROBES = {
    "asked": "which questions were asked",
    "symptoms": "symptoms alone",
    "metadata": "metadata alone",
    "metadata_blanks": "metadata alone, blanks seen",
}
CELL = ["question", "pattern", "metric", "method"]


def by_class(cohort: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each column of a table for each diagnosis, in the card's order: columns the diagnoses."""
    shares = table.astype(float).groupby(cohort["diagnosis"]).mean().T
    return shares.reindex(columns=class_names(cohort["dataset"].iloc[0]))


def biopsied(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the share of lesions with a biopsy, by diagnosis: what ``biopsed`` would hand over as a feature."""
    return by_class(cohort, cohort[["biopsed"]])


def asked(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the share of images whose question was asked, a row a question, a column a diagnosis."""
    return by_class(cohort, clinical.asked(cohort))


def imputation_errors(cohort: pd.DataFrame, split: pd.DataFrame, config: RunConfig) -> pd.DataFrame:
    """Hide known answers of the validation rows and guess them, each method fitted on the training rows alone.

    Returns
    -------
    DataFrame
        As `skinlib.models.imputation.hidden_errors`, and ``seed``, the unit of the configuration.
    """
    train, known = (clinical.encode(splits.part(cohort, split, config.fold, part)) for part in ("train", "val"))
    found = hidden_errors(train, known, clinical.blocks(), seed=config.seed)
    return found.assign(seed=unit(config), dataset=config.dataset, split=config.split)


def imputation(errors: pd.DataFrame) -> pd.DataFrame:
    """Return the error of each question, way of hiding and method; the mean over splits, low and high their range.

    Rows are ``<question>, <pattern>``, metrics ``<metric>_<method>``.
    """
    cells = []
    for (question, pattern, metric, method), rows in errors.groupby(CELL, sort=False):
        about = {"n": int(rows["n"].sum()), "dataset": rows["dataset"].iloc[0], "split": rows["split"].iloc[0]}
        ends = {"low": rows["error"].min(), "high": rows["error"].max()} if len(rows) > 1 else {}
        note = f"hidden answers of validation rows; {len(rows)} splits, low and high their range"
        value = float(np.average(rows["error"], weights=rows["n"]))
        cells.append(cell(f"{question}, {pattern}", f"{metric}_{method}", value, note=note, **about, **ends))
    return pd.DataFrame(cells)


def won(errors: pd.DataFrame, rule: str = "frequent") -> pd.DataFrame:
    """Return for each method and way of hiding in how many questions its error is below, equal to, above a rule's."""
    mean = errors.groupby(["pattern", "question", "method"], sort=False)["error"].mean().unstack("method")
    others = [name for name in mean if name != rule]
    sign = np.sign(mean[others].sub(mean[rule], axis=0).round(9)).stack().rename("sign").reset_index()
    words = {-1.0: "better", 0.0: "equal", 1.0: "worse"}
    counts = sign.assign(sign=sign["sign"].map(words)).groupby(["pattern", "method", "sign"]).size()
    return counts.unstack("sign", fill_value=0).reindex(columns=list(words.values()), fill_value=0)


def neighbours(cohort: pd.DataFrame, features: np.ndarray) -> pd.DataFrame:
    """Find each image's likeness in its own class and in others.

    Parameters
    ----------
    cohort
        image_id, patient_id, diagnosis; a row an image.
    features
        (N, D), rows as in the cohort, such as `skinlib.across.leakage.thumbnails`; distances are root mean squares.

    Returns
    -------
    DataFrame
        image_id, patient_id, diagnosis; ``own`` the nearest image of another patient in the class, ``other`` the
        nearest of another class and patient with its ``other_diagnosis``, ``far`` the farthest in the class;
        ``d_own``, ``d_other``, ``d_far``. NaN and "" where there is none.
    """
    x = np.asarray(features, float)
    squared = (x**2).sum(1)[:, None] + (x**2).sum(1)[None] - 2 * x @ x.T
    distance = np.sqrt(np.maximum(squared, 0) / x.shape[1])
    codes, patient = (pd.factorize(cohort[name])[0] for name in ("diagnosis", "patient_id"))
    foreign, same = patient[:, None] != patient[None], codes[:, None] == codes[None]
    wanted = {"own": foreign & same, "other": foreign & ~same, "far": foreign & same}
    ids, table = cohort["image_id"].to_numpy(), cohort[["image_id", "patient_id", "diagnosis"]].reset_index(drop=True)
    for name, allowed in wanted.items():
        sign = -1 if name == "far" else 1
        ranked = np.where(allowed, sign * distance, np.inf)
        best = ranked.argmin(1)
        there = allowed.any(1)
        table[name] = np.where(there, ids[best], "")
        table[f"d_{name}"] = np.where(there, distance[np.arange(len(x)), best], np.nan)
        if name == "other":
            table["other_diagnosis"] = np.where(there, cohort["diagnosis"].to_numpy()[best], "")
    return table


def fig1(near: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Say in numbers what Fig. 1 shows in four pictures: classes look alike, and lesions of one class do not.

    Parameters
    ----------
    near
        As `neighbours` returns it.
    """
    cells = []
    for name, rows in near.groupby("diagnosis", sort=True):
        rows = rows.dropna(subset=["d_own", "d_other"])
        values = {
            "nearest_is_another_class": (rows["d_other"] < rows["d_own"]).mean(),
            "distance_nearest_other_class": rows["d_other"].median(),
            "distance_farthest_own_class": rows["d_far"].median(),
        }
        note = "images shrunk to 16 x 16; root mean square of the differences, 0 to 255; other patients only"
        about = {"n": len(rows), "dataset": dataset, "split": "none", "note": note}
        cells += [cell(name, metric, float(value), **about) for metric, value in values.items()]
    return pd.DataFrame(cells)


def alike(near: pd.DataFrame, pairs: tuple[tuple[str, str], ...] = (("BCC", "SCC"), ("ACK", "SEK"), ("NEV", "MEL"))):
    """Choose pictures by rule: the nearest two of each pair of classes, then the farthest two of the first classes.

    Returns
    -------
    DataFrame
        ``first``, ``second`` (image ids) and ``title``; pairs of which no two images are there are left out.
    """
    found = []
    for a, b in pairs:
        between = near[(near["diagnosis"].isin([a, b])) & (near["other_diagnosis"].isin([a, b]))]
        if len(between):
            one = between.sort_values(["d_other", "image_id"]).iloc[0]
            title = f"{one['diagnosis']} and {one['other_diagnosis']}: distance {one['d_other']:.0f}"
            found.append({"first": one["image_id"], "second": one["other"], "title": title})
    for a, _ in pairs:
        inside = near[(near["diagnosis"] == a) & near["d_far"].notna()]
        if len(inside):
            one = inside.sort_values(["d_far", "image_id"], ascending=[False, True]).iloc[0]
            found.append(
                {"first": one["image_id"], "second": one["far"], "title": f"both {a}: distance {one['d_far']:.0f}"}
            )
    return pd.DataFrame(found, columns=["first", "second", "title"])


def probe_tables(cohort: pd.DataFrame, split: pd.DataFrame, config: RunConfig) -> pd.DataFrame:
    """Return the test predictions of all probes on one split: ``sees``, ``kind``, the unit in ``seed``."""
    tables = []
    for sees in SEES:
        for kind in CLASSIFIERS:
            found = probe(cohort, split, sees=sees, kind=kind, fold=config.fold, seed=config.seed)
            tables.append(found[found["part"] == "test"].assign(sees=sees, kind=kind))
    return pd.concat(tables, ignore_index=True).assign(seed=unit(config), split=config.split)


def probes_by_row(kept: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return row of the exhibit -> predictions; the random forest's rows carry the published names."""
    rows = {}
    for (sees, kind), table in kept.groupby(["sees", "kind"], sort=False):
        rows[PROBES[sees] + ("" if kind == "forest" else f", {kind}")] = table.reset_index(drop=True)
    return rows


def probes(rows: Tables, networks: Mapping[str, pd.DataFrame], **boot) -> pd.DataFrame:
    """Score what metadata alone give away (`probes_by_row`), beside networks that see metadata too."""
    cells = [one for row, table in rows.items() for one in measured(row, table, note="no image, no network", **boot)]
    return pd.DataFrame(cells + [one for row, table in networks.items() for one in measured(row, table, **boot)])
