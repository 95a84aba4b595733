"""What both notebooks on Al-masni et al. 2024 use, and what opens networks or reads pixels: gates, corners, timings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinlib import models
from skinlib.config import Augment, RunConfig
from skinlib.exhibits.runs import Runs
from skinlib.exhibits.score import Boot, changes
from skinlib.exhibits.scored import Scored
from skinlib.figures.images import outlined_images
from skinlib.figures.style import COLOURS
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.images.skin_tone import read_pair
from skinlib.papers.joint_reverse_mtl.plan import ARMS
from skinlib.provenance import generator
from skinlib.training import losses
from skinlib.training.features import batches_of
from skinlib.training.fit import optimiser_for, place, train_step
from skinlib.training.predict import outputs
from skinlib.training.run import Run
from skinlib.training.tables import keys, mask_scores

BENIGN = "always benign"
CLEAN = "clean arm: the added melanomas that ISIC 2016 does not have"
# Of the diagnosis: weighted means let the benign majority speak; recall is the melanoma sensitivity.
OF_CALLS = ("specificity", "recall", "fp_rate", "fn_rate", "weighted_recall", "weighted_f1", "weighted_specificity")
OF_CALLS += ("balanced_accuracy", "f1", "roc_auc")
# Of the outline: averaged over images, which the printed figures fit; then of all pixels together.
OF_MASKS = ("mcc", "iou", "dice", "hd95_share", "thresholded_jaccard", "mcc_pooled", "iou_pooled", "dice_pooled")
OF_MASKS = {name: name for name in OF_MASKS} | {"empty_share": "mean:empty_prediction"}
COMPARED = (("roc_auc", "recall", "specificity", "weighted_f1"), ("dice", "iou", "hd95_share"))
# As the paper draws them; the U-Net's line is dashed as well, for the two blues are close.
LINES = {
    "truth": {"colors": "white", "linestyles": "solid"},
    "multi-task": {"colors": COLOURS[0], "linestyles": "solid"},
    "U-Net alone": {"colors": COLOURS[4], "linestyles": "dashed"},
}
NAMES = ("benign", "melanoma")
GATES = ("shuffled", "ones")  # that a trained network is asked for, in place of its own
SHUFFLE = 32  # of the generator that draws the order of the images
CORNER = 8  # pixels: side of each corner patch, ours
UNTURNED = "unturned"  # what corners tell of the diagnosis without any filling
PREDICTED = 64  # images at once when a part is predicted


def scored_rows(groups: Mapping[str, Runs]) -> tuple[dict[str, Scored], dict[str, Scored]]:
    """Return the diagnoses of each row's networks, melanoma from one half on, and the outlines; not all have both."""
    calls, masks = {}, {}
    for row, group in groups.items():
        one = group.first.config
        note = CLEAN if one.extra_training == ARMS["clean"] else ""
        if one.variant == "cls":
            note = f"{one.backbone}, {'from scratch' if one.weights == 'none' else f'weights {one.weights}'}"
        if one.variant != "seg":
            calls[row] = Scored(group.test(), note=note)
        if one.variant != "cls":
            masks[row] = Scored(group.outlines(), note=note)
    return calls, masks


def always_benign(one: Scored) -> Scored:
    """Return the row that calls every image benign, on the images of another row's first seed."""
    first = one.table[one.table["seed"] == one.table["seed"].min()]
    note = "no network: every image is called benign"
    return Scored(first.assign(p_benign=1.0, p_malignant=0.0), units=(), note=note)


def compare(calls: Mapping, masks: Mapping, boot: Boot, **options) -> pd.DataFrame:
    """Return the changes of diagnoses and of outlines, pairs as `skinlib.exhibits.score.changes` takes them."""
    both = zip((calls, masks), COMPARED, strict=True)
    return pd.concat([changes(pairs, metrics, boot, **options) for pairs, metrics in both])


def gallery(chosen: pd.DataFrame, images: pd.DataFrame, masks: Mapping[str, Mapping], *, title: str) -> Figure:
    """Draw chosen images, their outlines (name of `LINES` -> image id -> (H, W) bool), and what both networks say."""
    rows, pictures = images.set_index("image_id", drop=False), []
    for image_id, n in chosen.iterrows():
        pixels, truth = read_pair(rows.loc[image_id], size=512)
        words = f"{n.case}, truth: {NAMES[int(n.label)]}\nDice {n.dice:.2f} (U-Net {n.dice_unet:.2f})\n"
        words += f"melanoma score {n.p_malignant:.2f} (classifier alone {n.p_malignant_cls:.2f})"
        lines = {"truth": truth} | {name: found[image_id] for name, found in masks.items()}
        pictures.append({"image": pixels, "title": words, "lines": lines})
    return outlined_images(pictures, LINES, title=title)


def gate_scores(group: Sequence[Run], test: pd.DataFrame) -> pd.DataFrame:
    """Return mask scores (a row an image, seed and ``gate`` of `GATES`) of trained networks with another gate."""
    # The order is drawn: in that of the ids a neighbour often has the same diagnosis.
    test, tables = test[test["mask_path"].notna()].reset_index(drop=True), []
    for run in group:
        model, where, batches = run.model(), place(), batches_of(run, test, masks=True)
        batches.rows = generator(run.config.seed, SHUFFLE).permutation(len(test))
        key = keys(test.iloc[batches.rows], run.config, part="test", split=run.config.split)
        for gate in GATES:
            model.gate = gate
            found = outputs(model, batches, tta="none", where=where, masks=True, progress=f"gate {gate}").masks
            tables.append(mask_scores(key, found, batches).query("stage == 'raw'").assign(gate=gate))
    return pd.concat(tables, ignore_index=True)


@torch.inference_mode()
def gate_values(run: Run, cohort: pd.DataFrame) -> np.ndarray:
    """Return the gates of every image, (N, channels) in [0, 1]: what its diagnosis says to the decoder."""
    where = place()
    model, batches = run.model().to(where.device), batches_of(run, cohort).epoch(0, where.device)
    return torch.cat([where.apply(model, batch)["gates"].float().cpu() for batch in batches]).numpy()


def views_of(config: RunConfig, part: pd.DataFrame, fill: str, results_root: str | Path) -> tuple[np.ndarray, ...]:
    """Return every chosen view of a training part, (n, H, W, 3) in [0, 1], not normalised, and their places in it."""
    chosen = models.chosen_visits(config, part)
    row, augment = chosen.pop("row"), Augment(flips=False, rotation=0.0, fill=fill)
    cache = Cache.build(part, config.image_size, root=Path(results_root) / "cache", colour=config.colour)
    batches = Batches(cache, row, chosen, batch_size=64, augment=augment, normalisation="none")
    found = list(batches.epoch(0, torch.device("cpu")))
    images, order = (torch.cat([batch[name] for batch in found]) for name in ("image", "index"))
    return images.permute(0, 2, 3, 1).numpy(), row[order.numpy()]


def corner_features(images: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each corner patch's channels, (N, 24), of images (N, H, W, 3)."""
    sides = (slice(CORNER), slice(-CORNER, None))
    patches = [images[:, rows, columns] for rows in sides for columns in sides]
    return np.concatenate([stat(patch, axis=(1, 2)) for patch in patches for stat in (np.mean, np.std)], axis=1)


def corner_scores(features: np.ndarray, label: np.ndarray, image_id: np.ndarray, *, folds: int = 5) -> np.ndarray:
    """Return out-of-fold probabilities (N,) of melanoma from corners alone; a fold has all views of its images."""
    # A shortcut that a straight line finds will not escape a network.
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    found = cross_val_predict(model, features, label, groups=image_id, cv=GroupKFold(folds), method="predict_proba")
    return found[:, 1]


def corner_table(config: RunConfig, part: pd.DataFrame, fills: Sequence[str], results_root: str | Path) -> pd.DataFrame:
    """Return image_id, label, fill and corner score of every view under every filling, and of each image `UNTURNED`."""
    once = config.replace(options=config.options | {"views": dict.fromkeys(config.options["views"], "identity")})
    seen_as = {UNTURNED: (once, fills[0])} | {fill: (config, fill) for fill in fills}
    tables = []
    for fill, (each, filling) in seen_as.items():
        images, row = views_of(each, part, filling, results_root)
        seen = part.iloc[row]
        score = corner_scores(corner_features(images), seen["label"].to_numpy(), seen["image_id"].to_numpy())
        tables.append(seen[["image_id", "label"]].assign(fill=fill, score=score))
    return pd.concat(tables, ignore_index=True)


def timed_works(config: RunConfig, device: str) -> dict[str, Callable[[], None]]:
    """Return ``train``, a step of the configuration's batch size, and ``predict``, `PREDICTED` images at once."""
    # Weights are new and images drawn: neither changes what is computed. Reading images is the same for all, left out.
    where, n = place(device, config.precision), config.batch_size
    model = models.build(config.replace(weights="none")).to(where.device, memory_format=torch.channels_last)
    optimiser, terms = optimiser_for(model, config), losses.terms(config, np.arange(n) % 2, 2)
    drawn = torch.rand(PREDICTED + n, 3, *config.image_size, generator=torch.Generator().manual_seed(0))
    images, seen = drawn.to(where.device, memory_format=torch.channels_last).split((n, PREDICTED))
    batch = {"image": images, "mask": (images[:, :1] > 0.5).float()}
    batch |= {"label": torch.arange(n, device=where.device) % 2, "has_mask": batch["mask"].amax((1, 2, 3)) > 0}

    def train() -> None:
        train_step(model.train(), optimiser, batch, terms, config=config, where=where)

    @torch.inference_mode()
    def predict() -> None:
        output = where.apply(model.eval(), {"image": seen})
        for name in output.keys() & {"logits", "mask"}:
            output[name].float().softmax(1).cpu()  # waits for a GPU

    return {"train": train, "predict": predict}
