"""What each command of the console script does; heavy imports wait until their command is called."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def data_get(arguments: argparse.Namespace) -> int:
    """Download a data set."""
    from skinlib.data import download

    download.get(arguments.name, arguments.root, accept_licence=arguments.accept_licence)
    return 0


def data_check(arguments: argparse.Namespace) -> int:
    """Print what a data set holds and every finding, of its tables and of every image; 1 when there are any."""
    from skinlib.data import checks, readers

    cohort = readers.read(arguments.name, arguments.root, allow_missing=True)
    print(f"{arguments.name}: {len(cohort)} images; opening each", flush=True)
    findings = [*cohort.attrs.get("findings", []), *checks.of_files(cohort)]
    print(f"{arguments.name}: {len(findings)} findings")
    print("\n".join(f"  {finding}" for finding in findings))
    return 1 if findings else 0


def data_synthesise(arguments: argparse.Namespace) -> int:
    """Draw a profile's synthetic data where its notebooks look for them, or under the root given."""
    from skinlib.config import load_profile
    from skinlib.data.roots import synthesise

    if arguments.data:
        synthesise(load_profile(arguments.profile), Path(arguments.data).resolve())
        return 0
    work = _work(arguments)
    synthesise(work.profile, work.data)
    work.stamp_data()
    return 0


def train_run(arguments: argparse.Namespace) -> int:
    """Train one run; a finished one is left alone."""
    from skinlib.paths import write_json

    work = _work(arguments)
    _show_progress(work)
    os.environ.setdefault("OMP_NUM_THREADS", str(work.profile["threads"]))  # read when torch is imported
    from skinlib.training import runs

    stale = os.environ.get("SKINLIB_STALE") or work.profile["stale"]
    config = runs.read_config(arguments.config)
    place = {"data_root": work.data, "results_root": work.results, "device": arguments.device}
    with _together(arguments.device):
        run = runs.ensure(config, **place, stale=stale)
    if arguments.stamp:
        if not arguments.stamp.name.startswith(run.id):
            raise ValueError(
                f"{arguments.config.stem} was planned and {run.id} was trained: `precision: auto` means something else "
                "on this machine; write fp32 or bf16 into the profile"
            )
        write_json(arguments.stamp, {"id": run.id})
        for other in set(arguments.stamp.parent.glob(f"{run.id}-*.json")) - {arguments.stamp}:
            other.unlink(missing_ok=True)  # of code that is no longer the run's: going back to it must train anew
    return 0


@contextlib.contextmanager
def _together(device: str) -> Iterator[None]:
    """Join the other processes where torchrun started this one, each on a GPU of its own, and leave them at the end.

    Losses are summed on the CPU and gradients where they are, so that one group serves tensors of both.
    """
    import torch
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    yield
    dist.destroy_process_group()  # after an error torchrun ends the others, which may be waiting for this one


def predict_images(arguments: argparse.Namespace) -> int:
    """Write the prediction table of a folder, or of the images that a CSV lists."""
    from skinlib.data.readers_files import images_of
    from skinlib.training import predict, runs

    table = predict.predict(runs.load(arguments.run), images_of(arguments.images), tta=arguments.tta)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out, index=False)
    print(f"{len(table)} rows in {arguments.out}")
    return 0


def evaluate_table(arguments: argparse.Namespace) -> int:
    """Print every table of an evaluation, and write them where a folder is given."""
    from skinlib.evaluation.report import evaluate, read_predictions

    table = read_predictions(arguments.table)
    choices = {"groups": arguments.groups, "malignant": arguments.malignant, "recall": arguments.recall}
    for name, frame in evaluate(table, **choices).items():
        print(f"\n{name}\n{frame.to_string(index=False)}")
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            frame.to_csv(arguments.out / f"{name.replace(' ', '_')}.csv", index=False)
    return 0


def write_plan(arguments: argparse.Namespace) -> int:
    """Write the plan of a profile and print how many runs it has."""
    work = _work(arguments)
    for paper, reason in work.write_plan().items():
        print(f"{paper} is left out: {reason}")
    print(f"{len(work.planned(work.profile['papers']))} runs planned in {work.plan_file}")
    return 0


def run_notebook(arguments: argparse.Namespace) -> int:
    """Execute one notebook, note how it went, and return 1 when it failed."""
    from skinlib.paths import write_atomic, write_json
    from skinlib.workflow.index import exhibits_of
    from skinlib.workflow.runner import execute

    work = _work(arguments)
    _show_progress(work)
    os.environ["SKINLIB_NOTEBOOK"] = arguments.notebook.stem
    if not arguments.train:
        os.environ["SKINLIB_TRAIN"] = "never"
    os.environ.setdefault("OMP_NUM_THREADS", str(work.profile["threads"]))
    parameters = {"profile": work.given, "data_root": str(work.data), "results_root": str(work.results)}
    limit = work.profile["notebooks"]["time_limit_minutes"]
    report = execute(arguments.notebook.resolve(), work.folder / "notebooks", parameters, minutes=limit)
    report["exhibits"] = exhibits_of(work, report)
    write_json(work.status_file(arguments.notebook.stem), report)
    print(f"{report['notebook']}: {report['status']} in {report['seconds']:.0f} s. {report['reason']}", flush=True)
    if report["status"] == "failed":
        print("\n".join(report["traceback"]), file=sys.stderr)
        return 1
    if arguments.stamp:
        write_atomic(arguments.stamp, report["status"] + "\n")
    return 0


def run_reproduce(arguments: argparse.Namespace) -> int:
    """Do everything that a profile asks for."""
    from skinlib.workflow.reproduce import reproduce

    return reproduce(
        arguments.profile,
        data=arguments.data,
        results=arguments.results,
        notebooks=arguments.notebooks,
        only=arguments.only,
        stale=arguments.stale,
        cores=arguments.cores,
        extra=arguments.extra,
    )


def write_page(arguments: argparse.Namespace) -> int:
    """Write the index page of a profile anew."""
    from skinlib.workflow.index import write_index

    print(write_index(_work(arguments)))
    return 0


def print_summary(arguments: argparse.Namespace) -> int:
    """Print how the notebooks of a profile went."""
    from skinlib.workflow.index import summary

    text, failures = summary(_work(arguments))
    print(text)
    return 1 if failures else 0


def publish_results(arguments: argparse.Namespace) -> int:
    """Make a run's exhibits the reference of its profile; 1 when a notebook of its papers failed or was not run."""
    from skinlib.papers import plan_of
    from skinlib.workflow.index import summary
    from skinlib.workflow.reference import publish, size_of

    work = _work(arguments)
    work = dataclasses.replace(work, cards=tuple(card for card in work.cards if card.papers))
    text, failures = summary(work)
    if failures:
        print(f"{text}\nnothing published: {failures} notebooks failed or were not run", file=sys.stderr)
        return 1
    plans = {paper: plan_of(paper, work.profile) for paper in work.profile["papers"]}
    drawn = work.profile["data"]["kind"] == "synthetic"
    where = {"plans": plans, "run_store": work.results / "runs", "evidence": not drawn}
    path = publish(work.folder, work.results / "reference", **where)
    print(f"{path}: {size_of(path) / 1e6:.1f} MB")
    return 0


def restore_runs(arguments: argparse.Namespace) -> int:
    """Put the runs behind a profile's reference into the run store, without weights."""
    from skinlib.workflow.reference import restore

    work = _work(arguments)
    found = restore(work.results / "reference" / work.profile["name"], work.results)
    print(f"{len(found)} runs restored from evidence, without weights, to {work.results / 'runs'}")
    return 0


def run_regression(arguments: argparse.Namespace) -> int:
    """Compare the smoke exhibits with what is expected, or take them as expected."""
    from skinlib.paths import project_root
    from skinlib.workflow.regression import accept, compare

    found = project_root() / "results" / "smoke"
    expected = project_root() / "tests" / "expected" / "smoke"
    if arguments.accept or arguments.widen:
        return accept(found, expected, widen=arguments.widen)
    return compare(found, expected)


def _work(arguments: argparse.Namespace):
    from skinlib.workflow.work import Work

    return Work.open(arguments.profile, data=arguments.data, results=arguments.results, notebooks=arguments.notebooks)


def _show_progress(work) -> None:
    from skinlib.workflow.reproduce import progress

    print(progress(work), file=sys.stderr, flush=True)
