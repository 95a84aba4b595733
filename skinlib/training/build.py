"""Making a run: from a configuration that has met its data to the files of its folder, resumable at every moment."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch.distributed as dist
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from torch import nn
from tqdm.auto import tqdm

from skinlib import models, provenance
from skinlib.config import RunConfig
from skinlib.data import cards, splits
from skinlib.images.batches import GEOMETRY, Batches
from skinlib.images.cache import Cache
from skinlib.paths import read_json, write_atomic, write_json
from skinlib.training import checkpoint, features, gradients, losses, segment, stored
from skinlib.training.fit import Place, fit
from skinlib.training.identify import Prepared, changed_code
from skinlib.training.predict import keys, outputs, table
from skinlib.training.stored import DONE

if TYPE_CHECKING:
    from skinlib.training.runs import Run


def train(
    prepared: Prepared, folder: Path, where: Place, results_root: Path, *, parents: Mapping[str, Run] | None = None
) -> None:
    """Train a run into ``folder``, going on where a killed process stopped; under torchrun rank 0 alone writes.

    ``parents`` are the finished runs that `skinlib.models.parents` names.
    """
    config, parents = prepared.config, parents or {}
    if models.reads_features(config):
        found = features.column(parents, prepared.cohort, tta=config.tta, device=str(where.device))
        prepared = dataclasses.replace(prepared, columns=prepared.columns | {"features": found})
    masks = segment.trained_on_masks(config)
    cache = None
    if models.reads_images(config):
        cache = Cache.build(
            prepared.cohort, config.image_size, root=results_root / "cache", colour=config.colour, masks=masks
        )
    make = functools.partial(_batches, prepared, cache, masks=masks)
    batches = make("train", batch_size=config.batch_size, augment=config.augment, visits=config.visits)
    model = models.build(config, weights_file=prepared.weights_file)
    classes = len(cards.class_names(config.dataset, config.label_space))
    if where.rank == 0:
        _begin(folder, config.system)
    _meet(where)  # nobody reads a state that rank 0 is about to drop
    if not (folder / "last").is_dir():  # a state holds what was inherited and fitted
        if hasattr(model, "inherit"):
            model.inherit({name: load_file(run.path / "model.safetensors") for name, run in parents.items()})
        if hasattr(model, "prepare"):
            model.prepare(batches, where.device)
    terms = losses.terms(config, batches.columns["label"], classes)
    bar = _EpochBar(config, disable=where.rank > 0)
    watchers = [bar]
    if where.rank == 0 and gradients.has_shared(model, config):
        asked = make("train", batch_size=config.batch_size, augment=config.augment, visits=gradients.IMAGES)
        watchers.append(
            gradients.Recorder(model.to(where.device), asked, terms, config=config, where=where, folder=folder)
        )
        if not (folder / "last").is_dir():
            watchers[-1].record(0)
    history = fit(
        model,
        batches,
        make("val", batch_size=2 * config.batch_size) if config.fold is not None else None,
        terms=terms,
        config=config,
        where=where,
        folder=folder / "last",
        progress=lambda *state: [watch(*state) for watch in watchers],
    )
    bar.close()
    if where.rank == 0:  # who wrote the last state
        history = _keep_last(model, history, folder / "last") if config.keep == "last" else history
        _finish(prepared, model, history, make=make, folder=folder, where=where, parents=parents)
    _meet(where)  # nobody looks for the run before it is there


def _keep_last(model: nn.Module, history: list[dict], state: Path) -> list[dict]:
    """Give the model the weights of the last epoch, as its state on disk has them; every epoch was the best so far."""
    model.load_state_dict(checkpoint.weights(state))
    return [row | {"best": True} for row in history]


def _meet(where: Place) -> None:
    if where.world > 1:
        dist.barrier()


def _begin(folder: Path, system: str) -> None:
    """Drop what other code left, a finished run or an interrupted state, and sign the folder with the present code."""
    if (folder / DONE).is_file():
        (folder / DONE).unlink()  # first: a kill during the rest must not leave a run that looks whole
        shutil.rmtree(folder)
    code = folder / "last.json"
    signed = code.is_file() and not changed_code(read_json(code), system)
    if not signed:
        drop_state(folder)
    write_json(code, provenance.code_fingerprint(system))


def _batches(prepared: Prepared, cache: Cache | None, name: str, **options) -> Batches:
    config = prepared.config
    part = splits.part(prepared.cohort, prepared.split, config.fold, name)
    chosen = _chosen(config, part) if name == "train" else {"row": np.arange(len(part))}
    rows = np.flatnonzero(prepared.cohort["image_id"].isin(part["image_id"]))[chosen.pop("row")]
    columns = {"label": prepared.cohort["label"].to_numpy()[rows].astype(np.int64)}
    columns |= {name: values[rows] for name, values in prepared.columns.items()}
    return Batches(cache, rows, columns | chosen, normalisation=config.normalisation, seed=config.seed, **options)


def _chosen(config: RunConfig, part: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the position in the training part of each visit, as ``row``, and the views that the system has chosen."""
    chosen = models.chosen_visits(config, part)
    if chosen is None:
        return {"row": np.arange(len(part))}
    if "row" not in chosen or not set(chosen) <= {"row", *GEOMETRY}:
        raise ValueError(f"visits name row, and where chosen {', '.join(GEOMETRY)}; got {', '.join(chosen)}")
    chosen = {name: np.asarray(values) for name, values in chosen.items()}
    row = chosen["row"]
    lengths = {name: len(values) for name, values in chosen.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"visits differ in length: {lengths}")
    if row.dtype.kind not in "iu" or (row < 0).any() or (row >= len(part)).any():
        raise ValueError(f"visits need positions from 0 to {len(part) - 1} in the training part")
    return {"row": row} | {name: chosen[name].astype(np.float32) for name in GEOMETRY if name in chosen}


class _Found(NamedTuple):
    """What a trained network says of validation and test images; without masks the last two are None and empty."""

    predictions: pd.DataFrame
    seconds_test: float
    segmentation: pd.DataFrame | None
    masks: dict[str, np.ndarray]


def _predict(prepared: Prepared, model: nn.Module, *, make, where: Place) -> _Found:
    config = prepared.config
    tables, scored, masks, seconds = [], [], {}, 0.0
    for name in ("val", "test"):
        rows = splits.part(prepared.cohort, prepared.split, config.fold, name)
        if not len(rows):
            continue
        begin, batches = time.perf_counter(), make(name, batch_size=64)
        found = outputs(model, batches, tta=config.tta, where=where, masks=batches.masks, progress=f"predict {name}")
        seconds = time.perf_counter() - begin  # test comes last
        kept = {view: found.probabilities[view] for view in ("mean", "identity")}
        tables.append(table(rows, kept, config, part=name, split=config.split))
        if batches.masks:
            key = keys(rows, config, part=name, split=config.split)
            scored.append(segment.scores(key, found.masks, batches))
            masks |= dict(zip(rows["image_id"], found.masks, strict=True))
    segmentation = pd.concat(scored, ignore_index=True) if scored else None
    return _Found(pd.concat(tables, ignore_index=True), seconds, segmentation, masks)


def _finish(prepared: Prepared, model: nn.Module, history: list[dict], *, make, folder: Path, where: Place, parents):
    start = time.perf_counter()
    found = _predict(prepared, model, make=make, where=where)
    best = max(i for i, row in enumerate(history) if row["best"])
    metrics = _scores(found.predictions) | {
        "code": read_json(folder / "last.json"),  # of when training began, whatever was edited since
        "best_epoch": best + 1,
        "epochs": len(history),
        "images": int(sum(row["images"] for row in history)),
        "train_seconds": sum(row["seconds"] for row in history),
        "predict_seconds": time.perf_counter() - start,
        "predict_test_seconds": found.seconds_test,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if parents:
        metrics["parents"] = {name: {"id": run.id, "weights": run.weights()} for name, run in parents.items()}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".done.") as name:
        temporary = Path(name)
        checkpoint.save_tensors(model.state_dict(), temporary / "model.safetensors")
        write_atomic(temporary / "config.json", prepared.config.to_json())
        write_json(temporary / "environment.json", provenance.environment())
        pd.DataFrame(history).to_csv(temporary / "history.csv", index=False)
        found.predictions.to_csv(temporary / "predictions.csv.gz", index=False, float_format="%.6f")
        if found.segmentation is not None:
            metrics |= segment.means(found.segmentation)
            digits = f"%.{stored.DIGITS}f"
            found.segmentation.to_csv(temporary / segment.SCORES, index=False, float_format=digits)
            segment.save_masks(found.masks, temporary / segment.MASKS)
        write_json(temporary / DONE, metrics)
        for file in sorted(temporary.iterdir(), key=lambda file: file.name == DONE):
            file.replace(folder / file.name)
    drop_state(folder)


def drop_state(folder: Path) -> None:
    """Remove the interrupted state of a run, and what a kill left while the finished files were written."""
    for left in (folder / "last", *folder.glob(".done.*")):
        if left.is_dir():
            shutil.rmtree(left)
    (folder / "last.json").unlink(missing_ok=True)  # last: the sign that there is something to remove


def _scores(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return balanced accuracy, accuracy and (macro one-vs-rest) AUC of validation and test, for a first look.

    A table without probabilities has none of them.
    """
    scores = {}
    if not any(column.startswith("p_") for column in predictions):
        return scores
    for part, rows in predictions[predictions["view"] == "mean"].groupby("part"):
        p = rows[[c for c in rows if c.startswith("p_")]].to_numpy(dtype=float)
        y = rows["label"].to_numpy().astype(int)
        whole = len(np.unique(y)) == p.shape[1]
        shares = p[:, 1] if p.shape[1] == 2 else p / p.sum(1, keepdims=True)
        scores[f"{part}_auc"] = float(roc_auc_score(y, shares, multi_class="ovr")) if whole else None
        scores[f"{part}_balanced_accuracy"] = float(balanced_accuracy_score(y, p.argmax(1)))
        scores[f"{part}_accuracy"] = float(accuracy_score(y, p.argmax(1)))
    return scores


class _EpochBar:
    """A progress bar over all steps of a run; tqdm tells the time left."""

    def __init__(self, config: RunConfig, *, disable: bool):
        self.config, self.bar, self.disable = config, None, disable

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if self.bar is None:
            name = f"{self.config.variant} fold {self.config.fold} seed {self.config.seed}"
            total = steps * self.config.epochs
            self.bar = tqdm(total=total, initial=epoch * steps, desc=name, mininterval=2, disable=self.disable)
        self.bar.update()
        self.bar.set_postfix(epoch=f"{epoch + 1}/{self.config.epochs}", loss=f"{loss:.3f}", refresh=False)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
