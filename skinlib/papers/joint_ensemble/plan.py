"""The runs of Ashok et al. 2023: members, the fused head with every switch, joint fine-tuning, and two harder tests.

Values with a section are the paper's, which prints no learning rate, batch, epoch, fold or width: where the comment
says "ours", it is silent. Decision-level fusion needs no run: it is done on the members' prediction tables.
"""

from collections.abc import Iterable, Iterator

from skinlib.config import Augment, Planned, RunConfig
from skinlib.papers.joint_ensemble.model import joint_of

MEMBER = RunConfig(
    system="joint_ensemble",
    variant="member",
    dataset="ham10000",  # VI; its ids are ISIC 2018's training ids, so the "two" sets are one
    label_space="diagnosis",  # IV; abstract and V are binary: the switch `binary`
    split="grouped",  # none is stated: ours, lesions stay together
    test_share=0.2,  # ours
    folds=5,  # IV, "crossvalidation"; how many is ours
    image_size=(224, 224),  # one image for all members; the size is ours
    normalisation="imagenet",
    # IV: rotation, flipping, zooming, contrast; the ranges are ours
    augment=Augment(flips=True, rotation=180.0, zoom=0.2, contrast=0.2),
    backbone="resnet50",
    weights="imagenet",  # IV
    dropout=0.2,  # V, "Dropout"; the share is ours
    optimiser="adam",  # IV
    lr=1e-4,  # ours
    weight_decay=1e-4,  # V, "L2 regularization"; the value is ours
    schedule="plateau",  # IV, "dynamically adjust the learning rate based on performance"
    schedule_step=3,  # ours, as are the rest
    schedule_gamma=0.1,
    batch_size=32,
    epochs=30,
    patience=10,  # V, "early stopping"
)
HEAD = MEMBER.replace(
    variant="fused",
    backbone="none",  # its members have one each
    weights="none",
    dropout=0.3,
    losses={"cross_entropy": 1.0, "attributes": 0.3},  # V, "a joint loss function that balances"; 0.3 is ours, swept
    lr=1e-3,
    batch_size=128,  # rows of features: small batches only cost time
    epochs=40,
    tta="flips",  # the cached views: they are augmentation and TTA of the head
)
JOINT = {"lr": 1e-4, "lr_early": 0.1, "lr_late": 1 / 3, "batch_size": 32}  # ours: gently, from where the parts were
CROSS_ENTROPY = {"losses": {"cross_entropy": 1.0}}
# Each changes the proposed head in what its name says; "options" are put over those of the proposed one.
SWITCHES: dict[str, dict] = {
    "pca": {"options": {"reduction": "pca"}},  # the other reduction that V names
    "concat": {"options": {"reduction": "none"}},  # IV: concatenation straight into the dense layers
    "no_metadata": {"options": {"metadata": False}},
    "no_attributes": {"options": {"attributes": False}} | CROSS_ENTROPY,
    "features_only": {"options": {"metadata": False, "attributes": False}} | CROSS_ENTROPY,
    "metadata_only": {"options": {"members": {}, "attributes": False}} | CROSS_ENTROPY,  # probe: what metadata give
    "attributes_0.1": {"losses": HEAD.losses | {"attributes": 0.1}},
    "attributes_1": {"losses": HEAD.losses | {"attributes": 1.0}},
    "class_weights": {"class_weights": True},
    "binary": {"label_space": "malignancy"},  # abstract and V; the members stay those of seven classes
    "one_view": {"tta": "none"},
}
# No validation part: what leaks into training would leak into it too. So nothing is selected, in either arm.
UNSELECTED = {"fold": None, "schedule": "cosine", "patience": None}
ARMS = ("leaky", "clean")  # same test images and training sizes; only one holds other images of the test lesions
# Named before any number, a family a question; primary is what the paper claims.
FAMILIES = {
    "members_vs_fusion": "primary",  # the proposed system against the best single network, and with nothing but fusion
    "hard_lesions": "primary",  # fewer false alarms on ambiguous lesions; metadata on borderline ones
    "fusions": "side",  # the other ways to join against the best member
}
FAMILIES |= dict.fromkeys(("switches", "modularity", "same_time", "leakage", "sources"), "side")
# At which networks the notebooks across systems look.
LOOKED_AT = {"first member": {"arm": "member"}, "fused": {"arm": "proposed"}}
PROPOSED_RUN, SEEING_RUN = {"arm": "proposed"}, {"arm": "joint"}  # a head reads features


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need; the profile's ``joint_ensemble`` holds lists and sizes.

    Labels are ``arm``, ``seed`` (0 of all members), ``fold`` where there are several, and by arm:

    - ``member``: ``member``; ``proposed``; ``joint``, which begins at the proposed head of the first seed
    - ``only`` and ``without``: the proposed head on one ``member``, and on all but one; ``switch``: ``switch``
    - ``longer``, ``longer_only``: a ``member`` trained as long as all together, and the proposed head on it
    - ``leaky``, ``clean``, and ``source`` (left out, its name in ``source``): ``member``, or the head, which has none
    - ``same``: the proposed head on the members of ``source``, trained with every source
    """
    sizes = profile["joint_ensemble"]
    folds = [one for fold in range(sizes["folds"]) for one in _fold(sizes, fold)]
    return [*folds, *_longer(sizes), *_harder(sizes)]


def _fold(sizes: dict, fold: int) -> Iterator[Planned]:
    """Yield members and heads of one fold; some folds have the switches too."""
    members = _members(sizes, sizes["members"], fold=fold)
    heads = {seed: _head(sizes, members, seed=seed) for seed in sizes["seeds"]}
    more = sizes if fold in sizes["switch_folds"] else {"switches": (), "modularity": ()}
    for name, config in members.items():
        labels = {"arm": "member", "member": name, "fold": fold, "seed": config.seed}
        yield Planned(f"member/{name}/fold{fold}", config, labels)
    for seed, head in heads.items():
        where, labels, known = f"fold{fold}/seed{seed}", {"fold": fold, "seed": seed}, head.options["members"]
        yield Planned(f"proposed/{where}", head, {"arm": "proposed"} | labels)
        for name in dict.fromkeys([*sizes["alone"], *more["modularity"]]):
            lone = head.replace(options=head.options | {"members": {name: known[name]}})
            yield Planned(f"only/{name}/{where}", lone, {"arm": "only", "member": name} | labels)
        for name in more["switches"]:
            changes = SWITCHES[name]
            switched = head.replace(**changes | {"options": head.options | changes.get("options", {})})
            yield Planned(f"switch/{name}/{where}", switched, {"arm": "switch", "switch": name} | labels)
        for name in more["modularity"]:
            others = {other: known[other] for other in members if other != name}
            less = head.replace(options=head.options | {"members": others})
            yield Planned(f"without/{name}/{where}", less, {"arm": "without", "member": name} | labels)
    for changes in sizes["joint"] if fold in sizes["joint_folds"] else ():
        joint = joint_of(heads[sizes["seeds"][0]], **JOINT | {"augment": MEMBER.augment} | changes)
        yield Planned(f"joint/fold{fold}", joint, {"arm": "joint", "fold": fold, "seed": joint.seed})


def _longer(sizes: dict) -> Iterator[Planned]:
    """Yield members that are trained longer, and heads on them, in the folds of the switches."""
    for name, changes in sizes["longer"].items():
        for fold in sizes["switch_folds"]:
            member, labels = _members(sizes, [name], fold=fold, **changes), {"member": name, "fold": fold}
            yield Planned(f"longer/member/{name}/fold{fold}", member[name], {"arm": "longer", "seed": 0} | labels)
            for seed in sizes["seeds"]:
                place, head = f"longer/only/{name}/fold{fold}/seed{seed}", _head(sizes, member, seed=seed)
                yield Planned(place, head, {"arm": "longer_only"} | labels | {"seed": seed})


def _harder(sizes: dict) -> Iterator[Planned]:
    """Yield members and heads of the leak and of each source left out, and the heads that those are compared with."""
    arms = [({"arm": "source", "source": name}, {"split": f"without_{name}"}) for name in sizes["sources"]]
    for share in sizes["leakage"]:  # of the lesions of several images that give a test image
        arms += [({"arm": arm}, UNSELECTED | {"split": arm, "test_share": share}) for arm in ARMS]
    for labels, changes in arms:
        start, which = "/".join(labels.values()), "source_members" if "source" in labels else "leakage_members"
        members = _members(sizes, sizes[which], **changes)
        for name, config in members.items():
            yield Planned(f"{start}/member/{name}", config, labels | {"member": name, "seed": config.seed})
        for seed in sizes["seeds"]:
            head = _head(sizes, members, seed=seed, **changes)
            yield Planned(f"{start}/proposed/seed{seed}", head, labels | {"seed": seed})
    for seed in sizes["seeds"] if sizes["sources"] else ():
        same = _head(sizes, _members(sizes, sizes["source_members"], fold=0), seed=seed)
        yield Planned(f"same/fold0/seed{seed}", same, {"arm": "same", "fold": 0, "seed": seed})


def _members(sizes: dict, names: Iterable[str], **changes) -> dict[str, RunConfig]:
    """Return name -> run of members; a profile may give each any setting of its own, and an arm's changes go first."""
    shared = {name: sizes[name] for name in ("dataset", "folds", "image_size", "precision", "visits")}
    return {name: MEMBER.replace(**(shared | sizes["members"][name] | changes)) for name in names}


def _head(sizes: dict, members: dict[str, RunConfig], *, seed: int, **changes) -> RunConfig:
    """Return the proposed head of some members: their data and fold, its own schedule unless an arm changes both."""
    first = next(iter(members.values()))
    same = {name: getattr(first, name) for name in ("dataset", "split", "test_share", "folds", "fold", "image_size")}
    options = sizes["design"] | {"members": {name: config.to_dict() for name, config in members.items()}}
    own = {"epochs": sizes["head_epochs"], "tta": sizes["views"], "options": options, "seed": seed}
    return HEAD.replace(**(same | own | {"precision": "fp32"} | changes))  # half precision would save nothing
