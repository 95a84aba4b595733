"""What notebooks on Ashok et al. 2023 share: rows and metrics of their tables, and what opens a network.

A member is trained once a fold, a head once a fold and seed; all are tested on the same images. Folds share these and
part of their training images, so an interval over few folds is too narrow rather than too wide. Members have one seed:
what another seed of a member would do is in no interval.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from skinlib.data import demographics
from skinlib.evaluation import tables
from skinlib.evaluation.fusion import Weights, weighted_mean
from skinlib.evaluation.metrics import OF_CALLS
from skinlib.evaluation.resampled import Metric, ratio
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored, with_rarest
from skinlib.explain.localisation import BAND, localisation_table
from skinlib.explain.run_maps import class_maps
from skinlib.figures.display import outlined
from skinlib.figures.images import image_grid
from skinlib.figures.style import HEAT
from skinlib.images import abcd
from skinlib.images.batches import to_model_input
from skinlib.images.cache import Cache
from skinlib.papers.joint_ensemble.model import members
from skinlib.provenance import environment, generator
from skinlib.training import features
from skinlib.training.features import batches_of
from skinlib.training.runs import Run
from skinlib.training.symmetries import SYMMETRIES, views

PAPER = "joint_ensemble"
MELANOMA = "mel"
OF_A_MEMBER, OF_A_HEAD = ("fold",), ("fold", "seed")  # the columns that tell trainings apart
# Of all classes; roc_auc is the mean over them, one against the rest. The paper does not say of which question its is.
WHOLE = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "roc_auc": "macro_auc"}
KEYS = ["image_id", "lesion_id", "patient_id"]
SEEN = 0.45  # of the image, through a map
REPEATS = 5  # of a timing; the median counts


def row(table: pd.DataFrame, units: tuple[str, ...] = OF_A_HEAD, *, note: str = "") -> Scored:
    """Return test rows as a row of a table: lesions are drawn within their rarest class, seeds within their fold."""
    return Scored(with_rarest(table), units=units, nested=len(units) > 1, strata="rarest", note=note)


def named(name: str, one: Scored, whole: Scored) -> str:
    """Return the name of a row, with its folds and seeds where it has fewer than a whole one: ``pca, fold 0``."""
    has = {unit: sorted(one.table[unit].unique()) for unit in one.units}
    fewer = [unit for unit in has if len(has[unit]) < whole.table[unit].nunique()]
    return ", ".join([name, *(f"{unit} {' and '.join(map(str, has[unit]))}" for unit in fewer)])


def one_of(classes: Sequence[str], name: str) -> Metric:
    """Return a metric of the question "one of these classes or not": probabilities summed, the larger sum called."""

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        y, p = tables.outcome(as_binary(rows, classes))
        return OF_CALLS[name](y, p, 0.5, counts)

    return Metric(name, weighted)


def as_binary(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a table of diagnoses as the question "one of these classes or not"; a binary one as it is."""
    return table if "p_malignant" in table else tables.to_binary(table, classes)


def melanoma_at(one: Scored, val: pd.DataFrame, rule: Callable[[pd.DataFrame], float], note: str = "") -> Scored:
    """Return the melanoma question of a row, each training called at the threshold that its validation rows give.

    Parameters
    ----------
    rule
        Validation rows of one training, as the question "melanoma or not" -> threshold.
    """
    tables.require_validation(val, "a threshold")
    keys = list(one.units) if len(one.units) > 1 else one.units[0]
    chosen = {key: rule(rows) for key, rows in as_binary(val, [MELANOMA]).groupby(keys)}
    words = "; ".join(filter(None, [one.note, note]))
    return dataclasses.replace(one, table=as_binary(one.table, [MELANOMA]), threshold=chosen, note=words)


def threshold_finding(val: pd.DataFrame, share: float) -> float:
    """Return the highest threshold at which this share of the positive rows is still found."""
    scores = np.sort(val.loc[val["label"] == 1, "p_malignant"])[::-1]
    return float(scores[int(np.ceil(share * len(scores))) - 1])


def rank_correlation(a: pd.Series, b: pd.Series) -> Metric:
    """Return the correlation of ranks of two columns, which are those of the whole table in every resample."""
    x, y = a.rank().to_numpy(), b.rank().to_numpy()

    def weighted(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
        mean = lambda values: ratio(counts @ values, counts.sum(axis=1))
        spread = (mean(x**2) - mean(x) ** 2) * (mean(y**2) - mean(y) ** 2)
        return ratio(mean(x * y) - mean(x) * mean(y), np.sqrt(np.maximum(spread, 0)))

    return Metric("rank correlation", weighted)


@torch.inference_mode()
def weighted_views(groups: Mapping[str, Runs], weights: Weights, cohort: pd.DataFrame, *, tta: str) -> pd.DataFrame:
    """Return the members' weighted mean over the views that the fused head sees: a test table of every fold.

    A member's head is linear on its pooled features, and those of every view lie in the cache, so no image is read.

    Parameters
    ----------
    cohort
        The whole cohort, as the members' runs saw it.
    """
    place = pd.Series(np.arange(len(cohort)), index=cohort["image_id"])
    found = {}
    for name, group in groups.items():
        parts = []
        for run in group:
            table = run.predictions().query("part == 'test'")
            seen = features.pooled(run, cohort, tta=tta)[place[table["image_id"]]]  # (N, V, C)
            p = run.model().head(torch.from_numpy(seen).float()).softmax(-1).mean(1).numpy()
            parts.append(table.assign(**{f"p_{code}": p[:, k] for k, code in enumerate(tables.classes(table))}))
        found[name] = pd.concat(parts, ignore_index=True)
    return weighted_mean(found, weights)


@torch.inference_mode()
def branch_b(heads: Runs, cohort: pd.DataFrame, images: Sequence[str]) -> pd.DataFrame:
    """Return what branch B predicts of some images, next to what was measured on mask and image; means over heads.

    Parameters
    ----------
    heads
        Of one design with attention.
    cohort
        The whole cohort, as the heads saw it: its features and measures lie on disk.

    Returns
    -------
    DataFrame
        image_id, lesion_id, patient_id; each measure, ``predicted_<measure>``, and ``gate_<member>``, how much
        attention gave it, 0 to 1.
    """
    predicted, gates = [], []
    for run in heads:
        model, batches = run.model(), batches_of(run, cohort).epoch(0, torch.device("cpu"))
        seen = [model(None, one.get("meta"), features=one.get("features")) for one in batches]
        predicted.append(torch.cat([output["attributes"] for output in seen]).numpy())
        gates.append(torch.cat([output["attention"] for output in seen]).numpy())
    measured = abcd.stored(cohort, heads.first.path.parents[1] / "cache")[list(abcd.MEASURES)].to_numpy()
    columns = {
        **{name: measured[:, k] for k, name in enumerate(abcd.MEASURES)},
        **{f"predicted_{name}": np.mean(predicted, 0)[:, k] for k, name in enumerate(abcd.MEASURES)},
        **{f"gate_{name}": np.mean(gates, 0)[:, k] for k, name in enumerate(members(heads.first.config))},
    }
    table = cohort[KEYS].reset_index(drop=True).assign(**columns)
    return table[table["image_id"].isin(images)].reset_index(drop=True)


def member_maps(runs: Mapping[str, Run], cohort: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield member, its Grad-CAM++ maps (N, H, W) of the class that it calls, and that class (N,)."""
    for name, run in runs.items():
        model, batches = run.model(), batches_of(run, cohort)
        with torch.inference_mode():
            seen = [model(batch["image"])["logits"].argmax(1) for batch in batches.epoch(0, torch.device("cpu"))]
        called = torch.cat(seen).numpy()
        yield name, np.stack(list(class_maps(model, batches, called))), called


def map_measures(runs: Mapping[str, Run], cohort: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Measure each member's maps against the masks: a row a member and image, with energy, pointing, iou and band."""
    masks, parts = pixels(cohort, next(iter(runs.values())))[1], []
    for k, (name, heat, _) in enumerate(member_maps(runs, cohort)):
        top = heat.max((1, 2), keepdims=True)  # a map of one position, enlarged, varies in its last digits
        heat = np.round(np.divide(heat, top, out=np.zeros_like(heat), where=top > 0), 5)
        found = localisation_table(heat, masks, cohort["image_id"], rng=generator(seed, k), band=BAND)
        parts.append(cohort[KEYS].reset_index(drop=True).assign(member=name).join(found.drop(columns="image_id")))
    return pd.concat(parts, ignore_index=True)


def pixels(cohort: pd.DataFrame, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, H, W, 3) and masks (N, H, W), uint8, as a run's network sees them; no mask is an empty one."""
    config = run.config
    cache = Cache.build(cohort, config.image_size, root=run.path.parents[1] / "cache", colour=config.colour)
    images = np.asarray(cache.images)
    return images, np.zeros(images.shape[:3], np.uint8) if cache.masks is None else np.asarray(cache.masks)


def member_gallery(runs: Mapping[str, Run], cohort: pd.DataFrame, titles: Sequence[str], *, title: str = "") -> Figure:
    """Draw the images of a cohort with the outlines, and below them, in a line a member, its Grad-CAM++ maps over them.

    Members' logits have scales of their own, so each line has one: from 0 to its largest value in the figure.
    """
    images, masks = pixels(cohort, next(iter(runs.values())))
    codes = tables.classes(next(iter(runs.values())).predictions())
    pictures, words = [outlined(*both) for both in zip(images, masks > 0, strict=True)], list(titles)
    for name, maps, called in member_maps(runs, cohort):
        heat = colormaps[HEAT](maps / (maps.max() or 1.0))[..., :3] * 255
        pictures += list((SEEN * images + (1 - SEEN) * heat).astype(np.uint8))
        words += [f"{name}:\n{codes[k]}" for k in called]
    return image_grid(pictures, words, columns=len(images), title=title)


@torch.inference_mode()
def timings(head: Run, runs: Mapping[str, Run], cohort: pd.DataFrame, *, device: str, batch: int = 32) -> pd.DataFrame:
    """Time the full ensemble on a batch in memory: all members and the head, with and without views, and each part.

    Returns
    -------
    DataFrame
        part, place (CPU, one GPU), views, images, repeat, milliseconds, machine.
    """
    config = next(iter(runs.values())).config
    seen = torch.from_numpy(pixels(cohort, next(iter(runs.values())))[0][:batch].copy()).permute(0, 3, 1, 2)
    image = to_model_input(seen.float() / 255, config.normalisation).contiguous(memory_format=torch.channels_last)
    image, meta = image.to(device), torch.from_numpy(demographics.encode(cohort.head(batch))).to(device)
    nets, fused = {name: run.model().to(device) for name, run in runs.items()}, head.model().to(device)

    def pooled(view: torch.Tensor) -> torch.Tensor:
        return torch.cat([net(view)["features"] for net in nets.values()], 1)

    def ensemble(tta: str) -> None:
        fused(meta=meta, features=torch.stack([pooled(view) for _, view in views(image, tta)], 1))

    known = pooled(image)
    work = {("ensemble", 1): lambda: ensemble("none")}
    work |= {("ensemble with TTA", 1 + len(SYMMETRIES["flips"])): lambda: ensemble("flips")}
    work |= {("head", 1): lambda: fused(meta=meta, features=known)}
    work |= {(name, 1): lambda net=net: net(image) for name, net in nets.items()}
    on_gpu, here = device.startswith("cuda"), environment()
    rows = [(*part, k, taken) for part, one in work.items() for k, taken in enumerate(_milliseconds(one, on_gpu))]
    machine = here["gpu"] if on_gpu else f"{here['processor']}, {torch.get_num_threads()} thread(s)"
    words = f"{machine}; {len(nets)} members, {config.image_size[0]} px, fp32"
    table = pd.DataFrame(rows, columns=["part", "views", "repeat", "milliseconds"])
    return table.assign(place="one GPU" if on_gpu else "CPU", images=len(image), machine=words)


def _milliseconds(work: Callable, on_gpu: bool) -> list[float]:
    """Time `REPEATS` calls after one that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - begin))
    return taken[1:]
