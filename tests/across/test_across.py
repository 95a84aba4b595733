"""The network that represents a system, and the question that all systems can answer."""

import types

import numpy as np
import pandas as pd
import pytest

from skinlib import models
from skinlib.across import systems as across
from skinlib.config import RunConfig, load_profile
from skinlib.exhibits.runs import Runs
from skinlib.papers import planned


def test_every_system_of_smoke_has_its_networks_in_the_plan():
    profile = load_profile("smoke")
    for paper in profile["papers"]:
        module, runs = across.plan_module(paper), Runs(tuple(planned(paper, profile)), lambda one: one.config)
        labels = [*module.LOOKED_AT.values(), module.PROPOSED_RUN]
        assert all(runs.where(seed=0, **each).first.system == paper for each in labels)
        if runs.has(**module.SEEING_RUN):
            seeing = runs.where(**module.SEEING_RUN).first
            assert models.system_of(seeing).reads_images(seeing)


def test_weak_outlines_serve_where_there_are_no_others():
    cohort = pd.DataFrame({"image_id": ["a", "b"], "dataset": "pad_ufes_20", "mask_path": [np.nan, np.nan]})
    assert across.outlined(cohort.assign(weak_mask_path=["m.png", np.nan]))["mask_path"].tolist() == ["m.png"]
    assert across.outlined(cohort).empty
    own = across.outlined(cohort.assign(mask_path=["own.png", np.nan], weak_mask_path="m.png"))
    assert own["mask_path"].tolist() == ["own.png"]


@pytest.mark.parametrize(("dataset", "space", "yes"), [
    ("ham10000", "diagnosis", ["akiec", "bcc", "mel"]), ("ham10000", "malignancy", ["malignant"]),
    ("ham10000", "bcc_scc_mel", ["mel"]), ("isic2016", "diagnosis", ["malignant"]),
    ("pad_ufes_20", "diagnosis", ["BCC", "MEL", "SCC"]),
])  # fmt: skip
def test_what_counts_as_yes(dataset, space, yes):
    config = RunConfig(system="recall_oriented", dataset=dataset, label_space=space)
    assert sorted(across.asked(config), key=str.lower) == yes


def test_the_answer_of_three_classes_is_the_probability_of_melanoma():
    config = RunConfig(system="attention_autoencoder", dataset="ham10000", label_space="bcc_scc_mel")
    table = pd.DataFrame({"image_id": ["a", "b"], "lesion_id": np.nan, "patient_id": np.nan, "part": "test"})
    table = table.assign(seed=0, view="identity", p_akiec=[0.1, 0.6], p_bcc=[0.2, 0.1], p_mel=[0.7, 0.3])
    order = across.class_names("ham10000", "bcc_scc_mel")
    table["label"] = [order.index("mel"), order.index("bcc")]
    stored = types.SimpleNamespace(config=config, predictions=lambda view: table.assign(view=view))
    arm = across.binary(stored)
    assert arm.table["p_malignant"].tolist() == pytest.approx([0.7, 0.3]) and arm.table["label"].tolist() == [1, 0]
    assert arm.threshold == 0.5
