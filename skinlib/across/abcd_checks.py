"""Are the ABCD measures right? Beside the truth of drawn lesions, at several resolutions, and beside marked streaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from skinlib.data.synthetic_draw import Look, draw
from skinlib.evaluation.metrics import binary
from skinlib.evaluation.resampled import UndefinedMetricError
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import cell
from skinlib.images import abcd
from skinlib.images.skin_tone import read_pair

SIZES = (128, 256, 512)  # pixels of the longer side
TRUTHS = {"asymmetry": "asymmetry", "border": "border", "solidity": "border", "colours": "n_colours"}
BORDER = "streaks"  # the marked structure that speaks of the border
ALLOWED = 0.05  # relative change over the sizes


def measures_table(table: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Return how the measures are spread: median and quartiles of all lesions, the median of each diagnosis.

    Parameters
    ----------
    table
        `skinlib.images.abcd.abcd_table` of a cohort, with ``diagnosis``.
    """
    cells = [
        cell("images", "n", float(len(table)), dataset=dataset),
        cell("images", "no_mask", float(table["note"].isin(["no mask", "empty mask"]).sum()), dataset=dataset),
        cell("images", "cut_off", float((table["note"] == "cut off").sum()), dataset=dataset),
    ]
    for name in abcd.MEASURES:
        values = table[name].dropna()
        if values.empty:
            cells.append(cell(name, "median", np.nan, n=0, dataset=dataset, note="no lesion could be measured"))
            continue
        low, middle, high = values.quantile([0.25, 0.5, 0.75])
        note = "low and high are the quartiles"
        cells.append(cell(name, "median", middle, low=low, high=high, n=len(values), dataset=dataset, note=note))
        for code, own in table.dropna(subset=[name]).groupby("diagnosis")[name]:
            cells.append(cell(name, f"median_of_{code}", own.median(), n=len(own), dataset=dataset))
    return pd.DataFrame(cells)


def extremes(table: pd.DataFrame, names: Sequence[str] = abcd.MEASURES, *, each: int = 3) -> pd.DataFrame:
    """Return the lesions of lowest and highest measure: columns measure, place, image_id, value; ties go by id."""
    parts = []
    for name in names:
        rows = table.dropna(subset=[name]).sort_values([name, "image_id"])
        for place, chosen in (("lowest", rows.head(each)), ("highest", rows.tail(each).iloc[::-1])):
            found = chosen[["image_id", name]].rename(columns={name: "value"})
            parts.append(found.assign(measure=name, place=place))
    columns = ["measure", "place", "image_id", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def with_truth(table: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Join measures with what was drawn: columns ``true_<name>``; ``n_colours`` counts a veil and a white centre too.

    Parameters
    ----------
    truth
        As `skinlib.data.synthetic.synthesise` writes it, of the same data set.
    """
    counted = truth["colors"].str.split().str.len() + truth["veil"].astype(int) + truth["white_centre"].astype(int)
    drawn = truth.assign(n_colours=counted)[["image_id", *dict.fromkeys(TRUTHS.values())]]
    return table.merge(drawn.rename(columns=lambda name: name if name == "image_id" else f"true_{name}"), on="image_id")


def truth_table(kept: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Correlate the ranks of each measure with the drawn truth that it should follow (solidity falls as it rises).

    Intervals are Fisher's, with the variance of Bonett and Wright (2000) for ranks; views of a lesion share its look,
    so they are a little too narrow.
    """
    cells = []
    for name, true in TRUTHS.items():
        rows = kept.dropna(subset=[name, f"true_{true}"])
        if len(rows) < 10:
            cells.append(cell(name, "rank_correlation", np.nan, n=len(rows), dataset=dataset, note="too few lesions"))
            continue
        r = float(stats.spearmanr(rows[name], rows[f"true_{true}"])[0])
        half = 1.96 * np.sqrt((1 + r**2 / 2) / (len(rows) - 3))
        low, high = np.tanh(np.arctanh(np.clip(r, -0.9999, 0.9999)) + np.array([-half, half]))
        note = f"with the drawn {true.removeprefix('n_')}"
        cells.append(cell(name, "rank_correlation", r, low=low, high=high, n=len(rows), dataset=dataset, note=note))
    return pd.DataFrame(cells)


def redrawn(truth: pd.DataFrame, sizes: Sequence[int] = SIZES) -> Iterator[dict]:
    """Draw the looks of a truth table once, at the largest size, and measure them at every size, shrunk from there."""
    for row in truth.itertuples():
        values = {field.name: getattr(row, field.name) for field in fields(Look)}
        drawing = draw(Look(**values | {"colors": tuple(str(row.colors).split())}), (max(sizes), max(sizes)))
        yield from _at(row.image_id, drawing.image, drawing.mask, sizes)


def shrunk(cohort: pd.DataFrame, sizes: Sequence[int] = SIZES) -> Iterator[dict]:
    """Measure images with a mask at every size that they are at least as large as."""
    for row in cohort.itertuples(index=False):
        image, mask = read_pair(row)
        if mask is not None and mask.any():
            yield from _at(row.image_id, image, mask, [size for size in sizes if size <= max(mask.shape)])


def _at(name: str, image: np.ndarray, mask: np.ndarray, sizes: Sequence[int]) -> Iterator[dict]:
    for size in sizes:
        wide = tuple(max(1, round(side * size / max(mask.shape))) for side in mask.shape[::-1])
        small = np.asarray(Image.fromarray(image).resize(wide, Image.Resampling.BOX))
        inside = np.asarray(Image.fromarray(mask).resize(wide, Image.Resampling.NEAREST))
        if inside.any():
            yield {"image_id": name, "size": size} | abcd.measure(small, inside)


def resolution_table(kept: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Say how far each measure moves from the largest size to each smaller one.

    Parameters
    ----------
    kept
        image_id, size and the measures: a row a lesion and size.

    Returns
    -------
    DataFrame
        Rows the measures; ``change_<size>``, the median relative change with the ninth decile as high;
        ``within_5_percent_<size>``, the share of lesions that move by less; and ``unchanged_<size>``, the share that
        moves by less than 5 % of its own value or, where that is the larger, of the median lesion's: of a lesion that
        is all but symmetric a twentieth of the measure is a few pixels of its area.
    """
    cells, largest = [], int(kept["size"].max())
    for name in abcd.MEASURES:
        wide = kept.pivot(index="image_id", columns="size", values=name)
        for size in [one for one in wide if one != largest]:
            change = (wide[size] / wide[largest] - 1).abs().replace(np.inf, np.nan).dropna()
            about = {"n": len(change), "dataset": dataset, "note": f"against {largest} pixels"}
            cells.append(
                cell(name, f"change_{size}", change.median(), low=change.min(), high=change.quantile(0.9), **about)
            )
            cells.append(cell(name, f"within_5_percent_{size}", float((change < ALLOWED).mean()), **about))
            both = wide[[size, largest]].dropna()
            cells.append(cell(name, f"unchanged_{size}", float(unchanged(both[size], both[largest]).mean()), **about))
    return pd.DataFrame(cells)


def unchanged(values: pd.Series, reference: pd.Series) -> pd.Series:
    """Return (N,) bool: within `ALLOWED` of the lesion's own reference or, where that is small, of the median one."""
    size = reference.abs()
    return (values - reference).abs() <= ALLOWED * size.clip(lower=size.median())


def marked(cohort: pd.DataFrame, most: int, *, whole: str = BORDER) -> pd.DataFrame:
    """Measure lesions whose structures were marked (ISIC 2018 Task 2): some at even steps of their ids, and every case.

    Parameters
    ----------
    most
        Of the lesions at even steps.
    whole
        The structure of which every lesion is measured: of a rare one a sample would hold a handful.

    Returns
    -------
    DataFrame
        The measures, for each structure whether its mask has a pixel (0 or 1), and ``sampled``: 1 at even steps, 0 of
        a lesion that is there for the structure ``whole`` alone.
    """
    columns = [name for name in cohort if name.startswith("attribute_")]
    rows = cohort.dropna(subset=["mask_path", *columns]).sort_values("image_id") if columns else cohort.head(0)
    rows = rows[rows[columns].apply(lambda paths: all(Path(path).is_file() for path in paths), axis=1).astype(bool)]
    if rows.empty:
        return pd.DataFrame()
    sampled = np.arange(len(rows)) % max(1, -(-len(rows) // most)) == 0
    case = np.array([_marked(path) for path in rows[f"attribute_{whole}"]], bool)
    rows = rows.assign(sampled=sampled.astype(int))[sampled | case]
    found = {name.removeprefix("attribute_"): [_marked(path) for path in rows[name]] for name in columns}
    return abcd.abcd_table(rows).assign(**found, sampled=rows["sampled"].to_numpy())


def _marked(path: str) -> int:
    with Image.open(path) as mask:
        return int(mask.getbbox() is not None)  # the box around all pixels that are not 0


def marked_table(
    kept: pd.DataFrame, *, dataset: str, whole: str = BORDER, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Say how well each measure tells lesions with a marked structure from those without: AUC, 0.5 is chance.

    Streaks are irregular extensions at the border, so ``border`` and streaks speak of the same thing; no other pair
    does, and the table shows the others for comparison. Every lesion with streaks is compared with those of the sample
    that have none, which leaves the AUC what it is in all; the other structures are compared in the sample alone.

    Parameters
    ----------
    kept
        As `marked` returns it.
    """
    cells = []
    structures = [name for name in kept if name not in ("image_id", *abcd.MEASURES, "cut", "note", "sampled")]
    for structure in structures:
        drawn = kept if structure == whole else kept[kept["sampled"] == 1]
        for name in abcd.MEASURES:
            rows = drawn.dropna(subset=[name]).reset_index(drop=True)
            score = rows[name].rank(pct=True) if len(rows) else rows[name]
            table = pd.DataFrame({"label": rows[structure], "p_benign": 1 - score, "p_malignant": score})
            about = {"n": len(rows), "dataset": dataset, "note": f"{int(rows[structure].sum())} lesions have it"}
            try:
                value, low, high = bootstrap_ci(binary("roc_auc"), table, n=n_boot, seed=seed)
                cells.append(cell(f"{structure}, by {name}", "roc_auc", value, low=low, high=high, **about))
            except UndefinedMetricError as error:
                about["note"] += f"; {error}"
                cells.append(cell(f"{structure}, by {name}", "roc_auc", np.nan, **about))
    return pd.DataFrame(cells)
