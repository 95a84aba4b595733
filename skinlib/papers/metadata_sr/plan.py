"""The runs of Khurshid, Vatsa & Singh 2024: every method over the backbones, controls of the auxiliary task, leaks.

Values with a section are the paper's. Where the paper is silent the comment says "ours".
"""

from __future__ import annotations

from collections.abc import Iterator

from skinlib.config import Augment, Planned, RunConfig

STEP, EPOCHS = 15, 70  # 3, Implementation details: the learning rate falls every 15 of 70 epochs
AUGMENT = Augment(
    flips=True,  # 3: horizontal and vertical
    rotation=0.0,  # not among the paper's
    zoom=0.2,  # "image scaling"; all ranges are ours
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    noise=0.02,  # "the addition of random noise"
)
PROPOSED = RunConfig(
    system="metadata_sr",
    variant="proposed",
    dataset="pad_ufes_20",  # 3, Dataset Details
    label_space="diagnosis",
    split="patient",  # ours; Tables 1 to 3 fit an image-level split
    test_share=1 / 6,  # the printed counts of Table 2 are those of 383 of 2,298 images, not of a tenth
    folds=5,
    image_size=(224, 224),
    colour="shades_of_gray+clahe",  # 2
    normalisation="imagenet",  # not said: ours, the weights were trained so
    augment=AUGMENT,
    backbone="vgg13",  # best in Table 1
    weights="imagenet",
    dropout=0.0,  # none is printed
    options={"target": "bilinear"},  # the rows of Table 1, by Table 3's caption
    losses={"cross_entropy": 0.5, "superres": 1.0},  # eq. 5
    class_weights=True,  # "based on the number of samples"; N / (K n_c) is ours
    optimiser="sgd",
    lr=0.01,
    momentum=0.9,  # ours
    schedule="step",
    schedule_step=STEP,
    schedule_gamma=0.1,
    batch_size=32,
    epochs=EPOCHS,
)
NO_TASK = {"options": {}, "losses": {"cross_entropy": 0.5}}
RIVALS = ("image", "concat", "metanet", "metablock", "pundhir")  # of Table 1
# The rows of Table 1 by the paper's own recipe, and what lies between them and the proposed one.
METHODS: dict[str, dict] = {
    **{name: {"variant": name} | NO_TASK for name in RIVALS},
    "without": NO_TASK,  # the proposed fusion without the auxiliary task: the ablation's beta = 0
    "proposed": {},
}
# Pacheco & Krohling 2021 and their public code, for the four that they train: a baseline trained by another paper's
# recipe may be a weak one. Epochs are the profile's (theirs: 150).
OWN = {
    "losses": {"cross_entropy": 1.0},
    "lr": 0.001,
    "weight_decay": 0.001,
    "schedule": "plateau",
    "schedule_step": 10,
    "batch_size": 30,
    "patience": 15,
}
# Of no paper: what a plain script does, which has no validation part, keeps its last epoch and so trains on a quarter
# more images. A row must not look weak because a short schedule suits another recipe better.
PLAIN = {
    "fold": None,
    "colour": "none",
    "class_weights": False,
    "losses": {"cross_entropy": 1.0},
    "optimiser": "adamw",
    "lr": 0.003,  # of the new layers; both rates were chosen on validation rows: one rate for all is worse for `concat`
    "lr_early": 0.1,
    "lr_late": 0.1,
    "weight_decay": 0.01,
    "schedule": "onecycle",
}
RECIPES = {"own": OWN, "plain": PLAIN}
# Each changes the proposed run in one thing: its row of the ablation, and what it changes.
CONTROLS: dict[str, tuple[str, dict]] = {
    "concat_task": ("the task with concatenation", {"variant": "concat"}),
    "image_task": ("the task without metadata", {"variant": "image"}),
    "no_constancy": ("no colour constancy", {"colour": "clahe"}),
    "no_clahe": ("no CLAHE", {"colour": "shades_of_gray"}),
    "self": ("a decoder that redraws the input", {"options": {"target": "self"}}),  # of equal size
    "native": ("the native image as target", {"options": {"target": "native"}}),  # detail that the input lacks
    "kernel": ("adaptive convolution as large as the map", {"options": {"adaptive": "kernel"}}),  # the literal one
    "eq3": ("eq. 3 as printed", {"losses": {"eq3": 0.5, "superres": 1.0}}),
    "literature": ("81 columns of the literature", {"options": {"encoding": "literature"}}),
    "frequent": ("imputation by the most frequent answer", {"options": {"imputation": "frequent"}}),
    "zeros": ("blanks as zeros", {"options": {"imputation": "zeros"}}),  # they can be seen: a probe, no method
}
TABLE3 = ("bicubic", "ninasr", "ninasr_here", "edsr")
PROTOCOLS = {
    f"{level}/{name}": {"split": level, "test_share": share, "folds": folds}
    for level in ("patient", "image")
    for name, share, folds in (("sixth", 1 / 6, 5), ("tenth", 0.1, 9))  # 9 folds of nine tenths: 80:10:10
}
DEFAULT = "patient/sixth"
# Metadata alone, on every row of the table; "zeros" leaves the blanks to be seen.
ALONE = {"metadata": "autoencoder", "metadata_zeros": "zeros"}

# Named before any number, a family a question. Primary is the paper's claim: proposed against each published rival on
# the same backbone, and each other way to enlarge against the bilinear one.
FAMILIES = {"table1": "primary", "table3": "primary"} | dict.fromkeys(
    ("task", "recipes", "rivals_by_other_recipes", "no_image", "ablation", "questions", "leakage"), "side"
)
PROPOSED_RUN = SEEING_RUN = {"arm": "method", "method": "proposed"}
LOOKED_AT = {"Visual [14]": {"arm": "method", "method": "pundhir"}, "proposed": PROPOSED_RUN}


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need at a profile's sizes.

    Labels are ``arm``, ``seed`` and, but for leaks, ``split_seed``, which draws a test part of its own. By arm:

    - ``method``: ``method``, ``backbone`` (its name and weights) and ``protocol``, the rows of Table 1
    - ``recipe``: these and ``recipe``; ``protocol``: as ``method``, on another split
    - ``metadata``: ``rows`` (with_image, all) and ``imputation``
    - ``control``: ``control`` and ``row``, its name in words; ``target``: ``target``
    - ``leak``: ``method`` and ``training`` (leaky, clean)

    Parameters
    ----------
    profile
        As `skinlib.config.load_profile` reads it; its mapping ``metadata_sr`` holds lists and sizes.
    """
    sizes = profile["metadata_sr"]
    base = PROPOSED.replace(
        dataset=sizes["dataset"],
        allow_missing=sizes["allow_missing"],
        image_size=sizes["image_size"],
        epochs=sizes["epochs"],
        schedule_step=max(1, round(STEP * sizes["epochs"] / EPOCHS)),
        visits=sizes["visits"],
        precision=sizes["precision"],
    )
    runs = []
    for seed in sizes["seeds"]:
        for splits, made in ((sizes["splits"], _methods), (sizes["side_splits"], _side)):
            for split in splits:
                for one in made(base, sizes):
                    config = one.config.replace(split_seed=split, seed=seed)
                    labels = {**one.labels, "split_seed": split, "seed": seed}
                    runs.append(Planned(f"{one.name}/split{split}/seed{seed}", config, labels))
        for one in _leaks(base, sizes):
            runs.append(Planned(f"{one.name}/seed{seed}", one.config.replace(seed=seed), {**one.labels, "seed": seed}))
    return runs


def _first(sizes: dict) -> tuple[str, dict[str, str]]:
    """Return the backbone of all that is not in Table 1, as a label and as settings."""
    backbone, weights, _ = sizes["backbones"][0]
    return f"{backbone}/{weights}", {"backbone": backbone, "weights": weights}


def _methods(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield the rows of Table 1, baselines by other recipes, and metadata alone."""
    for backbone, weights, methods in sizes["backbones"]:
        phi = f"{backbone}/{weights}"
        for method in methods:
            config = base.replace(backbone=backbone, weights=weights, **METHODS[method])
            labels = {"arm": "method", "method": method, "backbone": phi, "protocol": DEFAULT}
            yield Planned(f"{method}/{phi}/{DEFAULT}", config, labels)
    phi, first = _first(sizes)
    for recipe, chosen in sizes["recipes"].items():
        for method in chosen["methods"]:
            losses = METHODS[method].get("losses", base.losses) | RECIPES[recipe]["losses"]
            changes = METHODS[method] | RECIPES[recipe] | {"epochs": chosen["epochs"], "losses": losses}
            labels = {"arm": "recipe", "recipe": recipe, "method": method, "backbone": phi, "protocol": DEFAULT}
            yield Planned(f"{recipe}/{method}/{phi}/{DEFAULT}", base.replace(**first, **changes), labels)
    alone = base.replace(variant="metadata", weights="none", **NO_TASK)  # the backbone is not built
    images = {"arm": "metadata", "rows": "with_image", "imputation": "autoencoder"}
    yield Planned(f"metadata/{DEFAULT}", alone, images)
    for name, imputation in ALONE.items():
        options = {"rows": "all", "imputation": imputation}
        yield Planned(f"{name}/all", alone.replace(options=options), images | options)


def _side(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield controls, other targets and other protocols, on the first backbone."""
    phi, first = _first(sizes)
    base = base.replace(**first)
    for name in sizes["controls"]:
        row, changes = CONTROLS[name]
        options = base.options | changes.get("options", {})
        config = base.replace(**changes | {"options": options})
        if options["target"] == "native":  # the input is its reduction
            config = config.replace(image_size=[2 * side for side in base.image_size])
        yield Planned(f"control/{name}/{phi}", config, {"arm": "control", "control": name, "row": row})
    for target in sizes["targets"]:
        config = base.replace(options=base.options | {"target": target})
        yield Planned(f"target/{target}/{phi}", config, {"arm": "target", "target": target})
    for protocol in sizes["side_protocols"]:
        for method in sizes["side_methods"]:
            labels = {"arm": "protocol", "method": method, "backbone": phi, "protocol": protocol}
            config = base.replace(**PROTOCOLS[protocol], **METHODS[method])
            yield Planned(f"{method}/{phi}/{protocol}", config, labels)


def _leaks(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield two training parts of one size, one with other images of the tested patients; one test part."""
    _, first = _first(sizes)
    for method in sizes["leak_methods"]:
        for training in ("leaky", "clean"):
            arms = {"split": training, "test_share": sizes["leak_share"], "fold": None}
            labels = {"arm": "leak", "method": method, "training": training}
            yield Planned(f"leak/{method}/{training}", base.replace(**first, **arms, **METHODS[method]), labels)
