"""The runs of Khurshid, Vatsa & Singh 2024: every method over the backbones, controls of the auxiliary task, leaks.

Values with a section are the paper's. Where the paper is silent the comment says "ours".
"""

import itertools
from collections.abc import Iterator

from skinlib.config import Augment, Planned, RunConfig

STEP, EPOCHS = 15, 70  # 3, Implementation details: the learning rate falls every 15 of 70 epochs
PROPOSED = RunConfig(
    system="metadata_sr",
    dataset="pad_ufes_20",  # 3, Dataset Details
    label_space="diagnosis",
    split="patient",  # ours; Tables 1 to 3 fit an image-level split
    test_share=1 / 6,  # the printed counts of Table 2 are those of 383 of 2,298 images, not of a tenth
    folds=5,
    image_size=(224, 224),
    colour="shades_of_gray+clahe",  # 2
    normalisation="imagenet",  # not said: ours, the weights were trained so
    # 3: flips, "image scaling", "the addition of random noise", no rotation; all ranges are ours
    augment=Augment(flips=True, rotation=0.0, zoom=0.2, brightness=0.2, contrast=0.2, saturation=0.2, noise=0.02),
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
OWN = {"losses": {"cross_entropy": 1.0}, "lr": 0.001, "weight_decay": 0.001, "batch_size": 30, "patience": 15}
OWN |= {"schedule": "plateau", "schedule_step": 10}
# Of no paper: what a plain script does, which has no validation part, keeps its last epoch and so trains on a quarter
# more images. A row must not look weak because a short schedule suits another recipe better.
PLAIN = {"fold": None, "colour": "none", "class_weights": False, "losses": {"cross_entropy": 1.0}}
PLAIN |= {"optimiser": "adamw", "weight_decay": 0.01, "schedule": "onecycle"}
# Of the new layers, and a tenth of the backbone: chosen on validation rows; one rate for all is worse for `concat`.
PLAIN |= {"lr": 0.003, "lr_early": 0.1, "lr_late": 0.1}
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
# Named before any number, a family a question. Primary is the paper's claim: proposed against each published rival on
# the same backbone, and each other way to enlarge against the bilinear one.
FAMILIES = {"table1": "primary", "table3": "primary"} | dict.fromkeys(
    ("task", "recipes", "rivals_by_other_recipes", "no_image", "ablation", "questions", "leakage"), "side"
)
PROPOSED_RUN = SEEING_RUN = {"arm": "method", "method": "proposed"}
LOOKED_AT = {"Visual [14]": {"arm": "method", "method": "pundhir"}, "proposed": PROPOSED_RUN}
SIZES = ("dataset", "allow_missing", "image_size", "epochs", "visits", "precision")


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need; the profile's ``metadata_sr`` holds lists and sizes.

    Labels are ``arm``, ``seed`` and, but for leaks, ``split_seed``, which draws a test part of its own. By arm:

    - ``method``: ``method``, ``backbone`` (its name and weights) and ``protocol``, the rows of Table 1
    - ``recipe``: these and ``recipe``; ``protocol``: as ``method``, on another split
    - ``metadata``: ``rows`` (with_image, all) and ``imputation``
    - ``control``: ``control`` and ``row``, its name in words; ``target``: ``target``
    - ``leak``: ``method`` and ``training`` (leaky, clean)
    """
    sizes = profile["metadata_sr"]
    step = max(1, round(STEP * sizes["epochs"] / EPOCHS))
    base = PROPOSED.replace(**{name: sizes[name] for name in SIZES}, schedule_step=step)
    backbone, weights, _ = sizes["backbones"][0]
    first = base.replace(backbone=backbone, weights=weights)  # of all that is not in Table 1
    rows, side = [*_rows(base, first, sizes)], [*_side(first, sizes)]
    runs = []
    for seed in sizes["seeds"]:
        for splits, group in ((sizes["splits"], rows), (sizes["side_splits"], side)):
            for split, (name, config, labels) in itertools.product(splits, group):
                drawn = {"split_seed": split, "seed": seed}
                runs.append(Planned(f"{name}/split{split}/seed{seed}", config.replace(**drawn), labels | drawn))
        for name, config, labels in _leaks(first, sizes):
            runs.append(Planned(f"{name}/seed{seed}", config.replace(seed=seed), labels | {"seed": seed}))
    return runs


def _method(config: RunConfig, arm: dict, method: str, protocol: str = DEFAULT, *, start: str = "") -> Planned:
    labels = {"method": method, "backbone": f"{config.backbone}/{config.weights}", "protocol": protocol}
    return Planned(start + "/".join(labels.values()), config, arm | labels)


def _rows(base: RunConfig, first: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield the rows of Table 1, baselines by other recipes, and metadata alone."""
    for backbone, weights, methods in sizes["backbones"]:
        for method in methods:
            config = base.replace(backbone=backbone, weights=weights, **METHODS[method])
            yield _method(config, {"arm": "method"}, method)
    for recipe, chosen in sizes["recipes"].items():
        for method in chosen["methods"]:
            changes = METHODS[method] | RECIPES[recipe] | {"epochs": chosen["epochs"]}
            changes["losses"] = METHODS[method].get("losses", first.losses) | RECIPES[recipe]["losses"]
            arm = {"arm": "recipe", "recipe": recipe}
            yield _method(first.replace(**changes), arm, method, start=f"{recipe}/")
    alone = base.replace(variant="metadata", weights="none", **NO_TASK)  # the backbone is not built
    images = {"arm": "metadata", "rows": "with_image", "imputation": "autoencoder"}
    yield Planned(f"metadata/{DEFAULT}", alone, images)
    # On every row of the table; zeros leave the blanks to be seen.
    for name, imputation in (("metadata", "autoencoder"), ("metadata_zeros", "zeros")):
        options = {"rows": "all", "imputation": imputation}
        yield Planned(f"{name}/all", alone.replace(options=options), images | options)


def _side(first: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield controls, other targets and other protocols, on the first backbone."""
    phi = f"{first.backbone}/{first.weights}"
    for name in sizes["controls"]:
        row, changes = CONTROLS[name]
        config = first.replace(**changes | {"options": first.options | changes.get("options", {})})
        if config.options["target"] == "native":  # the input is its reduction
            config = config.replace(image_size=[2 * side for side in first.image_size])
        yield Planned(f"control/{name}/{phi}", config, {"arm": "control", "control": name, "row": row})
    for target in sizes["targets"]:
        config = first.replace(options=first.options | {"target": target})
        yield Planned(f"target/{target}/{phi}", config, {"arm": "target", "target": target})
    for protocol, method in itertools.product(sizes["side_protocols"], sizes["side_methods"]):
        config = first.replace(**PROTOCOLS[protocol], **METHODS[method])
        yield _method(config, {"arm": "protocol"}, method, protocol)


def _leaks(first: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield two training parts of one size, one with other images of the tested patients; one test part."""
    for method, training in itertools.product(sizes["leak_methods"], ("leaky", "clean")):
        arms = {"split": training, "test_share": sizes["leak_share"], "fold": None}
        labels = {"arm": "leak", "method": method, "training": training}
        yield Planned(f"leak/{method}/{training}", first.replace(**arms, **METHODS[method]), labels)
