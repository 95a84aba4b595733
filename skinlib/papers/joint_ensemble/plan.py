"""The runs of Ashok et al. 2023: members, the fused head with every switch, joint fine-tuning, and two harder tests.

Values with a section are the paper's, which prints no learning rate, batch, epoch, fold or width: where the comment
says "ours", it is silent. Decision-level fusion needs no run: it is done on the members' prediction tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skinlib.config import Augment, RunConfig
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
JOINT = {"lr": 1e-4, "lr_early": 0.1, "lr_late": 1 / 3, "batch_size": 32}  # ours: gently, from where the parts stood
CROSS_ENTROPY = {"losses": {"cross_entropy": 1.0}}
NO_ATTRIBUTES = {"options": {"attributes": False}} | CROSS_ENTROPY
# Each changes the proposed head in what its name says; "options" are put over those of the proposed one.
SWITCHES: dict[str, dict] = {
    "pca": {"options": {"reduction": "pca"}},  # the other reduction that V names
    "concat": {"options": {"reduction": "none"}},  # IV: concatenation straight into the dense layers
    "no_metadata": {"options": {"metadata": False}},
    "no_attributes": NO_ATTRIBUTES,
    "features_only": {"options": {"metadata": False, "attributes": False}} | CROSS_ENTROPY,
    "metadata_only": {"options": {"members": {}, "attributes": False}} | CROSS_ENTROPY,  # probe: what metadata give
    "attributes_0.1": {"losses": HEAD.losses | {"attributes": 0.1}},
    "attributes_1": {"losses": HEAD.losses | {"attributes": 1.0}},
    "class_weights": {"class_weights": True},
    "binary": {"label_space": "malignancy"},  # abstract and V; the members stay those of seven classes
    "one_view": {"tta": "none"},
}
# No validation part: what leaks into training would leak into it too. So nothing is selected, in either arm.
ARM = {"fold": None, "schedule": "cosine", "patience": None}
ARMS = ("leaky", "clean")  # same test images and training sizes; only one holds other images of the test lesions
VALIDATED = ("member/",)  # weights of the fusion; the melanoma scores by which thresholds of heads are chosen lie apart
DECIMALS = 3  # of a probability, below 0.01 one digit: of some ninety tables of seven classes four would fill 2 MB


def plan(profile: dict) -> dict[str, RunConfig]:
    """Return the runs that the paper's exhibits need at a profile's sizes.

    Parameters
    ----------
    profile
        As `skinlib.config.load_profile` reads it; its mapping ``joint_ensemble`` holds lists and sizes.

    Returns
    -------
    dict
        ``member/<name>/fold<k>``; ``proposed/fold<k>/seed<s>``; of the members in ``alone``
        ``only/<name>/fold<k>/seed<s>``; in the folds of the switches ``switch/<name>/...``, and of the members in
        ``modularity`` ``without/<name>/...`` and ``only/<name>/...``, and of those in ``longer``, which are trained as
        long as all members together, ``longer/member/<name>/fold<k>`` and ``longer/only/<name>/...``;
        ``joint/fold<k>``; of the arms of the leakage test and of each source left out ``<arm>/member/<name>`` and
        ``<arm>/proposed/seed<s>``, and beside the sources, where no other is that, ``same/fold0/seed<s>``: the head on
        the same members trained with every source. Members have seed 0 everywhere.
    """
    sizes = profile["joint_ensemble"]
    runs = {}
    for fold in range(sizes["folds"]):
        members = _members(sizes, sizes["members"], fold=fold)
        runs |= {f"member/{name}/fold{fold}": config for name, config in members.items()}
        for seed in sizes["seeds"]:
            proposed = _head(sizes, members, seed=seed)
            runs[f"proposed/fold{fold}/seed{seed}"] = proposed
            runs |= {f"only/{name}/fold{fold}/seed{seed}": _of(proposed, [name]) for name in sizes["alone"]}
            if fold in sizes["switch_folds"]:
                runs |= {f"{name}/fold{fold}/seed{seed}": config for name, config in _beside(proposed, sizes)}
        for joint in sizes["joint"] if fold in sizes["joint_folds"] else ():
            begin = runs[f"proposed/fold{fold}/seed{sizes['seeds'][0]}"]
            runs[f"joint/fold{fold}"] = joint_of(begin, **JOINT | {"augment": MEMBER.augment} | joint)
    for name, changes in sizes["longer"].items():
        for fold in sizes["switch_folds"]:
            member = _members(sizes, [name], fold=fold, **changes)
            runs[f"longer/member/{name}/fold{fold}"] = member[name]
            heads = {f"fold{fold}/seed{seed}": _head(sizes, member, seed=seed) for seed in sizes["seeds"]}
            runs |= {f"longer/only/{name}/{where}": head for where, head in heads.items()}
    for arm, names, changes in _harder(sizes):
        members = _members(sizes, names, **changes)
        runs |= {f"{arm}/member/{name}": config for name, config in members.items()}
        for seed in sizes["seeds"]:
            runs[f"{arm}/proposed/seed{seed}"] = _head(sizes, members, seed=seed, **changes)
    for seed in sizes["seeds"] if sizes["sources"] else ():
        same = _of(runs[f"proposed/fold0/seed{seed}"], sizes["source_members"])
        runs |= {} if same in runs.values() else {f"same/fold0/seed{seed}": same}
    return runs


def _members(sizes: dict, names: Iterable[str], **changes) -> dict[str, RunConfig]:
    """Return name -> run, of members that the profile describes; an arm's changes go before what it says of a member.

    A profile may give a member any setting of its own: epochs, lr, precision, or a schedule that suits few epochs.
    """
    shared = {name: sizes[name] for name in ("dataset", "folds", "image_size", "precision", "visits")}
    return {name: MEMBER.replace(**(shared | sizes["members"][name] | changes)) for name in names}


def _head(sizes: dict, members: dict[str, RunConfig], *, seed: int, **changes) -> RunConfig:
    """Return the proposed head of some members: their data and fold, its own objective and optimisation.

    Its schedule and patience are its own, whatever suits its members; an arm changes them for both.
    """
    first = next(iter(members.values()))
    same = {name: getattr(first, name) for name in ("dataset", "split", "test_share", "folds", "fold", "image_size")}
    options = sizes["design"] | {"members": {name: config.to_dict() for name, config in members.items()}}
    own = {"epochs": sizes["head_epochs"], "tta": sizes["views"], "options": options, "seed": seed}
    # The head is small; half precision would save nothing.
    return HEAD.replace(**(same | own | {"precision": "fp32"} | changes))


def _of(proposed: RunConfig, names: Iterable[str]) -> RunConfig:
    """Return the proposed head on some of its members alone."""
    members = {name: proposed.options["members"][name] for name in names}
    return proposed.replace(options=proposed.options | {"members": members})


def _beside(proposed: RunConfig, sizes: dict) -> Iterator[tuple[str, RunConfig]]:
    """Yield the switches of the proposed head, and heads with a member less or with a lone one."""
    for name in sizes["switches"]:
        changes = dict(SWITCHES[name])
        options = proposed.options | changes.pop("options", {})
        yield f"switch/{name}", proposed.replace(options=options, **changes)
    members = proposed.options["members"]
    for name in sizes["modularity"]:
        yield f"without/{name}", _of(proposed, [other for other in members if other != name])
        yield f"only/{name}", _of(proposed, [name])


def _harder(sizes: dict) -> Iterator[tuple[str, list[str], dict]]:
    """Yield the arms of the leakage test, and every source that is left out, with their members and changes."""
    for share in sizes["leakage"]:  # of the lesions of several images that give a test image
        yield from ((arm, sizes["leakage_members"], ARM | {"split": arm, "test_share": share}) for arm in ARMS)
    for source in sizes["sources"]:
        yield f"source/{source}", sizes["source_members"], {"split": f"without_{source}"}
