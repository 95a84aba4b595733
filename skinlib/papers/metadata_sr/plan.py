"""The runs of Khurshid, Vatsa & Singh 2024: every method over the backbones, controls of the auxiliary task, leaks.

Values with a section are the paper's. Where the paper is silent the comment says "ours".
"""

from __future__ import annotations

from collections.abc import Iterator

from skinlib.config import Augment, RunConfig

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
# The rows of Table 1 under the paper's own recipe, and what stands between them and the proposed one.
METHODS: dict[str, dict] = {
    **{name: {"variant": name} | NO_TASK for name in ("image", "concat", "metanet", "metablock", "pundhir")},
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
# Each changes the proposed run in one thing.
CONTROLS: dict[str, dict] = {
    "concat_task": {"variant": "concat"},  # the task beside another fusion
    "image_task": {"variant": "image"},  # the task without metadata
    "no_constancy": {"colour": "clahe"},
    "no_clahe": {"colour": "shades_of_gray"},
    "self": {"options": {"target": "self"}},  # a decoder of equal size that redraws the input at its own size
    "native": {"options": {"target": "native"}},  # detail that the input lacks
    "kernel": {"options": {"adaptive": "kernel"}},  # the literal adaptive convolution
    "eq3": {"losses": {"eq3": 0.5, "superres": 1.0}},  # eq. 3 as printed
    "literature": {"options": {"encoding": "literature"}},
    "frequent": {"options": {"imputation": "frequent"}},
    "zeros": {"options": {"imputation": "zeros"}},  # blanks can be seen: a probe, not the reproduction
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


def plan(profile: dict) -> dict[str, RunConfig]:
    """Return the runs that the paper's exhibits need at a profile's sizes.

    Parameters
    ----------
    profile
        As `skinlib.config.load_profile` reads it; its mapping ``metadata_sr`` holds lists and sizes.

    Returns
    -------
    dict
        With ``<b>`` = ``<backbone>/<weights>`` and ``<p>`` = ``patient/sixth`` and the like: ``<method>/<b>/<p>``,
        ``own/<method>/<b>/<p>``, ``plain/<method>/<b>/<p>``, ``control/<name>/<b>``, ``target/<name>/<b>``,
        ``metadata/<p>`` (the images of the others), ``metadata/all`` and ``metadata_zeros/all`` (every row of the
        table), each with ``/split<k>/seed<s>``; ``leak/<method>/<arm>`` with ``/seed<s>``. A split ``k`` has a test
        part of its own.
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
    runs = {}
    for seed in sizes["seeds"]:
        for split in sizes["splits"]:
            for name, config in _methods(base, sizes):
                runs[f"{name}/split{split}/seed{seed}"] = config.replace(split_seed=split, seed=seed)
        for split in sizes["side_splits"]:
            for name, config in _beside(base, sizes):
                runs[f"{name}/split{split}/seed{seed}"] = config.replace(split_seed=split, seed=seed)
        for name, config in _leaks(base, sizes):
            runs[f"{name}/seed{seed}"] = config.replace(seed=seed)
    return runs


def _methods(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield the rows of Table 1, baselines under other recipes, and metadata alone."""
    for backbone, weights, methods in sizes["backbones"]:
        phi = {"backbone": backbone, "weights": weights}
        for method in methods:
            yield f"{method}/{backbone}/{weights}/{DEFAULT}", base.replace(**phi, **METHODS[method])
    first = _first(sizes)
    for name, recipe in sizes["recipes"].items():
        for method in recipe["methods"]:
            losses = METHODS[method].get("losses", base.losses) | RECIPES[name]["losses"]
            changes = METHODS[method] | RECIPES[name] | {"epochs": recipe["epochs"], "losses": losses}
            yield f"{name}/{method}/{'/'.join(first.values())}/{DEFAULT}", base.replace(**first, **changes)
    alone = base.replace(variant="metadata", weights="none", **NO_TASK)  # the backbone is not built
    yield f"metadata/{DEFAULT}", alone
    for name, imputation in ALONE.items():
        yield f"{name}/all", alone.replace(options={"rows": "all", "imputation": imputation})


def _first(sizes: dict) -> dict[str, str]:
    """Return the backbone and weights on which everything beside Table 1 stands."""
    return dict(zip(("backbone", "weights"), sizes["backbones"][0], strict=False))


def _beside(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield controls, other targets and other protocols, on the first backbone."""
    first = _first(sizes)
    base, phi = base.replace(**first), "/".join(first.values())
    for name in sizes["controls"]:
        changes = dict(CONTROLS[name])
        options = base.options | changes.pop("options", {})
        if options["target"] == "native":
            changes["image_size"] = [2 * side for side in base.image_size]  # the input is its reduction
        yield f"control/{name}/{phi}", base.replace(options=options, **changes)
    for target in sizes["targets"]:
        yield f"target/{target}/{phi}", base.replace(options=base.options | {"target": target})
    for protocol in sizes["side_protocols"]:
        for method in sizes["side_methods"]:
            yield f"{method}/{phi}/{protocol}", base.replace(**PROTOCOLS[protocol], **METHODS[method])


def _leaks(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield two training parts of one size, one with other images of the tested patients; one test part."""
    for method in sizes["leak_methods"]:
        for arm in ("leaky", "clean"):
            arms = {"split": arm, "test_share": sizes["leak_share"], "fold": None}
            yield f"leak/{method}/{arm}", base.replace(**_first(sizes), **arms, **METHODS[method])
