"""A sixth system is one folder, two notebooks, published numbers and profile entries: a toy one goes the whole way."""

import os
import shutil
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import yaml

from skinlib.paths import project_root, read_json

MODEL = '''"""Mean colour (a toy): y = W . mean(image) + b, the mean of each colour channel."""
import torch
from torch import nn
from skinlib.models.system import Network, System
class MeanColour(Network):
    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(3, classes)
    def forward(self, image, meta=None, *, features=None):
        mean = image.mean((2, 3))  # (B, 3)
        return {"logits": self.head(mean), "features": mean}
def build(config, classes, *, weights_file=None):
    return MeanColour(classes)
SYSTEM = System(build)
'''
PLAN = '''"""The runs of the toy: two folds, with and without class weights."""
from skinlib.config import Planned, RunConfig
FAMILIES = {"table1": "primary"}
def plan(profile):
    sizes = profile["mean_colour"]
    base = RunConfig(
        system="mean_colour", dataset=profile["dataset"], label_space="malignancy", image_size=sizes["image_size"],
        weights="none", folds=2, epochs=sizes["epochs"], visits=24, batch_size=8, precision="fp32",
        lr=0.1, class_weights=True, tta="none",
    )
    arms = {"proposed": base, "unweighted": base.replace(variant="unweighted", class_weights=False)}
    run = lambda arm, fold: Planned(f"{arm}/{fold}", arms[arm].replace(fold=fold), {"arm": arm, "fold": fold})
    return [run(arm, fold) for arm in arms for fold in range(2)]
'''
PUBLISHED = "row,metric,published,source,note\nproposed,roc_auc,0.75,Table 1,\nproposed,recall,0.5,Table 1,\n"
PARAMETERS = 'profile = ""\ndata_root = ""\nresults_root = ""'
BEGIN = """
from skinlib.exhibits.score import changes, score
from skinlib.exhibits.scored import Scored
from skinlib.papers.mean_colour.plan import FAMILIES
from skinlib.study import begin

study = begin(profile, "", data_root, results_root, paper="mean_colour")
rows = {arm: Scored(study.runs(arm=arm).test(), units=("fold",)) for arm in ("proposed", "unweighted")}
"""
TABLE = """
scores = score({"proposed": rows["proposed"]}, ["roc_auc", "recall", "specificity"], study.boot)
study.exhibit("table1", scores, runs=study.runs(arm="proposed"))
"""
ABLATION = """
pairs = {"class weights": (rows["proposed"], rows["unweighted"])}
study.exhibit("ablation", changes(pairs, ["roc_auc"], study.boot, family=FAMILIES["table1"]), runs=study.runs())
"""
PROFILE = {
    "name": "toy", "papers": ["mean_colour"], "data": {"kind": "real", "datasets": ["ham10000"]}, "dataset": "ham10000",
    "stale": "retrain", "bootstrap": 50, "threads": 1, "jobs": 1, "together": True, "minutes": 1, "disk_gb": 0.001,
    "notebooks": {"time_limit_minutes": 2}, "mean_colour": {"image_size": [16, 16], "epochs": 1},
}  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    """A checkout with a sixth system, and none of the other five's notebooks."""
    root = project_root()
    shutil.copytree(root / "skinlib", tmp_path / "skinlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Snakefile"):
        shutil.copy(root / name, tmp_path)
    for name in ("profiles", "data/published/mean_colour", "notebooks", "skinlib/papers/mean_colour"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in {"__init__": "", "model": MODEL, "plan": PLAN}.items():
        (tmp_path / "skinlib/papers/mean_colour" / f"{name}.py").write_text(text)
    (tmp_path / "data/published/mean_colour/table1.csv").write_text(PUBLISHED)
    (tmp_path / "profiles/toy.yaml").write_text(yaml.safe_dump(PROFILE))
    card = {"papers": ["mean_colour"], "needs": "plan", "minutes": {"toy": 1}}
    for stem, last in {"26_mean_colour": TABLE, "36_mean_colour_ablation": ABLATION}.items():
        cells = [nbformat.v4.new_code_cell(text) for text in (PARAMETERS, BEGIN, last)]
        cells[0].metadata["tags"] = ["parameters"]
        title = nbformat.v4.new_markdown_cell(f"# {stem}")
        made = nbformat.v4.new_notebook(cells=[title, *cells], metadata={"skinlib": card})
        nbformat.write(made, tmp_path / "notebooks" / f"{stem}.ipynb")
    return tmp_path


def test_a_sixth_system_goes_from_its_plan_to_the_index(tree, data_root):
    line = [sys.executable, "-m", "skinlib.workflow.cli", "notebooks", "reproduce", "--profile", "toy"]
    where = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*line, "--data", data_root], cwd=tree, env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tree / "results/runs").glob("*/model.safetensors"))) == 4

    table = pd.read_csv(tree / "results/toy/mean_colour/table1.csv", index_col="metric")
    assert list(table.index) == ["roc_auc", "recall", "specificity"]
    assert list(table["published"].fillna(-1)) == [0.75, 0.5, -1]
    assert table["ours"].between(0, 1).all() and (table["low"] <= table["high"]).all()
    record = read_json(tree / "results/toy/mean_colour/table1.json")
    assert record["notebook"] == "26_mean_colour" and len(record["runs"]) == 2

    step = pd.read_csv(tree / "results/toy/mean_colour/ablation.csv").iloc[0]
    assert step["metric"] == "roc_auc_change" and step["low"] <= step["ours"] <= step["high"]
    assert step["family"] == "primary"
    index = (tree / "results/toy/index.html").read_text()
    assert all(words in index for words in ("36_mean_colour_ablation", "table1", "0.75"))
