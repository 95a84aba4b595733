"""Heat maps of any system: what is measured, which cases a gallery shows, outlines that are weak or lacking."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinlib.across import system_maps
from skinlib.exhibits.choose import choose
from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.explain.run_maps import OfImage
from skinlib.figures.charts import cam_gallery


def measures(right=5, wrong=4):
    energy = [0.5, 0.9, 0.1, 0.3, 0.7][:right] + [0.2, 0.8, 0.6, 0.4][:wrong]
    names = [f"i{k}" for k in range(right + wrong)]
    return pd.DataFrame({"image_id": names, "outcome": ["right"] * right + ["wrong"] * wrong, "energy": energy}).assign(
        score=0.5, lesion_id=names, constant=False
    )


def test_weak_outlines_serve_where_there_are_no_others():
    cohort = pd.DataFrame({"image_id": ["a", "b"], "dataset": "pad_ufes_20", "mask_path": [np.nan, np.nan]})
    weak = system_maps.outlined(cohort.assign(weak_mask_path=["m.png", np.nan]))
    assert weak["mask_path"].tolist() == ["m.png"]
    assert system_maps.outlined(cohort).empty
    with pytest.raises(ValueError, match="hand over the images that have one"):
        system_maps.look(None, cohort, rng=np.random.default_rng(0))
    own = system_maps.outlined(cohort.assign(mask_path=["own.png", np.nan], weak_mask_path="m.png"))
    assert own["mask_path"].tolist() == ["own.png"]


class TwoInputs(nn.Module):
    """The clinical column decides the sign with which the image counts."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image, meta):
        pooled = self.conv(image).relu().mean((2, 3))
        return {"logits": pooled * meta}


def test_a_network_of_two_inputs_is_a_function_of_its_image():
    torch.manual_seed(0)
    network, image = TwoInputs(), torch.rand(2, 3, 8, 8)
    maps = [
        gradcam_plusplus(OfImage(network, m), image, 1, network.conv) for m in (torch.ones(2, 1), -torch.ones(2, 1))
    ]
    assert maps[0].max() > 0 and maps[1].max() == 0, "with the sign turned the same class is spoken against"


def test_a_gallery_draws_the_chosen_cases_with_a_quarter_of_each_map():
    rng = np.random.default_rng(0)
    seen = system_maps.Seen(
        measures(),
        rng.integers(0, 255, (9, 8, 8, 3)).astype(np.uint8),
        rng.random((9, 8, 8)) > 0.5,
        rng.random((9, 8, 8)),
    )
    shown = system_maps.gallery(seen, choose(seen.measures, "energy", within="outcome"))
    assert len(shown) == 6 and shown[0]["title"].startswith("right\nhighest\np = ")
    assert all((one["sharpened"] > 0).sum() == 16 for one in shown)
    assert np.array_equal(shown[0]["cam"], seen.maps[1])
    assert len(cam_gallery(shown).axes) == 19  # 6 x 3 and the colour bar
