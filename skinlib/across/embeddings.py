"""Projected features: every image's scores and places, and the planes drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.evaluation import tables
from skinlib.evaluation.resampled import Metric, ratio
from skinlib.explain.embeddings import each_image
from skinlib.figures import charts as figures
from skinlib.figures.style import COLOURS

NAMES = {"tsne": "t-SNE", "umap": "UMAP"}
MARKERS = "o^sDvPX"


def measured(test: pd.DataFrame, features: Mapping[str, np.ndarray], *, seed: int = 0) -> pd.DataFrame:
    """Project every network's features (N, D) of the same images, and score each image.

    Returns
    -------
    DataFrame
        network, image_id, lesion_id, patient_id, label and the columns of `skinlib.explain.embeddings.each_image`,
        a network's rows below the other's.
    """
    key, groups = test[["image_id", "lesion_id", "patient_id", "label"]], tables.clusters(test)
    each = [
        key.assign(network=name).join(each_image(values, test["label"].to_numpy(), groups, seed=seed))
        for name, values in features.items()
    ]
    return pd.concat(each, ignore_index=True)


def mean_over_classes(column: str) -> Metric:
    """Return the mean over the classes of a column's mean in each, as a metric."""

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        values, labels = rows[column].to_numpy(float), rows["label"].to_numpy()
        is_class = labels[:, None] == np.unique(labels)  # (N, K)
        return ratio(counts @ (values[:, None] * is_class), counts @ is_class).mean(1)

    return Metric(column, weighted)


def planes(
    measured: pd.DataFrame, classes: Sequence[str], *, spaces: Sequence[str] = ("tsne", "umap"), title: str = ""
) -> Figure:
    """Draw every network's planes, a row a space and a column a network; the axes have no unit and no ticks.

    Parameters
    ----------
    measured
        As `measured` returns it.
    classes
        Names by label.
    """
    networks = list(measured["network"].drop_duplicates())
    side = figures.WIDTH / max(len(networks), 3)
    with figures.style():
        figure, axes = figures.new(
            len(spaces), len(networks), height=0.9 + side * len(spaces), width=side * len(networks)
        )
        for number, axis in enumerate(axes):
            space, network = spaces[number // len(networks)], networks[number % len(networks)]
            rows = measured[measured["network"] == network]
            cloud(axis, rows[[f"{space}_x", f"{space}_y"]].to_numpy(), rows["label"].to_numpy(), classes)
            axis.set(title=network if number < len(networks) else "")
            axis.set_ylabel(NAMES[space] if number % len(networks) == 0 else "")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(classes), 7), markerscale=2)
        figure.suptitle(title, fontsize=10)
    return figure


def cloud(axis, points: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Scatter points (N, 2) by class, the rarest on top, each class with its own colour and marker."""
    for label in pd.Series(labels).value_counts().index:
        colour, marker = COLOURS[label % len(COLOURS)], MARKERS[label % len(MARKERS)]
        axis.plot(*points[labels == label].T, marker, color=colour, markersize=2, alpha=0.6, label=classes[label])
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def misled(clouds: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str], *, title: str = "") -> Figure:
    """Draw planes of noise side by side: title -> points (N, 2)."""
    with figures.style():
        figure, axes = figures.new(1, len(clouds), height=figures.WIDTH / len(clouds) + 0.8)
        for axis, (name, points) in zip(axes, clouds.items(), strict=True):
            cloud(axis, points, labels, classes)
            axis.set(title=name)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(classes), 7), markerscale=2)
        figure.suptitle(title, fontsize=10)
    return figure
