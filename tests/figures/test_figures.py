"""Figures: what is written on them, the stamp, the shared colour scale, and shapes that come from the model."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams
from PIL import Image
from torch import nn

from skinlib.figures import charts as figures
from skinlib.figures import style as figures_style
from skinlib.figures.flow import trace
from skinlib.figures.style import render


def words(figure):
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    return texts + [text.get_text() for text in figure.texts]


def legend(owner):
    return [text.get_text() for text in owner.get_legend().get_texts()]


@pytest.mark.parametrize("synthetic", [True, False])
def test_only_synthetic_data_are_stamped(synthetic):
    figure = figures.confusion_matrix([[90, 10], [3, 7]], ["benign", "malignant"])
    drawn = render(figure, synthetic=synthetic)
    assert words(figure).count("SYNTHETIC DATA") == int(synthetic)
    assert render(figure, synthetic=synthetic) == drawn, "the same bytes"
    assert words(figure).count("SYNTHETIC DATA") == int(synthetic), "stamped once"
    assert len(drawn) < 60_000 and Image.open(io.BytesIO(drawn)).format == "PNG"


def test_photographs_become_jpeg_of_full_colour():
    noise = np.random.default_rng(0).integers(0, 256, (6, 200, 200, 3), dtype=np.uint8)
    drawn = render(figures.image_grid(list(noise), columns=3), synthetic=False, photographs=True)
    image = Image.open(io.BytesIO(drawn))
    assert image.format == "JPEG" and image.size[0] > 1000 and image.getcolors(10_000) is None


def test_the_style_stays_inside():
    before = rcParams["font.size"], rcParams["axes.prop_cycle"]
    figures.confusion_matrix([[1, 0], [0, 1]], ["a", "b"])
    assert (rcParams["font.size"], rcParams["axes.prop_cycle"]) == before
    with figures.style():
        assert rcParams["axes.prop_cycle"].by_key()["color"][0] == "#0072B2"


def test_confusion_matrix_writes_counts_and_shares_of_the_row():
    figure = figures.confusion_matrix([[955, 250], [35, 253]], ["benign", "malignant"])
    assert words(figure) == ["955\n79.3%", "250\n20.7%", "35\n12.2%", "253\n87.8%"]
    (axis,) = figure.axes
    assert axis.get_xlabel() == "predicted" and axis.get_ylabel().startswith("true")
    with pytest.raises(ValueError, match="of 3 classes is square"):
        figures.confusion_matrix([[1, 0], [0, 1]], ["a", "b", "c"])


def test_one_legend_below_has_each_entry_once():
    figure, axes = figures.new(1, 2, height=2)
    for axis, names in zip(axes, (("a", "b"), ("b", "c")), strict=True):
        for name in names:
            axis.plot([0, 1], label=name)
        axis.legend()
    figures_style.legend_below(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert all(axis.get_legend() is None for axis in axes)


def exhibit():
    return pd.DataFrame({
        "row": ["a", "b", "a"], "metric": ["roc_auc", "roc_auc", "fn"], "ours": [0.9, np.nan, 30],
        "low": [0.85, np.nan, np.nan], "high": [0.96, np.nan, np.nan], "published": [0.92, 0.88, 35],
        "note": ["", "counts only: 0 malignant; 33 lesions", ""],
    })  # fmt: skip


def test_bars_show_ours_the_interval_and_the_published_value():
    figure = figures.bars(exhibit(), ["roc_auc", "fn"])
    auc, missed = figure.axes
    assert (auc.get_xlabel(), missed.get_xlabel()) == ("ROC-AUC", "false negatives")
    assert [label.get_text() for label in auc.get_yticklabels()] == ["a", "b"]
    (marks,) = [line for line in auc.lines if line.get_label() == "published"]
    assert marks.get_xdata().tolist() == [0.92, 0.88]
    (segment,) = auc.containers[1].lines[2][0].get_segments()
    assert segment[:, 0] == pytest.approx([0.85, 0.96])
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"ours", "published", "95 % interval"}
    with pytest.raises(ValueError, match="has no metric recall"):
        figures.bars(exhibit(), ["recall"])


def test_panels_of_shares_have_one_scale_and_an_absent_bar_says_why():
    shares = exhibit().replace({"metric": {"fn": "recall"}}).assign(ours=[0.9, np.nan, 0.3], published=[0.92, 0.2, 0.3])
    auc, recall = figures.bars(shares, ["roc_auc", "recall"]).axes
    assert auc.get_xlim() == recall.get_xlim() == (0, 1.02)
    counts = figures.bars(exhibit(), ["roc_auc", "fn"]).axes
    assert counts[1].get_xlim()[1] > 30
    (why,), (none,) = auc.texts, recall.texts
    assert why.get_text().replace("\n", " ") == "counts only: 0 malignant" and none.get_text() == "no value"
    assert why.get_ha() == "right" and counts[0].texts[0].get_ha() == "left", "next to the published mark"


def test_class_distribution_and_reliability_name_their_axes():
    counts = pd.DataFrame({"benign": [30, 8], "malignant": [10, 2]}, index=["train", "test"])
    (axis,) = figures.class_distribution(counts).axes
    assert legend(axis) == ["benign", "malignant"] and axis.get_ylabel() == "images"
    assert "30\n75.0%" in words(axis.figure) and "2\n20.0%" in words(axis.figure)
    curves = {"final": (np.array([0, 0, 1, 1]), np.array([0.11, 0.13, 0.12, 0.95]))}
    top, bottom = figures.reliability(curves).axes
    assert legend(top) == ["as often as said", "final"] and "probability" in bottom.get_xlabel()
    assert top.lines[1].get_xydata() == pytest.approx(np.array([[0.12, 1 / 3], [0.95, 1.0]]))


def test_planes_have_a_panel_a_line_and_column_and_one_legend():
    points = np.arange(16.0).reshape(8, 2)
    clouds = {(line, column): points for line in ("t-SNE", "UMAP") for column in ("net", "noise")}
    figure = figures.planes(clouds, np.array([0] * 6 + [1] * 2), ("a", "b"))
    assert [axis.get_title() for axis in figure.axes] == ["net", "noise", "", ""]
    assert [axis.get_ylabel() for axis in figure.axes] == ["t-SNE", "", "UMAP", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_image_grid_needs_as_many_titles_as_images():
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    figure = figures.image_grid(images, ["x", "y", "z"], columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["x", "y", "z", ""]
    for given, words in (((images, ["x"]), "3 images have 1 titles"), (([],), "at least one image")):
        with pytest.raises(ValueError, match=words):
            figures.image_grid(*given)


def case(top, title="TP"):
    cam = np.linspace(0, top, 64).reshape(8, 8)
    mask = np.zeros((8, 8), int)
    mask[2:6, 2:6] = 1
    image = np.full((8, 8, 3), 128, np.uint8)
    return {"title": title, "image": image, "cam": cam, "mask": mask}


def test_heat_maps_share_one_colour_scale_with_a_bar():
    figure = figures.cam_gallery([case(2.0), case(0.5, "FN")])
    maps = [axis.images[0] for axis in figure.axes[1:6:3]]
    assert [image.get_clim() for image in maps] == [(0, 2.0), (0, 2.0)]
    bar = figure.axes[6]
    assert bar.get_xlabel().startswith("Grad-CAM++") and bar.get_xlim() == (0, 2.0)
    assert [figure.axes[line].get_ylabel() for line in (0, 3)] == ["TP", "FN"]
    assert [axis.get_title() for axis in figure.axes[:3]] == ["original, outline", "Grad-CAM++", "sharpened"]
    assert all(axis.collections for axis in figure.axes[:6])  # the outline
    overlay = figure.axes[2].images[0].get_array()
    changed = ~np.isclose(overlay, 128 / 255).all(axis=2)
    assert np.flatnonzero(changed).tolist() == list(range(48, 64)), "the highest quarter of the map"


def test_many_heat_maps_stand_in_two_blocks_and_all_are_raw():
    figure = figures.cam_gallery([case(1.0, f"case {i}") for i in range(7)])
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels[0:24:6] == ["case 0", "case 1", "case 2", "case 3"]
    assert labels[3:24:6] == ["case 4", "case 5", "case 6", ""]
    assert [axis.axison for axis in figure.axes[18:24]] == [True] * 3 + [False] * 3  # the eighth place is empty
    for cases, words in (([case(1.0) | {"cam": np.full((8, 8), -0.1)}], "negative"), ([], "at least one case")):
        with pytest.raises(ValueError, match=words):
            figures.cam_gallery(cases)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, image, meta=None, *, features=None):
        pooled = self.phi(image).mean((2, 3))
        return {"logits": self.head(pooled), "features": pooled}


def test_data_flow_has_the_real_shapes_and_leaves_the_model_alone():
    net = Net().train()
    steps = {step["name"]: (step["shape"], step["parameters"]) for step in trace(net, (32, 48))}
    assert steps == {
        "image": ((1, 3, 32, 48), 0), "phi": ((1, 4, 16, 24), 112), "head": ((1, 2), 10), "logits": ((1, 2), 0),
        "features": ((1, 4), 0),
    }  # fmt: skip
    assert [step["name"] for step in trace(net, (32, 48), expand=("phi",))][:4] == ["image", "phi.0", "phi.1", "head"]
    assert net.training and not any(module._forward_hooks for module in net.modules())
    with pytest.raises(ValueError, match="no child body; it has phi, head"):
        trace(net, (32, 48), expand=("body",))
    figure = figures.data_flow(net, (32, 48))
    assert "phi\nSequential\n4 × 16 × 24\n112 par." in words(figure)
