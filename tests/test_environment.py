"""The two doors, uv and conda, lead to the same packages."""

import re
import tomllib

import pytest
import yaml

from skinlib.paths import project_root

ROOT = project_root()
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;]+)( ; .+)?$")


@pytest.fixture(scope="module")
def lock() -> dict:
    return tomllib.loads((ROOT / "uv.lock").read_text())


def test_requirements_are_the_lock(lock):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wrong = [line for line in lines if not PINNED.match(line)]
    exported = {PINNED.match(line).group(1, 2) for line in lines if line not in wrong}
    locked = {(package["name"], package["version"]) for package in lock["package"] if package["name"] != "skinlib"}
    assert wrong == []
    assert exported == locked, "requirements.txt is not what uv.lock says: run `make lock`"


def test_every_dependency_of_the_project_is_locked_and_comes_from_the_public_index(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.match(r"[A-Za-z0-9_-]+", line).group().lower() for line in asked}
    assert names <= {package["name"] for package in lock["package"]}
    sources = {str(package["source"]) for package in lock["package"] if package["name"] != "skinlib"}
    assert sources == {"{'registry': 'https://pypi.org/simple'}"}


def test_conda_brings_python_and_pip_and_nothing_else():
    python, pip, requirements = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert (python, pip) == ("python=3.11", "pip") and requirements == {"pip": ["-r requirements.txt", "-e ."]}
