"""What notebooks on Ashok et al. 2023 share: rows and metrics of their tables, and what opens a network.

A member is trained once a fold, a head once a fold and seed, all tested on the same images. Folds share these and part
of their training images: an interval over few is too narrow rather than too wide. No interval has a member's seed.
"""

import dataclasses
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from skinlib.data import demographics
from skinlib.evaluation import tables
from skinlib.evaluation.fusion import Weights, weighted_mean
from skinlib.evaluation.metrics import binary
from skinlib.evaluation.resampled import Metric, ratio
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored, with_rarest
from skinlib.explain.localisation import BAND, localisation_table
from skinlib.explain.run_maps import class_maps
from skinlib.figures.display import outlined
from skinlib.figures.images import image_grid
from skinlib.figures.style import HEAT
from skinlib.images import abcd
from skinlib.papers.joint_ensemble.model import Joint, members
from skinlib.provenance import environment, generator
from skinlib.training import features
from skinlib.training.runs import Run
from skinlib.training.symmetries import views

PAPER = "joint_ensemble"
MELANOMA = "mel"
OF_A_MEMBER, OF_A_HEAD = ("fold",), ("fold", "seed")  # the columns that tell trainings apart
# Of all classes; roc_auc is the mean over them, one against the rest. The paper does not say of which question its is.
WHOLE = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "roc_auc": "macro_auc"}
KEYS = ["image_id", "lesion_id", "patient_id"]
SEEN = 0.45  # of the image, through a map
REPEATS = 5  # of a timing; the median counts
UNKNOWN_AGE = -1.0  # years: what an unknown age is written as
LEVELS = {"sex": (*demographics.SEXES, "unknown"), "site": (*demographics.SITES, "unknown")}


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
    return Metric(name, lambda rows, counts: binary(name).weighted(as_binary(rows, classes), counts))


def as_binary(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return a table of diagnoses as the question "one of these classes or not"; a binary one as it is."""
    return table if "p_malignant" in table else tables.to_binary(table, classes)


def melanoma_at(one: Scored, val: pd.DataFrame, rule: Callable[[pd.DataFrame], float], note: str = "") -> Scored:
    """Return the melanoma question of a row, each training called at the threshold that ``rule`` makes of its
    validation rows, as the question "melanoma or not".
    """
    tables.require_validation(val, "a threshold")
    keys = list(one.units) if len(one.units) > 1 else one.units[0]
    chosen = {key: rule(rows) for key, rows in as_binary(val, [MELANOMA]).groupby(keys)}
    words = "; ".join(filter(None, [one.note, note]))
    return dataclasses.replace(one, table=as_binary(one.table, [MELANOMA]), threshold=chosen, note=words)


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

    A member's head is linear on its pooled features, which lie in the cache for the whole ``cohort``: no image is read.
    """
    place, found = pd.Index(cohort["image_id"]), {}
    for name, group in groups.items():
        parts = []
        for run in group:
            table = run.predictions().query("part == 'test'")
            seen = features.pooled(run, cohort, tta=tta)[place.get_indexer(table["image_id"])]  # (N, V, C)
            p = run.model().head(torch.from_numpy(seen).float()).softmax(-1).mean(1).numpy()
            parts.append(table.assign(**{f"p_{code}": p[:, k] for k, code in enumerate(tables.classes(table))}))
        found[name] = pd.concat(parts, ignore_index=True)
    return weighted_mean(found, weights)


@torch.inference_mode()
def branch_b(heads: Runs, cohort: pd.DataFrame, images: Sequence[str]) -> pd.DataFrame:
    """Return what branch B predicts of some images next to what was measured, means over heads of one design.

    ``cohort`` is the whole one, whose features and measures lie on disk. Each measure has ``predicted_<measure>``, each
    member ``gate_<member>``, how much attention gave it, 0 to 1.
    """
    found = []
    for run in heads:
        model, batches = run.model(), features.batches_of(run, cohort).epoch(0, torch.device("cpu"))
        seen = [model(None, one.get("meta"), features=one["features"]) for one in batches]
        found.append(torch.cat([torch.cat([one["attributes"], one["attention"]], 1) for one in seen]).numpy())
    names = [f"predicted_{name}" for name in abcd.MEASURES] + [f"gate_{name}" for name in members(heads.first.config)]
    measured = abcd.stored(cohort, heads.first.path.parents[1] / "cache")[list(abcd.MEASURES)].reset_index(drop=True)
    table = cohort[KEYS].reset_index(drop=True).join(measured).join(pd.DataFrame(np.mean(found, 0), columns=names))
    return table[table["image_id"].isin(images)].reset_index(drop=True)


def member_maps(runs: Mapping[str, Run], cohort: pd.DataFrame) -> Iterator[tuple]:
    """Yield member, its Grad-CAM++ maps (N, H, W) of the class it calls, images, and masks, empty where unknown."""
    for name, run in runs.items():
        batches = features.batches_of(run, cohort, masks=True)
        images, masks = np.array(batches.cache.images), batches.cache.masks
        masks = np.zeros(images.shape[:3], bool) if masks is None else np.array(masks, bool)
        yield name, np.stack(list(class_maps(run.model(), batches))), images, masks


def map_measures(runs: Mapping[str, Run], cohort: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Measure each member's maps against the masks: a row a member and image, with energy, pointing, iou and band."""
    parts = []
    for k, (name, heat, _, masks) in enumerate(member_maps(runs, cohort)):
        top = np.maximum(heat.max((1, 2), keepdims=True), np.finfo(heat.dtype).tiny)
        heat = np.round(heat / top, 5)  # a map of one position, enlarged, varies in its last digits
        found = localisation_table(heat, masks, cohort["image_id"], rng=generator(seed, k), band=BAND)
        parts.append(cohort[KEYS].assign(member=name).merge(found, on="image_id"))
    return pd.concat(parts, ignore_index=True)


def member_gallery(runs: Mapping[str, Run], cohort: pd.DataFrame, titles: Sequence[str], *, title: str = "") -> Figure:
    """Draw a cohort's images with the outlines and, in a line a member, its Grad-CAM++ maps over them.

    Members' logits have scales of their own, so each line has one: from 0 to its largest value in the figure.
    """
    pictures, words = [], list(titles)
    for name, maps, images, masks in member_maps(runs, cohort):
        pictures = pictures or [outlined(*both) for both in zip(images, masks, strict=True)]
        heat = colormaps[HEAT](maps / (maps.max() or 1.0))[..., :3] * 255
        pictures += list((SEEN * images + (1 - SEEN) * heat).astype(np.uint8))
        p, codes = tables.probabilities(runs[name].predictions().set_index("image_id").loc[cohort["image_id"]])
        words += [f"{name}:\n{codes[k]}" for k in p.argmax(1)]
    return image_grid(pictures, words, columns=len(titles), title=title)


@torch.inference_mode()
def timings(head: Run, runs: Mapping[str, Run], cohort: pd.DataFrame, *, device: str) -> pd.DataFrame:
    """Time the full ensemble on 32 images in memory: members and head, with and without views, and each part."""
    first, cohort = next(iter(runs.values())), cohort.head(32)
    image = next(features.batches_of(first, cohort).epoch(0, torch.device(device)))["image"]
    meta = torch.from_numpy(demographics.encode(cohort)).to(device)
    nets = {name: run.model().to(device) for name, run in runs.items()}
    known = torch.cat([net(image)["features"] for net in nets.values()], 1)
    joint = Joint({name: net.backbone for name, net in nets.items()}, head.model().to(device)).eval()
    work = {("ensemble", 1): lambda: joint(image, meta)}
    work |= {("ensemble with TTA", 3): lambda: [joint(view, meta) for _, view in views(image, "flips")]}
    work |= {("head", 1): lambda: joint.fused(meta=meta, features=known)}
    work |= {(name, 1): lambda net=net: net(image) for name, net in nets.items()}
    on_gpu, here, rows = device.startswith("cuda"), environment(), []
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    for part, one in work.items():
        taken = timeit.repeat(lambda one=one: (one(), wait()), number=1, repeat=REPEATS + 1)[1:]  # the first warms up
        rows += [(*part, repeat, 1000 * seconds) for repeat, seconds in enumerate(taken)]
    machine = here["gpu"] if on_gpu else f"{here['processor']}, {torch.get_num_threads()} thread(s)"
    words = f"{machine}; {len(nets)} members, {first.config.image_size[0]} px, fp32"
    table = pd.DataFrame(rows, columns=["part", "views", "repeat", "milliseconds"])
    return table.assign(place="one GPU" if on_gpu else "CPU", images=len(image), machine=words)


def metadata(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return age in years (-1 where unknown), and sex and site as positions in `LEVELS`."""
    age = pd.to_numeric(cohort["age"]).fillna(UNKNOWN_AGE).to_numpy(float)
    words = {name: cohort[name].astype(object).fillna("unknown") for name in LEVELS}
    places = {name: pd.Categorical(words[name], levels).codes.astype(float) for name, levels in LEVELS.items()}
    return pd.DataFrame({"age": age} | places)


def people(inputs: np.ndarray) -> np.ndarray:
    """Return rows (M, 3) of age, sex and site as the head reads them, (M, 20)."""
    age, *places = inputs.T
    words = {name: np.array(LEVELS[name], object)[k.astype(int)] for name, k in zip(LEVELS, places, strict=True)}
    return demographics.encode(pd.DataFrame({"age": np.where(age == UNKNOWN_AGE, np.nan, age)} | words))


def head_function(head: Run, seen: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the head as a function of image (row of its members' features ``seen``, (N, V, C)), age, sex and site:
    (M, 4) -> percent of each class.
    """
    model = head.model()

    @torch.inference_mode()
    def function(inputs: np.ndarray) -> np.ndarray:
        rows, meta = torch.from_numpy(seen[inputs[:, 0].astype(int)]).float(), torch.from_numpy(people(inputs[:, 1:]))
        return model(meta=meta, features=rows)["logits"].softmax(1).numpy() * 100

    return function
