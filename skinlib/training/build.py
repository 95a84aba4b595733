"""Making a run: from a configuration that has met its data to the files of its folder, resumable at every moment."""

import dataclasses
import functools
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from torch import nn
from tqdm.auto import tqdm

from skinlib import models, provenance
from skinlib.config import RunConfig
from skinlib.data import cards, splits
from skinlib.data.readers_files import DataError
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.paths import read_json, write_atomic, write_json
from skinlib.training import checkpoint, features, gradients, losses, stored
from skinlib.training.fit import Place, fit
from skinlib.training.identify import Prepared, changed_code, naming_options
from skinlib.training.predict import outputs
from skinlib.training.run import Run
from skinlib.training.tables import keys, mask_scores, mean_mask_scores, prediction_table

# Of an interrupted run: a folder of states, the code that made them, what tasks asked of shared parameters so far.
STATE, CODE, LOOKED = "last", "last.json", "last.gradients.csv"


def train(prepared: Prepared, folder: Path, where: Place, results_root: Path, *, parents: Mapping[str, Run]) -> None:
    """Train a run into ``folder``, going on where a killed process stopped; under torchrun rank 0 alone writes.

    ``parents`` are the finished runs that its system is built on.
    """
    config, system = prepared.config, models.system_of(prepared.config)
    if not any(len(splits.part(prepared.cohort, prepared.split, config.fold, name)) for name in ("val", "test")):
        raise DataError("no image is left for validation or test: give a fold, or a test_share above 0")
    if system.reads_features(config):
        found = features.column(parents, prepared.cohort, tta=config.tta, device=str(where.device))
        prepared = dataclasses.replace(prepared, columns=prepared.columns | {"features": found})
    masks, cache = losses.trained_on_masks(config), None
    if masks and not system.reads_images(config):
        raise ValueError(f"variant {config.variant} of {config.system} reads no images; leave out the losses on masks")
    if system.reads_images(config):
        how = {"root": results_root / "cache", "colour": config.colour, "masks": masks}
        cache = Cache.build(prepared.cohort, config.image_size, **how)
        if masks and not cache.has_mask.any():
            raise DataError(f"{config.system} trains on lesion masks, and no image of {config.dataset} has one")
    make = functools.partial(_batches, prepared, cache, masks=masks)
    with naming_options(config):
        batches = make("train", batch_size=config.batch_size, augment=config.augment, visits=config.visits)
        model = models.build(config, weights_file=prepared.weights_file)
    if batches.visits // len(batches) < 2:  # batch norm has no statistics of one image
        raise ValueError(f"{batches.visits} images in batches of {config.batch_size} leave one alone; change it")
    classes = len(cards.class_names(config.dataset, config.label_space))
    terms = losses.terms(config, batches.columns["label"], classes)
    if where.rank == 0:
        _begin(folder, config.system)
    _meet(where)  # no process reads a state that rank 0 is about to drop
    fresh = not (folder / STATE).is_dir()
    if fresh:  # else the state holds what was inherited and fitted
        model.inherit(lambda name: load_file(parents[name].weights_file))
        with naming_options(config):
            model.prepare(batches, where.device)
        _try(model, batches, terms, config, where)
    name = f"{config.variant} fold {config.fold} seed {config.seed}"
    bar = tqdm(total=len(batches) * config.epochs, desc=name, mininterval=2, disable=where.rank > 0)
    watchers: list[Callable] = [functools.partial(_show, bar)]
    if where.rank == 0 and gradients.has_shared(model, config):
        asked = make("train", batch_size=config.batch_size, augment=config.augment, visits=gradients.IMAGES)
        file = folder / LOOKED
        recorder = gradients.Recorder(model.to(where.device), asked, terms, config=config, where=where, file=file)
        watchers.append(recorder)
        if fresh:
            recorder.record(0)
    val = make("val", batch_size=2 * config.batch_size) if config.fold is not None else None
    how = {"terms": terms, "config": config, "where": where, "folder": folder / STATE}
    history = fit(model, batches, val, **how, progress=lambda *state: [watch(*state) for watch in watchers])
    bar.close()
    if where.rank == 0:
        _finish(prepared, model, history, make=make, folder=folder, where=where, parents=parents)
    _meet(where)  # no process looks for the run before it is there


@torch.no_grad()
def _try(model: nn.Module, batches: Batches, terms: dict, config: RunConfig, where: Place) -> None:
    """Refuse options that the network cannot work with, and losses on what it does not give, before the first step."""
    batch = next(batches.epoch(0, where.device))
    with naming_options(config), torch.random.fork_rng(devices=[]):
        output = where.apply(model.to(where.device).eval(), batch)
    for name, term in terms.items():
        try:
            term(output, batch)
        except KeyError as error:
            gives = f"variant {config.variant} of {config.system} gives {', '.join(output)}"
            raise ValueError(f"the loss {name} needs {error}; {gives}: leave it out") from error


def _meet(where: Place) -> None:
    if where.world > 1:
        dist.barrier()


def _begin(folder: Path, system: str) -> None:
    """Drop an interrupted state of other code, and sign the folder; a finished run there stays until it is replaced."""
    code = folder / CODE
    if not code.is_file() or changed_code(read_json(code), system):
        drop_state(folder)
    write_json(code, provenance.code_fingerprint(system))


def drop_state(folder: Path) -> None:
    """Remove the interrupted state of a run, and what a kill left while the finished files were written."""
    for left in (folder / STATE, *folder.glob(".done.*")):
        if left.is_dir():
            shutil.rmtree(left)
    (folder / LOOKED).unlink(missing_ok=True)
    (folder / CODE).unlink(missing_ok=True)  # last: the sign that there is something to remove


def _batches(prepared: Prepared, cache: Cache | None, name: str, **options) -> Batches:
    config = prepared.config
    part = splits.part(prepared.cohort, prepared.split, config.fold, name)
    chosen = models.chosen_visits(config, part) if name == "train" else None
    chosen = chosen or {"row": np.arange(len(part))}
    rows = np.flatnonzero(prepared.cohort["image_id"].isin(part["image_id"]))[chosen.pop("row")]
    columns = {"label": prepared.cohort["label"].to_numpy()[rows].astype(np.int64)}
    columns |= {name: values[rows] for name, values in prepared.columns.items()}
    return Batches(cache, rows, columns | chosen, normalisation=config.normalisation, seed=config.seed, **options)


def _finish(prepared: Prepared, model: nn.Module, history: list[dict], *, make, folder: Path, where: Place, parents):
    """Predict validation and test images and write the finished files, the one that says so last."""
    config, start = prepared.config, time.perf_counter()
    predictions, scores, masks, seconds_test = [], [], {}, 0.0
    for name in ("val", "test"):
        rows = splits.part(prepared.cohort, prepared.split, config.fold, name)
        if not len(rows):
            continue
        begin, batches = time.perf_counter(), make(name, batch_size=64)
        found = outputs(model, batches, tta=config.tta, where=where, masks=batches.masks, progress=f"predict {name}")
        seconds_test = time.perf_counter() - begin  # test comes last
        about = {"part": name, "split": config.split}
        views = {view: found.probabilities[view] for view in ("mean", "identity")}
        predictions.append(prediction_table(rows, views, config, **about))
        if batches.masks:
            scores.append(mask_scores(keys(rows, config, **about), found.masks, batches))
            masks |= dict(zip(rows["image_id"], found.masks, strict=True))
    predictions = pd.concat(predictions, ignore_index=True)
    metrics = _scores(predictions) | {
        "code": read_json(folder / CODE),  # of when training began, whatever was edited since
        "best_epoch": 1 + max(i for i, row in enumerate(history) if row["best"]),
        "epochs": len(history),
        "images": int(sum(row["images"] for row in history)),
        "train_seconds": sum(row["seconds"] for row in history),
        "predict_seconds": time.perf_counter() - start,
        "predict_test_seconds": seconds_test,
        "processes": where.world,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if parents:
        metrics["parents"] = {name: {"id": run.id, "weights": run.weights()} for name, run in parents.items()}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".done.") as name:
        temporary = Path(name)
        checkpoint.save_tensors(model.state_dict(), temporary / stored.WEIGHTS)
        write_atomic(temporary / stored.CONFIG, config.to_json())
        write_json(temporary / stored.ENVIRONMENT, provenance.environment())
        pd.DataFrame(history).to_csv(temporary / stored.HISTORY, index=False)
        stored.write(predictions, temporary / stored.PREDICTIONS)
        if scores:
            scores = pd.concat(scores, ignore_index=True)
            metrics |= mean_mask_scores(scores)
            stored.write(scores, temporary / stored.SCORES)
            stored.save_masks(masks, temporary / stored.MASKS)
        if (folder / LOOKED).is_file():
            shutil.copy(folder / LOOKED, temporary / stored.GRADIENTS)
        metrics["digests"] = {file.name: provenance.file_digest(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / stored.DONE, metrics)
        (folder / stored.DONE).unlink(missing_ok=True)  # files of two trainings never look like one run
        for file in sorted(temporary.iterdir(), key=lambda file: file.name == stored.DONE):
            file.replace(folder / file.name)
    drop_state(folder)


def _scores(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return balanced accuracy, accuracy and (macro one-vs-rest) AUC of validation and test, for a first look."""
    names, scores = [column for column in predictions if column.startswith("p_")], {}
    for part, rows in predictions[predictions["view"] == "mean"].groupby("part") if names else ():
        p, y = rows[names].to_numpy(dtype=float), rows["label"].to_numpy().astype(int)
        whole = len(np.unique(y)) == p.shape[1]
        shares = p[:, 1] if p.shape[1] == 2 else p / p.sum(1, keepdims=True)
        scores[f"{part}_auc"] = float(roc_auc_score(y, shares, multi_class="ovr")) if whole else None
        scores[f"{part}_balanced_accuracy"] = float(balanced_accuracy_score(y, p.argmax(1)))
        scores[f"{part}_accuracy"] = float(accuracy_score(y, p.argmax(1)))
    return scores


def _show(bar: tqdm, epoch: int, step: int, steps: int, loss: float) -> None:
    """Move the progress bar over all steps of a run; tqdm tells the time left."""
    bar.update(epoch * steps + step - bar.n)
    bar.set_postfix(epoch=f"{epoch + 1}/{bar.total // steps}", loss=f"{loss:.3f}", refresh=False)
