"""Heat maps of any system: what is measured, which cases a gallery shows, outlines that are weak or lacking."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinlib.across import system_maps
from skinlib.across.localisation import by_energy, gallery_table, localisation
from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.explain.run_maps import OfImage
from skinlib.figures.charts import cam_gallery


def measures(right=5, wrong=4):
    energy = [0.5, 0.9, 0.1, 0.3, 0.7][:right] + [0.2, 0.8, 0.6, 0.4][:wrong]
    names = [f"i{k}" for k in range(right + wrong)]
    return pd.DataFrame({"image_id": names, "outcome": ["right"] * right + ["wrong"] * wrong, "energy": energy}).assign(
        score=0.5, lesion_id=names, constant=False
    )


def test_cases_are_the_ends_and_the_middle_of_the_energy():
    chosen = by_energy(measures()).set_index(["outcome", "place"])["image_id"]
    assert chosen["right"].to_dict() == {"highest": "i1", "median": "i0", "lowest": "i2"}
    assert chosen["wrong", "highest"] == "i6" and chosen["wrong", "lowest"] == "i5"


def test_the_ends_are_the_very_ends_of_many():
    many = pd.DataFrame({"image_id": [f"i{k:02d}" for k in range(41)], "outcome": "right", "score": 0.5})
    chosen = by_energy(many.assign(energy=np.arange(41) / 41)).head(3)
    assert chosen["image_id"].tolist() == ["i40", "i20", "i00"]


def test_an_outcome_of_two_images_has_no_cases_and_the_table_says_so():
    cases = by_energy(measures(wrong=2))
    assert cases.loc[cases["outcome"] == "wrong", "image_id"].isna().all()
    listed = gallery_table(cases, measures(wrong=2), dataset="d", split="s", names=("energy",))
    assert set(listed.loc[listed["row"].str.startswith("wrong"), "note"]) == {"no such image"}


def test_right_and_wrong_answers_take_the_place_of_the_four_outcomes():
    table = pd.concat([measures().assign(image_id=lambda t, k=k: t["image_id"] + str(k)) for k in range(4)])
    table["lesion_id"] = table["image_id"]
    for name in ("energy", "pointing", "iou"):
        table[name] = table["energy"]
        table[f"{name}_centre"], table[f"{name}_random"] = table["energy"] - 0.1, 0.1
    found = localisation(table.reset_index(drop=True), dataset="d", split="s", n_boot=50).set_index(["row", "metric"])
    assert found.loc[("Grad-CAM++", "energy_of_right"), "ours"] == pytest.approx(0.5)
    assert found.loc[("Grad-CAM++", "energy_of_wrong"), "ours"] == pytest.approx(0.5)
    assert found.loc[("Grad-CAM++ minus centred blob", "energy_diff"), "ours"] == pytest.approx(0.1)
    assert not [row for row, _ in found.index if "sharpened" in row]


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
    shown = system_maps.gallery(seen, by_energy(seen.measures))
    assert len(shown) == 6 and shown[0]["title"].startswith("right\nhighest\np = ")
    assert all((one["sharpened"] > 0).sum() == 16 for one in shown)
    assert np.array_equal(shown[0]["cam"], seen.maps[1])
    assert len(cam_gallery(shown).axes) == 19  # 6 x 3 and the colour bar
