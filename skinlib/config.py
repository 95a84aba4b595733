"""The description of one training run, and the profiles that scale a plan to a machine."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BaseModel, Field, ValidationError

from skinlib.paths import project_root

CHOICES = {
    "schedule": ("constant", "cosine", "step", "exponential", "plateau", "onecycle"),
    "optimiser": ("adam", "adamw", "sgd"),
    "tta": ("none", "flips", "d4"),
    "keep": ("best", "last"),
    "fill": ("reflection", "zeros", "border"),
}
# Field -> least and most; the ends are allowed.
RANGES = dict.fromkeys(("shift", "brightness", "contrast", "saturation", "noise", "erasing", "schedule_gamma"), (0, 1))
RANGES |= dict.fromkeys(("seed", "split_seed"), (0, 2**32 - 1)) | dict.fromkeys(("lr", "clip_norm"), (1e-12, 1e6))
RANGES |= dict.fromkeys(("epochs", "patience", "folds"), (1, 10**9))
RANGES |= dict.fromkeys(("batch_size", "visits"), (2, 10**9))  # batch norm has no statistics of one image
RANGES |= dict.fromkeys(("lr_early", "lr_late", "weight_decay", "schedule_step"), (0, 1e6))
RANGES |= {"rotation": (0, 180), "zoom": (0, 0.95), "test_share": (0, 1)}
RANGES |= dict.fromkeys(("dropout", "label_smoothing", "momentum"), (0, 0.999))
# Fields that came after the runs of results/reference: at these values they stay out of an id, so that it stays theirs.
ADDED_LATER = {"extra_training": None, "keep": "best"}
MOST_VALUES = 100_000  # of a profile
# Folders of results/ that belong to no profile.
RESERVED = ("cache", "features", "reference", "runs", "splits", "synthetic")
KINDS = {"bool": bool, "int": int, "float": int | float, "str": str}


def _check_kinds(values: RunConfig | Augment) -> None:
    """Refuse a value of another kind than its field's, or no choice of it; converting one would rename runs."""
    for field in dataclasses.fields(values):
        value, words = getattr(values, field.name), field.type.split(" | ")
        found, kind = f"{type(values).__name__}.{field.name} is {value!r}", KINDS.get(words[0])
        if value not in CHOICES.get(field.name, (value,)):
            raise ValueError(f"{found}; choose one of {', '.join(CHOICES[field.name])}")
        if kind is None or (value is None and "None" in words):
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{found}; give {field.type}{_as_number(value)}")
        least, most = RANGES.get(field.name, (None, None))
        if least is not None and not least <= value <= most:  # so that nan is refused too
            raise ValueError(f"{found}; give {least} to {most}")


def _as_number(value: object) -> str:
    """Return what to write for a number that YAML takes for text, as it does 1e-3; else ""."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
        return f" (YAML reads {value} as text: write {Decimal(value):f})"
    return ""


@dataclasses.dataclass(frozen=True)
class Augment:
    """Ranges from which every training image draws its own augmentation; zeros leave images untouched."""

    flips: bool = True  # horizontal and vertical, each with probability 0.5
    rotation: float = 180.0  # degrees, uniform in [-rotation, rotation]
    zoom: float = 0.0  # the view covers 1 - zoom to 1 of the image's side
    shift: float = 0.0  # of the side
    brightness: float = 0.0  # factor in [1 - b, 1 + b]
    contrast: float = 0.0
    saturation: float = 0.0
    noise: float = 0.0  # standard deviation, images in [0, 1]
    erasing: float = 0.0  # probability that a box of 2 to 20 % of the area is replaced by the image's mean colour
    fill: str = "reflection"  # what shows beyond the image's edge: reflection | zeros | border

    def __post_init__(self):
        _check_kinds(self)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a training run computes; where it computes (device, paths) is not in it.

    The defaults are neutral; each paper's values are in its plan, with their sources.
    """

    system: str = "recall_oriented"
    variant: str = "proposed"
    # data
    dataset: str = "ham10000"
    allow_missing: bool = False  # go on when part of the set is not on disk
    label_space: str = "malignancy"  # malignancy | diagnosis | a selection of skinlib.data.cards
    split: str = "grouped"  # grouped | patient | lesion | image | official | leaky | clean | without_<source>
    test_share: float = 0.2  # of leaky and clean: the share of groups of several images that give a test image
    folds: int = 3
    fold: int | None = 0  # None: train on everything but the test part, select nothing
    split_seed: int = 0
    extra_training: str | None = None  # a name of skinlib.data.extra: images of another set that only train
    image_size: tuple[int, int] = (224, 224)  # (height, width)
    colour: str = "none"  # steps of skinlib.images.colour, joined by "+"
    normalisation: str = "imagenet"  # imagenet | minmax | none
    augment: Augment = Augment()
    # model
    backbone: str = "resnet50"  # a timm name
    weights: str = "imagenet"  # imagenet | none | path of a .safetensors file
    dropout: float = 0.0
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)  # what only this system knows
    # objective: loss name -> weight, a term of weight 0 is still recorded
    losses: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"cross_entropy": 1.0})
    class_weights: bool = False  # N / (K n_c) of the training part
    label_smoothing: float = 0.0
    # optimisation
    optimiser: str = "adam"
    lr: float = 1e-3
    lr_early: float = 1.0  # factor on lr for the first half of the backbone
    lr_late: float = 1.0  # factor on lr for the second half; the head has factor 1
    weight_decay: float = 0.0
    momentum: float = 0.9  # SGD only
    schedule: str = "constant"
    schedule_step: int = 15  # epochs between steps ("step"), or patience ("plateau")
    schedule_gamma: float = 0.1  # factor of a step, or of the whole run ("exponential")
    clip_norm: float | None = None
    batch_size: int = 32
    epochs: int = 10
    visits: int | None = None  # image visits an epoch; None: every training image once
    patience: int | None = None  # epochs without a better validation loss before stopping
    keep: str = "best"  # the epoch of lowest validation loss, summed over the terms; or the last: nothing is chosen
    precision: str = "auto"  # auto | fp32 | bf16; resolved on the device before the run id is made
    seed: int = 0
    tta: str = "none"  # views averaged in the stored predictions: none | flips | d4

    def __post_init__(self):
        _check_kinds(self)
        given = self.image_size
        as_tuple = tuple(given) if isinstance(given, list | tuple) else ()
        for name, kind in (("options", Mapping), ("losses", Mapping), ("augment", Augment)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"RunConfig.{name} is {getattr(self, name)!r}; give a mapping")
        right = lambda weight: isinstance(weight, int | float) and 0 <= weight <= 1e6
        if not all(map(right, self.losses.values())) or not any(self.losses.values()):
            raise ValueError(f"RunConfig.losses is {self.losses!r}; give names with weights of at least 0, one above")
        losses = {name: float(weight) for name, weight in self.losses.items()}
        for name, value in {"image_size": as_tuple, "options": dict(self.options), "losses": losses}.items():
            object.__setattr__(self, name, value)
        if len(as_tuple) != 2 or not all(type(side) is int and 8 <= side <= 4096 for side in as_tuple):
            raise ValueError(f"RunConfig.image_size is {given!r}; give (height, width), whole numbers of 8 to 4096")
        if self.schedule == "step" and not self.schedule_step:
            raise ValueError("RunConfig.schedule_step is 0; give the epochs between two steps")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise ValueError(f"RunConfig.fold is {self.fold}; give 0 to {self.folds - 1}, or None for all of them")

    def replace(self, **changes) -> RunConfig:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """Return nested plain values, in the order of the fields."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def identity(self) -> dict:
        """Return what names a run: `to_dict` without the fields of `ADDED_LATER` that have their first values."""
        return {name: value for name, value in self.to_dict().items() if (name, value) not in ADDED_LATER.items()}

    def to_json(self) -> str:
        """Return the configuration as JSON; `from_json` reads it back to an equal object."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> RunConfig:
        """Build a configuration, refusing unknown fields by name."""
        values = dict(values)
        if isinstance(values.get("augment"), Mapping):
            values["augment"] = Augment(**_known(Augment, values["augment"]))
        return cls(**_known(cls, values))

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """Build a configuration from JSON, as `to_json` writes it."""
        return cls.from_dict(json.loads(text))


COUNT = Annotated[int, Field(ge=1, le=1_000_000)]
AMOUNT = Annotated[float, Field(ge=0, le=1_000_000)]


class _Data(BaseModel, strict=True, extra="forbid", allow_inf_nan=False):
    """Which data a profile is for; images, size and seed are those of `skinlib.data.synthetic.synthesise`."""

    kind: Literal["synthetic", "real", "reference"]
    datasets: list[str] = []
    images: COUNT = 1
    size: Annotated[int, Field(ge=32, le=4096)] = 32
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    of: str = ""  # of a reference: whose


class _Profile(BaseModel, strict=True, extra="allow", allow_inf_nan=False):
    """What every profile says; the other keys are papers, whose plans read them, see `skinlib.workflow.catalogue`."""

    name: str
    papers: list[str]
    data: _Data
    dataset: str
    stale: Literal["retrain", "stop", "reuse"]
    bootstrap: COUNT
    bootstrap_p: COUNT = 1
    arithmetic: Literal["pinned"] = "pinned"
    threads: COUNT
    jobs: COUNT
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    memory_gb: COUNT = 4
    hours: COUNT = 24
    together: bool = False
    minutes: AMOUNT
    disk_gb: AMOUNT
    notebooks: Annotated[dict[Literal["time_limit_minutes"], Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Planned(NamedTuple):
    """A run of a plan: its name, its configuration, and what tells it from the others, as data."""

    name: str
    config: RunConfig
    labels: Mapping[str, object]


def _known(kind: type, values: Mapping[str, object]) -> dict:
    names = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(set(values) - set(names)):
        raise ValueError(f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(names)}")
    return dict(values)


def load_profile(name: str | Path) -> dict:
    """Read a profile: ``smoke``, ``sample``, ``real``, ``paper``, or the path of a YAML file of the same form.

    Raises ValueError when no such profile exists, or the file is not a mapping with a ``name``, has the name of another
    profile of the compendium, lacks a setting, or has one of another type or range, such as a number written as text.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else project_root() / "profiles" / f"{name}.yaml"
    if not path.is_file():
        have = ", ".join(sorted(found.stem for found in (project_root() / "profiles").glob("*.yaml")))
        raise ValueError(f"no profile {name!r} at {path}; there are {have}")
    profile = _read_yaml(path)
    if not isinstance(profile, dict) or "name" not in profile:
        raise ValueError(f"{path} is no profile: it needs a mapping with a name")
    own = profile["name"]
    if not (isinstance(own, str) and re.fullmatch(r"[A-Za-z0-9][\w-]*", own, re.ASCII)) or own in RESERVED:
        raise ValueError(f"{path}: name is {own!r}; use letters, digits, _ and -, and none of {', '.join(RESERVED)}")
    shipped = project_root() / "profiles" / f"{profile['name']}.yaml"
    papers = {"papers": profile["papers"]} if "papers" in profile else {}  # a copy with fewer may keep the name
    if shipped.is_file() and _read_yaml(shipped) | papers != profile:
        raise ValueError(f"{path} has the name of {shipped} and would replace its results; give it a name of its own")
    if "like" in profile:  # the settings of another profile, but for what this one says
        if str(profile["like"]).endswith((".yaml", ".yml")):
            raise ValueError(f"{path}: like is {profile['like']!r}; name a profile of the compendium")
        profile = load_profile(profile["like"]) | profile
    for where, value in _leaves(profile):
        if hint := _as_number(value):
            raise ValueError(f"{path}: {where} is {value!r}{hint}")
        if value == [] and where.endswith(".seeds"):
            raise ValueError(f"{path}: {where} is empty; name at least one")
    try:
        _Profile.model_validate(profile)
    except ValidationError as error:
        of = lambda one: "" if one["type"] == "missing" else f" is {one['input']!r:.60}"
        found = [f"{'.'.join(map(str, one['loc']))}{of(one)}: {one['msg']}" for one in error.errors()]
        raise ValueError(f"{path}: {'; '.join(found)}") from error
    if not profile["data"].get(what := "of" if profile["data"]["kind"] == "reference" else "datasets"):
        raise ValueError(f"{path}: data.{what} is empty; name {'whose evidence it is' if what == 'of' else 'a set'}")
    return profile


class _Loader(yaml.SafeLoader):
    """YAML in which no key may be there twice, and a number means what it looks like: 0200 and 1:30 are refused."""

    def construct_mapping(self, node, deep=False):
        keys = [str(key.value) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"the key {twice[0]} is there twice below line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node):
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", node.value):
            raise yaml.YAMLError(f"{node.value} in line {node.start_mark.line + 1} is read as another number")
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _read_yaml(path: Path) -> object:
    try:
        value = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
        if any(number == MOST_VALUES for number, _ in enumerate(_leaves(value))):  # aliases of aliases
            raise yaml.YAMLError(f"it stands for more than {MOST_VALUES:,} values")
        return value
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _leaves(value: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Yield every single value of nested mappings and lists, with the keys and places that lead to it."""
    if not isinstance(value, dict | list) or not value:
        yield where, value
        return
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(below, f"{where}.{key}" if where else str(key))
