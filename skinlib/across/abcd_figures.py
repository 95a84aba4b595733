"""Pictures of the ABCD measures: beside the drawn truth, and at several resolutions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.across.abcd_checks import ALLOWED, TRUTHS
from skinlib.figures.style import COLOURS, new, style
from skinlib.images import abcd


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
