"""What a network's features look like in a plane, and what of it can be believed: projections and their scores.

A projection invents neighbourhoods and distances. So each score is taken in the features and in the plane, image by
image.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances

from skinlib.evaluation.resampled import Metric, ratio

COMPONENTS = 50  # of the PCA before either projection (van der Maaten and Hinton 2008 took 30)
PERPLEXITY, NEIGHBOURS = 30, 15  # of t-SNE and UMAP, their authors' usual values
K = 10  # neighbours that vote, and whose ranks trustworthiness compares


def reduced(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return features (N, D) as at most 50 principal components (N, C) float64, centred, not scaled.

    Raises ValueError for fewer than 4 rows, rows that are all alike, or values that are not finite.
    """
    features = np.asarray(features, float)
    if features.ndim != 2 or len(features) < 4 or not np.isfinite(features).all():
        raise ValueError(f"features are {features.shape}; a projection needs (N, D), 4 rows at least, all finite")
    if np.ptp(features, axis=0).max() == 0:  # t-SNE would end the process
        raise ValueError(f"all {len(features)} rows of features are alike: the network has collapsed")
    return PCA(min(COMPONENTS, *features.shape), random_state=seed).fit_transform(features)


def tsne(components: np.ndarray, *, perplexity: float = PERPLEXITY, seed: int = 0) -> np.ndarray:
    """Return t-SNE's plane (N, 2), begun from the first two components; few rows get a smaller perplexity, N / 4."""
    perplexity = min(perplexity, len(components) / 4)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)


def umap(components: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return UMAP's plane (N, 2), on one thread: with a seed it is the same each time."""
    from umap import UMAP  # seconds to import

    neighbours = min(NEIGHBOURS, len(components) - 1)
    return UMAP(n_neighbors=neighbours, init="pca", random_state=seed, n_jobs=1).fit_transform(components)


def trustworthiness(high: np.ndarray, low: np.ndarray, k: int = K) -> np.ndarray:
    """Return how far each row's k neighbours in the plane are neighbours in the features, (N,); at most 1.

    The mean over the rows is the trustworthiness of Venna and Kaski (2001): rows that come near in the plane without
    being near cost their rank beyond k. ValueError where k is not below half the rows: the formula has no scale there.
    """
    n = len(high)
    if not k < n / 2:
        raise ValueError(f"{n} rows have no trustworthiness of {k} neighbours; take fewer than half")
    ranks = np.empty((n, n), int)
    ranks[np.arange(n)[:, None], _nearest(high)[0]] = np.arange(1, n + 1)  # 1 the nearest, n the row itself
    beyond = np.maximum(np.take_along_axis(ranks, _nearest(low)[0][:, :k], axis=1) - k, 0).sum(1)
    return 1 - 2 / (k * (2 * n - 3 * k - 1)) * beyond


def _nearest(points: np.ndarray, groups: Sequence | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row all by distance (N, N), those of its own group last, and whether each is of another group."""
    codes = np.arange(len(points)) if groups is None else pd.factorize(np.asarray(groups))[0]
    distances = pairwise_distances(points)
    distances[codes[:, None] == codes] = np.inf
    order = distances.argsort(1, kind="stable")
    return order, np.isfinite(np.take_along_axis(distances, order, axis=1))


def neighbours_vote(points: np.ndarray, labels: np.ndarray, groups: Sequence | None = None, k: int = K) -> np.ndarray:
    """Return whether the k nearest rows of *other* groups vote for each row's own class, (N,) bool.

    ``groups`` are the rows' lesions or patients: another picture of a lesion is no evidence of a class; None: all
    differ. Ties go to the class of the nearest row among the tied.
    """
    order, usable = (each[:, :k] for each in _nearest(points, groups))
    classes, labels = np.unique(labels, return_inverse=True)
    nearness = usable * (1 + np.linspace(1e-6, 0, order.shape[1]))  # breaks ties, and no more
    votes = np.stack([(nearness * (labels[order] == c)).sum(1) for c in range(len(classes))], axis=1)
    return votes.argmax(1) == labels


def mean_over_classes(column: str) -> Metric:
    """Return the mean over the classes of a column's mean in each, as a metric."""

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        values, labels = rows[column].to_numpy(float), rows["label"].to_numpy()
        is_class = labels[:, None] == np.unique(labels)  # (N, K)
        return ratio(counts @ (values[:, None] * is_class), counts @ is_class).mean(1)

    return Metric(column, weighted)
