"""What is selected, what is remembered, and what is done again."""

import importlib
import json
import os
import types
from pathlib import Path

import pytest

from skinlib.config import RunConfig, load_profile
from skinlib.papers import paper_names, plan_of
from skinlib.paths import project_root, write_json
from skinlib.training.identify import check_networks
from skinlib.workflow import catalogue, reproduce
from skinlib.workflow.work import Work

TRANSFER = load_profile("smoke")["attention_autoencoder"]["transfer"]
NOTEBOOKS = project_root() / "tests" / "notebooks"
PROFILE = """
name: tiny
papers: [paper_a]
data: {kind: real, datasets: [ham10000]}
dataset: ham10000
stale: retrain
bootstrap: 2
threads: 1
jobs: 1
minutes: 8
disk_gb: 0.001
notebooks: {time_limit_minutes: 4}
"""


def notebook(folder, stem, *, papers=(), needs="none"):
    card = {"papers": list(papers), "needs": needs, "minutes": {"tiny": 3}}
    cells = [{"cell_type": "markdown", "source": [f"# {stem}"]}]
    folder.mkdir(exist_ok=True)
    content = {"cells": cells, "metadata": {"skinlib": card}, "nbformat": 4}
    (folder / f"{stem}.ipynb").write_text(json.dumps(content))


def plan(profile):
    config = RunConfig(folds=2, epochs=4, visits=100)
    return {"first": config, "second": config.replace(fold=1), "first_again": config}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A profile, notebooks, data and two plans, one of them asked for."""
    monkeypatch.setattr(catalogue, "paper_names", lambda: ["paper_a", "paper_b"])
    of_papers = types.SimpleNamespace(import_module=lambda name: types.SimpleNamespace(plan=plan))
    monkeypatch.setattr(catalogue, "importlib", of_papers)
    monkeypatch.setattr(reproduce, "plan_of", lambda paper, profile: plan(profile))
    (tmp_path / "tiny.yaml").write_text(PROFILE)
    (tmp_path / "data" / "ham10000").mkdir(parents=True)
    notebook(tmp_path / "notebooks", "00_start")
    notebook(tmp_path / "notebooks", "24_a", papers=["paper_a"], needs="plan")
    notebook(tmp_path / "notebooks", "25_b", papers=["paper_b"], needs="plan")
    names = {"data": "data", "results": "results", "notebooks": "notebooks"}
    return {"profile": str(tmp_path / "tiny.yaml")} | {key: str(tmp_path / name) for key, name in names.items()}


def test_notebooks_of_the_profiles_papers_and_of_none_are_selected(place):
    assert [card.stem for card in Work.open(**place).cards] == ["00_start", "24_a"]
    assert [card.stem for card in Work.open(**place, only="24").cards] == ["24_a"]
    assert [card.stem for card in Work.open(**place, only="0, 24").cards] == ["00_start", "24_a"]
    assert (Work.open(**place).papers(), Work.open(**place, only="0").papers()) == (["paper_a"], [])


@pytest.mark.parametrize("only", ["25", "7", "start"])
def test_a_number_that_the_profile_does_not_have_is_an_error(place, only):
    with pytest.raises(ValueError, match=f"ONLY={only}: profile tiny has no such notebook; it has 00 24"):
        Work.open(**place, only=only)


def test_the_repository_has_plans_for_the_papers_of_its_profiles():
    assert all(callable(importlib.import_module(f"skinlib.papers.{name}.plan").plan) for name in paper_names())
    with pytest.raises(ValueError, match="no plan for paper 'nobody'"):
        plan_of("nobody", {})


@pytest.mark.parametrize(("paper", "changes", "words"), [
    ("recall_oriented", {"backbone": "resnet999"}, "timm knows no model 'resnet999'"),
    ("joint_reverse_mtl", {"variants": ["seg", "mtl9"]}, "no variant 'mtl9'; there are cls"),
    ("recall_oriented", {"tta": "flip"}, "smoke: the settings of recall_oriented make no plan .*tta is 'flip'"),
    ("joint_reverse_mtl", {"lambdas": [[0.9]]}, "settings of joint_reverse_mtl make no plan .*unpack"),
    ("attention_autoencoder", {"transfer": TRANSFER | {"shares": [25]}}, "transfer.shares has 25; give shares"),
    ("joint_reverse_mtl", {"controls": ["forwards"]}, "the key 'forwards' is missing or unknown"),
])  # fmt: skip
def test_a_name_or_value_that_nothing_knows_is_told_when_the_runs_are_planned(paper, changes, words):
    profile = load_profile("smoke")
    with pytest.raises(ValueError, match=words):
        check_networks(plan_of(paper, profile | {paper: profile[paper] | changes}))


def test_real_data_that_are_not_there_are_an_error_that_says_what_to_do(place, tmp_path):
    with pytest.raises(FileNotFoundError, match="skinlib data get ham10000"):
        Work.open(**place | {"data": str(tmp_path)})


def test_the_data_stamp_changes_with_files_and_tables_only(place, tmp_path):
    work, root = Work.open(**place), tmp_path / "data" / "ham10000"
    (root / "labels.csv").write_text("a\n")
    work.stamp_data()
    first = work.data_stamp.stat().st_mtime_ns
    work.stamp_data()
    assert work.data_stamp.stat().st_mtime_ns == first
    for change in (lambda: (root / "x.jpg").write_bytes(b"1"), lambda: (root / "labels.csv").write_text("ab\n")):
        before = work.data_stamp.read_text()
        change()
        work.stamp_data()
        assert work.data_stamp.read_text() != before


def test_linked_folders_are_data_too_and_a_link_upwards_has_an_end(place, tmp_path):
    work = Work.open(**place)
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "data" / "isic2016").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "up").symlink_to(tmp_path / "data")
    before = catalogue.listing(work.data)
    assert catalogue.listing(work.data) == before
    (tmp_path / "disk" / "images" / "x.jpg").write_bytes(b"1")
    assert catalogue.listing(work.data) != before


def test_keys_that_nothing_reads_are_refused(place, tmp_path):
    file = tmp_path / "own.yaml"
    for more, message in (
        ("bootstraps: 7", "profile tiny: bootstraps is a key that nothing reads; is bootstrap meant"),
        ("qqqq: 7", "qqqq is a key that nothing reads; known are .*bootstrap, .*disk_gb"),
    ):
        file.write_text(PROFILE + more)
        with pytest.raises(ValueError, match=message):
            Work.open(**place | {"profile": str(file)})


def test_keys_of_a_paper_are_those_of_the_shipped_profiles_and_of_its_plans_recipe(monkeypatch):
    catalogue.check_keys({"name": "own", "joint_reverse_mtl": {"schedule_gamma": 0.5, "longer": [{"views": 1}]}})
    for paper, values, words in (
        ("joint_reverse_mtl", {"epoch": 7}, "epoch is a key that nothing reads; is epochs meant"),
        ("metadata_sr", {"recipes": {"own": {"lrr": 1}}}, r"sr\.recipes\.own\.lrr is a key .* reads; known are epochs"),
        ("recall_oriented", {"seeds": 0}, r"recall_oriented\.seeds is 0; give a list of values, as \[0"),
        ("recall_oriented", {"comparison": {"backbones": ["a", "b"]}}, "give a list of lists, as"),
        ("recall_oriented", {"epochs": [6]}, "give one value"), ("joint_ensemble", {"members": []}, "settings, as"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            catalogue.check_keys({"name": "own", paper: values})
    monkeypatch.setattr(catalogue, "paper_names", lambda: ["new"])
    monkeypatch.setattr(catalogue, "importlib", types.SimpleNamespace(import_module=lambda name: None))
    catalogue.check_keys({"name": "own", "new": {"anything": 1}})


def write_plan(work):
    entries = {name: {"id": name, "code": "c0", "visits": visits} for name, visits in (("aa", 300), ("bb", 100))}
    write_json(work.plan_file, {"paper_a": entries | {"again": entries["aa"]}})
    work.stamp_data()
    return entries


def test_a_job_is_a_run_or_where_the_profile_says_so_a_paper(place):
    work = Work.open(**place)
    entries = write_plan(work)
    assert work.jobs(["paper_a", "paper_b"]) == {work.run_stamp(entries[name]): [name] for name in ("aa", "bb")}
    work.profile["together"] = True
    ((stamp, ids),) = work.jobs(["paper_a", "paper_b"]).items()
    assert (stamp.stem.partition("-")[0], ids) == ("paper_a", ["aa", "bb"])
    write_json(work.plan_file, {"paper_a": {"aa": entries["aa"], "bb": entries["bb"] | {"code": "c1"}}})
    assert stamp not in work.jobs(["paper_a"])
    work.profile["together"] = False
    heads = {name: entries["bb"] | {"id": name, "group": "features_p"} for name in ("cc", "dd")}
    write_json(work.plan_file, {"paper_a": entries | heads})
    assert list(work.jobs(["paper_a"]).values()) == [["aa"], ["bb"], ["cc", "dd"]]


@pytest.mark.parametrize(("words", "here"), [
    ("", True), ("--executor local", True), ("--executor touch", False), ("--executor=touch", False),
    ("-e touch --jobs 2", False), ("--workflow-profile OWN", False), ("--profile=OWN", False),
])  # fmt: skip
def test_another_executor_is_told_neither_cores_nor_how_many_train(place, tmp_path, words, here):
    (tmp_path / "config.yaml").write_text("executor: touch\njobs: 3\n")
    line = reproduce.command(Work.open(**place), cores=2, extra=words.replace("OWN", str(tmp_path)).split())
    assert ("--cores" in line, "train=1" in line, "rules" in line) == (here, here, here)


def test_visits_are_counted_by_hand(place):
    config = plan({})["first"]
    profile = {"data": {"images": 1000}}
    assert catalogue.image_visits(config, profile) == 400
    assert catalogue.image_visits(config.replace(visits=None), profile) == 4 * 1000 * 0.8 * 0.5
    assert catalogue.image_visits(config.replace(visits=None, fold=None), profile) == 4 * 1000 * 0.8
    three = config.replace(visits=None, fold=None, dataset="ham10000", label_space="bcc_scc_mel")
    assert catalogue.image_visits(three, {"data": {}}) == int(4 * (514 + 327 + 1113) * 0.8)
    assert catalogue.image_visits(three, profile) == int(4 * 1000 * 1954 / 10015 * 0.8)


def test_estimate_and_progress_before_and_after_planning_and_too_little_disk_and_one_call_at_a_time(place):
    work = Work.open(**place)
    need = reproduce.estimate(work)
    assert (need["runs"], need["runs_left"], need["visits"]) == (2, 2, 800)  # the third is the first under another name
    assert need["minutes"] == 8 + 3 + 3 and reproduce.progress(work).startswith("notebooks |")
    entries = write_plan(work)
    write_json(work.run_stamp(entries["aa"]), {})
    assert "| 1/2   notebooks |" in (line := reproduce.progress(work)) and line.endswith("| 0/2")
    work.notebook_stamp("00_start").parent.mkdir(parents=True)
    work.notebook_stamp("00_start").write_text("ok")
    need = reproduce.estimate(work)
    assert (need["runs"], need["runs_left"], need["visits"], need["notebooks_left"]) == (2, 1, 100, 1)
    assert need["minutes"] == 8 * 100 / 400 + 3
    assert "1 of 2 training runs (100 image visits), 1 of 2 notebooks" in reproduce.announce(work)
    with reproduce.Lock(work.state / ".lock"), pytest.raises(TimeoutError, match="another process"):
        reproduce.reproduce(work)
    work.profile["disk_gb"] = 1e9
    with pytest.raises(ValueError, match="make room"):
        reproduce.announce(work)


def test_what_is_gone_or_was_skipped_is_done_again(place):
    work = Work.open(**place)
    entries = write_plan(work)
    for name in ("aa", "bb"):
        work.stamp(work.run_stamp(entries[name]), [name])
    work.stamp(work.state / "runs" / "paper_a-c0.json", ["aa", "bb"])
    write_json(work.results / "runs" / "aa" / "metrics.json", {})
    (work.results / "runs" / "bb").mkdir()  # begun anew, and not finished
    for stem, status in (("00_start", "ok"), ("24_a", "skipped"), ("25_b", "ok")):
        write_json(work.status_file(stem), {"status": status})
        work.notebook_stamp(stem).write_text(status)
    (work.folder / "notebooks").mkdir()
    for stem in ("00_start", "24_a"):
        (work.folder / "notebooks" / f"{stem}.ipynb").write_text("")
    reproduce.forget(work)
    left = {path.stem for path in (*work.state.glob("runs/*.json"), *work.state.glob("notebooks/*.ok"))}
    assert left == {"aa-c0", "00_start"}


def test_the_machinery_and_other_papers_files_are_no_input_of_a_notebook(place):
    notebook(Path(place["notebooks"]), "24_a", papers=["paper_a", "metadata_sr"])
    work = Work.open(**place)
    library = project_root() / "skinlib"
    code = {Path(path).relative_to(library).as_posix() for path in work.code_behind(work.cards[1])}
    assert {"config.py", "data/readers.py", "training/fit.py"} <= code
    assert not any(path.startswith("workflow/") for path in code)
    assert {path.split("/")[1] for path in code if path.startswith("papers/")} == {"__init__.py", "metadata_sr"}


def report(work, stem, status, started, **more):
    values = {"notebook": stem, "title": stem, "status": status, "started": started, "seconds": 60.0}
    write_json(work.status_file(stem), values | {"reason": "", "traceback": [], "exhibits": []} | more)
    if status != "failed":
        work.notebook_stamp(stem).write_text(status)


def test_the_summary_tells_failed_skipped_unchanged_and_not_run_apart(place):
    work = Work.open(**place)
    notebook(work.notebooks, "01_more")
    notebook(work.notebooks, "02_last")
    work = Work.open(**place)
    report(work, "00_start", "ok", 10.0, exhibits=["paper_a/table1"])
    report(work, "01_more", "failed", 20.0, reason="KeyError: 'x'", traceback=["line 1"])
    report(work, "02_last", "skipped", 20.0, reason="no weights")
    text, bad = reproduce.summary(work, since=15.0)
    assert bad == 2
    states = {"00_start": "ok", "01_more": "failed", "02_last": "skipped", "24_a": "not"}
    assert dict(line.split()[:2] for line in text.splitlines()[1:5]) == states
    assert "paper_a/table1 (unchanged)" in text
    assert "01_more: KeyError: 'x'\n    line 1" in text
    assert text.endswith("notebooks: 1 ok, 1 failed, 1 skipped, 1 not run")


def test_a_failure_of_an_earlier_call_is_not_this_calls_and_the_index_escapes_what_notebooks_say(place):
    work = Work.open(**place)
    report(work, "00_start", "failed", 10.0, reason="<b>bad</b>")
    assert reproduce.reports(work, since=15.0)[0]["status"] == "not run"
    assert reproduce.reports(work)[0]["status"] == "failed"
    write_json(work.folder / "paper_a" / "table1.json", {"notebook": "24_a"})
    (work.folder / "paper_a" / "table1.csv").write_text("row,ours\nfirst,0.123456\n")
    (work.folder / "paper_a" / "fig2.png").write_bytes(b"")
    page = reproduce.write_index(work).read_text()
    shown = ("REAL data", "&lt;b&gt;bad&lt;/b&gt;", "src='paper_a/fig2.png'", "table1, 1 cells", "0.123")
    assert [words for words in shown if words not in page] == [] and "<b>bad" not in page


def test_exhibits_belong_to_the_notebook_that_wrote_them_now(place):
    work = Work.open(**place)
    for name, author in (("table1", "24_a"), ("table2", "34_a"), ("old", "24_a")):
        write_json(work.folder / "paper_a" / f"{name}.json", {"notebook": author})
    os.utime(work.folder / "paper_a" / "old.json", (1, 1))
    assert reproduce.exhibits_of(work, {"notebook": "24_a", "started": 100.0}) == ["paper_a/table1"]


def test_snakemake_goes_on_after_a_failure_redoes_what_is_missing_and_keeps_the_rest(tmp_path, capfd):
    (tmp_path / "tiny.yaml").write_text(PROFILE.replace("[paper_a]", "[]"))
    (tmp_path / "data" / "ham10000").mkdir(parents=True)
    place = {"profile": str(tmp_path / "tiny.yaml"), "notebooks": str(NOTEBOOKS)}
    place |= {key: str(tmp_path / key) for key in ("data", "results")}
    assert reproduce.reproduce(Work.open(**place, only="1 2 3"), cores=2) == 1
    folder = tmp_path / "results" / "tiny"
    assert {path.name for path in (folder / "state" / "notebooks").glob("*.ok")} == {"01_runs.ok", "03_skips.ok"}
    assert {path.stem for path in (folder / "notebooks").glob("*.html")} == {"01_runs", "02_fails", "03_skips"}
    first = (folder / "state" / "notebooks" / "01_runs.json").read_text()
    shown = capfd.readouterr().out
    assert "notebooks: 1 ok, 1 failed, 1 skipped" in shown
    assert "02_fails: ZeroDivisionError: division by zero" in shown
    assert reproduce.reproduce(Work.open(**place, only="1"), cores=2) == 0
    assert (folder / "state" / "notebooks" / "01_runs.json").read_text() == first
    assert "(unchanged)" in capfd.readouterr().out
