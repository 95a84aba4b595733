"""The ensemble paper's printed numbers against each other, and against what its data set can give."""

import functools

import pytest
from comparing import printed

from skinlib.data.cards import CARDS
from skinlib.papers.joint_ensemble.model import DESIGN
from skinlib.papers.joint_ensemble.plan import HEAD, SWITCHES

cells = functools.partial(printed, "joint_ensemble")


def test_what_the_text_prints_as_a_difference_is_no_level():
    """Of "over 5%" and "improved balanced accuracy by approximately 7%" no level is printed."""
    differences = {key for name in ("claims", "members_vs_fusion") for key in cells(name) if " - " in key[0]}
    assert differences and all(metric.endswith("_change") for _, metric in differences)
    assert cells("claims")["proposed - best member", "accuracy_change"] == 0.05
    row = "Pacheco and Krohling 2019 [4], metadata on - off"
    assert cells("members_vs_fusion")[row, "balanced_accuracy_change"] == 0.07


def test_the_three_rates_are_not_one_operating_point():
    """accuracy = p recall + (1 - p) specificity gives the share p of melanoma that they would need."""
    claims, names = cells("claims"), ("accuracy", "melanoma_recall", "melanoma_specificity")
    accuracy, recall, specificity = (claims["proposed", name] for name in names)
    assert (specificity - accuracy) / (specificity - recall) == pytest.approx(0.32, abs=0.005)
    counts = CARDS["ham10000"].counts["all"]
    images = sum(counts.values())
    melanoma = counts["mel"] / images
    assert melanoma == pytest.approx(0.111, abs=5e-4)
    assert sum(counts[name] for name in CARDS["ham10000"].malignant) / images == pytest.approx(0.195, abs=5e-4)
    there = melanoma * recall + (1 - melanoma) * specificity
    assert there == pytest.approx(0.959, abs=5e-4) and there > accuracy
    # No rounding of the printed digits brings the two together.
    assert (specificity - accuracy - 0.001) / (specificity - recall + 0.001) > 1.5 * melanoma


def test_exhibits_repeat_the_claims():
    claims = cells("claims")
    again = [*cells("members_vs_fusion").items(), *cells("throughput").items()]
    assert all(value == claims[key] for key, value in again if key in claims and value == value)
    assert cells("throughput")["ensemble, one GPU", "images_per_second"] == claims["proposed", "images_per_second"]


def test_no_member_and_no_switch_has_a_printed_figure():
    rows = cells("members_vs_fusion")
    own = {name for name, _ in rows if "et al." not in name and "Krohling" not in name} - {"proposed"}
    assert {"resnet50", "inception_v3", "efficientnet_b3", "densenet121", "densenet201", "pca"} <= own
    assert all(value != value for (name, _), value in rows.items() if name in own)


def test_what_is_not_stated_is_a_named_default():
    silent = {row for row, value in cells("settings").items() if value != value}
    assert {("loss", "attribute_weight"), ("reduction", "components"), ("training", "learning_rate")} <= silent
    assert HEAD.losses["attributes"] == 0.3 and DESIGN["components"] and HEAD.lr
    assert {"attributes_0.1", "attributes_1", "pca", "binary"} <= set(SWITCHES)
