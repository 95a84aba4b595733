"""Maps of an ensemble, the rule of the gallery, and the overlap of maps: known answers worked by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinlib.explain.ensemble_maps import mean_maps, outcomes, overlap
from skinlib.explain.gradcam import gradcam_plusplus


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.phi, self.head = nn.Conv2d(3, 4, 3, stride=2), nn.Linear(4, 2)

    def forward(self, image):
        return {"logits": self.head(self.phi(image).relu().mean((2, 3)))}

    def cam_layer(self):
        return self.phi


def scored(label, malignant, ids=None):
    ids = [f"i{k}" for k in range(len(label))] if ids is None else ids
    p = np.asarray(malignant, float)
    return pd.DataFrame({"image_id": ids, "label": label, "p_benign": 1 - p, "p_malignant": p})


def test_mean_of_members_whatever_the_batch():
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 9, 3), dtype=np.uint8)
    nets = [Net(0), Net(1)]
    found = np.stack(list(mean_maps(nets, images, 1, normalisation="none", batch_size=2)))
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    wanted = sum(gradcam_plusplus(net, batch, 1, net.phi) for net in nets) / 2
    assert found.shape == (5, 9, 9)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-7)
    one = np.stack(list(mean_maps(nets[:1], images, 1, normalisation="none")))
    assert not np.allclose(found, one)


def test_outcomes_call_at_the_threshold_itself():
    table = scored([1, 1, 0, 0], [0.4, 0.39, 0.4, 0.1])
    assert outcomes(table, 0.4).tolist() == ["TP", "FN", "FP", "TN"]


def test_overlap_of_the_kept_quarter():
    one = np.arange(16.0).reshape(1, 4, 4)  # keeps 12..15
    assert overlap(one, one)[0] == 1
    assert overlap(one, one[:, ::-1, ::-1].copy())[0] == 0
    half = np.roll(one, 2, axis=2)  # the last row's order changes, the row stays
    assert overlap(one, half)[0] == 1
    shifted = np.zeros((1, 4, 4))
    shifted[0, 3, :2], shifted[0, 0, :2] = 1, 1  # two of four shared: 2 of 6
    assert overlap(one, shifted)[0] == pytest.approx(2 / 6)
    assert np.isnan(overlap(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))[0])
