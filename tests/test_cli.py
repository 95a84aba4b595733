"""The console script: every command has its words, and errors are one line."""

import numpy as np
import pandas as pd
import pytest

from skinlib import cli, commands


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("data get ham10000 --root x --accept-licence", commands.data_get),
        ("data check ham10000 --root x", commands.data_check),
        ("data synthesise --profile smoke", commands.data_synthesise),
        ("train c.json --profile smoke", commands.train_run),
        ("predict run --images x --out y.csv", commands.predict_images),
        ("evaluate t.csv --groups sex age --out d", commands.evaluate_table),
        ("plan", commands.write_plan),
        ("regression --accept", commands.run_regression),
        ("notebooks run n.ipynb --profile smoke", commands.run_notebook),
        ("notebooks index", commands.write_page),
        ("notebooks summary", commands.print_summary),
        ("notebooks publish --profile real", commands.publish_results),
        ("notebooks restore --profile real", commands.restore_runs),
    ],
)
def test_words_lead_to_their_command(words, call):
    assert cli.build_parser().parse_args(words.split()).call is call


def test_empty_words_of_make_mean_the_defaults():
    words = [
        "notebooks",
        "reproduce",
        "--data",
        "",
        "--only",
        "24 43",
        "--stale",
        "",
        "--cores",
        "",
        "--",
        "--executor",
        "slurm",
    ]
    arguments = cli.build_parser().parse_args(words)
    assert (arguments.data, arguments.only, arguments.stale, arguments.cores) == ("", "24 43", "", 0)
    assert arguments.extra == ["--executor", "slurm"]


def test_an_error_of_the_user_is_one_line(capsys):
    assert cli.main(["notebooks", "summary", "--profile", "nope"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("skinlib: no profile 'nope'")
    assert captured.err.count("\n") == 1


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(commands, "print_summary", lambda arguments: int("x"))  # raised outside the library
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(["notebooks", "summary"])


def test_a_missing_file_is_one_line(capsys, tmp_path):
    assert cli.main(["evaluate", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_images_of_a_folder(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.jpeg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    cohort = commands.images_of(tmp_path)
    assert cohort["image_id"].tolist() == ["a", "b", "c"]
    assert cohort["image_path"].iloc[2] == str((tmp_path / "sub" / "c.jpeg").resolve())


def test_images_of_a_table(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("image_path,image_id,age\nx/a.png,one,40\nx/b.png,two,50\n")
    cohort = commands.images_of(table)
    assert cohort["image_id"].tolist() == ["one", "two"]
    assert cohort["image_path"].iloc[0] == str((tmp_path / "x" / "a.png").resolve())
    assert cohort["age"].tolist() == [40, 50]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na.png\n", "no column image_path; it has name"),
        ("image_path\n", "no image"),
        ("image_path\na.png\nb/a.png\n", "'a' stands twice"),
    ],
)
def test_tables_that_name_no_images_are_refused(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        commands.images_of(tmp_path / "list.csv")


def test_evaluate_turns_a_strangers_table_into_tables(tmp_path, capsys):
    random = np.random.default_rng(0)
    label = np.tile([0, 1], 60)
    score = np.clip(0.3 + 0.4 * label + random.normal(0, 0.2, 120), 0.01, 0.99)
    frame = pd.DataFrame({"image_id": [f"i{k}" for k in range(120)], "label": label, "p_malignant": score})
    frame.assign(sex=np.repeat(["female", "male"], 60)).to_csv(tmp_path / "t.csv", index=False)
    assert cli.main(["evaluate", str(tmp_path / "t.csv"), "--groups", "sex", "--out", str(tmp_path / "out")]) == 0
    written = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert {"metric", "value", "low", "high"} <= set(written.columns)
    assert (tmp_path / "out" / "fairness_sex.csv").is_file()
    assert "metrics" in capsys.readouterr().out


def test_publishing_asks_for_the_notebooks_of_the_papers_alone(monkeypatch, tmp_path, capsys):
    asked = []

    def one_failed(work):
        asked.extend(card.number for card in work.cards)
        return "24 failed", 1

    monkeypatch.setattr("skinlib.notebook_index.summary", one_failed)
    assert cli.main(["notebooks", "publish", "--profile", "smoke", "--results", str(tmp_path)]) == 1
    assert "nothing published: 1 notebooks failed" in capsys.readouterr().err
    assert {12, 13, 24, 43} <= set(asked) and not {0, 1, 2, 3, 20} & set(asked)
