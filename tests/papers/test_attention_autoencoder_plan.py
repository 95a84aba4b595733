import numpy as np
import pytest
from comparing import assert_pure, configs, difference

from skinlib import models
from skinlib.data.cards import CARDS, class_names
from skinlib.papers.attention_autoencoder.model import FUSIONS, VARIANTS
from skinlib.papers.attention_autoencoder.plan import CHOICES, ON_MASKS, PROPOSED, plan, weighted
from skinlib.training import losses

PROFILE = {
    "dataset": "ham10000",
    "attention_autoencoder": {
        "dataset": "ham10000", "allow_missing": True, "folds": 4, "precision": "fp32", "image_size": [32, 32],
        "backbone": "test_resnet", "weights": "none", "latent": 16, "lr": 1e-3, "lr_backbone": 0.3, "epochs": 3,
        "visits": 40, "patience": None, "variants": list(VARIANTS), "seeds": [0, 1], "side_seeds": [0],
        "choices": list(CHOICES), "loss_weights": [[1.0, 1.0], [0.1, 0.1]],
        "transfer": {
            "seeds": [0, 1], "visits": 44, "variants": ["baseline", "proposed"], "weights": ["imagenet", "none"],
            "shares": [0.1, 0.25, 1],
        },
    },
}  # fmt: skip


def test_the_names_of_the_runs(runs):
    arms = [f"{v}/{w}" for v in ("baseline", "proposed") for w in ("imagenet/10", "imagenet/25", "none/10", "none/25")]
    arms += ["baseline/imagenet/100", "proposed/imagenet/100"]  # none/100 are the variants themselves
    side = [f"choice/{name}" for name in CHOICES] + ["weights/1-1", "weights/0.1-0.1"]
    wanted = {f"{name}/seed0" for name in side}  # of side_seeds; the ladder and the shares have seeds of their own
    wanted |= {f"{name}/seed{s}" for name in (*VARIANTS, *(f"transfer/{arm}" for arm in arms)) for s in (0, 1)}
    assert set(runs) == wanted


def test_the_plan_is_pure_and_labels_say_what_a_run_is():
    assert_pure(plan, PROFILE)
    labels = {one.name: dict(one.labels) for one in plan(PROFILE)}
    assert labels["proposed/seed1"] == {"arm": "proposed", "seed": 1}
    assert labels["choice/no_mask/seed0"] == {"arm": "choice", "choice": "no mask", "seed": 0}
    assert labels["weights/0.1-0.1/seed0"]["choice"] == "mask 0.1, reconstruction 0.1"
    wanted = {"arm": "transfer", "variant": "baseline", "weights": "none", "share": 0.25, "seed": 1}
    assert labels["transfer/baseline/none/25/seed1"] == wanted


def test_the_papers_values_stand_its_silences_are_named_and_a_profile_sets_sizes_and_nothing_else(runs):
    assert (PROPOSED.image_size, PROPOSED.backbone, PROPOSED.weights) == ((224, 224), "resnet50", "imagenet")
    assert PROPOSED.normalisation == "none"  # pixels in [0, 1]
    augment = PROPOSED.augment
    assert augment.flips and augment.rotation and augment.zoom and augment.shift
    assert augment.brightness == augment.contrast == augment.saturation == augment.noise == augment.erasing == 0
    assert PROPOSED.losses == {"cross_entropy": 1, "dice": 0.5, "mask_cross_entropy": 0.5, "reconstruction": 0.1}
    assert sum(PROPOSED.losses[name] for name in ON_MASKS) == 1
    # 70, 10 and 20 of a hundred images
    assert PROPOSED.test_share == 0.2 and (1 - PROPOSED.test_share) / PROPOSED.folds == pytest.approx(0.1)
    shares = np.array([CARDS["ham10000"].counts["all"][c] for c in class_names("ham10000", PROPOSED.label_space)])
    assert np.round(100 * shares / shares.sum()).tolist() == [26, 17, 57]
    sizes = {"allow_missing", "folds", "precision", "image_size", "backbone", "weights", "epochs", "visits", "patience"}
    assert difference(PROPOSED, runs["proposed/seed0"]) == sizes | {"lr", "lr_early", "lr_late", "options"}


def test_every_run_can_be_built_and_has_its_losses(runs):
    for name, config in runs.items():
        if config.weights == "imagenet":
            continue
        model, terms = models.build(config), losses.terms(config, np.array([0, 1, 2]), 3)
        if config.variant in ("baseline", "attention"):
            assert set(terms) == {"cross_entropy"} and model.bottleneck is None
        elif not name.startswith("choice/no"):
            assert set(terms) == set(PROPOSED.losses)
        assert (model.attend is None) == (config.variant in ("baseline", "autoencoder"))


@pytest.mark.parametrize(("first", "second", "fields"), [
    ("baseline", "attention", {"variant"}), ("baseline", "autoencoder", {"variant", "losses", "options"}),
    ("autoencoder", "proposed", {"variant"}), ("proposed", "choice/gate", {"options"}),
    ("proposed", "choice/add", {"options"}), ("proposed", "choice/no_reconstruction", {"losses"}),
    ("proposed", "choice/no_mask", {"losses"}), ("proposed", "choice/nothing_drawn", {"losses"}),
    ("proposed", "choice/imagenet_pixels", {"normalisation"}), ("proposed", "choice/unweighted", {"class_weights"}),
    ("proposed", "weights/1-1", {"losses"}), ("proposed", "transfer/proposed/none/25", {"options", "visits"}),
    ("proposed", "transfer/proposed/imagenet/100", {"weights"}),
    ("transfer/proposed/none/10", "transfer/proposed/imagenet/10", {"weights"}),
    ("baseline", "transfer/baseline/none/10", {"options", "visits"}),
])  # fmt: skip
def test_each_run_differs_only_in_what_it_says(runs, first, second, fields):
    assert difference(runs[f"{first}/seed0"], runs[f"{second}/seed0"]) == fields


def test_options_and_weights_of_the_arms(runs):
    assert {runs[f"choice/{name}/seed0"].options["fusion"] for name in ("gate", "add")} == set(FUSIONS[1:])
    assert runs["choice/no_mask/seed0"].losses == {"cross_entropy": 1, "reconstruction": 0.1}
    assert runs["choice/no_reconstruction/seed0"].losses == {n: w for n, w in weighted(1, 0).items() if w}
    weighed = {"cross_entropy": 1, "dice": 0.05, "mask_cross_entropy": 0.05, "reconstruction": 0.1}
    assert runs["weights/0.1-0.1/seed0"].losses == pytest.approx(weighed)
    for one in plan(PROFILE):
        config, share = one.config, one.labels.get("share", 1)
        assert config.options.get("share", 1) == share
        assert config.visits == (40 if share == 1 else 44)  # less data is not less training
        assert ("latent" in config.options) == (config.variant in ("autoencoder", "proposed"))


def test_a_set_without_masks_has_no_loss_on_them():
    changes = {"dataset": "isic2019", "choices": ["gate", "no_reconstruction"], "loss_weights": [[1.0, 2.0]]}
    runs = configs(plan, PROFILE | {"attention_autoencoder": PROFILE["attention_autoencoder"] | changes})
    assert not any(set(ON_MASKS) & set(config.losses) for config in runs.values())
    assert runs["proposed/seed0"].losses == {"cross_entropy": 1, "reconstruction": 0.1}
    assert runs["weights/1-2/seed0"].losses == {"cross_entropy": 1, "reconstruction": 2}
    assert class_names("isic2019", runs["proposed/seed0"].label_space) == ("BCC", "SCC", "MEL")
