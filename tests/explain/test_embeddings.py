"""Scores of projected features: worked by hand, against scikit-learn, and what they must not be fooled by."""

import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness as of_sklearn
from sklearn.metrics import silhouette_score

from skinlib.explain.embeddings import mean_over_classes, neighbours_vote, reduced, trustworthiness, tsne, umap

RNG = np.random.default_rng(0)
HIGH, LOW = RNG.normal(size=(60, 8)), RNG.normal(size=(60, 2))


@pytest.mark.parametrize("k", [1, 5, 12])
def test_trustworthiness_is_that_of_scikit_learn(k):
    each = trustworthiness(HIGH, LOW, k)
    assert each.shape == (60,) and each.max() <= 1
    assert each.mean() == pytest.approx(of_sklearn(HIGH, LOW, n_neighbors=k))


def test_a_plane_that_keeps_all_neighbours_is_wholly_trusted():
    assert (trustworthiness(HIGH, HIGH[:, :8] * 3 + 1, 5) == 1).all()
    with pytest.raises(ValueError, match="60 rows have no trustworthiness of 30 neighbours"):
        trustworthiness(HIGH, LOW, 30)


def test_votes_by_hand_a_tie_goes_to_the_nearest_and_another_picture_of_the_lesion_has_none():
    """On a line: a at 0 and 1 of one lesion, b at 2 and 3, a at 10."""
    points, labels = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]]), np.array([0, 0, 1, 1, 0])
    assert neighbours_vote(points, labels, k=1).tolist() == [True, True, False, True, False]  # 2's nearest (a tie) is 1
    lesions = ["x", "x", "y", "z", "w"]
    assert neighbours_vote(points, labels, lesions, k=1).tolist() == [False, False, False, True, False]
    points, labels = np.array([[0.0], [1.0], [-2.0]]), np.array([0, 0, 1])  # a tie
    assert neighbours_vote(points, labels, k=2)[0] and not neighbours_vote(points, np.array([1, 0, 1]), k=2)[0]
    points, labels = np.array([[0.0], [0.1], [5.0]]), np.array([0, 0, 1])  # two votes wanted, two lesions
    assert neighbours_vote(points, labels, ["x", "x", "y"], k=2).tolist() == [False, False, False]


def test_separated_classes_score_high_and_noise_does_not():
    labels = np.arange(60) % 3
    told, noise = reduced(HIGH + 8 * np.eye(8)[labels]), reduced(HIGH)
    for project in (lambda components: components, tsne, umap):
        found = project(told)
        assert neighbours_vote(found, labels).mean() > 0.95 > 0.7 > neighbours_vote(project(noise), labels).mean()
        assert silhouette_score(found, labels) > 0.4 > 0.1 > silhouette_score(project(noise), labels)
        assert np.array_equal(found, project(told)), "the same seed gives the same planes"


def test_few_rows_are_projected_and_too_few_are_refused():
    assert tsne(reduced(HIGH[:8])).shape == (8, 2)
    faulty = {r"needs \(N, D\), 4 rows": HIGH[:3], "all finite": np.where(HIGH > 2, np.nan, HIGH)}
    faulty["20 rows of features are alike: the network has collapsed"] = np.ones((20, 5))
    for words, features in faulty.items():
        with pytest.raises(ValueError, match=words):
            reduced(features)


def test_a_mean_over_classes_counts_each_class_once():
    """Six images of class 0 and two of class 1, four rights of eight."""
    rows = pd.DataFrame({"label": [0] * 6 + [1] * 2, "knn": [1, 1, 1, 0, 1, 0, 0, 0]})
    assert mean_over_classes("knn")(rows) == pytest.approx((4 / 6 + 0) / 2)
    without_the_rights = np.array([[0.0, 0, 0, 1, 0, 1, 1, 1]])
    assert mean_over_classes("knn").weighted(rows, without_the_rights)[0] == 0
