import pytest
from comparing import assert_pure, difference

from skinlib import models
from skinlib.models.superres import TARGETS
from skinlib.papers.metadata_sr.plan import CONTROLS, FAMILIES, METHODS, OWN, PLAIN, PROPOSED, PROTOCOLS, TABLE3, plan
from skinlib.training import losses, schedules

SIZES = {
    "dataset": "pad_ufes_20", "allow_missing": True, "precision": "fp32", "image_size": [32, 32], "epochs": 14,
    "visits": 40, "seeds": [0, 1], "splits": [0, 1], "side_splits": [0],
    "backbones": [["test_resnet", "none", list(METHODS)], ["resnet10t", "none", ["image", "without", "proposed"]]],
    "controls": list(CONTROLS), "targets": ["bicubic", "ninasr_here"],
    "side_protocols": ["image/sixth", "patient/tenth"], "side_methods": ["concat", "proposed"],
    "leak_methods": ["image", "proposed"], "leak_share": 0.8,
    "recipes": {
        "own": {"epochs": 20, "methods": ["image", "metablock"]},
        "plain": {"epochs": 9, "methods": ["concat", "proposed"]},
    },
}  # fmt: skip
PROFILE = {"dataset": "ham10000", "metadata_sr": SIZES}
FIRST = "test_resnet/none"


def test_the_names_of_the_runs(runs):
    every = [f"{method}/{FIRST}/patient/sixth" for method in METHODS]
    every += [f"{method}/resnet10t/none/patient/sixth" for method in ("image", "without", "proposed")]
    every += [f"own/{method}/{FIRST}/patient/sixth" for method in ("image", "metablock")]
    every += [f"plain/{method}/{FIRST}/patient/sixth" for method in ("concat", "proposed")]
    every += ["metadata/patient/sixth", "metadata/all", "metadata_zeros/all"]
    side = [f"control/{name}/{FIRST}" for name in CONTROLS]
    side += [f"target/{name}/{FIRST}" for name in ("bicubic", "ninasr_here")]
    side += [f"{method}/{FIRST}/{p}" for p in SIZES["side_protocols"] for method in ("concat", "proposed")]
    leaks = [f"leak/{method}/{arm}" for method in ("image", "proposed") for arm in ("leaky", "clean")]
    wanted = {f"{name}/split{split}/seed{seed}" for name in every for split in (0, 1) for seed in (0, 1)}
    wanted |= {f"{name}/split0/seed{seed}" for name in side for seed in (0, 1)}
    wanted |= {f"{name}/seed{seed}" for name in leaks for seed in (0, 1)}
    assert set(runs) == wanted


def test_the_plan_is_pure_and_labels_say_what_the_names_say():
    assert_pure(plan, PROFILE)
    labels = {one.name: one.labels for one in plan(PROFILE)}
    ends = {"split_seed": 1, "seed": 0}
    row = {"method": "concat", "backbone": FIRST, "protocol": "patient/sixth"}
    assert labels[f"concat/{FIRST}/patient/sixth/split1/seed0"] == {"arm": "method", **row, **ends}
    recipe = {"arm": "recipe", "recipe": "plain", **row, **ends}
    assert labels[f"plain/concat/{FIRST}/patient/sixth/split1/seed0"] == recipe
    zeros = {"arm": "metadata", "rows": "all", "imputation": "zeros", **ends}
    assert labels["metadata_zeros/all/split1/seed0"] == zeros
    assert labels[f"control/self/{FIRST}/split0/seed1"]["row"] == "a decoder that redraws the input"
    assert labels["leak/image/clean/seed1"] == {"arm": "leak", "method": "image", "training": "clean", "seed": 1}
    for one in plan(PROFILE):
        assert one.config.seed == one.labels["seed"] and one.config.split_seed == one.labels.get("split_seed", 0)
    assert {name for name, family in FAMILIES.items() if family == "primary"} == {"table1", "table3"}


def test_the_papers_values_stand():
    assert (PROPOSED.optimiser, PROPOSED.lr, PROPOSED.batch_size, PROPOSED.epochs) == ("sgd", 0.01, 32, 70)
    assert (PROPOSED.schedule, PROPOSED.schedule_step, PROPOSED.schedule_gamma) == ("step", 15, 0.1)
    assert (PROPOSED.image_size, PROPOSED.class_weights) == ((224, 224), True)
    assert PROPOSED.losses == {"cross_entropy": 0.5, "superres": 1.0}
    assert PROPOSED.colour == "shades_of_gray+clahe" and round(2298 * PROPOSED.test_share) == 383
    rates = [schedules.factor(PROPOSED, epoch, 0, 10, []) for epoch in (0, 14, 15, 30, 69)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 1e-4]) and set(TABLE3) < set(TARGETS)


def test_the_protocols_have_the_papers_shares():
    for name, protocol in PROTOCOLS.items():
        test, validation = protocol["test_share"], (1 - protocol["test_share"]) / protocol["folds"]
        assert validation == pytest.approx(test)  # a sixth each, or 80:10:10
        assert name.startswith(protocol["split"])


def test_every_run_can_be_built_and_has_its_losses(runs):
    known = {}
    for name, config in runs.items():
        if not name.endswith("split0/seed0") and not name.startswith("leak"):
            continue
        known[name] = models.build(config)
        assert set(losses.terms(config, list(range(6)), 6)) == set(config.losses)
        assert models.system_of(config).reads_every_row(config) == ("/all/" in name)
    assert len(known) > 30


@pytest.mark.parametrize(("first", "second", "fields"), [
    (f"without/{FIRST}/patient/sixth", f"proposed/{FIRST}/patient/sixth", {"options", "losses"}),
    (f"image/{FIRST}/patient/sixth", f"concat/{FIRST}/patient/sixth", {"variant"}),
    (f"concat/{FIRST}/patient/sixth", f"without/{FIRST}/patient/sixth", {"variant"}),
    (f"metablock/{FIRST}/patient/sixth", f"own/metablock/{FIRST}/patient/sixth", {*OWN, "epochs"}),
    (f"concat/{FIRST}/patient/sixth", f"plain/concat/{FIRST}/patient/sixth", {*PLAIN, "epochs"}),
    (f"proposed/{FIRST}/patient/sixth", f"proposed/{FIRST}/image/sixth", {"split"}),
    (f"proposed/{FIRST}/patient/sixth", f"proposed/{FIRST}/patient/tenth", {"test_share", "folds"}),
    (f"proposed/{FIRST}/patient/sixth", f"target/bicubic/{FIRST}", {"options"}),
    (f"proposed/{FIRST}/patient/sixth", f"control/self/{FIRST}", {"options"}),
    (f"proposed/{FIRST}/patient/sixth", f"control/native/{FIRST}", {"options", "image_size"}),
    (f"proposed/{FIRST}/patient/sixth", f"control/no_clahe/{FIRST}", {"colour"}),
    (f"proposed/{FIRST}/patient/sixth", f"control/eq3/{FIRST}", {"losses"}),
    (f"proposed/{FIRST}/patient/sixth", f"control/concat_task/{FIRST}", {"variant"}),
    (f"proposed/{FIRST}/patient/sixth", "proposed/resnet10t/none/patient/sixth", {"backbone"}),
    ("metadata/patient/sixth", "metadata/all", {"options"}), ("metadata/all", "metadata_zeros/all", {"options"}),
])  # fmt: skip
def test_each_run_differs_only_in_what_it_says(runs, first, second, fields):
    assert difference(runs[f"{first}/split0/seed0"], runs[f"{second}/split0/seed0"]) == fields


def test_another_recipe_keeps_the_task_of_a_method_and_splits_and_arms_differ_in_the_split_alone(runs):
    assert runs[f"plain/proposed/{FIRST}/patient/sixth/split0/seed0"].losses == {"cross_entropy": 1.0, "superres": 1.0}
    assert runs[f"plain/concat/{FIRST}/patient/sixth/split0/seed0"].losses == {"cross_entropy": 1.0}
    name = f"proposed/{FIRST}/patient/sixth"
    assert difference(runs[f"{name}/split0/seed0"], runs[f"{name}/split1/seed0"]) == {"split_seed"}
    assert difference(runs["leak/image/leaky/seed0"], runs["leak/image/clean/seed0"]) == {"split"}
    assert runs["leak/image/leaky/seed0"].fold is None


def test_the_profile_sets_sizes_and_nothing_else_and_native_images_are_twice_the_size(runs):
    sizes = {"allow_missing", "precision", "image_size", "epochs", "visits", "schedule_step", "backbone", "weights"}
    assert difference(PROPOSED, runs[f"proposed/{FIRST}/patient/sixth/split0/seed0"]) == sizes
    assert runs[f"proposed/{FIRST}/patient/sixth/split0/seed0"].schedule_step == 3  # 15 of 70 are 3 of 14
    native = runs[f"control/native/{FIRST}/split0/seed0"]
    assert native.image_size == (64, 64) and native.options["target"] == "native"
