"""What the proposed network of the metadata paper is asked for SHAP values, and the pictures of single patients."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinlib.across.shap_inputs import largest, single
from skinlib.data import clinical, readers
from skinlib.data.synthetic import synthesise
from skinlib.explain.run_maps import OfImage
from skinlib.explain.shap_values import image_shap
from skinlib.papers.metadata_sr import shap as asked
from skinlib.papers.metadata_sr.plan import PROPOSED


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    synthesise(root, datasets=["pad_ufes_20"], images=60, size=32)
    return readers.read("pad_ufes_20", root)


def test_codes_are_read_as_the_answers_that_they_stand_for(cohort):
    codes = asked.coded(cohort)
    assert list(codes) == list(clinical.questions()) and not codes.isna().any().any()
    assert np.array_equal(asked.encoded(codes.to_numpy()), clinical.encode(cohort), equal_nan=True)


def test_every_code_has_words_and_the_last_says_not_asked(cohort):
    codes, levels = asked.coded(cohort), asked.levels()
    assert set(codes) - set(levels) == {"age", "diameter_1", "diameter_2"}
    assert all(codes[name].max() < len(words) and words[-1] == "not asked" for name, words in levels.items())
    blank = np.isnan(clinical.encode(cohort)[:, clinical.blocks()["smoke"]]).all(1)
    assert blank.any() and set(codes.loc[blank, "smoke"]) == {len(levels["smoke"]) - 1}


class Linear(nn.Module):
    """Two classes; the answer turns the sign."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image, meta=None):
        score = (image * self.weight).sum((1, 2, 3)) * (1 if meta is None else meta[:, 0])
        return {"logits": torch.stack([-score, 2 * score], 1)}


def test_gradient_shap_of_a_linear_model_is_weight_times_difference():
    torch.manual_seed(0)
    weight, image, background = torch.randn(3, 4, 4), torch.rand(3, 4, 4), torch.rand(3, 4, 4)
    found = image_shap(Linear(weight), image, background[None], 1, samples=8)
    assert found == pytest.approx((2 * weight * (image - background)).numpy(), abs=1e-5)
    held = OfImage(Linear(weight), torch.tensor([[-1.0]]))
    assert image_shap(held, image, background[None], 1, samples=8) == pytest.approx(-found, abs=1e-5)


class Known:
    """A run whose predictions are given by hand."""

    def __init__(self, p, config=PROPOSED):
        self.p, self.config = p, config

    def predictions(self, view):
        table = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(self.p))], "part": "test", "view": view})
        return table.assign(p_a=self.p, p_b=1 - np.array(self.p))


def test_the_patient_of_a_class_is_the_one_of_median_probability_that_has_an_outline():
    run = Known([0.9, 0.2, 0.6, 0.3, 0.8])
    test = pd.DataFrame({"image_id": [f"i{k}" for k in range(5)], "label": [0, 0, 0, 1, 1], "mask_path": "m.png"})
    chosen = asked.patients(run, test)
    assert chosen["image_id"].tolist() == ["i2", "i4"]  # 0.2, 0.6, 0.9; and 0.2 of 0.2, 0.7: the lower of two
    assert chosen["called"].tolist() == [0, 0] and chosen["p_true"].tolist() == pytest.approx([0.6, 0.2])
    test.loc[2, "mask_path"] = np.nan
    assert asked.patients(run, test)["image_id"].tolist() == ["i1", "i4"]


def kept():
    rows = [("x", "age", 50.0, 4.0), ("x", "itch", 1.0, -6.0), ("x", "image", 0.0, 1.0)]
    rows += [("y", "age", 60.0, 0.0), ("y", "itch", 0.0, 1.0), ("y", "image", 1.0, 0.5)]
    table = pd.DataFrame(rows, columns=["image_id", "input", "value", "of_mel"])
    return table.assign(level=[pd.NA, "True", pd.NA, pd.NA, "False", pd.NA])


def test_the_largest_inputs_come_first():
    assert list(largest(kept(), 2)["input"].drop_duplicates()) == ["itch", "age"]
    assert len(largest(kept(), 5)) == 6


def test_a_patients_bars_are_those_that_move_most_with_the_answer_in_words():
    figure = single(kept(), {"called mel": ("x", "mel")}, unit="points", most=2)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["itch: True", "age: 50"]
    assert [bar.get_width() for bar in axis.patches] == [-6.0, 4.0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["raises", "lowers"]


def test_the_function_is_the_network_on_its_own_rows(cohort, monkeypatch):
    """The image's vector taken aside, the answers decoded: the same probabilities as of the whole network."""
    from skinlib import models

    config = dataclasses.replace(PROPOSED, backbone="test_resnet", weights="none", image_size=(64, 64), options={})
    config = config.replace(losses={"cross_entropy": 0.5})
    torch.manual_seed(0)
    model = models.build(config).eval()
    model.imputer.fit(torch.from_numpy(clinical.encode(cohort)))
    image = torch.rand(len(cohort), 3, 64, 64)  # maps of several positions

    class Drawn:
        def model(self):
            return model

    class Batches:
        def epoch(self, *_):
            yield {"image": image}

    monkeypatch.setattr(asked, "batches_of", lambda *_: Batches())
    vectors = asked.image_vectors(Drawn(), cohort)
    codes = asked.coded(cohort)
    codes.insert(0, "image", np.arange(len(cohort), dtype=float))
    monkeypatch.setattr(asked, "AT_ONCE", 7)
    found = asked.fused_function(Drawn(), vectors)(codes.to_numpy())
    with torch.inference_mode():
        wanted = model(image, torch.from_numpy(clinical.encode(cohort)))["logits"].softmax(1).numpy() * 100
    assert found == pytest.approx(wanted, abs=1e-3)
