import pytest
from comparing import assert_pure, configs, difference

from skinlib import models
from skinlib.papers.joint_ensemble.model import head_of, parents
from skinlib.papers.joint_ensemble.plan import ARMS, HEAD, MEMBER, SWITCHES, plan
from skinlib.training import losses

PROFILE = {
    "dataset": "isic2016",
    "joint_ensemble": {
        "dataset": "ham10000", "precision": "fp32", "image_size": [32, 32], "folds": 3, "seeds": [0, 1], "visits": 50,
        "members": {
            "resnet": {"backbone": "test_resnet", "weights": "none", "epochs": 2, "lr": 1e-3},
            "mobile": {"backbone": "test_resnet", "weights": "none", "epochs": 3, "lr": 1e-3, "precision": "bf16",
                       "schedule": "cosine", "patience": 2},
            "pretrained": {"backbone": "mobilenetv2_100", "weights": "imagenet", "epochs": 1, "lr": 1e-4},
        },
        "head_epochs": 4, "views": "flips", "design": {"width": 8, "components": 4, "hidden": [8, 8]},
        "switch_folds": [0], "alone": ["resnet", "pretrained"], "switches": list(SWITCHES),
        "modularity": ["resnet", "mobile"], "longer": {"mobile": {"epochs": 9}},
        "joint_folds": [0], "joint": [{"epochs": 2, "visits": 40, "precision": "bf16", "schedule": "cosine"}],
        "leakage_members": ["resnet", "pretrained"], "leakage": [0.5],
        "source_members": ["resnet", "mobile"], "sources": ["rosendahl"],
    },
}  # fmt: skip
MEMBERS = ("resnet", "mobile", "pretrained")
START = "proposed/fold0/seed0"


def test_the_names_of_the_runs(runs):
    wanted = {f"member/{name}/fold{fold}" for name in MEMBERS for fold in range(3)}
    wanted |= {f"proposed/fold{fold}/seed{seed}" for fold in range(3) for seed in (0, 1)}
    more = [f"switch/{name}" for name in SWITCHES]
    more += [f"{how}/{name}" for how in ("without", "only") for name in ("resnet", "mobile")]
    wanted |= {f"{name}/fold0/seed{seed}" for name in more for seed in (0, 1)}
    both = [(name, fold, seed) for name in ("resnet", "pretrained") for fold in range(3) for seed in (0, 1)]
    wanted |= {f"only/{name}/fold{fold}/seed{seed}" for name, fold, seed in both}
    wanted |= {f"same/fold0/seed{seed}" for seed in (0, 1)} | {"longer/member/mobile/fold0"}
    wanted |= {f"longer/only/mobile/fold0/seed{seed}" for seed in (0, 1)}
    for arm, other in {"leaky": "pretrained", "clean": "pretrained", "source/rosendahl": "mobile"}.items():
        wanted |= {f"{arm}/member/resnet", f"{arm}/member/{other}", f"{arm}/proposed/seed0", f"{arm}/proposed/seed1"}
    assert set(runs) == wanted | {"joint/fold0"}


def test_one_member_is_trained_longer_and_nothing_else_of_it_changes(runs):
    longer = runs["longer/member/mobile/fold0"]
    assert difference(longer, runs["member/mobile/fold0"]) == {"epochs"} and longer.epochs == 9
    head = runs["longer/only/mobile/fold0/seed1"]
    assert difference(head, runs["only/mobile/fold0/seed1"]) == {"options"}
    assert head.options["members"] == {"mobile": longer.to_dict()}


def test_the_plan_is_pure_and_labels_say_what_tells_runs_apart():
    assert_pure(plan, PROFILE)
    labels = {one.name: dict(one.labels) for one in plan(PROFILE)}
    assert labels["member/mobile/fold1"] == {"arm": "member", "member": "mobile", "fold": 1, "seed": 0}
    assert labels["switch/pca/fold0/seed1"] == {"arm": "switch", "switch": "pca", "fold": 0, "seed": 1}
    assert labels["joint/fold0"] == {"arm": "joint", "fold": 0, "seed": 0}  # it begins at that seed's head
    assert labels["leaky/proposed/seed1"] == {"arm": "leaky", "seed": 1}  # a head, for it names no member
    assert labels["source/rosendahl/member/mobile"]["source"] == "rosendahl"


def test_every_run_can_be_built_has_its_losses_and_its_parents_are_runs_of_their_own(runs):
    known = {config.to_json() for config in runs.values()}
    for name, config in runs.items():
        assert {parent.to_json() for parent in parents(config).values()} <= known
        if config.weights != "imagenet" and name.endswith(("fold0", "fold0/seed0")):
            assert not [p for p in models.build(config).parameters() if p.is_meta]
            assert "attributes" not in losses.terms(config, [0, 1], 2) or config.variant != "member"


def test_the_papers_words_stand():
    assert (MEMBER.optimiser, MEMBER.schedule, MEMBER.weights) == ("adam", "plateau", "imagenet")
    assert MEMBER.augment.flips and MEMBER.augment.rotation and MEMBER.augment.zoom and MEMBER.augment.contrast
    assert MEMBER.weight_decay > 0 and MEMBER.dropout > 0 and HEAD.dropout > 0 and MEMBER.patience
    assert MEMBER.losses == {"cross_entropy": 1.0} and set(HEAD.losses) == {"cross_entropy", "attributes"}


OPTIONS, BOTH = {"options"}, {"options", "losses"}
SWITCHED = {  # what a switch changes in the configuration, and of its options
    "pca": (OPTIONS, {"reduction"}), "concat": (OPTIONS, {"reduction"}), "no_metadata": (OPTIONS, {"metadata"}),
    "no_attributes": (BOTH, {"attributes"}), "features_only": (BOTH, {"metadata", "attributes"}),
    "metadata_only": (BOTH, {"members", "attributes"}), "attributes_0.1": ({"losses"}, set()),
    "attributes_1": ({"losses"}, set()), "class_weights": ({"class_weights"}, set()),
    "binary": ({"label_space"}, set()), "one_view": ({"tta"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_changes_what_its_name_says(runs, name):
    a, b = runs[START], runs[f"switch/{name}/fold0/seed0"]
    changed = {key for key in {*a.options, *b.options} if a.options.get(key) != b.options.get(key)}
    assert (difference(a, b), changed) == SWITCHED[name]


def test_a_member_less_changes_the_head_alone(runs):
    hows = ("proposed", "without/resnet", "only/resnet")
    whole, less, lone = (set(runs[f"{how}/fold0/seed0"].options["members"]) for how in hows)
    assert whole == set(MEMBERS) and less == whole - {"resnet"} and lone == {"resnet"}
    for how in ("without/resnet", "only/resnet"):
        assert difference(runs[START], runs[f"{how}/fold0/seed0"]) == {"options"}
        for name, member in runs[f"{how}/fold0/seed0"].options["members"].items():
            assert member == runs[f"member/{name}/fold0"].to_dict()


def test_a_head_keeps_its_own_schedule_whatever_suits_its_members(runs):
    first = dict(sorted(runs[START].options["members"].items()))["mobile"]
    assert (first["schedule"], first["patience"], first["precision"]) == ("cosine", 2, "bf16")
    turned = {name: PROFILE["joint_ensemble"]["members"][name] for name in ("mobile", "resnet", "pretrained")}
    other = configs(plan, {"joint_ensemble": PROFILE["joint_ensemble"] | {"members": turned}})
    for head in (runs[START], other[START], runs["only/pretrained/fold2/seed1"], runs["same/fold0/seed0"]):
        assert (head.schedule, head.patience, head.precision) == (HEAD.schedule, HEAD.patience, "fp32")
        assert head.schedule == "plateau"


def test_an_arm_decides_for_members_and_heads_alike(runs):
    for arm in ARMS:
        for name in ("member/resnet", "member/pretrained", "proposed/seed0"):
            config = runs[f"{arm}/{name}"]
            assert (config.schedule, config.patience, config.fold) == ("cosine", None, None), name
    for name in ("member/mobile", "proposed/seed0"):  # a source left out has a validation part: all as usual
        usual = runs["member/mobile/fold0" if "member" in name else START]
        config = runs[f"source/rosendahl/{name}"]
        assert (config.schedule, config.patience) == (usual.schedule, usual.patience)


def test_a_source_left_out_is_compared_with_a_head_on_the_same_members(runs):
    same, left = runs["same/fold0/seed0"], runs["source/rosendahl/proposed/seed0"]
    assert set(same.options["members"]) == set(left.options["members"]) == {"resnet", "mobile"}
    assert difference(same, left) == {"split", "options"}
    few = configs(plan, {"joint_ensemble": PROFILE["joint_ensemble"] | {"source_members": ["resnet"]}})
    assert few["same/fold0/seed0"] == few["only/resnet/fold0/seed0"]  # one run of two names


def test_folds_seeds_and_arms_change_nothing_else(runs):
    assert difference(runs[START], runs["proposed/fold0/seed1"]) == {"seed"}
    assert difference(runs[START], runs["proposed/fold1/seed0"]) == {"fold", "options"}
    assert difference(runs["member/resnet/fold0"], runs["member/resnet/fold1"]) == {"fold"}
    for name in ("member/resnet", "proposed/seed0"):
        found = difference(runs[f"leaky/{name}"], runs[f"clean/{name}"])
        assert found == {"split"} | ({"options"} if "proposed" in name else set())
    leaky = runs["leaky/proposed/seed0"]
    assert (leaky.fold, leaky.split, leaky.test_share, leaky.patience) == (None, "leaky", 0.5, None)
    assert {member["split"] for member in leaky.options["members"].values()} == {"leaky"}
    assert difference(runs["member/resnet/fold0"], runs["source/rosendahl/member/resnet"]) == {"split"}


def test_joint_begins_at_the_proposed_head(runs):
    joint = runs["joint/fold0"]
    assert head_of(joint).to_json() == runs[START].to_json() and (joint.epochs, joint.visits, joint.fold) == (2, 40, 0)
    assert (joint.precision, joint.schedule) == ("bf16", "cosine")  # for its images and few epochs, as the profile says
    assert joint.lr * joint.lr_early < joint.lr * joint.lr_late < joint.lr < runs[START].lr
