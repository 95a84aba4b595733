"""The run store: a run is trained once, found by the hash of what it computes, and never half there."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from torch import nn
from tqdm.auto import tqdm

from skinlib import models, provenance
from skinlib.config import RunConfig
from skinlib.data import cards, readers, splits
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.models.backbones import find_weights
from skinlib.paths import Lock, read_json, write_atomic, write_json
from skinlib.training import checkpoint, losses
from skinlib.training.fit import Place, fit, place
from skinlib.training.predict import probabilities, table

DONE = "metrics.json"  # the last file to appear: a folder that has it is whole


class RunMissing(RuntimeError):
    """A finished run was wanted and training it was not allowed."""


class StaleRun(RuntimeError):
    """A run was made by other code than the present, and the caller wants to decide."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: ``id``, ``path``, ``config``, ``metrics``, and ``stale``, the files that changed since."""

    id: str
    path: Path
    config: RunConfig
    metrics: dict
    stale: tuple[str, ...] = ()

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch, as `skinlib.training.fit.fit` returns it."""
        return pd.read_csv(self.path / "history.csv")

    def predictions(self, view: str = "mean") -> pd.DataFrame:
        """Return the prediction table of validation and test parts, of one view (``mean`` or ``identity``)."""
        kinds = {"image_id": str, "lesion_id": str, "patient_id": str}
        rows = pd.read_csv(self.path / "predictions.csv.gz", dtype=kinds)
        return rows[rows["view"] == view].reset_index(drop=True)

    def model(self) -> nn.Module:
        """Return the trained network, on the CPU, in evaluation mode."""
        model = models.build(self.config.replace(weights="none"))
        model.load_state_dict(load_file(self.path / "model.safetensors"))
        return model.eval()


@functools.lru_cache(maxsize=4)
def _cohort(dataset: str, root: str, allow_missing: bool) -> pd.DataFrame:
    return readers.read(dataset, root, allow_missing=allow_missing)


def cohort_of(config: RunConfig, data_root: str | Path) -> pd.DataFrame:
    """Return the cohort of a configuration in its label space."""
    read = _cohort(config.dataset, str(data_root), config.allow_missing)
    return cards.relabel(read.copy(), config.label_space)


def split_of(config: RunConfig, data_root: str | Path, results_root: str | Path) -> pd.DataFrame:
    """Return the split of a configuration, from its file; made and written on first use.

    It is stratified by diagnosis whatever the label space, so that systems of either space share their test images.
    """
    cohort = cohort_of(config.replace(label_space="diagnosis"), data_root)
    name = f"{config.dataset}-{config.split}-{config.folds}fold-{config.test_share:g}test"
    data = provenance.cohort_fingerprint(cohort)[:8]
    path = Path(results_root) / "splits" / f"{name}-seed{config.split_seed}-{data}.csv"
    with Lock(path.with_suffix(".lock")):
        if not path.with_suffix(".json").is_file():
            if config.split == "official":
                split = splits.official(cohort, folds=config.folds, seed=config.split_seed)
            else:
                by = "auto" if config.split == "grouped" else config.split
                split = splits.make(cohort, folds=config.folds, test=config.test_share, seed=config.split_seed, by=by)
            splits.save(split, path, cohort)
        return splits.load(path, cohort)


def run_id(config: RunConfig, *, data: str, split: str, weights: str, precision: str) -> str:
    """Return the name of a run: a hash of its configuration and of the data, split and weights that it meets."""
    values = config.to_dict() | {"weights": weights, "precision": precision, "data": data, "split_fingerprint": split}
    return provenance.digest(provenance.canonical_json(values))[:16]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A configuration that has met its data: what `identify` finds out before anything is trained."""

    id: str
    config: RunConfig
    cohort: pd.DataFrame
    split: pd.DataFrame
    weights_file: Path | None


def identify(config: RunConfig, *, data_root: str | Path, results_root: str | Path, device: str = "auto") -> Prepared:
    """Read data, split and weights of a configuration and give the run its id; nothing is trained.

    Raises
    ------
    WeightsUnavailable, DataError
        When weights or data cannot be had.
    """
    config = config.replace(precision=place(device, config.precision).precision)
    cohort = cohort_of(config, data_root)
    split = split_of(config, data_root, results_root)
    weights_file = find_weights(config.backbone, config.weights, data_root)
    weights = provenance.file_digest(weights_file) if weights_file else config.weights
    identity = run_id(
        config,
        data=provenance.cohort_fingerprint(cohort),
        split=splits.fingerprint(split),
        weights=weights,
        precision=config.precision,
    )
    return Prepared(identity, config, cohort, split, weights_file)


def load(path: str | Path) -> Run:
    """Open a finished run's folder.

    Raises
    ------
    RunMissing
        When there is no finished run.
    """
    path = Path(path)
    if not (path / DONE).is_file():
        raise RunMissing(f"{path} holds no finished run")
    config = RunConfig.from_json((path / "config.json").read_text())
    metrics = read_json(path / DONE)
    return Run(path.name, path, config, metrics, _changed(metrics["code"], config.system))


def _changed(then: dict[str, str], system: str) -> tuple[str, ...]:
    now = provenance.code_fingerprint(system)
    return tuple(sorted(name for name in {*now, *then} if now.get(name) != then.get(name)))


def ensure(
    config: RunConfig,
    *,
    data_root: str | Path,
    results_root: str | Path,
    device: str = "auto",
    train: bool = True,
    stale: str = "retrain",
) -> Run:
    """Return the finished run of a configuration, training it first if nobody has.

    Parameters
    ----------
    data_root
        The folder that holds the data sets' folders.
    results_root
        Runs lie in ``runs/<id>`` of it; caches and splits beside them.
    train
        False: a missing run is an error.
    stale
        What to do with a run made by other code: ``retrain``, ``stop`` (`StaleRun`, naming the files) or ``reuse``
        (the run's ``stale`` names them, and exhibits say "older code").

    Raises
    ------
    RunMissing, StaleRun, WeightsUnavailable, DataError
    """
    if stale not in ("retrain", "stop", "reuse"):
        raise ValueError(f"stale={stale!r} is unknown; choose retrain, stop or reuse")
    prepared = identify(config, data_root=data_root, results_root=results_root, device=device)
    folder = Path(results_root) / "runs" / prepared.id
    if found := _usable(folder, stale):
        return found
    if not train:
        raise RunMissing(
            f"run {prepared.id} ({config.system}, {config.variant}, fold {config.fold}, seed {config.seed}) is not in "
            f"{folder.parent}; train it with `make reproduce`"
        )
    where = place(device, config.precision)
    if where.rank > 0:  # torchrun: rank 0 holds the lock and writes
        _train(prepared, folder, where, Path(results_root))
        return load(folder)
    with Lock(folder.parent / f".{prepared.id}.lock"):
        if found := _usable(folder, stale):
            return found
        _train(prepared, folder, where, Path(results_root))
    return load(folder)


def _usable(folder: Path, stale: str) -> Run | None:
    if not (folder / DONE).is_file():
        return None
    found = load(folder)
    if not found.stale or stale == "reuse":
        return found
    if stale == "stop":
        raise StaleRun(
            f"run {found.id} was made by other code: {', '.join(found.stale)} changed since. Retrain it "
            f"(delete {folder}) or say stale='reuse', which marks every exhibit"
        )
    shutil.rmtree(folder)
    return None


def _resumable(folder: Path, system: str) -> Path:
    """Return the folder of the interrupted state; one that other code left is dropped."""
    code = folder / "last.json"
    if code.is_file() and _changed(read_json(code), system):
        shutil.rmtree(folder / "last", ignore_errors=True)
    write_json(code, provenance.code_fingerprint(system))
    return folder / "last"


def _train(prepared: Prepared, folder: Path, where: Place, results_root: Path) -> None:
    config = prepared.config
    cache = Cache.build(
        prepared.cohort, config.image_size, root=results_root / "cache", colour=config.colour, masks=False
    )
    make = functools.partial(_batches, prepared, cache)
    label = splits.part(prepared.cohort, prepared.split, config.fold, "train")["label"].to_numpy()
    model = models.build(config, weights_file=prepared.weights_file)
    classes = len(cards.class_names(config.dataset, config.label_space))
    last = _resumable(folder, config.system) if where.rank == 0 else folder / "last"
    bar = _EpochBar(config, disable=where.rank > 0)
    history = fit(
        model,
        make("train", batch_size=config.batch_size, augment=config.augment, visits=config.visits),
        make("val", batch_size=2 * config.batch_size) if config.fold is not None else None,
        terms=losses.terms(config, label, classes),
        config=config,
        where=where,
        folder=last,
        progress=bar,
    )
    bar.close()
    if where.rank == 0:
        _finish(prepared, model, history, make, folder, where)


def _batches(prepared: Prepared, cache: Cache, name: str, **options) -> Batches:
    config = prepared.config
    ids = splits.part(prepared.cohort, prepared.split, config.fold, name)["image_id"]
    rows = np.flatnonzero(prepared.cohort["image_id"].isin(ids))
    label = prepared.cohort["label"].to_numpy()[rows].astype(np.int64)
    return Batches(cache, rows, {"label": label}, normalisation=config.normalisation, seed=config.seed, **options)


def _finish(prepared: Prepared, model: nn.Module, history: list[dict], make, folder: Path, where: Place) -> None:
    config = prepared.config
    start = time.perf_counter()
    tables, seconds_test = [], 0.0
    for name in ("val", "test"):
        rows = splits.part(prepared.cohort, prepared.split, config.fold, name)
        if not len(rows):
            continue
        begin = time.perf_counter()
        per_view = probabilities(
            model, make(name, batch_size=64), tta=config.tta, where=where, progress=f"predict {name}"
        )
        seconds_test = time.perf_counter() - begin  # test comes last
        kept = {view: per_view[view] for view in ("mean", "identity")}
        tables.append(table(rows, kept, config, part=name, split=config.split))
    predictions = pd.concat(tables, ignore_index=True)
    best = max(i for i, row in enumerate(history) if row["best"])
    metrics = _scores(predictions) | {
        "code": read_json(folder / "last.json"),  # of when training began, whatever was edited since
        "best_epoch": best + 1,
        "epochs": len(history),
        "images": int(sum(row["images"] for row in history)),
        "train_seconds": sum(row["seconds"] for row in history),
        "predict_seconds": time.perf_counter() - start,
        "predict_test_seconds": seconds_test,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    with tempfile.TemporaryDirectory(dir=folder, prefix=".done.") as name:
        temporary = Path(name)
        checkpoint.save_tensors(model.state_dict(), temporary / "model.safetensors")
        write_atomic(temporary / "config.json", config.to_json())
        write_json(temporary / "environment.json", provenance.environment())
        pd.DataFrame(history).to_csv(temporary / "history.csv", index=False)
        predictions.to_csv(temporary / "predictions.csv.gz", index=False, float_format="%.6f")
        write_json(temporary / DONE, metrics)
        for file in sorted(temporary.iterdir(), key=lambda file: file.name == DONE):
            file.replace(folder / file.name)
    (folder / "last.json").unlink()
    shutil.rmtree(folder / "last")


def _scores(predictions: pd.DataFrame) -> dict[str, float | None]:
    """Return balanced accuracy, accuracy and (macro one-vs-rest) AUC of validation and test, for a first look."""
    scores = {}
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


def write_evidence(run: Run, folder: str | Path) -> Path:
    """Copy a run's small files to ``folder/<id>``, probabilities to 4 decimals: what its tables are recomputed from."""
    target = Path(folder) / run.id
    for name in ("config.json", "environment.json", "history.csv", DONE):
        write_atomic(target / name, (run.path / name).read_bytes())
    tables = pd.concat([run.predictions("mean"), run.predictions("identity")], ignore_index=True)
    text = tables.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    import gzip

    write_atomic(target / "predictions.csv.gz", gzip.compress(text.encode(), mtime=0))
    return target


def read_config(path: str | Path) -> RunConfig:
    """Read a configuration file as the plan writes it: a RunConfig, or a mapping with one under ``config``."""
    values = json.loads(Path(path).read_text())
    return RunConfig.from_dict(values.get("config", values))
