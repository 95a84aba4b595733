"""What the metadata paper says in sentences, beside our numbers; and where its own numbers contradict each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.data.cards import CARDS, class_names
from skinlib.evaluation import tables as prediction
from skinlib.evaluation.metrics import predicted
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_over, ratio
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import cell, groups, origin
from skinlib.exhibits.multiclass import rarest
from skinlib.exhibits.published import published
from skinlib.papers.metadata_sr.arms import (
    METRICS,
    PAPER,
    WORDS,
    Tables,
    backbone,
    backbones,
    changes,
    in_common,
    measured,
    method,
    named,
    scored,
)
from skinlib.papers.metadata_sr.plan import DEFAULT, PROPOSED

ALIKE = ("BCC", "SCC")
RARE = "MEL"
STEPS = {"image": "decoding, colour constancy, CLAHE and resizing", "network": "one forward pass with its metadata"}


def claims(tables: Tables, latency: pd.DataFrame, **boot) -> pd.DataFrame:
    """Put our numbers beside the sentences of the text.

    Parameters
    ----------
    tables
        As `metadata_sr_arms.tested` returns them, the proposed method on the first backbone among them.
    latency
        As `metadata_sr_shown.latency` returns it: step, milliseconds, machine.
    """
    phi = backbones(tables)[0]
    mine = {name: tables[key] for name in WORDS if (key := f"{name}/{phi}/{DEFAULT}") in tables}
    said, proposed = f"on {backbone(phi)}", mine["proposed"]
    cells = _balanced("proposed", proposed, said, **boot)
    if "pundhir" in mine:
        cells += _balanced("Visual [14]", mine["pundhir"], f"{said}; from its description only", **boot)
    if (fifty := f"proposed/resnet50/imagenet/{DEFAULT}") in tables:
        cells += _balanced("proposed, ResNet-50", tables[fifty], "", **boot)
    pairs = {"proposed - Visual [14]": "pundhir", "super-resolution": "without"}
    pairs = {row: (proposed, mine[name]) for row, name in pairs.items() if name in mine}
    found = changes(pairs, names=["balanced_accuracy"], **boot)
    cells += [one | {"metric": "effect" if one["row"] == "super-resolution" else "balanced_accuracy"} for one in found]
    gain = next((one["ours"] for one in found if one["row"] == "proposed - Visual [14]"), np.nan)
    cells += [*melanomas(proposed, gain), _outperforms(tables)]
    cells += [*_extremes(proposed, **boot), _confusion_of(proposed, **boot)]
    return pd.DataFrame(cells + _latency(latency, origin(proposed)))


def _balanced(row: str, table: pd.DataFrame, note: str, **boot) -> list[dict]:
    return scored(row, table, ["balanced_accuracy"], note=note, **boot)


def melanomas(table: pd.DataFrame, gain: float) -> list[dict]:
    """Say what one more melanoma found is worth in balanced accuracy, in the paper's test part and in ours.

    Parameters
    ----------
    gain
        Our balanced accuracy of the proposed method less that of the best other.
    """
    classes, printed = class_names(table["dataset"].iloc[0]), _printed("claims")
    theirs = round(CARDS[PROPOSED.dataset].counts["all"][RARE] * PROPOSED.test_share)  # of 383 test images
    ours = (table["label"] == classes.index(RARE)).sum() / table["seed"].nunique()
    rows = {
        "the paper's test part": (theirs, printed["proposed"] - printed["Visual [14]"], {"n": theirs}),
        "ours": (ours, gain, {"n": round(ours)}),
    }
    about, cells = origin(table), []
    for name, (n, difference, more) in rows.items():
        worth = 1 / n / len(classes) if n else np.nan
        note = f"1 of {n:g} melanomas in one of {len(classes)} classes" if n else "no melanoma in the test part"
        cells.append(cell(f"one melanoma, {name}", "balanced_accuracy", worth, note=note, **about | more))
        note = "proposed - Visual [14], divided by the worth of one" if n else "no melanoma in the test part"
        note = note if np.isfinite(difference) else "Visual [14] was not run"
        cells.append(cell(f"gain in melanomas, {name}", "melanomas", difference / worth, note=note, **about | more))
    return cells


def _printed(exhibit: str) -> pd.Series:
    frame = published(PAPER, exhibit)
    return frame[frame["metric"] == "balanced_accuracy"].set_index("row")["published"]


def _outperforms(tables: Tables) -> dict:
    """Return the share of (backbone, other published method, metric) in which the proposed method is ahead."""
    compared, behind = 0, []
    for phi in backbones(tables):
        mine = {method(name): table for name, table in tables.items() if name.endswith(f"/{phi}/{DEFAULT}")}
        mine = {name: table for name, table in mine.items() if name}
        if "proposed" not in mine:
            continue
        for name, table in mine.items():
            if name not in ("proposed", "without"):
                ahead, other = map(_values, in_common(mine["proposed"], table))
                compared += len(METRICS)
                behind += [
                    f"{metric} of {named(WORDS[name], phi)}" for metric in METRICS if not ahead[metric] > other[metric]
                ]
    share = 1 - len(behind) / compared if compared else np.nan
    note = f"share of {compared} comparisons; not ahead in: {', '.join(behind) or 'none'}"
    return cell(
        "all backbones", "outperforms", share, note=note, **origin(next(iter(tables.values()))) | {"n": compared}
    )


def _values(table: pd.DataFrame) -> dict[str, float]:
    return {one["metric"]: one["ours"] for one in measured("", table, n_boot=2)}


def _extremes(table: pd.DataFrame, **boot) -> list[dict]:
    """Return the least specificity of all classes, and the least recall of all but SCC, each with its class."""
    classes = class_names(table["dataset"].iloc[0])
    rows = {
        "every class": ("specificity", classes),
        "every class but SCC": ("recall", [c for c in classes if c != "SCC"]),
    }
    cells = []
    for row, (metric, codes) in rows.items():
        each = [scored(row, table, [f"{metric}_of_{code}"], n_boot=2)[0]["ours"] for code in codes]
        if not np.isfinite(each).any():
            cells.append(cell(row, f"{metric}_above", np.nan, note="no class has a value", **origin(table)))
            continue
        code = codes[int(np.nanargmin(each))]
        (found,) = scored(row, table, [f"{metric}_of_{code}"], note=f"the least, of {code}", **boot)
        cells.append(found | {"metric": f"{metric}_above"})
    return cells


def confused(table: pd.DataFrame) -> Metric:
    """Return the metric "share of the errors that lie between BCC and SCC"; the mean over units."""

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        pair = [prediction.classes(rows).index(code) for code in ALIKE]
        truth, call = prediction.labels(rows), predicted(rows)
        wrong = truth != call
        return ratio(counts @ (wrong & np.isin(truth, pair) & np.isin(call, pair)), counts @ wrong)

    one = Metric("confusion", weighted)
    return mean_over(one, "seed") if table["seed"].nunique() > 1 else one


def _confusion_of(table: pd.DataFrame, *, n_boot: int, seed: int) -> dict:
    metric, note = confused(table), "share of the errors; one of six classes for another makes 15 pairs"
    try:
        value, low, high = bootstrap_ci(metric, table, groups=groups(table), n=n_boot, seed=seed, strata=rarest(table))
    except UndefinedMetricError as error:
        value, low, high, note = metric(table), np.nan, np.nan, f"no interval: {error}"
    return cell("BCC and SCC", "confusion", value, low=low, high=high, note=note, **origin(table))


def _latency(latency: pd.DataFrame, about: Mapping) -> list[dict]:
    """Return median seconds of one image, low and high the quartiles; in all and step by step."""
    wide = latency.pivot(index="repeat", columns="step", values="milliseconds") / 1000
    said, rows = latency["machine"].iloc[0], {"one image with metadata": wide.sum(axis=1)}
    rows |= {f"one image with metadata, {step}": wide[step] for step in STEPS if step in wide}
    cells = []
    for row, each in rows.items():
        note = f"median of {len(each)}, quartiles; CPU, {STEPS.get(row.rpartition(', ')[2], 'both steps')}; {said}"
        low, high = each.quantile(0.25), each.quantile(0.75)
        cells.append(cell(row, "seconds", each.median(), low=low, high=high, note=note, **about | {"n": len(each)}))
    return cells


def contradictions() -> pd.DataFrame:
    """Return what the paper says in two ways that cannot both be true, from data/published: a row a contradiction."""
    table1, table2 = (published(PAPER, name).set_index(["row", "metric"])["published"] for name in ("table1", "table2"))
    stated = published(PAPER, "settings").set_index(["row", "metric"])["published"]
    rows = []
    for (row, metric), value in table1.items():
        other, _, backbone = row.partition(", ")
        ahead = table1[f"Proposed, {backbone}", metric]
        if other != "Proposed" and value >= ahead:
            rows.append([f"best {metric} of {backbone}", "section 4: proposed", ahead, f"Table 1: {other}", value])
    classes, counts = class_names(PROPOSED.dataset), CARDS[PROPOSED.dataset].counts["all"]
    whole, share = sum(counts.values()), stated["data", "test_share"]
    for code in classes:
        tested = counts[code] * share
        near = round(table2[code, "accuracy"] * round(tested)) / round(tested)
        if abs(near - table2[code, "accuracy"]) > 0.5e-4 + 1e-9:
            rows.append([
                f"accuracy of {code}", f"Table 2, {whole} images", table2[code, "accuracy"],
                f"nearest share of {round(tested)} images ({share:.0%})", near,
            ])  # fmt: skip
    same = sum(table2[c, "recall"] == table2[c, "sensitivity"] for c in classes)
    rows.append(["metrics of Table 2 that are the recall", "Table 2: names", 1, f"equal in {same} classes", 3])
    return pd.DataFrame(rows, columns=["what", "one place", "says", "another place", "says there"])
