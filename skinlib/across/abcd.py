"""Are the ABCD measures right? Against drawn lesions, at several resolutions, and against marked streaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from skinlib.data.synthetic_draw import Look, draw
from skinlib.figures.style import COLOURS, new, style
from skinlib.images import abcd
from skinlib.images.skin_tone import read_pair

SIZES = (128, 256, 512)  # pixels of the longer side
TRUTHS = {"asymmetry": "asymmetry", "border": "border", "solidity": "border", "colours": "n_colours"}
BORDER = "streaks"  # the marked structure that speaks of the border
ALLOWED = 0.05  # relative change over the sizes


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


def truth_plane(kept: pd.DataFrame, *, title: str = "Measured and drawn") -> Figure:
    """Draw each measure against the drawn truth that it should follow: a dot a lesion view."""
    with style():
        figure, axes = new(1, len(TRUTHS), height=2.4)
        for axis, colour, (name, true) in zip(axes, COLOURS, TRUTHS.items(), strict=False):
            x, shift = kept[f"true_{true}"], np.linspace(-0.2, 0.2, len(kept)) * (true == "n_colours")
            axis.plot(x + shift, kept[name], ".", markersize=2, color=colour)
            axis.set(xlabel=f"drawn {true.removeprefix('n_')}", ylabel=f"measured {name}")
        figure.suptitle(title, fontsize=10)
    return figure


def measure_changes(sizes: pd.DataFrame, *, title: str = "The same lesions at several sizes") -> Figure:
    """Draw each measure at each size over that at the largest: a line a lesion, grey where it moves by up to 5 %."""
    with style():
        figure, axes = new(1, len(abcd.MEASURES), height=2.4, sharey=True)
        for axis, colour, name in zip(axes, COLOURS, abcd.MEASURES, strict=False):
            wide = sizes.pivot(index="image_id", columns="size", values=name)
            ratio = wide.div(wide[wide.columns.max()], axis=0)
            axis.axhspan(1 - ALLOWED, 1 + ALLOWED, color="0.9")
            axis.plot(range(len(ratio.columns)), ratio.T, "-", color=colour, linewidth=0.6, alpha=0.6)
            axis.set_xticks(range(len(ratio.columns)), ratio.columns)
            axis.set(title=name.replace("_", " "), xlabel="pixels")
        axes[0].set_ylim(0.7, 1.3)
        axes[0].set_ylabel("over the largest size")
        figure.suptitle(title, fontsize=10)
    return figure
