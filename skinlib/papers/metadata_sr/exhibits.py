"""What notebooks on Khurshid et al. 2024 share: rows, nearest and redrawn images, latency; what SHAP values ask."""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.metrics import euclidean_distances, roc_curve
from torchvision.transforms.v2.functional import resize

from skinlib.data import clinical
from skinlib.data.cards import class_names
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.scored import Scored, with_rarest
from skinlib.figures.style import new, style
from skinlib.images.batches import to_model_input
from skinlib.images.cache import read_image
from skinlib.images.colour import apply
from skinlib.models import backbones, columns, superres
from skinlib.papers.metadata_sr.plan import RIVALS
from skinlib.training.features import batches_of
from skinlib.training.runs import Run

METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "roc_auc": "macro_auc"}  # theirs -> ours
WORDS = {"image": "No metadata", "concat": "Concat", "metanet": "MetaNet", "metablock": "MetaBlock"}
WORDS |= {"pundhir": "Visual", "without": "Proposed without the task", "proposed": "Proposed"}
BACKBONES = {"vgg13": "VGG-13", "resnet50": "ResNet-50", "efficientnet_b4": "EfficientNet-B4"}
BACKBONES |= {"mobilenetv2_100": "MobileNet-V2", "densenet121": "DenseNet-121"}
GRID = np.linspace(0, 1, 201)  # false positive rates at which ROC curves of several splits are averaged
UNKNOWN = -1.0  # in place of a number that was not given


def in_words(backbone: str) -> str:
    """Return ``<backbone>/<weights>`` in words, as in Table 1 where it has that backbone with those weights."""
    name, _, weights = backbone.partition("/")
    start = {"imagenet": "", "none": ", from scratch"}.get(weights, f", weights {weights}")
    return BACKBONES.get(name, name) + start


def scored(runs: Runs, note: str = "") -> Scored:
    """Return the test images of one row's runs: a unit is a split, with a test part of its own, and a seed."""
    # Patients are drawn within their rarest class: a resample without a melanoma has no balanced accuracy.
    units = tuple(name for name in ("split_seed", "seed") if name in runs.labels)
    return Scored(with_rarest(runs.test()), units=units, strata="rarest", note=note)


def rivals(methods: Runs) -> dict[str, tuple[Scored, Scored]]:
    """Return the paper's claim as pairs: proposed and each published rival, on the same backbone."""
    pairs = {}
    for backbone, group in methods.by("backbone").items():
        each = group.by("method")
        for method in [name for name in RIVALS if name in each and "proposed" in each]:
            both = scored(each["proposed"]), scored(each[method])
            pairs[f"Proposed - {WORDS[method]}, {in_words(backbone)}"] = both
    return pairs


def mean_roc(one: Scored, code: str) -> np.ndarray:
    """Return one class's recall at each rate of `GRID`, the mean over trainings whose test part has it and others."""
    k, curves = class_names(one.table["dataset"].iloc[0]).index(code), []
    for _, unit in one.each_unit():
        truth = (unit.table["label"] == k).to_numpy()
        if truth.any() and not truth.all():
            fpr, tpr, _ = roc_curve(truth, unit.table[f"p_{code}"])
            curves.append(tpr[np.searchsorted(fpr, GRID, side="right") - 1])  # a step, not a slope: what is reached
    return np.mean(curves, axis=0) if curves else np.full(len(GRID), np.nan)


def rocs(curves: Mapping[str, Scored], areas: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw a panel a class, a curve a row; ``areas`` has rows ``<class>`` of the first, else ``<class>, <name>``."""
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
    """Find each image's nearest of its own class, nearest of another, and farthest of its own; other patients' only.

    "" where there is none. Distances are root mean squares of features (N, D).
    """
    distance = euclidean_distances(features) / np.sqrt(features.shape[1])
    codes, patient = (pd.factorize(cohort[name])[0] for name in ("diagnosis", "patient_id"))
    foreign, same = patient[:, None] != patient[None], codes[:, None] == codes[None]
    found = cohort[["image_id", "patient_id", "diagnosis"]].reset_index(drop=True)
    for name, allowed in {"own": foreign & same, "other": foreign & ~same, "far": foreign & same}.items():
        best = np.where(allowed, -distance if name == "far" else distance, np.inf).argmin(1)
        known, one = allowed.any(1), found.loc[best].reset_index(drop=True)
        found[name] = one["image_id"].where(known, "")
        found[f"d_{name}"] = np.where(known, distance[np.arange(len(best)), best], np.nan)
        if name == "other":
            found["other_diagnosis"] = one["diagnosis"].where(known, "")
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
def redraw(run: Run, images: pd.DataFrame) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Yield image id, and ``input``, ``target`` (of eq. 4) and ``drawn`` of each image, (3, H, W) in [0, 1]."""
    model = run.model()
    for batch in batches_of(run, images).epoch(0, torch.device("cpu")):
        output = model(batch["image"], batch.get("meta"))
        given = superres.pixels(batch["image"].float(), run.config.normalisation)
        given = superres.reduce(given) if run.config.options["target"] == "native" else given
        made = {"input": given, "target": superres.target_of(output, batch, run.config)}
        made["drawn"] = output["superres"].float()
        for k, name in enumerate(images["image_id"].iloc[batch["index"].numpy()]):
            yield name, {which: pixels[k] for which, pixels in made.items()}


def latency(run: Run, image: pd.DataFrame, *, repeats: int = 20) -> pd.DataFrame:
    """Time one image with its metadata on the CPU: seconds from file to input, and of a forward pass; no cold one."""
    config, model, spans = run.config, run.model(), []
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


def coded(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a number for each of the 21 questions: the number given, or the place of the answer in `levels`."""
    answers, codes = clinical.encode(cohort), {}
    for name, place in clinical.blocks().items():
        block = answers[:, place]
        answer, blank = (np.nan_to_num(block).argmax(1), block.shape[1]) if name in levels() else (block[:, 0], UNKNOWN)
        codes[name] = np.where(np.isnan(block).all(1), blank, answer).astype(float)
    return pd.DataFrame(codes)


def levels() -> dict[str, tuple[str, ...]]:
    """Return the answers of each question with a list of them; the last one means that it was not asked."""
    return {name: (*answers, "not asked") for name, answers in clinical.questions().items() if answers}


def encoded(codes: np.ndarray) -> np.ndarray:
    """Return (M, 21) codes as the network reads answers, (M, D); NaN where nothing was answered."""
    table = np.full((len(codes), len(clinical.columns())), np.nan, np.float32)
    for code, (name, place) in zip(codes.T, clinical.blocks().items(), strict=True):
        answers = clinical.questions()[name]
        known = code != (len(answers) if answers else UNKNOWN)
        table[known, place] = np.eye(len(answers))[code[known].astype(int)] if answers else code[known, None]
    return table


def fused_function(run: Run, cohort: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network as a function of image (row of a cohort) and 21 answers: (M, 22) -> percent of each class."""
    model, batches = run.model(), batches_of(run, cohort).epoch(0, torch.device("cpu"))
    with torch.inference_mode():  # what the image gives to eq. 2, (N, 512), does not depend on the answers
        seen = torch.cat([model.adapt(model.backbone(batch["image"])).mean((2, 3)) for batch in batches])

    @torch.inference_mode()
    def function(inputs: np.ndarray) -> np.ndarray:
        answers = model.imputer(torch.from_numpy(encoded(inputs[:, 1:])))
        fused = seen[inputs[:, 0].astype(int)] * model.meta(answers)
        return model.head(fused).softmax(1).numpy() * 100

    return function
