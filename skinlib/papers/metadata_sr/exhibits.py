"""What notebooks on Khurshid et al. 2024 share: rows over splits and seeds, nearest images, redrawn images, latency."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve
from torchvision.transforms.v2.functional import resize

from skinlib.data.cards import class_names
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored, with_rarest
from skinlib.figures.style import new, style
from skinlib.images.batches import Batches, to_model_input
from skinlib.images.cache import Cache, read_image
from skinlib.images.colour import apply
from skinlib.models import backbones, columns, superres
from skinlib.papers.metadata_sr.plan import RIVALS
from skinlib.training.runs import Run

METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "roc_auc": "macro_auc"}  # theirs -> ours
WORDS = {
    "image": "No metadata",
    "concat": "Concat",
    "metanet": "MetaNet",
    "metablock": "MetaBlock",
    "pundhir": "Visual",
    "without": "Proposed without the task",
    "proposed": "Proposed",
}
BACKBONES = {
    "vgg13": "VGG-13",
    "resnet50": "ResNet-50",
    "efficientnet_b4": "EfficientNet-B4",
    "mobilenetv2_100": "MobileNet-V2",
    "densenet121": "DenseNet-121",
}
GRID = np.linspace(0, 1, 201)  # false positive rates at which ROC curves of several splits are averaged


def in_words(backbone: str) -> str:
    """Return ``<backbone>/<weights>`` in words, as Table 1 prints it where it has that backbone with those weights."""
    name, _, weights = backbone.partition("/")
    start = {"imagenet": "", "none": ", from scratch"}.get(weights, f", weights {weights}")
    return BACKBONES.get(name, name) + start


def scored(runs: Runs, note: str = "") -> Scored:
    """Return the test images of one row's runs: a unit is a split, which has a test part of its own, and a seed.

    Patients are drawn within their rarest class: a resample without a melanoma has no balanced accuracy.
    """
    units = tuple(name for name in ("split_seed", "seed") if name in runs.labels)
    return Scored(with_rarest(runs.test()), units=units, strata="rarest", note=note)


def rivals(methods: Runs) -> dict[str, tuple[Scored, Scored]]:
    """Return the paper's claim as pairs: proposed and each published rival, on the same backbone."""
    pairs = {}
    for backbone, group in methods.by("backbone").items():
        each = group.by("method")
        for method in [name for name in RIVALS if name in each and "proposed" in each]:
            row = f"Proposed - {WORDS[method]}, {in_words(backbone)}"
            pairs[row] = (scored(each["proposed"]), scored(each[method]))
    return pairs


def mean_roc(one: Scored, code: str) -> np.ndarray:
    """Return the recall at each false positive rate of `GRID`, of one class against the rest, the mean over trainings.

    Trainings whose test part lacks the class, or has nothing else, are left out.
    """
    k, curves = class_names(one.table["dataset"].iloc[0]).index(code), []
    for _, unit in one.each_unit():
        truth = (unit.table["label"] == k).to_numpy()
        if truth.any() and not truth.all():
            fpr, tpr, _ = roc_curve(truth, unit.table[f"p_{code}"])
            curves.append(tpr[np.searchsorted(fpr, GRID, side="right") - 1])  # a step, not a slope: what is reached
    return np.mean(curves, axis=0) if curves else np.full(len(GRID), np.nan)


def rocs(curves: Mapping[str, Scored], areas: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the ROC curves of each class, a panel a class, a line a row (Fig. 4).

    Parameters
    ----------
    areas
        The exhibit ``fig4``, whose values are in the legends; rows are ``<class>`` of the first curve, else
        ``<class>, <name>``.
    """
    known, classes = areas.set_index("row")["ours"], class_names(next(iter(curves.values())).table["dataset"].iloc[0])
    with style():
        figure, axes = new(2, 3, height=5.2, sharex=True, sharey=True)
        for axis, code in zip(axes, classes, strict=True):
            for k, (name, one) in enumerate(curves.items()):
                label = f"{name}: {known[f'{code}, {name}' if k else code]:.3f}"
                axis.step(GRID, mean_roc(one, code), where="post", label=label, linewidth=1 if k else 1.6)
            axis.plot([0, 1], [0, 1], ":", color="grey", linewidth=1)
            axis.set(title=code, xlabel="false positive rate", ylabel="recall")
            axis.label_outer()
            box = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}  # curves of a weak class run behind it
            axis.legend(loc="lower right", title="AUC", fontsize=6.5, title_fontsize=6.5, **box)
        figure.suptitle(title, fontsize=10)
    return figure


def neighbours(cohort: pd.DataFrame, features: np.ndarray) -> pd.DataFrame:
    """Find for each image the nearest of its own class, the nearest of another, and the farthest of its own.

    Parameters
    ----------
    cohort
        image_id, patient_id, diagnosis; a row an image. Images of one patient are never compared.
    features
        (N, D), rows as in the cohort, such as `skinlib.across.leakage.thumbnails`; distances are root mean squares.

    Returns
    -------
    DataFrame
        image_id, patient_id, diagnosis; ``own``, ``other`` with its ``other_diagnosis``, ``far``; ``d_own``,
        ``d_other``, ``d_far``. NaN and "" where there is none.
    """
    x = np.asarray(features, float)
    squared = (x**2).sum(1)[:, None] + (x**2).sum(1)[None] - 2 * x @ x.T
    distance = np.sqrt(np.maximum(squared, 0) / x.shape[1])
    codes, patient = (pd.factorize(cohort[name])[0] for name in ("diagnosis", "patient_id"))
    foreign, same = patient[:, None] != patient[None], codes[:, None] == codes[None]
    wanted = {"own": foreign & same, "other": foreign & ~same, "far": foreign & same}
    found = cohort[["image_id", "patient_id", "diagnosis"]].reset_index(drop=True)
    for name, allowed in wanted.items():
        best = np.where(allowed, -distance if name == "far" else distance, np.inf).argmin(1)
        known = allowed.any(1)
        found[name] = np.where(known, cohort["image_id"].to_numpy()[best], "")
        found[f"d_{name}"] = np.where(known, distance[np.arange(len(x)), best], np.nan)
        if name == "other":
            found["other_diagnosis"] = np.where(known, cohort["diagnosis"].to_numpy()[best], "")
    return found


def find_teacher(target: str) -> str:
    """Return why the network that draws a target of super-resolution cannot be had here, "" where it can."""
    try:
        if target in superres.TEACHERS:
            superres.teacher(target)
    except backbones.WeightsUnavailable as error:
        return str(error)
    return ""


@torch.no_grad()
def redraw(run: Run, cohort: pd.DataFrame, chosen: Collection[str]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Let a run's decoder redraw images.

    Parameters
    ----------
    cohort
        All rows that the run read, whose decoded images its training left on disk.
    chosen
        Ids of the images to redraw, which the run was not trained on.

    Yields
    ------
    tuple
        Image id, and ``input``, ``target`` (what the loss of eq. 4 compares with), ``drawn``, (3, H, W) in [0, 1].
    """
    config, model, store = run.config, run.model(), run.path.parent
    cache = Cache.build(cohort, config.image_size, root=store.parent / "cache", colour=config.colour, masks=False)
    rows = np.flatnonzero(cohort["image_id"].isin(list(chosen)))
    table = {name: values[rows] for name, values in columns(config, cohort, store).items()}
    batches = Batches(cache, rows, table, batch_size=32, normalisation=config.normalisation)
    names, target = cohort["image_id"].to_numpy()[rows], config.options["target"]
    for batch in batches.epoch(0, torch.device("cpu")):
        output = model(batch["image"], batch.get("meta"))
        seen = superres.pixels(batch["image"].float(), config.normalisation)
        if target in superres.TEACHERS:
            wanted = output["enlarged"].float()
        else:
            wanted = seen if target in ("self", "native") else superres.enlarge(seen, target)
        given = superres.reduce(seen) if target == "native" else seen
        for k, name in enumerate(names[batch["index"].numpy()]):
            yield name, {"input": given[k], "target": wanted[k], "drawn": output["superres"][k].float()}


def latency(run: Run, image: pd.DataFrame, *, repeats: int = 20) -> pd.DataFrame:
    """Time one image with its metadata, one row of a cohort, on the CPU.

    Returns
    -------
    DataFrame
        A row a repeat: ``image`` (from the file to the network's input), ``network`` (one forward pass), seconds;
        ``machine``. The first, cold pass is left out.
    """
    config, model, spans = run.config, run.model().cpu(), []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        pixels = torch.from_numpy(apply(read_image(image["image_path"].iloc[0]), config.colour)).permute(2, 0, 1)
        small = resize(pixels, list(config.image_size), antialias=True)[None].float() / 255
        x = to_model_input(small, config.normalisation)
        middle = time.perf_counter()
        with torch.inference_mode():
            model(x, torch.from_numpy(columns(config, image, run.path.parent)["meta"]))
        spans.append({"image": middle - start, "network": time.perf_counter() - middle})
    machine = f"{torch.get_num_threads()} threads, {config.backbone}, {config.image_size[0]} px"
    return pd.DataFrame(spans[1:]).assign(machine=machine)
