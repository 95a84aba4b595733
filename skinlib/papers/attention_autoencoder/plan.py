"""The runs of Thwin and Park: the four variants of their ladder, our choices where they are silent, less data.

Values with a section are the paper's. Where the paper is silent the comment says "ours": it prints no hyper-parameter
of training at all.
"""

import itertools
from collections.abc import Iterator

from skinlib.config import Augment, Planned, RunConfig

# Ours, against cross entropy of weight 1: the mask's weight, half Dice and half cross entropy of its pixels, and the
# reconstruction's, a mean squared error of pixels in [0, 1].
MASK, RECONSTRUCTION = 1.0, 0.1
ON_MASKS = ("dice", "mask_cross_entropy")
WITHOUT_MASKS = ("isic2019",)  # sets without lesion masks: the losses on them are left out
CLASSIFIES = {"cross_entropy": 1.0}
DECODES = ("autoencoder", "proposed")


def weighted(mask: float, reconstruction: float) -> dict[str, float]:
    """Return the losses of a variant that decodes."""
    return CLASSIFIES | dict.fromkeys(ON_MASKS, mask / 2) | {"reconstruction": reconstruction}


PROPOSED = RunConfig(
    system="attention_autoencoder",
    dataset="ham10000",  # IV: "ISIC 2018"; of its images only these have a diagnosis and a lesion mask
    label_space="bcc_scc_mel",  # IV; the set has no SCC, AKIEC stands in
    split="grouped",  # "split into training, validation, and testing subsets": shares and grouping are ours
    test_share=0.2,
    folds=8,  # ours: an eighth of the rest, a tenth of all, validates
    image_size=(224, 224),  # IV
    normalisation="none",  # IV: "pixel intensities within the range [0,1]"
    augment=Augment(flips=True, rotation=180.0, zoom=0.2, shift=0.1),  # IV: all four named; the ranges are ours
    backbone="resnet50",  # IV
    weights="imagenet",
    losses=weighted(MASK, RECONSTRUCTION),
    class_weights=True,  # ours: the three classes are 26, 17 and 57 % of the images
    optimiser="adam",  # all of it ours
    lr=1e-4,
    schedule="cosine",
    batch_size=32,
    epochs=50,
    patience=10,
)
# Each changes the proposed system in one thing.
CHOICES: dict[str, dict] = {
    "gate": {"options": {"fusion": "gate"}},
    "add": {"options": {"fusion": "add"}},
    "no_reconstruction": {"losses": CLASSIFIES | dict.fromkeys(ON_MASKS, MASK / 2)},
    "no_mask": {"losses": CLASSIFIES | {"reconstruction": RECONSTRUCTION}},  # III.A's autoencoder, unsupervised
    "nothing_drawn": {"losses": CLASSIFIES},  # control: the latent is fused, no decoder shapes it
    "imagenet_pixels": {"normalisation": "imagenet"},  # with the statistics that the weights were trained with
    "unweighted": {"class_weights": False},
}
SIZES = ("dataset", "allow_missing", "folds", "image_size", "backbone", "weights")
SIZES += ("lr", "epochs", "visits", "patience", "precision")
# Named before any number: primary are the steps of Fig. 2, the only claims with numbers; the rest is side.
FAMILIES = {"fig2": "primary"} | dict.fromkeys(
    ("segmentation", "attention_maps", "fusion_choices", "transfer", "small_and_noisy", "external"), "side"
)
LOOKED_AT = {"baseline": {"arm": "baseline"}, "proposed": {"arm": "proposed"}}
PROPOSED_RUN = SEEING_RUN = {"arm": "proposed"}


def plan(profile: dict) -> list[Planned]:
    """Return the runs that the paper's exhibits need; the profile's ``attention_autoencoder`` holds lists and sizes.

    Labels are ``seed`` and ``arm``: a variant of the ladder, ``choice`` (with its row of `fusion_choices` as
    ``choice``), or ``transfer`` (with ``variant``, ``weights`` and ``share`` of the training images). The whole data
    with the profile's own weights is no arm of ``transfer``: it is the variant's run.
    """
    sizes = profile["attention_autoencoder"]
    rates = dict.fromkeys(("lr_early", "lr_late"), sizes["lr_backbone"])
    base = PROPOSED.replace(**{name: sizes[name] for name in SIZES}, **rates, options={"latent": sizes["latent"]})
    ladder = [Planned(name, _variant(base, name), {"arm": name}) for name in sizes["variants"]]
    arms = [(one, seed) for seed in sizes["seeds"] for one in ladder]
    arms += [(one, seed) for one in _choices(base, sizes) for seed in sizes["side_seeds"]]
    arms += [(one, seed) for one in _transfer(base, sizes["transfer"]) for seed in sizes["transfer"]["seeds"]]
    return [
        Planned(f"{one.name}/seed{seed}", one.config.replace(seed=seed), {**one.labels, "seed": seed})
        for one, seed in arms
    ]


def _variant(base: RunConfig, name: str, losses: dict[str, float] = PROPOSED.losses) -> RunConfig:
    """Return a variant with those losses that it and the data set can have."""
    if name not in DECODES:
        return base.replace(variant=name, losses=CLASSIFIES, options={})
    left_out = ON_MASKS if base.dataset in WITHOUT_MASKS else ()
    return base.replace(variant=name, losses={term: w for term, w in losses.items() if term not in left_out})


def _choices(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield what `fusion_choices` compares with the proposed system."""
    for name in sizes["choices"]:
        changes = {"losses": PROPOSED.losses, "options": {}} | CHOICES[name]
        config = _variant(base, "proposed", changes.pop("losses"))
        config = config.replace(options=base.options | changes.pop("options"), **changes)
        yield Planned(f"choice/{name}", config, {"arm": "choice", "choice": name.replace("_", " ")})
    for mask, reconstruction in sizes["loss_weights"]:
        labels = {"arm": "choice", "choice": f"mask {mask:g}, reconstruction {reconstruction:g}"}
        config = _variant(base, "proposed", weighted(mask, reconstruction))
        yield Planned(f"weights/{mask:g}-{reconstruction:g}", config, labels)


def _transfer(base: RunConfig, sizes: dict) -> Iterator[Planned]:
    """Yield variants trained on shares of the data, from each kind of weights.

    A share is visited ``visits`` times an epoch, as often as the whole data: less data, not less training.
    """
    for name, weights, share in itertools.product(sizes["variants"], sizes["weights"], sizes["shares"]):
        one = _variant(base, name).replace(weights=weights)
        if not 0 < share <= 1:
            raise ValueError(f"transfer.shares has {share}; give shares of more than 0, at most 1")
        if share < 1:
            one = one.replace(visits=sizes["visits"], options=one.options | {"share": share})
        labels = {"arm": "transfer", "variant": name, "weights": weights, "share": float(share)}
        if share < 1 or weights != base.weights:
            yield Planned(f"transfer/{name}/{weights}/{100 * share:g}", one, labels)
