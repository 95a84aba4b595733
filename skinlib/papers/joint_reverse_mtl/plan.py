"""The runs of Al-masni et al. 2024: every variant of the ladder, its controls, and what the paper says without showing.

Values with a section are the paper's. Where the paper is silent the comment says "ours".
"""

import itertools
from collections.abc import Iterator

from skinlib.config import Augment, Planned, RunConfig

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
SIZES = ("dataset", "allow_missing", "folds", "image_size", "epochs", "visits", "precision")
RECIPE = ("lr", "schedule_gamma", "keep")  # what a profile may set otherwise for its shorter training
# Named before any number: primary is what the paper claims, each step of its ladder and the last row against the
# single-task networks, here and on PH2.
FAMILIES = dict.fromkeys(("table3", "against_single", "table4"), "primary")
FAMILIES |= dict.fromkeys(("controls", "gates", "lambda_sweep", "mtl4_leakage", "corner_shortcut", "longer"), "side")
PROPOSED_RUN = SEEING_RUN = {"arm": "ladder", "row": "mtl3"}
LOOKED_AT = {"classifier alone": {"arm": "ladder", "row": "cls"}, "multi-task": PROPOSED_RUN}


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need; the profile's ``joint_reverse_mtl`` holds lists and sizes.

    Labels are ``arm``, ``row`` (in the exhibits) and ``seed``. The arms: ``ladder``, the rows of Table 3, of which
    ``cls`` is the first classifier that the profile names and ``mtl4`` has the clean melanomas; ``leak``, mtl4 as
    published; ``control``, ``lambda`` and ``corner`` (with ``fill``); ``longer``, U-Nets that are trained otherwise,
    ``against`` the row that each changes. Ladder and controls have ``seeds``, the rest has ``side_seeds``.

    Raises ValueError when two runs would have one name, as longer ones that differ in ``keep`` or ``precision`` alone.
    """
    sizes = profile["joint_reverse_mtl"]
    changes = {name: sizes[name] for name in (*SIZES, *RECIPE) if name in sizes}
    base = PROPOSED.replace(options=PROPOSED.options | {"widths": list(sizes["widths"])}, **changes)
    runs: dict[str, Planned] = {}
    for seeds, group in ((sizes["seeds"], _main(base, sizes)), (sizes["side_seeds"], _side(base, sizes))):
        for seed, (name, config, labels) in itertools.product(seeds, group):
            one = Planned(f"{name}/seed{seed}", config.replace(seed=seed), labels | {"seed": seed})
            if runs.setdefault(one.name, one).config != one.config:
                raise ValueError(f"joint_reverse_mtl: two runs are called {one.name}; change one in the profile")
    return list(runs.values())


def _main(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield the rows of Table 3, and the networks that differ from mtl2 in one thing."""
    for number, (backbone, weights) in enumerate(sizes["classifiers"]):
        alone = {"backbone": backbone, "weights": weights, "losses": ALONE["cls"], "options": PROPOSED.options}
        row = f"cls, {backbone}, weights {weights}" if number else "cls"
        yield Planned(f"cls/{backbone}/{weights}", base.replace(variant="cls", **alone), {"arm": "ladder", "row": row})
    for variant in sizes["variants"]:
        config = base.replace(variant=variant, losses=ALONE.get(variant, base.losses))
        yield Planned(variant, config, {"arm": "ladder", "row": variant})
    yield from _more_melanomas(base, sizes["arms"])
    for name in sizes["controls"]:
        options = base.options | CONTROLS[name].get("options", {})
        config = base.replace(variant="mtl2", **CONTROLS[name] | {"options": options})
        yield Planned(f"control/{name}", config, {"arm": "control", "row": f"control/{name}"})


def _more_melanomas(base: RunConfig, arms: list[str]) -> Iterator[Planned]:
    for name in arms:
        arm, row = ("ladder", "mtl4") if name == "clean" else ("leak", "mtl4, as published")
        config = base.replace(variant="mtl4", extra_training=ARMS[name])
        yield Planned(f"mtl4/{name}", config, {"arm": arm, "row": row})


def _side(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield mtl3 with other loss weights and filling, the arms of mtl4 that are not in Table 3, and longer U-Nets."""
    for dice, entropy in sizes["lambdas"]:
        config = base.replace(losses={"dice": dice, "cross_entropy": entropy})
        row = f"dice {dice:g}, cross entropy {entropy:g}"
        yield Planned(f"lambda/{dice:g}-{entropy:g}", config, {"arm": "lambda", "row": row})
    for fill in sizes["fills"]:
        config = base.replace(augment=Augment(flips=False, rotation=0.0, fill=fill))
        yield Planned(f"corner/{fill}", config, {"arm": "corner", "row": f"network, {fill}", "fill": fill})
    yield from _more_melanomas(base, sizes["side_arms"])
    rows: dict[tuple, str] = {}  # each longer one is against the one whose name it continues, else the ladder's U-Net
    for more in sizes["longer"]:
        own = dict(more)
        views = [own.pop("views")] if "views" in own else []  # of every image
        both = {kind: name for name in views for kind in ("benign", "malignant")}
        config = base.replace(variant="seg", losses=ALONE["seg"], options=base.options | {"views": VIEWS | both}, **own)
        words = [f"{name}{own[name]:g}" for name in ("lr", "schedule_gamma") if name in own] + views
        said = (f"seg/{config.image_size[0]}px-{config.epochs * config.visits}", *words)
        against = [rows[said[:n]] for n in range(1, len(said)) if said[:n] in rows]
        rows[said] = row = "-".join(said)
        yield Planned(f"longer/{row}", config, {"arm": "longer", "row": row, "against": ["seg", *against][-1]})
