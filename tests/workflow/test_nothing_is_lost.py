"""No command deletes or overwrites what it did not make: the user's folders, tables, finished runs.

A finished run that is trained anew is in tests/training/test_runs.py, what a download finds in its folder in
tests/data/test_download.py.
"""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from skinlib import config
from skinlib.data import roots
from skinlib.paths import project_root
from skinlib.workflow import cli

DRAWN = {"kind": "synthetic", "datasets": ["ham10000"], "images": 56, "size": 32, "seed": 0}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def profile(tmp_path):
    """A copy of smoke that draws 56 images; returns its file."""
    smoke = yaml.safe_load((project_root() / "profiles" / "smoke.yaml").read_text())
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(smoke | {"name": "small", "data": DRAWN}))
    return path


def test_synthesise_refuses_a_folder_of_the_users(profile, tmp_path, capsys):
    (tmp_path / "d" / "thesis").mkdir(parents=True)
    (tmp_path / "d" / "thesis" / "notes.txt").write_text("years")
    line = ["data", "synthesise", "--profile", str(profile), "--data", str(tmp_path / "d")]
    assert cli.main(line) == 2
    assert "1 files not drawn here, first thesis/notes.txt" in capsys.readouterr().err
    assert files(tmp_path / "d") == {"thesis/notes.txt": b"years"}


def test_synthesise_replaces_what_it_drew_and_nothing_else(profile, tmp_path, monkeypatch, capsys):
    line, root = ["data", "synthesise", "--profile", str(profile), "--data", str(tmp_path / "d")], tmp_path / "d"
    assert cli.main(line) == 0
    first = files(root)
    assert set(json.loads(first["made_from.json"])["files"]) == set(first)
    profile.write_text(profile.read_text().replace("seed: 0", "seed: 1"))
    with monkeypatch.context() as patch:
        patch.setattr(roots.synthetic, "synthesise", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "disk full")))
        assert cli.main(line) == 2
    assert files(root) == first  # until the new pictures are whole the old ones stay
    (root / "ham10000" / "mine.csv").write_text("a table made from the pictures")
    assert cli.main(line) == 2 and "first ham10000/mine.csv" in capsys.readouterr().err
    (root / "ham10000" / "mine.csv").rename(tmp_path / "mine.csv")
    (root / "synthetic_truth.csv").write_text("edited by hand")
    assert cli.main(line) == 2 and "first synthetic_truth.csv" in capsys.readouterr().err
    (root / "synthetic_truth.csv").write_bytes(first["synthetic_truth.csv"])
    with monkeypatch.context() as patch:  # a file that comes while the new pictures are drawn
        late = lambda *a, **k: (Path(a[0]).mkdir(), (root / "late.txt").write_text("mine"))
        patch.setattr(roots.synthetic, "synthesise", late)
        assert cli.main(line) == 2 and (root / "late.txt").read_text() == "mine"
    (root / "late.txt").unlink()
    assert cli.main(line) == 0 and set(files(root)) == set(first) and files(root) != first
    (root / "synthetic_truth.csv").unlink()
    assert cli.main(line) == 0 and set(files(root)) == set(first)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".d.")] == [".d.lock"]


def test_synthesise_leaves_neighbours_files_and_links_alone(profile, tmp_path, capsys):
    (tmp_path / ".d.old").mkdir()
    (tmp_path / ".d.old" / "thesis").write_text("years")
    (tmp_path / "real").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "real")
    assert cli.main(["data", "synthesise", "--profile", str(profile), "--data", str(tmp_path / "d")]) == 0
    assert (tmp_path / "d").is_symlink() and (tmp_path / "real" / "made_from.json").is_file()
    assert (tmp_path / ".d.old" / "thesis").read_text() == "years"
    (tmp_path / "file").write_text("mine")
    assert cli.main(["data", "synthesise", "--profile", str(profile), "--data", str(tmp_path / "file")]) == 2
    assert "is no folder" in capsys.readouterr().err and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["../runs", "../../evil", "/abs", ".", "", "runs", "reference", "a b", 5, None, ["x"]])
def test_a_profile_whose_name_leads_elsewhere_is_refused(profile, name):
    profile.write_text(yaml.safe_dump(yaml.safe_load(profile.read_text()) | {"name": name}))
    with pytest.raises(ValueError, match=r"name is .*; use letters, digits"):
        config.load_profile(profile)


def test_predict_keeps_the_list_that_it_reads_and_a_good_table(finished_run, data_root, tmp_path, capsys):
    image, mine = next((data_root / "ham10000").rglob("*.jpg")), tmp_path / "mine.csv"
    mine.write_text(f"image_path,answer\n{image},yes\n")
    line = ["predict", str(finished_run.path), "--images", str(mine), "--out"]
    assert cli.main([*line, str(mine)]) == 2
    assert "that is not there yet" in capsys.readouterr().err and "answer" in mine.read_text()

    for other in (image, finished_run.path / "metrics.json", tmp_path):
        before = other.read_bytes() if other.is_file() else b""
        assert cli.main([*line, str(other)]) == 2 and (other.is_dir() or other.read_bytes() == before)
    out = tmp_path / "out.csv"
    assert cli.main([*line, str(out)]) == 0
    good = out.read_bytes()
    assert cli.main([*line, str(out)]) == 2 and out.read_bytes() == good  # labels may have been written into it


def test_evaluate_keeps_its_table_and_writes_under_the_folder_given(tmp_path):
    rows = {"image_id": [f"i{k}" for k in range(40)], "label": [0, 1] * 20, "p_benign": 0.4, "p_malignant": 0.6}
    table = pd.DataFrame(rows | {"../up/sex": ["a", "b", "b", "a"] * 10})
    (tmp_path / "out").mkdir()
    table.to_csv(tmp_path / "out" / "metrics.csv", index=False)
    line = ["evaluate", str(tmp_path / "out" / "metrics.csv"), "--out", str(tmp_path / "out")]
    before = files(tmp_path)
    assert cli.main(line) == 2 and files(tmp_path) == before
    table.to_csv(tmp_path / "t.csv", index=False)
    line = ["evaluate", str(tmp_path / "t.csv"), "--groups", "../up/sex", "--out", str(tmp_path / "results")]
    assert cli.main(line) == 0
    made = set(files(tmp_path)) - set(before) - {"t.csv"}
    assert all(name.startswith("results/") for name in made) and any("up%2Fsex" in name for name in made)


def test_train_without_a_profile_does_not_replace_a_finished_run(finished_run, data_root, tmp_path, capsys):
    folder = tmp_path / "runs" / finished_run.id
    folder.mkdir(parents=True)
    for path in finished_run.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["code"]["training/losses.py"] = "0123456789abcdef"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    before = files(folder)
    line = ["train", str(folder / "config.json"), "--data", str(data_root), "--results", str(tmp_path)]
    assert cli.main([*line, "--device", "cpu"]) == 2
    assert "other code in training/losses.py" in capsys.readouterr().err and files(folder) == before
