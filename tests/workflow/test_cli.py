"""The console script: every command has its words, and errors are one line."""

import shutil
import types

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from skinlib.config import RunConfig
from skinlib.paths import read_json, write_json
from skinlib.training import fit
from skinlib.workflow import cli
from skinlib.workflow.work import Work, code_of


@pytest.mark.parametrize(("words", "call"), [
    ("data get ham10000 --root x --accept-licence", cli.data_get), ("data check ham10000 --root x", cli.data_check),
    ("data synthesise --profile smoke", cli.data_synthesise), ("train c.json --profile smoke", cli.train_runs),
    ("predict run --images x --out y.csv", cli.predict_images),
    ("evaluate t.csv --groups sex age --out d", cli.evaluate_table), ("plan", cli.write_plan),
    ("regression --accept", cli.run_regression), ("notebooks run n.ipynb --profile smoke", cli.run_notebook),
    ("notebooks publish --profile real", cli.publish_results), ("notebooks restore --profile real", cli.restore_runs),
])  # fmt: skip
def test_words_lead_to_their_command(words, call):
    assert cli.build_parser().parse_args(words.split()).call is call


def test_empty_words_of_make_mean_the_defaults():
    empty = [word for name in ("--data", "--stale", "--cores") for word in (name, "")]
    words = ["notebooks", "reproduce", *empty, "--only", "24 43", "--", "--executor", "slurm"]
    arguments = cli.build_parser().parse_args(words)
    assert (arguments.data, arguments.only, arguments.stale, arguments.cores) == ("", "24 43", "", 0)
    assert arguments.extra == ["--executor", "slurm"]


def test_an_error_of_the_user_is_one_line_and_one_of_ours_keeps_its_traceback(capsys, monkeypatch):
    assert cli.main(["plan", "--profile", "nope"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("skinlib: no profile 'nope'") and captured.err.count("\n") == 1
    monkeypatch.setattr(cli, "write_plan", lambda arguments: int("x"))  # raised outside the library
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(["plan"])


@pytest.mark.parametrize(("name", "words"), [("none.csv", "none.csv"), ("", "it is no regular file")])
def test_an_error_of_the_system_is_one_line(capsys, tmp_path, name, words):
    assert cli.main(["evaluate", str(tmp_path / name)]) == 2
    captured = capsys.readouterr().err
    assert words in captured and captured.count("\n") == 1


def test_data_check_opens_every_image_and_mask(capsys, data_root, tmp_path):
    words = ["data", "check", "ham10000", "--root"]
    assert cli.main([*words, str(data_root)]) == 0
    assert "84 images" in capsys.readouterr().out
    root = shutil.copytree(data_root, tmp_path / "data")
    image = next(root.glob("ham10000/*/*.jpg"))
    image.write_bytes(image.read_bytes()[:-60])
    mask = sorted(root.glob("ham10000/*/*_segmentation.png"))[5]
    Image.new("L", (20, 30)).save(mask)
    assert cli.main([*words, str(root)]) == 1
    shown = capsys.readouterr().out
    assert "ham10000: 3 findings" in shown
    assert f"  image {image} cannot be read as an image" in shown and f"mask {mask} marks none of its picture" in shown
    assert f"{mask.name.removesuffix('_segmentation.png')}: its mask is 20 x 30, its image 32 x" in shown


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Call `skinlib train` on runs of given ids, which are found finished, but for one that begins with ``bad``."""

    def ensure(config, **_):
        if config.variant.startswith("bad"):
            raise ZeroDivisionError(config.variant)
        return types.SimpleNamespace(id=config.variant, config=config)

    def call(*ids, words=()):
        for name in ids:
            (tmp_path / f"{name}.json").write_text(RunConfig(variant=name).to_json())
        files = [str(tmp_path / f"{name}.json") for name in ids]
        return cli.main(["train", *files, "--profile", "smoke", "--results", str(tmp_path), *words])

    monkeypatch.setattr("skinlib.training.runs.ensure", ensure)
    return call


def test_a_trained_run_keeps_the_stamp_of_its_code_alone(train, tmp_path):
    stamps, now = tmp_path / "smoke" / "state" / "runs", code_of("recall_oriented")
    for name in ("aa-c0", f"aa-{now}", "aab-c0", "bb-c0"):
        write_json(stamps / f"{name}.json", {})
    assert train("aa", words=["--stamp", str(stamps / f"aa-{now}.json")]) == 0
    assert {file.stem for file in stamps.glob("*.json")} == {f"aa-{now}", "aab-c0", "bb-c0"}


def test_a_run_that_fails_costs_none_of_those_trained_with_it(train, tmp_path, capsys):
    work = Work.open("smoke", results=str(tmp_path))
    together = work.state / "runs" / "recall_oriented-c1.json"
    assert train("aa", "bad0", "bb", words=["--stamp", str(together)]) == 1
    assert "1 of 3 runs failed: bad0 (bad0)" in capsys.readouterr().err
    now = code_of("recall_oriented")
    assert {file.stem for file in together.parent.glob("*.json")} == {f"aa-{now}", f"bb-{now}"}
    assert train("aa", "bb", words=["--stamp", str(together)]) == 0
    assert read_json(together) == {"runs": ["aa", "bb"]}
    together.unlink()
    work.stop_file.touch()
    assert train("aa", "bb", words=["--stamp", str(together)]) == 130 and not together.is_file()
    with pytest.raises(ZeroDivisionError):
        train("bad0")


def test_a_run_that_is_not_the_planned_one_gets_no_stamp(monkeypatch, train, tmp_path, capsys):
    monkeypatch.setattr("skinlib.training.runs.read_config", lambda file: RunConfig(variant="other"))
    (tmp_path / "mine-c1.json").write_text("years")
    for place, words in (
        (tmp_path / "smoke" / "state", "aa was planned, other trained"), (tmp_path, "the workflow's own"),
    ):  # fmt: skip
        assert train("aa", words=["--stamp", str(place / "mine-c1.json")]) == 2
        assert words in capsys.readouterr().err and (tmp_path / "mine-c1.json").read_text() == "years"


@pytest.mark.parametrize(("gpu", "device", "backends"), [
    (True, "auto", {"cpu": "gloo", "cuda": "nccl"}), (True, "cuda", {"cpu": "gloo", "cuda": "nccl"}),
    (True, "cpu", {"cpu": "gloo", "cuda": "gloo"}), (False, "auto", {"cpu": "gloo", "cuda": "gloo"}),
])  # fmt: skip
def test_processes_of_torchrun_can_sum_on_the_cpu_and_where_they_train(monkeypatch, train, gpu, device, backends):
    told = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: told.append(index))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name: told.append(name))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: told.append("left"))
    fit.place(device, "fp32")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert train("aa", words=["--device", device]) == 0
    *where, name, last = told
    of_device = torch.distributed.distributed_c10d.BackendConfig(torch.distributed.Backend(name))
    assert backends.items() <= of_device.get_device_backend_map().items()
    assert (where, last) == ([torch.device("cuda:1")] if "nccl" in name else [], "left")


def test_evaluate_turns_a_strangers_table_into_tables(tmp_path, capsys):
    random, label = np.random.default_rng(0), np.tile([0, 1], 60)
    score = np.clip(0.3 + 0.4 * label + random.normal(0, 0.2, 120), 0.01, 0.99)
    frame = pd.DataFrame({"image_id": [f"i{k}" for k in range(120)], "label": label, "p_malignant": score})
    frame.assign(sex=np.repeat(["female", "male"], 60)).to_csv(tmp_path / "t.csv", index=False)
    assert cli.main(["evaluate", str(tmp_path / "t.csv"), "--groups", "sex", "--out", str(tmp_path / "out")]) == 0
    assert {"metric", "value", "low", "high"} <= set(pd.read_csv(tmp_path / "out" / "metrics.csv").columns)
    assert (tmp_path / "out" / "fairness_sex.csv").is_file()
    assert "metrics" in capsys.readouterr().out
    (tmp_path / "out" / "metrics.csv").write_text("mine")
    assert cli.main(["evaluate", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]) == 2
    assert (tmp_path / "out" / "metrics.csv").read_text() == "mine"


def test_publishing_asks_for_the_notebooks_of_the_papers_alone(monkeypatch, tmp_path, capsys):
    asked = []

    def one_failed(work):
        asked.extend(card.number for card in work.cards)
        return "24 failed", 1

    monkeypatch.setattr("skinlib.workflow.reproduce.summary", one_failed)
    assert cli.main(["notebooks", "publish", "--profile", "smoke", "--results", str(tmp_path)]) == 1
    assert "nothing published: 1 notebooks failed" in capsys.readouterr().err
    assert {12, 13, 24, 43} <= set(asked) and not {0, 1, 2, 3, 20} & set(asked)
    monkeypatch.setattr("skinlib.workflow.reproduce.summary", lambda work: ("", 0))
    assert cli.main(["notebooks", "publish", "--profile", "smoke", "--results", str(tmp_path)]) == 2
    assert "smoke is not one of real data" in capsys.readouterr().err
