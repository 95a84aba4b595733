"""The ensemble paper's switches, what a member costs or its time would give, and two harder tests: a leak, a clinic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skinlib.evaluation import fusion
from skinlib.exhibits.arms import Runs, machine
from skinlib.exhibits.estimates import cell, ends, origin
from skinlib.papers.joint_ensemble.arms import (
    KEYS,
    Row,
    drawn,
    malignant,
    members,
    paired,
    row,
    run_tables,
    there,
    usual,
)
from skinlib.papers.joint_ensemble.tables import COMPARED, OF_MELANOMA, WHOLE, changes, of_classes
from skinlib.training.runs import Run

SHOWN = {name: WHOLE[name] for name in (*COMPARED, "macro_f1")}
ADDED, REMOVED = "member added", "member removed"
ARMS = ("leaky", "clean")


def switches(runs: Runs) -> dict[str, tuple[Row, Row]]:
    """Return switch -> (the head with it, the proposed head), both on the draws that the switch has."""
    proposed = row(runs, "proposed")
    names = {name: name.removeprefix("switch/") for name in there(runs, "switch/")}
    names |= dict.fromkeys(there(runs, "joint/"), "joint fine-tuning")
    return {word: paired(row(runs, name), proposed) for name, word in names.items()}


def switch_table(pairs: Mapping[str, tuple[Row, Row]], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare each switch with the proposed head on the same draws; where a part works, the head without it is worse.

    The binary head stands beside the proposed one's diagnoses summed to two classes: rows ``binary`` and ``proposed,
    two classes``.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    shown = {}
    for name, (one, proposed) in pairs.items():
        shown[name] = one
        if "p_malignant" in one.test:
            shown["proposed, two classes"] = proposed._replace(test=malignant(proposed.test))
        elif "proposed" not in shown:
            shown["proposed"] = proposed
        elif not proposed.test[KEYS].equals(shown["proposed"].test[KEYS]):  # on fewer draws
            shown[f"proposed, beside {name}"] = proposed
    cells = [found for name, one in shown.items() for found in of_classes(name, drawn(one.test), SHOWN, **boot)]
    return pd.DataFrame(cells + changes(pairs, **boot))


def modularity(runs: Runs, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Say what a further member costs and brings: the head with all members against the head without this one.

    Of each member ``train_seconds`` of the head that is trained anew, ``member_seconds`` of its own training (once),
    ``members_retrained``: how many of the others are another run than before, and the changes in quality.
    """
    names = [name.removeprefix("without/") for name in there(runs, "without/")]
    pairs = {f"{name} added": paired(row(runs, "proposed"), row(runs, f"without/{name}")) for name in names}
    cells = []
    for name, pair in zip(names, pairs.values(), strict=True):
        draws = set(zip(pair[0].test["fold"], pair[0].test["seed"], strict=True))
        heads = [run for run in pair[0].runs if (run.config.fold, run.config.seed) in draws]
        less = [run for run in pair[1].runs if (run.config.fold, run.config.seed) in draws]
        about = origin(pair[0].test) | {"note": machine(heads[0])}
        cells.append(_seconds(f"{name} added", "train_seconds", heads, about))
        own = row(runs, f"member/{name}", shared=True).runs
        cells.append(_seconds(f"{name} added", "member_seconds", own, about))
        cells.append(_seconds(f"{name} removed", "train_seconds", less, about))
        cells.append(cell(f"{name} added", "members_retrained", float(_retrained(heads, less)), **about))
        same, _ = paired(row(runs, f"only/{name}"), pair[1])  # in the folds that the head without it has
        lone = of_classes(f"{name} alone", drawn(same.test), SHOWN, n_boot=n_boot, seed=seed)
        cells += [one | {"note": "the fused head on this member alone, with metadata"} for one in lone]
    judged = changes(pairs, n_boot=n_boot, seed=seed)
    return pd.DataFrame([*_printed(cells, judged), *cells, *judged])


def _seconds(name: str, metric: str, runs: list[Run], about: dict) -> dict:
    each = [run.metrics["train_seconds"] for run in runs]
    note = f"range over {len(each)} run(s); {about['note']}"
    return cell(name, metric, float(np.mean(each)), **about | {"note": note} | ends(each))


def _retrained(heads: list[Run], less: list[Run]) -> int:
    """Return how many members of the smaller heads are another run than under the same name in the larger ones."""
    pairs = zip(sorted(heads, key=_draw), sorted(less, key=_draw), strict=True)
    found = [(with_all.metrics["parents"], without.metrics["parents"]) for with_all, without in pairs]
    return sum(few[name]["id"] != many[name]["id"] for many, few in found for name in few)


def _draw(run: Run) -> tuple[int, int]:
    return run.config.fold, run.config.seed


def _printed(cells: list[dict], judged: list[dict]) -> list[dict]:
    """Return the cells that the paper's sentence would need: means over the members that were added or removed."""
    if not cells:
        return []
    seconds = [one for one in cells if one["metric"] == "train_seconds"]
    about = {key: seconds[0][key] for key in ("n", "dataset", "split")}
    found = []
    for words, name in ((ADDED, " added"), (REMOVED, " removed")):
        each = [one["ours"] for one in seconds if one["row"].endswith(name)]
        note = f"seconds of the head, the only part that is trained anew; mean of {len(each)} member(s)"
        found.append(cell(words, "train_seconds", float(np.mean(each)), **about, note=note))
    gains = [one["ours"] for one in judged if one["metric"] == "accuracy_change"]
    note = f"change in accuracy; mean of {len(gains)} member(s), each with its interval below"
    return [*found, cell(ADDED, "accuracy", float(np.mean(gains)), **about, note=note)]


def same_time(runs: Runs, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare all members with one of them that was trained as long as all together, in the folds that it has.

    Once as decisions (the plain mean of the members, one view each), once as features (the proposed head against the
    same head on the longer trained member alone). ``train_seconds`` of both say how alike the times are.
    """
    boot, shown, pairs, cells = {"n_boot": n_boot, "seed": seed}, {}, {}, []
    everyone = members(runs)
    for name, longer in members(runs, "longer").items():
        head = row(runs, f"longer/only/{name}")
        alike = {
            (f"{name}, longer", name): (longer, everyone[name]),
            ("mean of members", f"{name}, longer"): (_mean(everyone), longer),
            ("proposed", f"head on {name} alone, longer"): (row(runs, "proposed"), head),
        }
        for words, (after, before) in ((words, paired(*pair)) for words, pair in alike.items()):
            shown |= dict(zip(words, (after, before), strict=True))
            pairs[" - ".join(words)] = after, before
        folds = {run.config.fold for run in longer.runs}
        them = [run for one in everyone.values() for run in one.runs if run.config.fold in folds]
        about = origin(longer.test) | {"note": f"{len(folds)} fold(s); {machine(longer.runs[0])}"}
        for words, trained in (("mean of members", them), (f"{name}, longer", longer.runs)):
            cells.append(cell(words, "train_seconds", sum(run.metrics["train_seconds"] for run in trained), **about))
    cells += [one for words, of in shown.items() for one in of_classes(words, drawn(of.test), SHOWN, **boot)]
    return pd.DataFrame(cells + changes(pairs, **boot))


def leaked(runs: Runs) -> dict[str, dict[str, Row]]:
    """Return arm (leaky, clean) -> row -> member, mean of members or fused head; {} where the profile trains none."""
    found = {}
    for arm in ARMS:
        if there(runs, f"{arm}/"):
            parts = members(runs, arm)
            several = {"mean": _mean(parts)} if len(parts) > 1 else {}
            found[arm] = parts | several | {"proposed": row(runs, f"{arm}/proposed")}
    return found


def _mean(parts: Mapping[str, Row]) -> Row:
    """Return the plain mean of members as a row; nothing is chosen on it, so it has no validation rows."""
    test = fusion.mean(run_tables(parts)[1])
    return Row(test, test.head(0), (), True)


def leakage(found: Mapping[str, Mapping[str, Row]], *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare training with and without other images of the test lesions: equal sizes, the same test images.

    Rows ``<name>, leaky`` and ``<name>, clean``; the changes stand in the leaky one and are what the leak gives.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    shown = SHOWN | OF_MELANOMA
    cells = [
        one
        for name in found["leaky"]
        for arm in ARMS
        for one in of_classes(f"{name}, {arm}", drawn(found[arm][name].test), shown, **boot)
    ]
    pairs = {f"{name}, leaky": (one, found["clean"][name]) for name, one in found["leaky"].items()}
    return pd.DataFrame(cells + changes(pairs, **boot))


def sources(runs: Runs) -> dict[tuple[str, str], tuple[Row, Row]]:
    """Return (source, system) -> the system trained without the source, and the same of the first fold with it."""
    found = {}
    for name in there(runs, "source/"):
        _, source, system = name.split("/", 2)
        system = system.removeprefix("member/")
        without = row(runs, name, shared=system != "proposed")
        found[source, system] = without, usual(runs, system, without)
    return found


def left_out(
    pairs: Mapping[tuple[str, str], tuple[Row, Row]], of: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compare training without and with a source, on that source's images of the usual test part.

    Neither has trained on those images or their lesions, and members and head are the same, so the rows are paired;
    the change is without minus with. What differs besides the source is how many images trained, and the notes say how
    many. A third row has all images of the source, most of which train the system that is trained with it.

    Parameters
    ----------
    of
        image_id, source.
    """
    boot, cells, alike = {"n_boot": n_boot, "seed": seed}, [], {}
    shown = {name: WHOLE[name] for name in COMPARED} | OF_MELANOMA
    source_of = of.set_index("image_id")["source"]
    for (source, system), (without, like) in pairs.items():
        images = like.test["image_id"][like.test["image_id"].map(source_of) == source]
        pair = tuple(one._replace(test=one.test[one.test["image_id"].isin(images)]) for one in paired(without, like))
        note = f"trained on {_trained(without)} images an epoch, with {source} on {_trained(like)}"
        rows = dict(zip((f"trained without {source}", f"trained with {source}"), pair, strict=True))
        rows |= {f"trained without {source}, all its images": without}
        for words, one in rows.items():
            cells += of_classes(f"{system}, {words}", drawn(one.test.reset_index(drop=True)), shown, note=note, **boot)
        alike[f"{system}, trained without {source}"] = pair
    return pd.DataFrame(cells + changes(alike, **boot))


def _trained(one: Row) -> int:
    """Return how many images a row's first run saw an epoch."""
    metrics = one.runs[0].metrics
    return round(metrics["images"] / metrics["epochs"])


def by_draw(rows: Mapping[str, Row]) -> pd.DataFrame:
    """Return accuracy, balanced accuracy and AUC of every draw: a row a system, fold and seed."""
    found = []
    for name, one in rows.items():
        for (fold, seed), table in one.test.groupby(["fold", "seed"]):
            cells = of_classes(name, table.reset_index(drop=True), {key: WHOLE[key] for key in COMPARED}, n_boot=2)
            found.append({"row": name, "fold": fold, "seed": seed} | {each["metric"]: each["ours"] for each in cells})
    return pd.DataFrame(found)
