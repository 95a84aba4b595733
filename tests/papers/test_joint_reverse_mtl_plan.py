import pytest
from comparing import assert_pure, configs, difference

from skinlib import models
from skinlib.data.extra import EXTRAS
from skinlib.images.visits import VIEWS
from skinlib.papers.joint_reverse_mtl.plan import ARMS, CONTROLS, PROPOSED, plan
from skinlib.training import losses, schedules

LONGER = {"image_size": [64, 96], "epochs": 2, "visits": 20}
EVEN = LONGER | {"lr": 0.001, "views": "right_angles"}
PROFILE = {
    "dataset": "ham10000",
    "joint_reverse_mtl": {
        "dataset": "isic2016", "allow_missing": True, "folds": 5, "precision": "fp32", "image_size": [32, 64],
        "widths": [4, 4, 8, 8, 8, 8], "epochs": 3, "visits": 40, "seeds": [0, 1], "side_seeds": [0],
        "classifiers": [["resnet10t", "none"], ["mobilenetv2_100", "imagenet"]],
        "variants": ["seg", "mtl0", "mtl1", "mtl2", "mtl3"], "arms": ["clean"], "side_arms": ["as_published"],
        "controls": list(CONTROLS), "lambdas": [[0.9, 0.1], [0.1, 0.9]], "fills": ["zeros"],
        "longer": [LONGER, LONGER | {"lr": 0.001}, EVEN],
    },
}  # fmt: skip


def with_sizes(**changes) -> dict:
    return PROFILE | {"joint_reverse_mtl": PROFILE["joint_reverse_mtl"] | changes}


def test_the_names_of_the_runs(runs):
    ladder = ["cls/resnet10t/none", "cls/mobilenetv2_100/imagenet", "seg", "mtl0", "mtl1", "mtl2", "mtl3"]
    ladder += ["mtl4/clean", *(f"control/{name}" for name in CONTROLS)]
    wanted = {f"{name}/seed{s}" for name in ladder for s in (0, 1)}
    side = ["mtl4/as_published", "lambda/0.9-0.1", "lambda/0.1-0.9", "corner/zeros"]
    side += [f"longer/seg/64px-40{end}" for end in ("", "-lr0.001", "-lr0.001-right_angles")]
    assert set(runs) == wanted | {f"{name}/seed0" for name in side}


def test_the_plan_is_pure_and_labels_say_which_row_of_the_exhibits_a_run_is():
    assert_pure(plan, PROFILE)
    labels = {one.name: dict(one.labels) for one in plan(PROFILE)}
    rows = {name: each["row"] for name, each in labels.items() if each["arm"] == "ladder" and each["seed"] == 0}
    classifiers = ["cls", "cls, mobilenetv2_100, weights imagenet"]
    assert list(rows.values()) == [*classifiers, "seg", "mtl0", "mtl1", "mtl2", "mtl3", "mtl4"]
    assert rows["mtl4/clean/seed0"] == "mtl4"
    assert labels["mtl4/as_published/seed0"] == {"arm": "leak", "row": "mtl4, as published", "seed": 0}
    assert labels["corner/zeros/seed0"]["fill"] == "zeros"
    assert labels["lambda/0.9-0.1/seed0"]["row"] == "dice 0.9, cross entropy 0.1"
    against = {each["row"]: each["against"] for each in labels.values() if each["arm"] == "longer"}
    assert against == {
        "seg/64px-40": "seg", "seg/64px-40-lr0.001": "seg/64px-40",
        "seg/64px-40-lr0.001-right_angles": "seg/64px-40-lr0.001",
    }  # fmt: skip
    longer = plan(with_sizes(longer=[LONGER, LONGER | {"epochs": 20}]))[-1].labels  # 400 visits, no name of 40 goes on
    assert (longer["row"], longer["against"]) == ("seg/64px-400", "seg")
    with pytest.raises(ValueError, match="two runs are called longer/seg/64px-40/seed0"):
        plan(with_sizes(longer=[LONGER, LONGER | {"keep": "last"}]))


def test_the_papers_values_stand_and_a_profile_sets_sizes_and_nothing_else(runs):
    assert (PROPOSED.image_size, PROPOSED.batch_size, PROPOSED.epochs) == ((192, 256), 10, 50)
    assert (PROPOSED.optimiser, PROPOSED.lr, PROPOSED.normalisation) == ("adam", 0.003, "minmax")
    assert PROPOSED.losses == {"dice": 0.5, "cross_entropy": 0.5}
    assert (PROPOSED.dataset, PROPOSED.split) == ("isic2016", "official")
    assert schedules.factor(PROPOSED, PROPOSED.epochs, 0, 100, []) == pytest.approx(0.1)  # a tenth when training ends
    sizes = {"allow_missing", "folds", "precision", "image_size", "epochs", "visits", "options"}
    assert difference(PROPOSED, runs["mtl3/seed0"]) == sizes


def test_a_profile_may_set_the_recipe_of_all_its_runs():
    recipe = {"lr": 0.001, "schedule_gamma": 0.01, "keep": "last"}
    found = configs(plan, with_sizes(**recipe))
    assert all({name: getattr(one, name) for name in recipe} == recipe for one in found.values())
    assert PROPOSED.keep == "best"


def test_every_run_can_be_built_and_has_its_losses(runs):
    for name, config in runs.items():
        if config.weights == "imagenet":
            continue
        models.build(config)
        alone = {"seg": {"dice"}, "cls": {"cross_entropy"}}
        extra = {"first_dice"} if name.startswith("control/first_pass") else set()
        assert set(losses.terms(config, [0, 1], 2)) == alone.get(config.variant, {"dice", "cross_entropy"}) | extra


@pytest.mark.parametrize(("first", "second", "fields"), [
    ("seg", "mtl0", {"variant", "losses"}), ("mtl0", "mtl1", {"variant"}), ("mtl1", "mtl2", {"variant"}),
    ("mtl2", "mtl3", {"variant"}), ("mtl3", "mtl4/clean", {"variant", "extra_training"}),
    ("mtl4/clean", "mtl4/as_published", {"extra_training"}), ("mtl2", "control/forward", {"options"}),
    ("mtl2", "control/shuffled", {"options"}), ("mtl2", "control/first_pass", {"losses"}),
    ("mtl2", "control/unstretched", {"normalisation"}), ("mtl3", "lambda/0.9-0.1", {"losses"}),
    ("mtl3", "corner/zeros", {"augment"}), ("seg", "longer/seg/64px-40", {"image_size", "epochs", "visits"}),
    ("longer/seg/64px-40", "longer/seg/64px-40-lr0.001", {"lr"}),
    ("longer/seg/64px-40-lr0.001", "longer/seg/64px-40-lr0.001-right_angles", {"options"}),
    ("cls/resnet10t/none", "cls/mobilenetv2_100/imagenet", {"backbone", "weights"}),
])  # fmt: skip
def test_each_run_differs_only_in_what_it_says(runs, first, second, fields):
    assert difference(runs[f"{first}/seed0"], runs[f"{second}/seed0"]) == fields


def test_only_mtl4_has_extra_images_and_every_view_has_a_name(runs):
    assert set(ARMS.values()) == set(EXTRAS)
    for name, config in runs.items():
        arm = name.split("/")[1] if name.startswith("mtl4") else None
        assert config.extra_training == (ARMS[arm] if arm else None)
        assert set(config.options["views"].values()) <= set(VIEWS)
