"""The gradients of two tasks on what they share, against hand-worked ones; and their file in a run's folder."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinlib.config import RunConfig
from skinlib.images.batches import Batches
from skinlib.models.system import Network
from skinlib.training import build, gradients, runs, stored
from skinlib.training.fit import place

HERE = place("cpu", "fp32")


class Two(Network):
    """y = w . x with w shared; one task wants y large, the other the square of y's head small."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, 4.0]))
        self.head = nn.Parameter(torch.tensor(2.0))

    def forward(self, image=None, meta=None, *, features=None):
        y = features @ self.w
        return {"first": -y, "second": self.head * y}

    def shared(self):
        return [self.w]


def task(name):
    return lambda output, batch: (output[name].sum(), torch.tensor(float(len(output[name]))))


TERMS = {"first": task("first"), "second": task("second"), "watched": task("first")}


def rows(features, **losses):
    config = RunConfig(losses=losses)
    batches = Batches(None, np.arange(len(features)), {"features": np.float32(features)}, batch_size=2)
    return pd.DataFrame(gradients.compare(Two(), batches, {n: TERMS[n] for n in losses}, config, HERE))


def test_norms_and_cosines_of_two_opposed_tasks():
    # Mean of x is (1, 2): d first = -(1, 2), d second = 2 (1, 2); each times its weight.
    found = rows([[1, 0], [0, 6], [2, 0]], first=0.5, second=0.25).set_index("term")
    assert found["norm"].to_dict() == pytest.approx({"first": 0.5 * 5**0.5, "second": 0.25 * 2 * 5**0.5})
    assert found["cosine"].to_dict() == pytest.approx({"first": -1, "second": -1})
    assert found["loss"].to_dict() == pytest.approx({"first": -11, "second": 22})


def test_a_term_without_weight_is_left_out_and_a_zero_gradient_has_no_direction():
    found = rows([[1, 0], [-1, 0]], first=1, second=1, watched=0).set_index("term")
    assert list(found.index) == ["first", "second"]
    assert found["norm"].to_list() == [0, 0] and found["cosine"].isna().all()


def test_only_models_whose_tasks_meet_are_watched():
    assert gradients.has_shared(Two(), RunConfig(losses={"first": 1, "second": 1}))
    assert not gradients.has_shared(Two(), RunConfig(losses={"first": 1, "second": 0}))
    assert not gradients.has_shared(Network(), RunConfig(losses={"first": 1, "second": 1}))


@pytest.fixture(scope="module")
def joint(tiny_config):
    return tiny_config.replace(
        system="joint_reverse_mtl", variant="mtl2", backbone="unet", image_size=(16, 32), epochs=2,
        options={"widths": [4, 4, 8]}, losses={"dice": 0.5, "cross_entropy": 0.5},
    )  # fmt: skip


@pytest.fixture(scope="module")
def watched(joint, data_root, tmp_path_factory):
    return runs.ensure(joint, data_root=data_root, results_root=tmp_path_factory.mktemp("watched"), device="cpu")


def test_a_run_of_two_tasks_keeps_a_row_an_epoch_and_term_and_so_does_its_evidence(watched, tmp_path):
    table = watched.gradients
    assert table["epochs"].tolist() == [0, 0, 1, 1, 2, 2] and table["term"].tolist() == ["dice", "cross_entropy"] * 3
    assert (table["norm"] > 0).all() and table["cosine"].abs().le(1).all()
    copied = stored.copy_evidence(watched.path, tmp_path) / stored.GRADIENTS
    assert copied.read_bytes() == (watched.path / stored.GRADIENTS).read_bytes()


def test_watching_changes_nothing_and_a_resumed_run_has_the_same_file(watched, joint, data_root, tmp_path, monkeypatch):
    whole = build.fit
    monkeypatch.setattr(build, "fit", lambda *args, **options: whole(*args, stop_after=1, **options))
    monkeypatch.setattr(build, "_finish", lambda *args, **options: None)
    where = {"data_root": data_root, "results_root": tmp_path, "device": "cpu"}
    with pytest.raises(runs.RunMissing):
        runs.ensure(joint, **where)  # one epoch, then nothing more
    monkeypatch.undo()
    pd.testing.assert_frame_equal(runs.ensure(joint, **where).gradients, watched.gradients)

    monkeypatch.setattr(gradients, "has_shared", lambda *args: False)
    unwatched = runs.ensure(joint, data_root=data_root, results_root=tmp_path / "blind", device="cpu")
    assert not (unwatched.path / stored.GRADIENTS).exists()
    for name, value in unwatched.model().state_dict().items():
        assert torch.equal(value, watched.model().state_dict()[name]), name
