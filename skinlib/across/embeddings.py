"""Exhibits of projected features: the scores of each network, and the planes drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skinlib.evaluation import tables
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_of, ratio
from skinlib.evaluation.statistics import bootstrap_ci
from skinlib.exhibits.estimates import cell
from skinlib.explain.embeddings import SPACES, each_image
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


def scores(measured: pd.DataFrame, *, dataset: str, split: str, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Average the scores of every network's images, with cluster bootstrap intervals.

    The interval is that of a mean over these images with the projection as it is: another projection, of other images,
    is not in it.

    Parameters
    ----------
    measured
        As `measured` returns it.

    Returns
    -------
    DataFrame
        Long frame: a row a network; metrics ``silhouette_<space>``, ``knn_accuracy_<space>``,
        ``knn_balanced_accuracy_<space>`` and ``trustworthiness_<space>``; and the row ``largest class``, what a vote
        for it would score.
    """
    cells = []
    for network, rows in measured.groupby("network", sort=False):
        rows = rows.reset_index(drop=True)
        options = {"groups": tables.clusters(rows), "n": n_boot, "seed": seed}
        where = {"n": len(rows), "dataset": dataset, "split": split}
        cells += [_estimated(network, metric, rows, options, where) for metric in _metrics(rows)]
    first = measured[measured["network"] == measured["network"].iloc[0]]["label"].value_counts(normalize=True)
    for space in SPACES:
        about = {"dataset": dataset, "split": split, "note": "no network: every image is called by the largest class"}
        cells.append(cell("largest class", f"knn_accuracy_{space}", first.max(), **about))
        cells.append(cell("largest class", f"knn_balanced_accuracy_{space}", 1 / len(first), **about))
    return pd.DataFrame(cells)


def published_silhouettes(
    measured: pd.DataFrame, *, dataset: str, split: str, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Return each network's silhouette in t-SNE's plane, which a reader of a printed picture sees, and in the features.

    Parameters
    ----------
    measured
        As in `scores`.
    """
    cells = []
    for network, rows in measured.groupby("network", sort=False):
        rows = rows.reset_index(drop=True)
        options = {"groups": tables.clusters(rows), "n": n_boot, "seed": seed}
        where = {"n": len(rows), "dataset": dataset, "split": split}
        for name, space in (("silhouette", "tsne"), ("silhouette_features", "features")):
            cells.append(_estimated(network, mean_of(name, rows[f"silhouette_{space}"]), rows, options, where))
    return pd.DataFrame(cells)


def _estimated(network: str, metric: Metric, rows: pd.DataFrame, options: Mapping, where: Mapping) -> dict:
    try:
        value, low, high = bootstrap_ci(metric, rows, **options)
    except UndefinedMetricError as error:
        return cell(network, metric.name, metric(rows), note=f"no interval: {error}", **where)
    return cell(network, metric.name, value, low=low, high=high, **where)


def _metrics(rows: pd.DataFrame) -> list[Metric]:
    found = []
    for space in SPACES:
        found.append(mean_of(f"silhouette_{space}", rows[f"silhouette_{space}"]))
        found.append(mean_of(f"knn_accuracy_{space}", rows[f"knn_{space}"]))
        found.append(_over_classes(f"knn_balanced_accuracy_{space}", rows[f"knn_{space}"], rows["label"]))
        if f"trust_{space}" in rows:
            found.append(mean_of(f"trustworthiness_{space}", rows[f"trust_{space}"]))
    return found


def _over_classes(name: str, values: pd.Series, labels: pd.Series) -> Metric:
    values, is_class = values.to_numpy(float), labels.to_numpy()[:, None] == np.unique(labels)  # (N, K)

    def weighted(_, counts):
        return ratio(counts @ (values[:, None] * is_class), counts @ is_class).mean(1)

    return Metric(name, weighted)


def planes(
    measured: pd.DataFrame, classes: Sequence[str], *, spaces: Sequence[str] = ("tsne", "umap"), title: str = ""
) -> Figure:
    """Draw every network's planes, a row a space and a column a network; the axes have no unit and no ticks.

    Parameters
    ----------
    measured
        As in `scores`.
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
