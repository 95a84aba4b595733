"""The exhibits of projected features, from scores given by hand."""

import numpy as np
import pandas as pd
import pytest

from skinlib.across import embeddings


def measured(network="net", knn=(1, 1, 1, 0, 1, 0, 0, 0), images=8):
    """Six images of class 0 and two of class 1, each of its own lesion, four rights of eight."""
    rows = pd.DataFrame({"network": network, "image_id": [f"i{k}" for k in range(images)], "label": [0] * 6 + [1] * 2})
    rows = rows.assign(lesion_id=rows["image_id"], patient_id=np.nan)
    for space in ("features", "tsne", "umap"):
        rows[f"knn_{space}"], rows[f"silhouette_{space}"] = list(knn), np.arange(8) / 10
    for space in ("tsne", "umap"):
        rows[f"trust_{space}"], rows[f"{space}_x"], rows[f"{space}_y"] = 0.9, np.arange(8.0), 1.0
    return rows


def test_planes_have_a_panel_a_network_and_space_and_one_legend():
    figure = embeddings.planes(pd.concat([measured(), measured("noise")]), ("a", "b"))
    assert len(figure.axes) == 4
    assert [axis.get_title() for axis in figure.axes] == ["net", "noise", "", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_mean_over_classes_counts_each_class_once():
    metric = embeddings.mean_over_classes("knn_tsne")
    assert metric(measured()) == pytest.approx((4 / 6 + 0) / 2)
    without_the_rights = np.array([[0.0, 0, 0, 1, 0, 1, 1, 1]])
    assert metric.weighted(measured(), without_the_rights)[0] == 0
