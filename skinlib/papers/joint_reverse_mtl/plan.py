"""The runs of Al-masni et al. 2024: every variant of the ladder, its controls, and what the paper says without showing.

Values with a section are the paper's. Where the paper is silent the comment says "ours".
"""

from __future__ import annotations

from collections.abc import Iterator

from skinlib.config import Augment, RunConfig

# 3.2: benign images in four rotations, melanomas in eight rotations and eight flips; every pair once an epoch.
# What mtl4 adds is not augmented (ours).
VIEWS = {"benign": "right_angles", "malignant": "octagon", "added": "identity"}
# mtl4: the melanomas of ISIC 2017's training and validation parts, added to the training part (4.2).
ARMS = {
    "as_published": "isic2017_melanomas",  # 63 of these 404 are test melanomas: shows the leak, nothing else
    "clean": "isic2017_melanomas_new",  # ours: the 194 that ISIC 2016 does not have
}
PROPOSED = RunConfig(
    system="joint_reverse_mtl",
    variant="mtl3",
    dataset="isic2016",  # 3.1
    label_space="malignancy",
    split="official",
    folds=10,  # no validation part is named: ours holds out a tenth of the training part
    image_size=(192, 256),  # 3.2; height x width, as the images are wider than high
    normalisation="minmax",  # 3.2: "channel-wise manner, scaling them between zero and unity"
    augment=Augment(flips=False, rotation=0.0, fill="reflection"),  # the views are chosen; filling is ours
    backbone="unet",  # only cls has another
    weights="none",
    dropout=0.0,  # the paper gives none
    options={"views": VIEWS},
    losses={"dice": 0.5, "cross_entropy": 0.5},  # eq. 3; BCE of two softmax outputs
    optimiser="adam",  # 3.4.4, as are the rest
    lr=0.003,
    schedule="exponential",  # "exponentially reduced by a factor of 10 during the training process"
    schedule_gamma=0.1,
    batch_size=10,
    epochs=50,  # "approximately the 50th epoch"
)
ALONE = {"seg": {"dice": 1.0}, "cls": {"cross_entropy": 1.0}}
# Each changes mtl2, which brings the reverse connection, in one thing.
CONTROLS: dict[str, dict] = {
    "forward": {"options": {"gate": "forward"}},  # the same parameters, nothing runs back
    "shuffled": {"options": {"gate": "shuffled"}},  # another image's gate
    "ones": {"options": {"gate": "ones"}},  # runs twice, ungated
    "detached": {"options": {"gate": "detached"}},  # the mask's loss stops at the gate
    "relu": {"options": {"gate": "relu"}},  # eq. 2 to the letter: unbounded
    "first_pass": {"losses": PROPOSED.losses | {"first_dice": 0.5}},  # the first map is supervised too
    "unstretched": {"normalisation": "none"},  # 3.2 read as division by 255
}
RECIPE = ("lr", "schedule_gamma", "keep")  # what a profile may set otherwise for its shorter training


def plan(profile: dict) -> dict[str, RunConfig]:
    """Return the runs that the paper's exhibits need at a profile's sizes.

    Parameters
    ----------
    profile
        As `skinlib.config.load_profile` reads it; its mapping ``joint_reverse_mtl`` holds lists and sizes.

    Returns
    -------
    dict
        ``cls/<backbone>/<weights>``, ``seg``, ``mtl0`` to ``mtl3``, ``mtl4/<arm>``, ``control/<name>``,
        ``lambda/<dice>-<cross entropy>``, ``corner/<fill>`` and ``longer/seg/<height>px-<visits>`` with what else
        is its own, each with ``/seed<s>``: Table 3 and the controls over ``seeds``, the rest over ``side_seeds``.

    Raises
    ------
    ValueError
        When two different runs would have one name, as longer ones that differ in ``keep`` or ``precision`` alone.
    """
    sizes = profile["joint_reverse_mtl"]
    base = PROPOSED.replace(
        dataset=sizes["dataset"],
        allow_missing=sizes["allow_missing"],
        folds=sizes["folds"],
        image_size=sizes["image_size"],
        epochs=sizes["epochs"],
        visits=sizes["visits"],
        precision=sizes["precision"],
        options=PROPOSED.options | {"widths": list(sizes["widths"])},
        **{name: sizes[name] for name in RECIPE if name in sizes},
    )
    runs = {}
    for seed in sizes["seeds"]:
        for name, config in (*_ladder(base, sizes), *_controls(base, sizes)):
            runs[f"{name}/seed{seed}"] = config.replace(seed=seed)
    for seed in sizes["side_seeds"]:
        for name, config in _beside(base, sizes):
            key, config = f"{name}/seed{seed}", config.replace(seed=seed)
            if runs.setdefault(key, config) != config:
                raise ValueError(f"joint_reverse_mtl: two runs are called {key}; change one in the profile")
    return runs


def _with(base: RunConfig, options: dict, **changes) -> RunConfig:
    return base.replace(options=base.options | options, **changes)


def _ladder(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield the rows of Table 3."""
    for backbone, weights in sizes["classifiers"]:
        options = {name: value for name, value in base.options.items() if name != "widths"}
        alone = {"variant": "cls", "losses": ALONE["cls"], "options": options}
        yield f"cls/{backbone}/{weights}", base.replace(backbone=backbone, weights=weights, **alone)
    for variant in sizes["variants"]:
        yield variant, base.replace(variant=variant, losses=ALONE.get(variant, base.losses))
    for arm in sizes["arms"]:
        yield f"mtl4/{arm}", _arm(base, arm)


def _arm(base: RunConfig, arm: str) -> RunConfig:
    return base.replace(variant="mtl4", extra_training=ARMS[arm])


def _controls(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield the networks that differ from mtl2 in one thing."""
    for name in sizes["controls"]:
        changes = dict(CONTROLS[name])
        yield f"control/{name}", _with(base, changes.pop("options", {}), variant="mtl2", **changes)


def _beside(base: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield what stands beside the ladder: loss weights, filling, arms of mtl4, longer U-Nets."""
    for dice, cross_entropy in sizes["lambdas"]:
        losses = {"dice": dice, "cross_entropy": cross_entropy}
        yield f"lambda/{dice:g}-{cross_entropy:g}", base.replace(losses=losses)
    for fill in sizes["fills"]:
        yield f"corner/{fill}", base.replace(augment=Augment(flips=False, rotation=0.0, fill=fill))
    for arm in sizes["side_arms"]:
        yield f"mtl4/{arm}", _arm(base, arm)
    for more in sizes["longer"]:
        yield _longer(base, more)


def _longer(base: RunConfig, more: dict) -> tuple[str, RunConfig]:
    """Return name and configuration of a U-Net with sizes, rate or views of its own: ``views`` are every image's."""
    more = dict(more)
    views = more.pop("views", None)
    options = {"views": VIEWS | dict.fromkeys(("benign", "malignant"), views)} if views else {}
    longer = _with(base, options, variant="seg", losses=ALONE["seg"], **more)
    own = [f"{name}{more[name]:g}" for name in ("lr", "schedule_gamma") if name in more] + ([views] if views else [])
    return "-".join([f"longer/seg/{longer.image_size[0]}px-{longer.epochs * longer.visits}", *own]), longer
