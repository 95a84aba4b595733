"""Shared fixtures: a tiny drawn data set, a results folder and one finished run."""

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("here", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("here")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    """A data root with a synthetic HAM10000 of 84 images, 32 px wide; not to be changed."""
    from skinlib.data.synthetic import synthesise

    root = tmp_path_factory.mktemp("data")
    synthesise(root, datasets=("ham10000",), images=84, size=32, seed=0)
    return root


@pytest.fixture(scope="session")
def tiny_config():
    """A run of seconds on that data set."""
    from skinlib.config import RunConfig

    return RunConfig(
        image_size=(32, 32), backbone="test_resnet", weights="none", folds=2, epochs=2, visits=24, batch_size=8,
        precision="fp32", tta="flips",
    )  # fmt: skip


@pytest.fixture(scope="session")
def results_root(tmp_path_factory) -> Path:
    """A results folder for the session; runs that a test spoils belong into its own folder."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def finished_run(tiny_config, data_root, results_root):
    """The finished run of `tiny_config`; not to be changed."""
    from skinlib.training import runs

    return runs.ensure(tiny_config, data_root=data_root, results_root=results_root, device="cpu")
