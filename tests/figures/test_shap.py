"""The exhibit of SHAP values from a long table worked out by hand, and what the fused head is asked."""

import types

import numpy as np
import pandas as pd
import pytest
import torch

from skinlib.data import demographics
from skinlib.figures.shap import named, swarm
from skinlib.papers.joint_ensemble import exhibits as ensemble

LEVELS = {"sex": ("female", "male", "unknown")}


def kept(n=20):
    rows = {"image_id": [f"i{k}" for k in range(n)], "lesion_id": [f"i{k}" for k in range(n)], "patient_id": np.nan}
    sex = pd.DataFrame(rows | {"input": "sex", "value": np.arange(n) % 2.0})
    sex["of_mel"] = np.where(sex["value"] == 1, 0.2, -0.1)
    age = pd.DataFrame(rows | {"input": "age", "value": np.arange(n) + 30.0, "of_mel": 0.0})
    table = pd.concat([age, sex], ignore_index=True).assign(of_nv=lambda t: -t["of_mel"])
    return table.assign(level=named(table, LEVELS))


def test_a_number_has_no_level():
    table = kept()
    assert table.loc[table["input"] == "age", "level"].isna().all()
    assert set(table.loc[table["input"] == "sex", "level"]) == {"female", "male"}


def test_the_swarm_has_a_panel_a_class_and_stays_on_its_lines():
    figure = swarm(kept(), ["mel", "nv"], shaded="age", unit="probability")
    panels = [axis for axis in figure.axes if axis.get_title() in ("mel", "nv")]
    assert len(panels) == 2
    for panel in panels:
        for line, dots in enumerate(panel.collections):
            assert np.abs(np.asarray(dots.get_offsets())[:, 1] - line).max() < 0.5


def test_people_are_read_back_as_they_were_encoded():
    cohort = pd.DataFrame({"age": [40.0, np.nan], "sex": ["male", None], "site": [None, "back"]})
    found = ensemble.metadata(cohort)
    assert list(found["age"]) == [40, ensemble.UNKNOWN_AGE]
    again = ensemble.people(found.to_numpy(float))
    assert np.array_equal(again, demographics.encode(cohort))


def test_the_head_gets_the_features_of_the_image_that_is_named():
    def model(*, meta, features):
        return {"logits": torch.stack([features[:, 0, 0], meta[:, 0]], 1)}

    seen = np.array([[[0.0]], [[3.0]]], np.float16)
    function = ensemble.head_function(types.SimpleNamespace(model=lambda: model), seen)
    rows = np.array([[1, 50, 0, 0], [0, 70, 1, 2]], float)  # image, age, sex, site
    assert function(rows) == pytest.approx(torch.tensor([[3.0, 0.0], [0.0, 1.0]]).softmax(1).numpy() * 100, rel=1e-5)
