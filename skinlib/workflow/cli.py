"""The console script ``skinlib``: its words. What they do is in `skinlib.workflow.commands`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from skinlib.workflow import commands

LIBRARY = str(Path(__file__).parents[1])


def _place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="sample", help="smoke, sample, real, paper, or a YAML file like them")
    parser.add_argument("--data", default="", help="data root; default: the profile's synthetic data, or data/raw")
    parser.add_argument("--results", default="", help="default: results/ of the checkout")
    parser.add_argument("--notebooks", default="", help="default: notebooks/ of the checkout")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets ``call`` to the function that does it."""
    parser = argparse.ArgumentParser(prog="skinlib", description="Skin-lesion systems, reproduced. No medical device.")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    _data_words(words)
    _run_words(words)
    _notebook_words(words)
    return parser


def _data_words(words) -> None:
    data = words.add_parser("data", help="get, check or draw a data set")
    kinds = data.add_subparsers(required=True, metavar="WHAT")
    get = kinds.add_parser("get", help="download a data set once its licence is accepted; no partial download is kept")
    get.add_argument("name")
    get.add_argument("--root", type=Path, required=True)
    get.add_argument("--accept-licence", action="store_true")
    get.set_defaults(call=commands.data_get)
    check = kinds.add_parser("check", help="read a data set and list every finding")
    check.add_argument("name")
    check.add_argument("--root", type=Path, required=True)
    check.set_defaults(call=commands.data_check)
    draw = kinds.add_parser("synthesise", help="draw a profile's synthetic data")
    _place(draw)
    draw.set_defaults(call=commands.data_synthesise)


def _run_words(words) -> None:
    plan = words.add_parser("plan", help="name the runs that a profile needs")
    _place(plan)
    plan.set_defaults(call=commands.write_plan)
    train = words.add_parser("train", help="train one run, or go on with an interrupted one")
    train.add_argument("config", type=Path)
    _place(train)
    train.add_argument("--device", default="auto")
    train.add_argument("--stamp", type=Path, help="file to write when the run is finished")
    train.set_defaults(call=commands.train_run)
    predict = words.add_parser("predict", help="turn a folder of images into a prediction table")
    predict.add_argument("run", type=Path, help="the run's folder, results/runs/<id>")
    predict.add_argument("--images", type=Path, required=True, help="a folder, or a CSV with a column image_path")
    predict.add_argument("--out", type=Path, required=True)
    predict.add_argument("--tta", choices=("none", "flips", "d4"), default="none")
    predict.set_defaults(call=commands.predict_images)
    evaluate = words.add_parser("evaluate", help="metrics, thresholds, intervals and fairness of a prediction table")
    evaluate.add_argument("table", type=Path)
    evaluate.add_argument("--groups", nargs="*", default=[], help="columns that name groups of people")
    evaluate.add_argument("--malignant", nargs="*", default=[], help="classes that count as malignant")
    evaluate.add_argument("--recall", type=float, default=0.85, help="least recall that the threshold must keep")
    evaluate.add_argument("--out", type=Path, help="folder for the tables as CSV")
    evaluate.set_defaults(call=commands.evaluate_table)


def _notebook_words(words) -> None:
    regression = words.add_parser("regression", help="compare the smoke exhibits with tests/expected/smoke")
    regression.add_argument("--accept", action="store_true", help="take them as the new expectation")
    regression.add_argument("--widen", action="store_true", help="the same, and keep the ranges that were stored")
    regression.set_defaults(call=commands.run_regression)
    notebooks = words.add_parser("notebooks", help="execute notebooks, and show what came of it")
    kinds = notebooks.add_subparsers(required=True, metavar="WHAT")
    run = kinds.add_parser("run", help="execute one notebook strictly")
    run.add_argument("notebook", type=Path)
    _place(run)
    run.add_argument("--stamp", type=Path, help="file to write when it came to its end")
    run.add_argument("--train", action="store_true", help="train missing runs instead of failing")
    run.set_defaults(call=commands.run_notebook)
    whole = kinds.add_parser("reproduce", help="everything: data, runs, notebooks, summary, index")
    _place(whole)
    whole.add_argument("--only", default="", help="numbers of notebooks, such as '24 43'")
    whole.add_argument("--stale", choices=("", "retrain", "stop", "reuse"), default="", help="runs made by older code")
    whole.add_argument("--cores", type=lambda text: int(text or 0), default=0)
    whole.add_argument("extra", nargs="*", help="arguments for Snakemake, after --")
    whole.set_defaults(call=commands.run_reproduce)
    others = {
        "index": (commands.write_page, "page of what was executed"),
        "summary": (commands.print_summary, "table of what was executed"),
        "publish": (commands.publish_results, "copy what was executed into results/reference, with evidence"),
        "restore": (commands.restore_runs, "put the runs of results/reference into the run store, without weights"),
    }
    for name, (call, words) in others.items():
        shown = kinds.add_parser(name, help=words)
        _place(shown)
        shown.set_defaults(call=call)


def is_for_the_user(error: Exception) -> bool:
    """Whether an error was raised by this library on purpose, or by the system: its one sentence says what to mend."""
    if type(error).__module__.startswith("skinlib") or isinstance(error, OSError):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError) and last.startswith(LIBRARY)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; an error that its user can mend is one line and exit status 2, others show their traceback."""
    arguments = build_parser().parse_args(words)
    try:
        return arguments.call(arguments)
    except (ValueError, RuntimeError, OSError) as error:
        if not is_for_the_user(error):
            raise
        print(f"skinlib: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
