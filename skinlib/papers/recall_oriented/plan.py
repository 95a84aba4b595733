"""The runs of Rumale et al. 2026: the proposed system, every step of its ablation, its backbones, and a plain script.

Values with a section or table are the paper's. Where the paper is silent the comment says "ours".
"""

from skinlib.config import Augment, Planned, RunConfig

AUGMENT = Augment(
    flips=True,  # III, Preprocessing: horizontal and vertical
    rotation=180.0,  # "random rotations"; the range is ours: dermoscopy has no upright
    brightness=0.2,  # "color jitter"; its ranges are ours
    contrast=0.2,
    saturation=0.2,
    erasing=0.25,  # "random erasing"; the probability is ours
)
PROPOSED = RunConfig(
    system="recall_oriented",
    dataset="isic2018_task3",  # III, Data Analysis
    label_space="malignancy",
    image_size=(299, 299),
    normalisation="imagenet",
    augment=AUGMENT,
    backbone="resnet50",
    weights="imagenet",
    dropout=0.4,  # III, Model Architecture
    class_weights=True,  # III, Training Strategy; N / (K n_c) is ours
    label_smoothing=0.1,  # the paper gives no value: ours
    optimiser="adam",
    lr=1e-3,  # of the head; no learning rate is printed: ours
    lr_early=0.1,  # "lower learning rates for earlier layers"; both factors are ours
    lr_late=1 / 3,
    weight_decay=1e-4,  # the paper gives no value: ours
    schedule="cosine",
    batch_size=32,  # IV, Implementation Details
    epochs=30,  # the paper gives no maximum: ours
    patience=7,
    folds=3,  # III, Evaluation
    tta="d4",  # "multiple augmented versions"; the eight symmetries of the square are ours
)
ONE_RATE = {"lr_early": 1.0, "lr_late": 1.0}
ONE_RATE_SHARE = 0.3  # of lr: instead of three rates their rough mean (ours), so that no step is only a smaller rate
CONSTANT = {"schedule": "constant"}
UNWEIGHTED = {"class_weights": False}
HARD = {"label_smoothing": 0.0}

# Table 4 trains three networks; the other steps are what is done with the last one's outputs.
STEPS = {"baseline": ONE_RATE | CONSTANT | UNWEIGHTED | HARD, "lr_and_schedule": UNWEIGHTED | HARD}
# Table 4 adds two things a step; here each is put alone on the step before.
UNBUNDLED = {
    "lr_only": CONSTANT | UNWEIGHTED | HARD,
    "schedule_only": ONE_RATE | UNWEIGHTED | HARD,
    "smoothing_only": UNWEIGHTED,
    "weights_only": HARD,
}
# A script without any of the paper's ideas: seven classes, AdamW, one cycle, every image that is not for testing.
PLAIN = {
    "variant": "plain",
    "label_space": "diagnosis",
    "augment": Augment(rotation=0.0, zoom=0.2, shift=0.1),
    "dropout": 0.0,
    "class_weights": False,
    "optimiser": "adamw",
    "lr": 1e-3,
    "lr_early": 1.0,
    "lr_late": 1.0,
    "weight_decay": 1e-2,
    "schedule": "onecycle",
    "patience": None,
    "fold": None,
    "tta": "flips",
}
# Named before any number: primary is what the paper claims, the proposed system and each step of its ladder.
FAMILIES = {"table3": "primary", "table4": "primary", "claims": "primary", "unbundled": "side"}
LOOKED_AT = {"final system, one fold": {"arm": "proposed", "fold": 0}}
PROPOSED_RUN = SEEING_RUN = {"arm": "proposed", "fold": 0}


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need at a profile's sizes.

    Labels are ``arm`` (proposed, plain, backbone, or a step of the ablation up to ``complete``), ``seed``, ``fold`` but
    for plain, and ``backbone`` with weights. A profile's ``recall_oriented`` has sizes, ``ladder`` the ablation's own.
    """
    sizes = profile["recall_oriented"]
    same = ("split", "folds", "backbone", "weights", "image_size", "epochs", "visits", "precision", "tta", "lr")
    base = PROPOSED.replace(dataset=profile["dataset"], **{name: sizes[name] for name in same})
    ladder = base.replace(**sizes["ladder"])
    single = ladder.replace(fold=0, tta="none")
    compared, runs = sizes["comparison"], []
    for seed in sizes["seeds"]:
        for fold in range(base.folds):
            for arm, whole in {"proposed": base, **({"complete": ladder} if sizes["ladder"] else {})}.items():
                labels = {"arm": arm, "fold": fold, "seed": seed}
                runs.append(Planned(f"{arm}/fold{fold}/seed{seed}", whole.replace(fold=fold, seed=seed), labels))
        plain = base.replace(**PLAIN, epochs=sizes["plain_epochs"], seed=seed)
        runs.append(Planned(f"plain/seed{seed}", plain, {"arm": "plain", "seed": seed}))
        for name, changes in (STEPS | UNBUNDLED).items():
            rate = {"lr": ONE_RATE_SHARE * ladder.lr} if "lr_early" in changes else {}
            step = single.replace(variant=name, seed=seed, **changes, **rate)
            runs.append(Planned(f"{name}/seed{seed}", step, {"arm": name, "fold": 0, "seed": seed}))
        for name, weights in compared["backbones"]:
            own = {"backbone": name, "weights": weights, "image_size": compared["image_size"]}
            # Table 2 belongs to step two of Table 4: its ResNet-50 row is that step's
            own |= {"epochs": compared["epochs"], "seed": seed} | STEPS["lr_and_schedule"]
            labels = {"arm": "backbone", "backbone": f"{name}/{weights}", "fold": 0, "seed": seed}
            backbone = single.replace(variant="backbone", **own)
            runs.append(Planned(f"backbone/{name}/{weights}/seed{seed}", backbone, labels))
    return runs
