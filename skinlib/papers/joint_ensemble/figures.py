"""Pictures of the ensemble paper alone: confusion matrices of many classes, and what each member looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.figures.images import OUTLINE
from skinlib.figures.style import HEAT, WIDTH, new, style


def matrices(counts: Mapping[str, pd.DataFrame], *, title: str = "") -> Figure:
    """Draw confusion matrices side by side: the share of each true class in percent, its images beside its name.

    Parameters
    ----------
    counts
        Name -> (K, K) counts, rows the true classes, the same classes in each.
    """
    with style():
        figure, axes = new(1, len(counts), height=1.3 + WIDTH / max(len(counts), 2) * 0.92, sharey=True)
        for axis, (name, frame) in zip(axes, counts.items(), strict=True):
            total = frame.sum(axis=1).to_numpy()
            share = frame.to_numpy() / np.maximum(total, 1e-9)[:, None]
            axis.imshow(share, vmin=0, vmax=1, cmap="Blues")
            for (i, j), value in np.ndenumerate(share):
                colour = "white" if value > 0.55 else "black"
                axis.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=7)
            axis.set_xticks(range(len(frame)), frame.columns, rotation=45)
            axis.set_yticks(
                range(len(frame)), [f"{code} ({n:.0f})" for code, n in zip(frame.index, total, strict=True)]
            )
            axis.set(xlabel="called", title=name)
            axis.grid(False)
        axes[0].set_ylabel("true (images); rows in percent")
        figure.suptitle(title, fontsize=10)
    return figure


def member_gallery(cases: Sequence[Mapping], members: Sequence[str], *, title: str = "") -> Figure:
    """Draw cases in lines: the image with its outline, then the Grad-CAM++ map of each member over it.

    Members' logits have scales of their own, so each column has one: from 0 to its largest value in the figure.

    Parameters
    ----------
    cases
        Each with title, image (H, W, 3) uint8, mask (H, W), maps (member -> (H, W) >= 0) and called (member -> class).
    """
    if not cases:
        raise ValueError("a gallery needs at least one case")
    top, heats = {name: max(float(np.max(case["maps"][name])) for case in cases) or 1.0 for name in members}, {}
    side = min(1.4, WIDTH / (len(members) + 1.4))
    with style():
        size = {"height": 1.3 + (side + 0.25) * len(cases), "width": max(4.2, side * (len(members) + 1.4))}
        figure, axes = new(len(cases), len(members) + 1, **size)
        grid = np.reshape(axes, (len(cases), len(members) + 1))
        for line, case in zip(grid, cases, strict=True):
            for axis in line:
                axis.imshow(case["image"])
                if 0 < np.mean(case["mask"]) < 1:
                    axis.contour(case["mask"], levels=[0.5], colors=OUTLINE, linewidths=0.8)
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(False)
                axis.spines[:].set_visible(False)
            line[0].set_ylabel(case["title"], fontsize=7)
            for axis, name in zip(line[1:], members, strict=True):
                heats[name] = axis.imshow(case["maps"][name], vmin=0, vmax=top[name], cmap=HEAT, alpha=0.55)
                axis.set_xlabel(f"calls {case['called'][name]}", fontsize=7)
        for axis, name in zip(grid[0], ("image, outline", *members), strict=True):
            axis.set_title(name, fontsize=8)
        for column, heat in zip(grid.T[1:], heats.values(), strict=True):
            bar = figure.colorbar(heat, ax=list(column), location="bottom", shrink=0.9, aspect=20)
            bar.set_label("Grad-CAM++ (own scale)", fontsize=7)
        figure.suptitle(title, fontsize=10)
    return figure


def first_of_each(table: pd.DataFrame, classes: Sequence[str], *, most: int = 6) -> pd.DataFrame:
    """Choose the cases of a gallery by rule: of each class the image at the median of its true class's probability.

    Parameters
    ----------
    table
        Prediction table, each image once.

    Returns
    -------
    DataFrame
        image_id, diagnosis and score (the probability of the true class), at most ``most`` rows; classes without an
        image are left out, the commonest come first.
    """
    score = table[[f"p_{code}" for code in classes]].to_numpy()[np.arange(len(table)), table["label"]]
    known = table.assign(score=score, diagnosis=[classes[k] for k in table["label"]]).sort_values(["score", "image_id"])
    middle = known.groupby("diagnosis")[["image_id", "diagnosis", "score"]].apply(
        lambda rows: rows.iloc[len(rows) // 2]
    )
    order = known["diagnosis"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    return middle.loc[order].head(most).reset_index(drop=True)
