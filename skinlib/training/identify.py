"""What a configuration will compute: data, split, weights, code, and the name that follows from them."""

import contextlib
import dataclasses
import functools
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from skinlib import models, provenance
from skinlib.config import RunConfig
from skinlib.data import cards, extra, readers, splits
from skinlib.models.backbones import find_weights
from skinlib.paths import Lock, read_json
from skinlib.training.fit import place


@functools.lru_cache(maxsize=4)
def _cohort(dataset: str, root: str, allow_missing: bool, need_images: bool = True) -> pd.DataFrame:
    return readers.read(dataset, root, allow_missing=allow_missing, need_images=need_images)


@functools.lru_cache(maxsize=4)
def _extra(dataset: str, name: str, root: str, allow_missing: bool) -> pd.DataFrame:
    return extra.extra_training(name, _cohort(dataset, root, allow_missing), root, allow_missing=allow_missing)


def cohort_of(config: RunConfig, data_root: str | Path) -> pd.DataFrame:
    """Return the cohort of a configuration in its label space, its extra training images last."""
    where = (str(data_root), config.allow_missing)
    read = _cohort(config.dataset, *where, not models.system_of(config).reads_every_row(config))
    if config.extra_training:
        added = _extra(config.dataset, config.extra_training, *where)
        read = pd.concat([read.assign(added=False), added], ignore_index=True)
    return cards.relabel(read.copy(), config.label_space)


def split_of(config: RunConfig, data_root: str | Path, results_root: str | Path) -> pd.DataFrame:
    """Return the split of a configuration, from its file; made and written on first use.

    It is stratified by diagnosis whatever the label space, so that systems of either space share their test images; a
    label space that selects diagnoses gets those rows. Extra images train in every fold; the rest is split as without.
    """
    if config.extra_training:
        split = split_of(config.replace(extra_training=None), data_root, results_root)
        return _with_training(split, cohort_of(config, data_root))
    cohort = cohort_of(config.replace(label_space="diagnosis"), data_root)
    name = f"{config.dataset}-{config.split}-{config.folds}fold-{config.test_share:g}test"
    provenance.share_digests(results_root)
    data = provenance.cohort_fingerprint(cohort)[:8]
    path = Path(results_root) / "splits" / f"{name}-seed{config.split_seed}-{data}.csv"
    with Lock(path.with_suffix(".lock")):
        if not path.is_file():
            if config.split == "official":
                split = splits.official(cohort, folds=config.folds, seed=config.split_seed)
            elif config.split in splits.LEAK_ARMS:
                split = splits.leak_arm(cohort, config.split, share=config.test_share, seed=config.split_seed)
            elif config.split.startswith(splits.WITHOUT):
                split = splits.leave_source_out(cohort, config.split, folds=config.folds, seed=config.split_seed)
            else:
                by = "auto" if config.split == "grouped" else config.split
                split = splits.make(cohort, folds=config.folds, test=config.test_share, seed=config.split_seed, by=by)
            splits.save(split, path, cohort)
        split = splits.load(path, cohort)
    return split[split["image_id"].isin(cohort_of(config, data_root)["image_id"])]


def _with_training(split: pd.DataFrame, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a split to which the cohort's other images are added as training images of every fold.

    Nothing keeps an added image from being a picture of the test part: `skinlib.data.extra` says which are.
    """
    added = cohort[~cohort["image_id"].isin(split["image_id"])]
    rows = pd.DataFrame({"image_id": added["image_id"], "group": splits.groups(added, "image"), "part": "train"})
    more = [rows.assign(fold=fold)[splits.COLUMNS] for fold in sorted(split["fold"].unique())]
    return pd.concat([split, *more], ignore_index=True)


def cohort_in_parts(config: RunConfig, study) -> pd.DataFrame:
    """Return the images of a configuration with ``part`` (train, val, test); ``study`` has data_root, results_root."""
    cohort, split = cohort_of(config, study.data_root), split_of(config, study.data_root, study.results_root)
    parts = [splits.part(cohort, split, config.fold, name).assign(part=name) for name in splits.PARTS]
    return pd.concat(parts, ignore_index=True)


def run_id(config: RunConfig, *, data: str, split: str, weights: str, precision: str) -> str:
    """Return the name of a run: a hash of its configuration and of the data, split and weights that it meets."""
    values = config.identity() | {"weights": weights, "precision": precision, "data": data, "split_fingerprint": split}
    return provenance.digest(provenance.canonical_json(values))[:16]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A configuration that has met its data: what `identify` finds out before anything is trained."""

    id: str
    config: RunConfig
    cohort: pd.DataFrame
    split: pd.DataFrame
    weights_file: Path | None
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # of `skinlib.models.columns`
    parents: Mapping[str, str] = dataclasses.field(default_factory=dict)  # name -> id, of its system's ``parents``


@contextlib.contextmanager
def naming_options(config: RunConfig) -> Iterator[None]:
    """Say which options a configuration has where a system's code or torch cannot work with them."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        ours = Path(traceback.extract_tb(error.__traceback__)[-1].filename).is_relative_to(Path(__file__).parents[1])
        if not config.options or type(error).__module__ != "builtins" or (ours and isinstance(error, ValueError)):
            raise
        told = f"{config.system} cannot work with its options ({type(error).__name__}: {error})"
        raise ValueError(f"{told}: {dict(config.options)!s:.300}") from error


def identify(config: RunConfig, *, data_root: str | Path, results_root: str | Path, device: str = "auto") -> Prepared:
    """Read data, split and weights of a configuration and give the run its id; nothing is trained."""
    config, system = config.replace(precision=place(device, config.precision).precision), models.system_of(config)
    cohort = cohort_of(config, data_root)
    split = split_of(config, data_root, results_root)
    weights_file = find_weights(config.backbone, config.weights, data_root)
    weights = provenance.file_digest(weights_file) if weights_file else config.weights
    place_of = (str(data_root), str(results_root), device)
    with naming_options(config):
        columns = models.columns(config, cohort, Path(results_root) / "runs")
        parents = {name: _parent_id(parent.to_json(), *place_of) for name, parent in system.parents(config).items()}
        data = _data_fingerprint(config, cohort, columns, parents)
        made = splits.fingerprint(split)
        identity = run_id(config, data=data, split=made, weights=weights, precision=config.precision)
    provenance.share_digests(results_root)
    return Prepared(identity, config, cohort, split, weights_file, columns, parents)


def check_networks(configs: Mapping[str, RunConfig]) -> None:
    """Build each kind of network once: a name that nothing knows is told before hours of training."""
    for config in {(c.system, c.variant, c.backbone, str(c.options)): c for c in configs.values()}.values():
        with naming_options(config):
            models.build(config.replace(weights="none"))


@functools.lru_cache(maxsize=256)
def _parent_id(config: str, data_root: str, results_root: str, device: str) -> str:
    """Return the id of a run that others are built on; asked for once by each of them."""
    return identify(RunConfig.from_json(config), data_root=data_root, results_root=results_root, device=device).id


def _data_fingerprint(
    config: RunConfig, cohort: pd.DataFrame, columns: Mapping[str, np.ndarray], parents: Mapping[str, str]
) -> str:
    """Return a digest of what a run reads: ids, labels, groups, image files unless none is read, columns, parents."""
    read = cohort if models.system_of(config).reads_images(config) else cohort.drop(columns=["image_path", "mask_path"])
    own = [f"{name} {a.dtype} {a.shape} {provenance.digest(a.tobytes())}" for name, a in sorted(columns.items())]
    own += [f"parent {name} {run}" for name, run in sorted(parents.items())]
    whole = provenance.cohort_fingerprint(read)
    return provenance.digest("\n".join([whole, *own])) if own else whole


def changed_code(then: dict[str, str], system: str) -> tuple[str, ...]:
    """Return the files whose code differs from a fingerprint of `skinlib.provenance.code_fingerprint`, sorted."""
    now = provenance.code_fingerprint(system)
    return tuple(sorted(name for name in {*now, *then} if now.get(name) != then.get(name)))


def read_config(path: str | Path) -> RunConfig:
    """Read a configuration file as the plan writes it: a RunConfig, or a mapping with one under ``config``."""
    values = read_json(path)
    within = values.get("config", values)
    if not isinstance(within, dict) or (within is not values and not set(RunConfig.__annotations__).isdisjoint(values)):
        raise ValueError(f"{path}: give a RunConfig, or a mapping that has one, and no other setting, under config")
    return RunConfig.from_dict(within)
