"""What stands beside the ladder: our choices where the paper is silent, less data, and images that are hard to see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from skinlib.exhibits.arms import Runs, by_seed, names, part, rounded
from skinlib.exhibits.estimates import Arm, cell, ends, judge, origin
from skinlib.exhibits.estimates import compare as compare_outlines
from skinlib.exhibits.estimates import measure as measure_outlines
from skinlib.exhibits.ladder import CHANGE
from skinlib.exhibits.multiclass import by_stratum, compare, measure
from skinlib.images.difficulty import thirds
from skinlib.papers.attention_autoencoder.arms import common_seeds, ladder, outlining, runs_of, with_seeds
from skinlib.papers.attention_autoencoder.tables import DIFF
from skinlib.training.elsewhere import predict_corrupted

WHOLE = ("accuracy", "macro_f1", "macro_recall")
CONCATENATE = "concatenate"
# What no network was trained on: kind -> levels in the units of skinlib.images.corruptions. Ours.
LEVELS = {"blur": (0.01, 0.03), "noise": (0.05, 0.15), "hair": (10, 30)}
AREAS = ("small lesions", "middle lesions", "large lesions")
CONTRASTS = ("low contrast", "middle contrast", "high contrast")
# Kept of the scores of a corrupted outline.
OUTLINED = ("image_id", "lesion_id", "patient_id", "dataset", "split", "seed", "stage", "dice")
# The rows of small_and_noisy in the order in which they are read; the stronger level bears its kind's name alone.
CONDITIONS = (*AREAS, *CONTRASTS, *(row for kind, (mild, _) in LEVELS.items() for row in (f"{kind} {mild:g}", kind)))


def as_changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose differences are named as `skinlib.exhibits.ladder` wants them."""
    return frame.assign(metric=frame["metric"].str.replace(f"{DIFF}$", CHANGE, regex=True))


def seeds(runs: Runs, wanted: Sequence[str] = ("accuracy", "macro_f1")) -> pd.DataFrame:
    """Return every seed of every variant apart, rows ``<variant>, seed <n>``, with Dice where it outlines."""
    cells = []
    outlined = outlining(runs)
    for name, table in ladder(runs).items():
        for seed in sorted(table["seed"].unique()):
            row = f"{name}, seed {seed}"
            cells += measure(row, with_seeds(table, {seed}), wanted, n_boot=2)
            if name in outlined:
                cells += measure_outlines(row, Arm(with_seeds(outlined[name]["raw"], {seed})), ("dice",), n_boot=2)
    return pd.DataFrame(cells).assign(low=np.nan, high=np.nan)


def choices(runs: Runs) -> dict[str, str]:
    """Return row of fusion_choices -> name in the plan, the proposed system first."""
    found = {CONCATENATE: "proposed"}
    for name in names(runs):
        kind, _, rest = name.partition("/")
        if kind == "choice":
            found[rest.replace("_", " ")] = name
        if kind == "weights":
            found["mask {}, reconstruction {}".format(*rest.split("-"))] = name
    return found


def fusion_choices(runs: Runs, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare each of our choices with the proposed system, on the seeds that all of them have."""
    boot = {"n_boot": n_boot, "seed": seed}
    chosen = choices(runs)
    common = common_seeds(runs, chosen.values())
    tables = {row: with_seeds(part(runs, name, "test"), common) for row, name in chosen.items()}
    outlined = {row: outlining(runs, [name]).get(name) for row, name in chosen.items()}
    outlined = {row: Arm(with_seeds(stages["raw"], common)) for row, stages in outlined.items() if stages}
    cells, changes = [], []
    for row, table in tables.items():
        cells += measure(row, table, WHOLE, **boot)
        changes += [] if row == CONCATENATE else compare(row, table, tables[CONCATENATE], WHOLE, **boot)
        if row in outlined:
            cells += measure_outlines(row, outlined[row], ("dice",), **boot)
            if row != CONCATENATE and CONCATENATE in outlined:
                both = (outlined[row], outlined[CONCATENATE])
                changes += compare_outlines(row, *both, ("dice",), suffix=DIFF, **boot)
    return pd.DataFrame(cells + judge(changes, suffix=DIFF))


def transfer_arms(runs: Runs) -> dict[tuple[str, str, float], str]:
    """Return (variant, weights, share of the training images) -> name in the plan, the whole data with them."""
    found = {}
    for name in names(runs):
        kind, *words = name.split("/")
        if kind == "transfer":
            variant, weights, percent = words
            found[variant, weights, float(percent) / 100] = name
    for variant in dict.fromkeys(key[0] for key in found):
        found[variant, by_seed(runs, variant)[0].config.weights, 1.0] = variant
    return dict(sorted(found.items()))


def transfer_row(variant: str, weights: str, share: float) -> str:
    """Return the row of the exhibit: the paper's rows are the proposed system's and bear no name."""
    return f"{'' if variant == 'proposed' else variant + ', '}{weights}, {100 * share:g} %"


def transfer(runs: Runs, *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compare networks with and without pretrained weights on shares of the training images.

    Differences: pretrained minus not, at each share; pretrained on the smallest share minus not pretrained on all
    images, which is what "reduces the reliance on large annotated datasets" says; and the smallest share minus all
    images, for each kind of weights. Holm-adjusted over them.
    """
    arms = transfer_arms(runs)
    if not arms:
        return pd.DataFrame(columns=["row", "metric", "ours"])
    common = common_seeds(runs, arms.values())
    tables = {key: with_seeds(part(runs, name, "test"), common) for key, name in arms.items()}
    boot, cells = {"n_boot": n_boot, "seed": seed}, []
    for key, table in tables.items():
        cells += measure(transfer_row(*key), table, WHOLE, **boot)
        trained = [run for run in by_seed(runs, arms[key]) if run.config.seed in common]
        seconds = [run.metrics["train_seconds"] for run in trained]
        about = origin(table) | {"note": f"of a whole training; range over {len(seconds)} seed(s)"} | ends(seconds)
        cells.append(cell(transfer_row(*key), "train_seconds", float(np.mean(seconds)), **about))
    pairs = [(row, tables[a], tables[b]) for row, a, b in _transfer_pairs(tables)]
    found = [one for row, a, b in pairs for one in compare(row, a, b, WHOLE, **boot)]
    return pd.DataFrame(cells + judge(found, suffix=DIFF))


def _transfer_pairs(arms: Mapping) -> Iterator[tuple[str, tuple, tuple]]:
    for variant in dict.fromkeys(key[0] for key in arms):
        start = "" if variant == "proposed" else f"{variant}, "
        shares = {w: sorted(s for v, w2, s in arms if (v, w2) == (variant, w)) for w in ("imagenet", "none")}
        both = [share for share in shares["imagenet"] if share in shares["none"]]
        for share in both:
            ending = "" if share == 1 else f", {100 * share:g} %"
            yield f"{start}imagenet - none{ending}", (variant, "imagenet", share), (variant, "none", share)
        if both and 1 in shares["none"] and both[0] < 1:
            row = f"{start}imagenet, {100 * both[0]:g} % - none, 100 %"
            yield row, (variant, "imagenet", both[0]), (variant, "none", 1.0)
        for weights, known in shares.items():
            if len(known) > 1 and known[-1] == 1:
                row = f"{start}{weights}, {100 * known[0]:g} % - 100 %"
                yield row, (variant, weights, known[0]), (variant, weights, 1.0)


def strata(difficulty: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return measure -> image id -> third: by area and by contrast of the lesion; images without a mask in none."""
    by_id = difficulty.set_index("image_id")
    named = {"area": AREAS, "contrast": CONTRASTS}
    return {measure: thirds(by_id[measure], words).to_dict() for measure, words in named.items()}


def corrupted(
    runs: Runs, test: pd.DataFrame, wanted: Sequence[str], levels: Mapping[str, Sequence[float]] = LEVELS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply networks to corrupted test images, every seed.

    Returns
    -------
    tuple
        Prediction tables and the scores of raw outlines (no row of a network that draws none), both with columns
        network, kind and level.
    """
    called, drawn = [], []
    disturbed = [(kind, level) for kind, each in levels.items() for level in each]
    for (kind, level), run in tqdm(list(itertools.product(disturbed, runs_of(runs, wanted))), desc="disturbed images"):
        about = {"network": run.config.variant, "kind": kind, "level": level}
        table, scores = predict_corrupted(run, test, kind, level)
        called.append(rounded(table).assign(**about))
        if scores is not None:
            drawn.append(scores.loc[scores["stage"] == "raw", list(OUTLINED)].assign(**about))
    none = pd.DataFrame(columns=[*OUTLINED, "network", "kind", "level"])
    outlines = pd.concat(drawn, ignore_index=True) if drawn else none
    return pd.concat(called, ignore_index=True).drop(columns=["view", "part", "fold", "system"]), outlines


def small_and_noisy(
    tables: Mapping[str, pd.DataFrame],
    thirds_of: Mapping[str, Mapping[str, str]],
    poorer: pd.DataFrame,
    outlined: Mapping[str, pd.DataFrame],
    poorer_outlined: pd.DataFrame,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Ask whether the proposed system bears small, faint and disturbed lesions better than the baseline.

    The rows of the proposed system bear the paper's names (the stronger level of a disturbance), the others the
    network's in front.

    Parameters
    ----------
    tables
        Network -> its test table; ``proposed`` among them.
    thirds_of
        As `strata` returns it.
    poorer, poorer_outlined
        As `corrupted` returns them.
    outlined
        Network -> its raw mask scores on untouched images, of those that outline.
    """
    boot = {"n_boot": n_boot, "seed": seed}
    cells, against = [], []
    for network, table in tables.items():
        start = "" if network == "proposed" else f"{network}, "
        for each in thirds_of.values():
            found = by_stratum(network, table, each, WHOLE[:2], **boot)
            cells += [one | {"row": start + one["row"].removeprefix(f"{network}, ")} for one in found]
            for name in dict.fromkeys(each.values()) if network in outlined else ():
                kept = outlined[network][outlined[network]["image_id"].map(each) == name].reset_index(drop=True)
                cells += measure_outlines(start + name, Arm(kept), ("dice",), **boot)
        for words, mine in _levels(poorer[poorer["network"] == network]):
            cells += measure(start + words, mine, WHOLE[:2], **boot)
            against += compare(f"{network}: {words} - untouched", mine, table, WHOLE[:2], **boot)
        for words, mine in _levels(poorer_outlined[poorer_outlined["network"] == network]):
            both = (Arm(mine), Arm(outlined[network]))
            cells += measure_outlines(start + words, both[0], ("dice",), **boot)
            row = f"{network}: {words} - untouched"
            against += compare_outlines(row, *both, ("dice",), suffix=DIFF, **boot)
    gains = [one for word, pair in _pairs(tables, thirds_of, poorer) for one in compare(word, *pair, WHOLE[:2], **boot)]
    return pd.DataFrame(cells + judge(against, suffix=DIFF) + judge(gains, suffix=DIFF))


def _levels(poorer: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield "blur 0.01", "blur" of one network, with their tables."""
    for kind, rows in poorer.groupby("kind", sort=False):
        for level, mine in rows.groupby("level"):
            yield kind if level == rows["level"].max() else f"{kind} {level:g}", mine.reset_index(drop=True)


def _pairs(tables: Mapping, thirds_of: Mapping, poorer: pd.DataFrame) -> Iterator[tuple[str, tuple]]:
    """Yield the proposed system beside the baseline in each stratum and under each disturbance."""
    if not {"proposed", "baseline"} <= set(tables):
        return
    both = (tables["proposed"], tables["baseline"])
    for each in thirds_of.values():
        for name in dict.fromkeys(each.values()):
            ids = [image for image, stratum in each.items() if stratum == name]
            kept = tuple(table[table["image_id"].isin(ids)].reset_index(drop=True) for table in both)
            yield f"{name}: proposed - baseline", kept
    first, second = (dict(_levels(poorer[poorer["network"] == name])) for name in ("proposed", "baseline"))
    for words, mine in first.items():
        yield f"{words}: proposed - baseline", (mine, second[words])
