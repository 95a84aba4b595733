"""What a system is asked for SHAP values, and how they are drawn: a swarm of all rows, and single patients."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from skinlib.figures.style import COLOURS, new, style


class Subject(NamedTuple):
    """What notebook 41 explains of a system."""

    function: Callable[[np.ndarray], np.ndarray]  # (M, F) inputs -> (M, K) outputs
    inputs: pd.DataFrame  # (N, F) numbers, the rows to explain
    background: pd.DataFrame  # (B, F) numbers, rows that mean "not known"
    rows: pd.DataFrame  # of the explained rows: image_id, lesion_id, patient_id
    outputs: tuple[str, ...]  # names of the K outputs
    levels: Mapping[str, Sequence[str]]  # input -> what its numbers mean, where they mean words
    runs: tuple  # behind the function
    where: Mapping[str, str]  # dataset and split


def named(kept: pd.DataFrame, levels: Mapping[str, Sequence[str]]) -> pd.Series:
    """Return the level of each row of a long table, in words; missing where its number is a measurement."""
    each = zip(kept["input"], kept["value"], strict=True)
    words = [levels[name][int(value)] if name in levels else pd.NA for name, value in each]
    return pd.Series(words, index=kept.index, dtype=object)


def swarm(
    kept: pd.DataFrame, outputs: Sequence[str], *, shaded: str, unit: str, title: str = "", columns: int = 4
) -> Figure:
    """Draw every SHAP value as a dot: a panel an output, a line an input, on one scale.

    Dots of the input ``shaded`` are coloured by its value; the others are grey. ``kept`` is the long table of
    `skinlib.explain.shap_values.long` with lesion_id, patient_id and ``level`` (words or missing).
    """
    inputs = list(kept["input"].drop_duplicates())
    lines = -(-len(outputs) // columns)
    with style():
        figure, axes = new(lines, min(columns, len(outputs)), height=0.9 + (0.5 + 0.32 * len(inputs)) * lines,
                           sharex=True, sharey=True)  # fmt: skip
        dots = None
        for axis, output in zip(axes, outputs, strict=False):
            for place, name in enumerate(inputs):
                rows = kept[kept["input"] == name]
                x = rows[f"of_{output}"].to_numpy()
                drawn = {"c": rows["value"], "cmap": "cividis"} if name == shaded else {"color": "0.45"}
                made = axis.scatter(x, place + _spread(x), s=3, linewidths=0, rasterized=True, **drawn)
                dots = made if name == shaded else dots
            axis.axvline(0, color=COLOURS[5], linewidth=0.8, zorder=0.5)
            axis.set_title(output)
        for empty in range(len(outputs), len(axes)):
            axes[empty].axis("off")
            axes[empty - columns].tick_params(labelbottom=True)
        axes[0].set_yticks(range(len(inputs)), inputs)
        axes[0].set_ylim(len(inputs) - 0.5, -0.5)
        figure.supxlabel(f"SHAP value ({unit})", fontsize=9)
        if dots is not None:
            figure.colorbar(dots, ax=axes, location="right", shrink=0.7, label=shaded)
        figure.suptitle(title, fontsize=10)
    return figure


def largest(kept: pd.DataFrame, most: int = 10) -> pd.DataFrame:
    """Return the rows of the inputs that move the outputs most, the largest first; ``kept`` as in `swarm`."""
    outputs = [name for name in kept if name.startswith("of_")]
    size = kept[outputs].abs().mean(axis=1).groupby(kept["input"], sort=False).mean()
    order = list(size.sort_values(ascending=False, kind="stable").index[:most])
    return pd.concat([kept[kept["input"] == name] for name in order], ignore_index=True)


def single(
    kept: pd.DataFrame, patients: Mapping[str, tuple[str, str]], *, unit: str, title: str = "", most: int = 7
) -> Figure:
    """Draw what moved one output for single patients: a panel each, the largest values as bars, the largest on top.

    ``patients`` are title of a panel -> (image_id, output); ``kept`` as in `swarm`.
    """
    with style():
        columns = min(3, len(patients))
        lines = -(-len(patients) // columns)
        figure, axes = new(lines, columns, height=0.95 + (0.8 + 0.17 * most) * lines)
        for axis in axes[len(patients) :]:
            axis.axis("off")
        for axis, (name, (image_id, output)) in zip(axes, patients.items(), strict=False):
            rows = kept[kept["image_id"] == image_id]
            rows = rows.sort_values(f"of_{output}", key=np.abs, ascending=False, kind="stable").head(most)
            sizes, words = rows[f"of_{output}"], [_words(row) for row in rows.itertuples()]
            axis.barh(range(len(rows)), sizes, color=np.where(sizes > 0, COLOURS[0], COLOURS[5]))
            axis.set_yticks(range(len(rows)), words, fontsize=6)
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.axvline(0, color="0.3", linewidth=0.8)
            axis.set_title(name, fontsize=8)
        figure.supxlabel(f"SHAP value ({unit})", fontsize=9)
        signs = [Patch(color=COLOURS[0], label="raises"), Patch(color=COLOURS[5], label="lowers")]
        figure.legend(handles=signs, loc="outside upper left", ncols=2)
        figure.suptitle(title, fontsize=10)
    return figure


def _words(row) -> str:
    if row.input == "image":
        return "image"
    return f"{row.input}: {row.level if pd.notna(row.level) else f'{row.value:g}'}"


def _spread(x: np.ndarray, bins: int = 40, most: float = 0.38) -> np.ndarray:
    """Return how far each dot is moved off its line: dots of one bin are side by side, the fullest bin fills it."""
    span = np.ptp(x)
    place = np.zeros(len(x), int) if span == 0 else np.minimum(((x - x.min()) / span * bins).astype(int), bins - 1)
    order = pd.Series(place).groupby(place).cumcount().to_numpy()
    counts = np.bincount(place)
    centred = (order + 1) // 2 * np.where(order % 2, 1, -1)
    return centred / max(counts.max() / 2, 4) * most
