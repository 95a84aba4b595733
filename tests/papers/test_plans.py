import pytest
from comparing import assert_pure, difference

from skinlib.config import load_profile
from skinlib.papers.recall_oriented.plan import PROPOSED, plan
from skinlib.paths import project_root

PROFILES = sorted(path.stem for path in (project_root() / "profiles").glob("*.yaml"))
PROFILE = {
    "dataset": "ham10000",
    "recall_oriented": {
        "precision": "fp32", "split": "lesion", "image_size": [64, 64], "backbone": "resnet10t", "weights": "none",
        "folds": 3, "seeds": [0, 1], "epochs": 4, "lr": 2e-3, "plain_epochs": 5, "visits": 100, "tta": "d4",
        "comparison": {"image_size": [32, 32], "epochs": 2, "backbones": [["resnet50", "none"], ["vgg11", "imagenet"]]},
        "ladder": {"epochs": 3},
    },
}  # fmt: skip


def test_the_names_of_the_runs(runs):
    steps = ["baseline", "lr_and_schedule", "lr_only", "schedule_only", "smoothing_only", "weights_only"]
    names = [*steps, "plain", "backbone/resnet50/none", "backbone/vgg11/imagenet"]
    names += [f"{arm}/fold{fold}" for arm in ("proposed", "complete") for fold in range(3)]
    assert set(runs) == {f"{name}/seed{seed}" for name in names for seed in (0, 1)}


@pytest.mark.parametrize("name", PROFILES)
def test_a_plan_is_pure_and_names_each_run_once(name):
    assert_pure(plan, load_profile(name))


def test_the_papers_values_stand_and_a_profile_sets_sizes_and_nothing_else(runs):
    assert (PROPOSED.image_size, PROPOSED.backbone, PROPOSED.dropout) == ((299, 299), "resnet50", 0.4)
    assert (PROPOSED.batch_size, PROPOSED.patience, PROPOSED.folds) == (32, 7, 3)
    assert (PROPOSED.optimiser, PROPOSED.schedule, PROPOSED.class_weights) == ("adam", "cosine", True)
    assert (PROPOSED.lr * PROPOSED.lr_early, PROPOSED.lr * PROPOSED.lr_late) == pytest.approx((1e-4, 1e-3 / 3))
    sizes = {"dataset", "split", "backbone", "weights", "image_size", "epochs", "visits", "precision", "lr"}
    assert difference(PROPOSED, runs["proposed/fold0/seed0"]) == sizes
    assert runs["proposed/fold0/seed0"].image_size == (64, 64)


RATES, SCHEDULE = {"lr", "lr_early", "lr_late"}, {"schedule"}
SMOOTHING, WEIGHTS = {"label_smoothing"}, {"class_weights"}


@pytest.mark.parametrize(("first", "second", "fields"), [
    ("baseline", "lr_and_schedule", RATES | SCHEDULE), ("baseline", "lr_only", RATES),
    ("lr_and_schedule", "complete/fold0", SMOOTHING | WEIGHTS | {"tta"}), ("baseline", "schedule_only", SCHEDULE),
    ("proposed/fold0", "proposed/fold1", {"fold"}), ("lr_and_schedule", "smoothing_only", SMOOTHING),
    ("lr_and_schedule", "weights_only", WEIGHTS), ("proposed/fold0", "complete/fold0", {"epochs"}),
    ("backbone/resnet50/none", "backbone/vgg11/imagenet", {"backbone", "weights"}),
    ("lr_and_schedule", "backbone/vgg11/imagenet", {"backbone", "weights", "image_size", "epochs"}),
    ("backbone/resnet50/none", "lr_and_schedule", {"backbone", "image_size", "epochs"}),
])  # fmt: skip
def test_each_step_differs_only_in_what_it_says(runs, first, second, fields):
    for seed in (0, 1):
        assert difference(runs[f"{first}/seed{seed}"], runs[f"{second}/seed{seed}"]) - {"variant"} == fields
    assert difference(runs[f"{first}/seed0"], runs[f"{first}/seed1"]) == {"seed"}


def test_the_plain_script_shares_data_and_size_and_none_of_the_papers_ideas(runs):
    plain, proposed = runs["plain/seed0"], runs["proposed/fold0/seed0"]
    same = {"dataset", "split", "test_share", "folds", "split_seed", "image_size", "backbone", "weights", "visits"}
    assert same.isdisjoint(difference(plain, proposed))
    assert (plain.label_space, plain.fold, plain.epochs) == ("diagnosis", None, 5)
    assert (plain.optimiser, plain.schedule, plain.class_weights, plain.tta) == ("adamw", "onecycle", False, "flips")
    assert (plain.lr_early, plain.lr_late, plain.dropout) == (1, 1, 0)


def test_one_rate_lies_between_the_three(runs):
    three, one = runs["lr_and_schedule/seed0"], runs["baseline/seed0"]
    assert one.lr_early == one.lr_late == 1 and three.lr * three.lr_early < one.lr < three.lr
