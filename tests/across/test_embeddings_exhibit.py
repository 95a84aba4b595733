"""The exhibits of projected features, from scores given by hand."""

import numpy as np
import pandas as pd
import pytest

from skinlib.across import embeddings
from skinlib.exhibits import write as tables

WHERE = {"dataset": "ham10000", "split": "grouped", "n_boot": 200, "seed": 0}


def measured(network="net", knn=(1, 1, 1, 0, 1, 0, 0, 0), images=8):
    """Six images of class 0 and two of class 1, each of its own lesion, four rights of eight."""
    rows = pd.DataFrame({"network": network, "image_id": [f"i{k}" for k in range(images)], "label": [0] * 6 + [1] * 2})
    rows = rows.assign(lesion_id=rows["image_id"], patient_id=np.nan)
    for space in ("features", "tsne", "umap"):
        rows[f"knn_{space}"], rows[f"silhouette_{space}"] = list(knn), np.arange(8) / 10
    for space in ("tsne", "umap"):
        rows[f"trust_{space}"], rows[f"{space}_x"], rows[f"{space}_y"] = 0.9, np.arange(8.0), 1.0
    return rows


def cells(frame):
    return frame.set_index(["row", "metric"])


def test_scores_by_hand_beside_the_largest_class():
    found = cells(embeddings.scores(pd.concat([measured(), measured("noise", knn=(0,) * 8)]), **WHERE))
    assert found.loc[("net", "knn_accuracy_features"), "ours"] == pytest.approx(4 / 8)
    assert found.loc[("net", "knn_balanced_accuracy_tsne"), "ours"] == pytest.approx((4 / 6 + 0) / 2)
    assert found.loc[("net", "silhouette_umap"), "ours"] == pytest.approx(0.35)
    assert found.loc[("net", "trustworthiness_tsne"), "ours"] == pytest.approx(0.9)
    assert ("net", "trustworthiness_features") not in found.index
    assert found.loc[("noise", "knn_accuracy_features"), "ours"] == 0
    assert found.loc[("largest class", "knn_accuracy_features"), "ours"] == pytest.approx(6 / 8)
    assert found.loc[("largest class", "knn_balanced_accuracy_features"), "ours"] == pytest.approx(1 / 2)
    one = found.loc[("net", "silhouette_features")]
    assert one["low"] < 0.35 < one["high"] and one["n"] == 8


def test_the_printed_picture_gets_the_silhouette_of_its_plane():
    rows = measured("proposed").assign(silhouette_tsne=0.5)
    found = embeddings.published_silhouettes(rows, **WHERE)
    values = cells(found)["ours"]
    assert values["proposed", "silhouette"] == pytest.approx(0.5)
    assert values["proposed", "silhouette_features"] == pytest.approx(0.35)
    shown = tables.exhibit(found, paper="metadata_sr", exhibit="fig5", missing="not run")
    assert set(shown["row"]) == {"proposed", "Visual [14]"}


def test_planes_have_a_panel_a_network_and_space_and_one_legend():
    figure = embeddings.planes(pd.concat([measured(), measured("noise")]), ("a", "b"))
    assert len(figure.axes) == 4
    assert [axis.get_title() for axis in figure.axes] == ["net", "noise", "", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_class_of_one_image_leaves_a_number_without_interval():
    rows = measured()
    rows.loc[7, "label"] = 2
    found = cells(embeddings.scores(rows, **WHERE)).loc[("net", "knn_balanced_accuracy_features")]
    assert found["ours"] == pytest.approx((4 / 6 + 0 + 0) / 3)
    assert np.isfinite(found["low"]) or "no interval" in found["note"]
