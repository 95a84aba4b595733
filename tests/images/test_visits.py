import math

import numpy as np
import pytest
import torch

from skinlib.config import Augment
from skinlib.data.cards import CARDS
from skinlib.images.augment import augment_batch, draw
from skinlib.images.visits import VIEWS, visits

BY_CLASS = {"benign": "right_angles", "malignant": "octagon"}
UNTOUCHED = Augment(flips=False, rotation=0.0)


def seen(name: str) -> torch.Tensor:
    """Return all views of one asymmetric image, wider than high."""
    image = torch.zeros(1, 3, 24, 32)
    image[..., 4:12, 6:14], image[..., 12:15, 6:24] = 1.0, 0.5  # a flag on a pole, far from any symmetry
    chosen = visits([name])
    drawn = draw(UNTOUCHED, 0, 0, np.arange(len(chosen["row"])))
    drawn |= {key: torch.from_numpy(chosen[key]) for key in ("angle", "flip")}
    return augment_batch(image.expand(len(chosen["row"]), -1, -1, -1), None, UNTOUCHED, drawn)[0]


def test_the_official_training_part_makes_5676_visits():
    labels = [label for label, n in CARDS["isic2016"].counts["train"].items() for _ in range(n)]
    chosen = visits(BY_CLASS[label] for label in labels)
    assert len(chosen["row"]) == 727 * 4 + 173 * 16 == 5_676
    assert chosen["angle"].shape == (5_676,) and chosen["flip"].shape == (5_676, 2)
    malignant = np.array(labels)[chosen["row"]] == "malignant"
    assert (malignant.sum(), (~malignant).sum()) == (2_768, 2_908)
    more = visits([*(BY_CLASS[label] for label in labels), *["identity"] * 404])
    assert len(more["row"]) == 5_676 + 404


def test_rows_angles_and_flips_by_hand():
    chosen = visits(["right_angles", "identity"])
    assert chosen["row"].tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(chosen["angle"], np.array([0, 1, 2, 3, 0]) * math.pi / 2, rtol=1e-6)
    assert (chosen["flip"] == 1).all()
    assert (chosen["angle"].dtype, chosen["flip"].dtype) == (np.float32, np.float32)


def test_the_sixteen_views_differ():
    views = seen("octagon").flatten(1)
    assert len(views) == 16
    distance = torch.cdist(views, views) + 1e3 * torch.eye(16)
    assert distance.min() > 1


def test_the_eight_rotations_and_four_flips_of_each_kind_are_the_papers():
    angle, left_right, up_down = (list(column) for column in zip(*VIEWS["octagon"], strict=True))
    assert angle[:8] == [0, 45, 90, 135, 180, 225, 270, 315]
    assert (left_right.count(-1), up_down.count(-1)) == (4, 4)
    assert set(VIEWS["right_angles"]) < set(VIEWS["octagon"])


def test_unknown_views_are_refused_and_none_are_none():
    with pytest.raises(ValueError, match="no views sideways; there are identity, right_angles, octagon"):
        visits(["identity", "sideways"])
    empty = visits([])
    assert len(empty["row"]) == 0 and empty["flip"].shape == (0, 2)
