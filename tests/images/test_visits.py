import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skinlib import models
from skinlib.config import Augment, RunConfig
from skinlib.images.augment import augment_batch, draw
from skinlib.images.visits import VIEWS, nested_share, visits

UNTOUCHED = Augment(flips=False, rotation=0.0)


def seen(name: str) -> torch.Tensor:
    """Return all views of one asymmetric image, wider than high."""
    image = torch.zeros(1, 3, 24, 32)
    image[..., 4:12, 6:14], image[..., 12:15, 6:24] = 1.0, 0.5  # a flag on a pole, far from any symmetry
    chosen = visits([name])
    drawn = draw(UNTOUCHED, 0, 0, np.arange(len(chosen["row"])))
    drawn |= {key: torch.from_numpy(chosen[key]) for key in ("angle", "flip")}
    return augment_batch(image.expand(len(chosen["row"]), -1, -1, -1), None, UNTOUCHED, drawn)[0]


def test_rows_angles_and_flips_by_hand():
    chosen = visits(["right_angles", "identity"])
    assert chosen["row"].tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(chosen["angle"], np.array([0, 1, 2, 3, 0]) * math.pi / 2, rtol=1e-6)
    assert (chosen["flip"] == 1).all() and (chosen["angle"].dtype, chosen["flip"].dtype) == (np.float32, np.float32)


def test_the_sixteen_views_differ_and_are_the_papers_eight_rotations_and_four_flips_of_each_kind():
    views = seen("octagon").flatten(1)
    assert len(views) == 16 and (torch.cdist(views, views) + 1e3 * torch.eye(16)).min() > 1
    angle, left_right, up_down = (list(column) for column in zip(*VIEWS["octagon"], strict=True))
    assert angle[:8] == [0, 45, 90, 135, 180, 225, 270, 315] and (left_right.count(-1), up_down.count(-1)) == (4, 4)
    assert set(VIEWS["right_angles"]) < set(VIEWS["octagon"])


def test_unknown_views_are_refused_and_none_are_none():
    with pytest.raises(ValueError, match="no views sideways; there are identity, right_angles, octagon"):
        visits(["identity", "sideways"])
    empty = visits([])
    assert len(empty["row"]) == 0 and empty["flip"].shape == (0, 2)


def part_of(sizes: list[int], labels: list[int]) -> pd.DataFrame:
    """A lesion of each size and label."""
    lesion = np.repeat(np.arange(len(sizes)), sizes)
    ids = [f"i{k:03d}" for k in range(len(lesion))]
    return pd.DataFrame({"image_id": ids, "lesion_id": [f"l{k}" for k in lesion], "label": np.array(labels)[lesion]})


def test_a_share_by_hand_and_one_outside_of_0_to_1_is_refused():
    part = part_of([1] * 20 + [2] * 5, [0] * 20 + [1] * 5)
    chosen = part.iloc[nested_share(part, 0.25, 0)]
    assert chosen["label"].value_counts().to_dict() == {0: 5, 1: 4}  # of 10 images in pairs: 2.5 is two pairs
    assert (chosen[chosen["label"] == 1].groupby("lesion_id").size() == 2).all()
    assert nested_share(part, 1, 3).tolist() == list(range(30))
    assert nested_share(part, 1e-6, 0).size == 1 + 2  # a lesion of each class
    assert nested_share(part, 0.25, 0).tolist() != nested_share(part, 0.25, 1).tolist()
    for share in (0, 1.5, -1):
        with pytest.raises(ValueError, match=f"the share of training images is {share}"):
            nested_share(part, share, 0)


@settings(max_examples=40)
@given(
    lesions=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=30),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 3),
)
def test_shares_are_nested_whole_lesions_of_every_class(lesions, shares, seed):
    part = part_of([size for size, _ in lesions], [label for _, label in lesions])
    small, large = (nested_share(part, share, seed) for share in sorted(shares))
    assert set(small) <= set(large)
    for share, rows in zip(sorted(shares), (small, large), strict=True):
        chosen = part.iloc[rows]
        assert not set(chosen["lesion_id"]) & set(part.drop(part.index[rows])["lesion_id"])
        for label, of_class in part.groupby("label"):
            wanted, most = share * len(of_class), of_class.groupby("lesion_id").size().max()
            assert wanted - 1e-6 <= (chosen["label"] == label).sum() < wanted + most + 1e-6


def test_a_system_may_train_on_a_share():
    part = part_of([1] * 40, [0, 1] * 20)
    config = RunConfig(system="attention_autoencoder", variant="baseline", options={"share": 0.5}, seed=2)
    assert models.chosen_visits(config, part)["row"].tolist() == nested_share(part, 0.5, 2).tolist()
    assert models.chosen_visits(config.replace(options={}), part) is None
