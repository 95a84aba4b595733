"""The ensemble paper's exhibits from small tables whose numbers are worked out by hand."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from skinlib.across.systems import sample_of
from skinlib.config import RunConfig
from skinlib.evaluation.tables import TestDataError
from skinlib.exhibits.ladder import verdicts
from skinlib.exhibits.published import published
from skinlib.papers.joint_ensemble import ablation, arms, shown
from skinlib.papers.joint_ensemble import claims as claims_of
from skinlib.papers.joint_ensemble import fusion as fusion_of
from skinlib.papers.joint_ensemble import speed as speed_of
from skinlib.papers.joint_ensemble import tables as paper
from skinlib.papers.joint_ensemble.figures import first_of_each, matrices, member_gallery
from skinlib.papers.joint_ensemble.plan import HEAD, MEMBER, VALIDATED

FEW = {"n_boot": 200, "seed": 0}
CLASSES = ("bcc", "mel", "nv")
TRUTH = np.tile([0, 1, 2, 2], 12)  # 48 images: a quarter each is bcc and mel, half nv
SURE = 0.8


def table(called, config, part="test", prefix=""):
    """Predictions that put ``SURE`` on the called class; ``called`` is repeated over the images."""
    called = np.resize(called, len(TRUTH))
    p = np.full((len(TRUTH), 3), (1 - SURE) / 2)
    p[np.arange(len(TRUTH)), called] = SURE
    ids = [f"{prefix}i{k}" for k in range(len(TRUTH))]
    columns = {"image_id": ids, "lesion_id": ids, "patient_id": np.nan, "dataset": "ham10000", "split": "grouped"}
    columns |= {"part": part, "fold": config.fold, "system": "joint_ensemble", "seed": config.seed, "view": "mean"}
    return pd.DataFrame(columns | {"label": TRUTH} | {f"p_{name}": p[:, k] for k, name in enumerate(CLASSES)})


@dataclasses.dataclass
class Drawn:
    """A run whose calls on test and validation images are given by hand."""

    config: RunConfig
    called: tuple
    seconds: float = 10.0
    parents: dict = dataclasses.field(default_factory=dict)
    held_out: tuple | None = None

    @property
    def id(self):
        return f"{self.config.backbone}-{self.config.fold}-{self.config.seed}-{self.called}"

    @property
    def metrics(self):
        return {"train_seconds": self.seconds, "parents": self.parents, "images": 200, "epochs": 2}

    def predictions(self, view="mean"):
        val = table(self.held_out or self.called, self.config, "val", f"v{self.config.fold}-")
        return pd.concat([val, table(self.called, self.config)], ignore_index=True)


RIGHT, BLIND, HALF = (0, 1, 2, 2), (0, 2, 2, 2), (0, 1, 2, 0)  # all right; misses every mel; a quarter of nv called bcc


def member(name, fold, called, **more):
    return Drawn(MEMBER.replace(backbone=name, folds=2, fold=fold), called, **more)


def head(fold, seed, called, **more):
    return Drawn(HEAD.replace(folds=2, fold=fold, seed=seed), called, **more)


@pytest.fixture
def runs():
    found = {f"member/a/fold{k}": member("a", k, BLIND) for k in (0, 1)}
    found |= {f"member/b/fold{k}": member("b", k, HALF) for k in (0, 1)}
    ids = {name: {"id": f"id-{name}"} for name in ("a", "b")}
    for fold in (0, 1):
        for seed in (0, 1):
            found[f"proposed/fold{fold}/seed{seed}"] = head(fold, seed, RIGHT, parents=ids)
    found |= {f"switch/no_metadata/fold0/seed{s}": head(0, s, BLIND) for s in (0, 1)}
    for seed in (0, 1):
        found[f"without/a/fold0/seed{seed}"] = head(0, seed, HALF, seconds=4.0, parents={"b": ids["b"]})
        found[f"only/a/fold0/seed{seed}"] = head(0, seed, BLIND, parents={"a": ids["a"]})
    return found


@pytest.fixture(autouse=True)
def few_classes(monkeypatch):
    """The card of a set of these three classes."""
    monkeypatch.setattr(arms, "CARDS", {"ham10000": types.SimpleNamespace(malignant=("bcc", "mel"))})


def proposed_of(runs):
    return arms.heads(runs, arms.asked(runs, "a"))["proposed"]


def value(frame, row, metric, column="ours"):
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def test_rows_hold_every_draw_and_names_do_not_mix(runs):
    assert list(arms.members(runs)) == ["a", "b"]
    proposed = arms.row(runs, "proposed")
    assert len(proposed.runs) == 4 and len(proposed.test) == 4 * len(TRUTH)
    assert arms.drawn(proposed.test)["seed"].nunique() == 4
    assert arms.there(runs, "switch/") == ["switch/no_metadata"]
    with pytest.raises(KeyError, match="no run other"):
        arms.row(runs, "other")


def test_a_class_of_one_lesion_leaves_balanced_accuracy_its_interval():
    few = table(RIGHT, MEMBER.replace(fold=0)).assign(label=[0, 1] + [2] * (len(TRUTH) - 2))
    (cell,) = paper.of_classes("one", few, {"balanced_accuracy": "balanced_accuracy"}, **FEW)
    assert 0 < cell["low"] < cell["ours"] < cell["high"] < 1
    assert cell["note"] == "1 draw(s) of fold and seed"


def test_a_member_stands_beside_every_seed_and_a_switch_beside_its_own(runs):
    proposed, one = arms.paired(arms.row(runs, "proposed"), arms.members(runs)["a"])
    assert len(one.test) == len(proposed.test) == len(one.val) == 4 * len(TRUTH)
    switched, beside = arms.paired(arms.row(runs, "switch/no_metadata"), arms.row(runs, "proposed"))
    assert set(beside.test["fold"]) == {0} and len(beside.test) == len(switched.test) == 2 * len(TRUTH)
    other = arms.Row(*(part.assign(seed=7) for part in switched[:2]))
    with pytest.raises(KeyError, match="no fold and seed in common"):
        arms.paired(other, arms.row(runs, "proposed"))


def test_members_by_hand(runs):
    rows = arms.members(runs) | {"proposed": arms.row(runs, "proposed")}
    frame = paper.members_vs_fusion(rows, "b", **FEW)
    assert value(frame, "a", "accuracy") == 0.75 and value(frame, "a", "balanced_accuracy") == pytest.approx(2 / 3)
    assert value(frame, "a", "melanoma_recall") == 0 and value(frame, "a", "melanoma_specificity") == 1
    # b calls 12 of 24 nevi bcc: precision of bcc 12/24, of the others 1
    assert value(frame, "b", "macro_precision") == pytest.approx((0.5 + 1 + 1) / 3)
    assert value(frame, "proposed", "accuracy_change") == 0.25
    assert verdicts(frame).loc["proposed", "accuracy"] == "helps"
    assert value(frame, "proposed", "malignant_roc_auc") == 1  # bcc and mel against nv
    for name, precision, recall, f1 in (("a", 1, 1 / 2, 2 / 3), ("b", 2 / 3, 1, 0.8)):  # no mel found; half nv called
        found = [value(frame, name, f"malignant_{metric}") for metric in ("precision", "recall", "f1", "accuracy")]
        assert found == pytest.approx([precision, recall, f1, 0.75])


def test_of_two_classes_the_larger_sum_is_called(runs):
    split = {"p_bcc": 0.3, "p_mel": 0.3, "p_nv": 0.4}  # the likeliest class is benign, and malignant the likelier
    one = arms.row(runs, "proposed")
    frame = pd.DataFrame(paper.measured("s", one._replace(test=one.test.assign(**split), val=one.val.head(0)), **FEW))
    assert value(frame, "s", "malignant_recall") == 1 and value(frame, "s", "melanoma_recall") == 0


def test_the_proposed_head_is_compared_with_itself_on_the_best_member_alone(runs):
    for fold in (0, 1):  # with metadata and views the member alone is right but for a quarter of nevi
        runs |= {f"only/b/fold{fold}/seed{seed}": head(fold, seed, HALF) for seed in (0, 1)}
    rows = arms.members(runs) | {"proposed": arms.row(runs, "proposed")} | arms.alone(runs)
    frame = paper.members_vs_fusion(rows, "b", **FEW)
    assert value(frame, "head on b alone", "accuracy") == 0.75
    assert value(frame, paper.OVER_ALONE, "accuracy_change") == 0.25
    assert verdicts(frame).loc[paper.OVER_ALONE, "accuracy"] == "helps"
    same = rows | {"proposed": rows["head on b alone"]}  # nothing but metadata and views over the member: no fusion
    frame = paper.members_vs_fusion(same, "a", **FEW)
    assert value(frame, "proposed", "roc_auc_change") > 0
    frame = paper.members_vs_fusion(same, "b", **FEW)
    assert value(frame, paper.OVER_ALONE, "roc_auc_change") == 0
    assert verdicts(frame).loc[paper.OVER_ALONE, "roc_auc"] == "no evidence"


def test_two_members_of_one_backbone_are_joined_and_one_member_of_two_folds_is_not(runs):
    twins = {"one": runs["member/a/fold0"], "two": runs["member/b/fold0"]}
    twins["two"].config = twins["one"].config.replace(weights="none")
    assert paper._joined(arms.members(runs)["a"]) is False
    assert paper._joined(arms.Row(*[pd.DataFrame()] * 2, tuple(twins.values()), True))


def test_validation_rows_are_those_that_evidence_keeps(runs):
    """Or a table from the runs would have cells that one from the evidence lacks."""
    assert arms.row(runs, "switch/no_metadata").val.empty and arms.row(runs, "without/a").val.empty
    for name in VALIDATED:
        assert any(key.startswith(name) for key in runs)
    assert all(len(one.val) for one in arms.members(runs).values())
    scores = arms.asked(runs, "a")
    assert len(scores) == 2 * len(TRUTH) and scores["label"].mean() == 0.25  # a row an image that a fold held out
    heads = arms.heads(runs, scores)
    for name, key in (("proposed", "proposed"), ("head on a alone", "only/a")):
        val = pd.concat([run.predictions().query("part == 'val'") for run in arms.row(runs, key).runs])
        assert np.allclose(heads[name].val["p_mel"].sort_values(), val["p_mel"].sort_values(), atol=0.004)
        keys = ["image_id", "fold", "seed"]
        assert heads[name].val[keys].merge(val[keys]).shape == (len(val), 3)
    assert arms.heads(runs, arms.asked(runs, "b"))["head on a alone"].val.empty
    metrics = {cell["metric"] for cell in paper.measured("s", arms.row(runs, "switch/no_metadata"), **FEW)}
    assert "melanoma_recall" in metrics and "melanoma_recall_fixed" not in metrics


def test_seeds_of_a_fold_are_no_further_folds():
    """Two folds of which one is all right and one three quarters, with many seeds: still two units."""
    rows = []
    for seeds in (1, 6):
        found = {f"x/fold{f}/seed{s}": head(f, s, RIGHT if f else HALF) for f in (0, 1) for s in range(seeds)}
        test = arms.drawn(arms.row(found, "x").test).assign(lesion_id="the only one")  # images apart, folds alone vary
        rows.append(paper.of_classes("x", test, {"accuracy": "accuracy"}, n_boot=500)[0])
    assert [(one["low"], one["high"]) for one in rows] == [(0.75, 1.0)] * 2
    alone = arms.drawn(arms.row({f"x/fold0/seed{s}": head(0, s, RIGHT if s % 2 else HALF) for s in range(4)}, "x").test)
    (cell,) = paper.of_classes("x", alone.assign(lesion_id="one"), {"accuracy": "accuracy"}, n_boot=500)
    assert cell["low"] < 0.875 < cell["high"]  # in one fold there are seeds to draw


def test_the_published_rows_are_met_by_name(runs):
    rows = arms.members(runs) | {"proposed": arms.row(runs, "proposed")}
    ours = set(map(tuple, paper.members_vs_fusion(rows, "b", **FEW)[["row", "metric"]].to_numpy()))
    theirs = published(paper.PAPER, "members_vs_fusion").dropna(subset=["published"])
    assert {("proposed", "accuracy"), ("proposed", "roc_auc")} <= ours & set(
        map(tuple, theirs[["row", "metric"]].to_numpy())
    )


def test_the_fixed_specificity_is_chosen_on_validation_rows(runs):
    run = head(0, 0, RIGHT, held_out=BLIND)  # on validation rows the score says nothing of melanoma
    one = proposed_of({"proposed/fold0/seed0": run})
    arm = paper.at_specificity(one)
    assert arm.threshold[0] == np.inf  # a lower one would call half of all
    with pytest.raises(TestDataError):
        paper.at_specificity(one._replace(val=one.test))


def test_fusions_by_hand(runs):
    members = arms.members(runs)
    chosen = fusion_of.weights(members)
    fused = fusion_of.fused(members, chosen)
    assert set(fused) == {"mean", "majority vote", "stacking", fusion_of.WEIGHTED, fusion_of.BY_RECALL}
    # where a calls nv and b mel, both at 0.8, the mean is a tie, and a tie is wrong: neither melanoma is found
    assert value(pd.DataFrame(paper.measured("mean", fused["mean"], **FEW)), "mean", "melanoma_recall") == 0
    # per four images a is sure of 3 of 4 truths, b of 3 of 4: by symmetry the log loss is lowest at one half each
    assert chosen[fusion_of.WEIGHTED].weights == pytest.approx({"a": 0.5, "b": 0.5}, abs=1e-3)
    # balanced accuracy: a 2/3, b (1 + 1 + 1/2)/3
    assert chosen[fusion_of.BY_RECALL].weights["b"] > 0.5
    assert value(pd.DataFrame(paper.measured("s", fused["stacking"], **FEW)), "s", "accuracy") == 1
    assert fused["mean"].shared and len(fused["mean"].test) == 2 * len(TRUTH)


def test_a_class_without_a_validation_row_leaves_two_ways_out(runs):
    members = arms.members(runs)
    lacking = {name: one._replace(val=one.val[one.val["label"] != 1]) for name, one in members.items()}
    chosen = fusion_of.weights(lacking)
    assert list(chosen) == [fusion_of.WEIGHTED]
    assert "stacking" not in fusion_of.fused(lacking, chosen)


def test_errors_that_never_meet_are_negatively_correlated(runs):
    frame = fusion_of.errors(arms.members(runs))
    # each errs on a quarter, on different images: phi = -(1/16) / (3/16)
    assert value(frame, "a + b", "correlation") == pytest.approx(-1 / 3)
    assert value(frame, "a + b", "either_right") == 1 and value(frame, "a + b", "both_wrong") == 0
    assert fusion_of.errors({"a": arms.members(runs)["a"]}).empty


def test_confusion_is_the_mean_over_draws(runs):
    one = arms.members(runs)["b"]
    frame = paper.confusion({"b": one})
    assert value(frame, "b, true nv", "called bcc") == 12 and value(frame, "b, true mel", "called mel") == 12
    assert paper.matrix(one).to_numpy().sum() == len(TRUTH)
    assert matrices({"b": paper.matrix(one), "again": paper.matrix(one)}).axes


def test_per_class_names_the_class(runs):
    frame = paper.per_class("a", arms.members(runs)["a"], **FEW)
    assert value(frame, "a: mel", "recall") == 0 and value(frame, "a: mel", "images") == 12
    assert np.isnan(value(frame, "a: mel", "precision"))  # it is never called
    # a gives every image the same score of melanoma, so each pair is a tie; bcc stands above all others
    assert value(frame, "a: mel", "roc_auc") == 0.5 and value(frame, "a: bcc", "roc_auc") == 1


def test_the_ambiguous_are_those_of_least_margin_and_of_no_system_compared(runs):
    members = arms.members(runs)
    judge = fusion_of.fused(members, {})["mean"]
    assert set(np.round(claims_of.margins(judge.test), 3)) == {0.0, 0.7}  # a tie where the members disagree
    near = claims_of.ambiguous(proposed_of(runs), judge)
    assert len(near.test) == 4 * len(TRUTH) // 2 and set(near.test["label"]) == {1, 2}
    assert len(near.val) == len(proposed_of(runs).val) == 4 * len(TRUTH)


def test_false_positives_at_one_sensitivity(runs):
    members = arms.members(runs)
    judge = fusion_of.fused(members, {})["mean"]
    frame = claims_of.judged(claims_of.false_positives(proposed_of(runs), members["a"], judge, **FEW))
    # a gives melanomas 0.1 like everything else: to find 90 % it must call all
    assert value(frame, "fusion off, ambiguous lesions", "fp_rate") == 1
    assert value(frame, claims_of.FUSION, "false_positives") == -1
    assert "helps" in value(frame, claims_of.FUSION, "false_positives", "note")
    assert value(frame, claims_of.FUSION, "melanoma_recall") == 0


def test_fusion_off_is_named(runs):
    heads = arms.heads(runs, arms.asked(runs, "a"))
    judge = fusion_of.fused(arms.members(runs), {})["mean"]
    frame = claims_of.false_positives(*[heads[name] for name in ("proposed", "head on a alone")], judge, **FEW)
    assert "off: the proposed head on one member" in value(frame, claims_of.FUSION, "false_positives", "note")


def test_metadata_on_borderline_lesions(runs):
    judge = fusion_of.fused(arms.members(runs), {})["mean"]
    frame = claims_of.borderline(arms.row(runs, "proposed"), arms.row(runs, "switch/no_metadata"), judge, **FEW)
    assert value(frame, "metadata off, borderline lesions", "accuracy") == 0.5  # its nevi, not its melanomas
    assert value(frame, claims_of.METADATA, "accuracy") == 0.5


def test_two_sentences_on_hard_lesions_are_adjusted_together():
    change = {"low": 0.01, "high": 0.1, "dataset": "d", "split": "s", "n": 9, "note": "own"}
    alone = {"row": "fusion off", "metric": "fp_rate", "ours": 0.2, "p": np.nan} | change
    fewer = {"row": claims_of.FUSION, "metric": "false_positives", "ours": -0.05, "p": 0.026} | change
    fewer |= {"low": -0.1, "high": -0.01}
    better = {"row": claims_of.METADATA, "metric": "accuracy", "ours": 0.05, "p": 0.035} | change
    frame = claims_of.judged(pd.DataFrame([alone, fewer]), pd.DataFrame([better]))
    said = "own; no evidence (p = 0.0520, Holm over 2)"
    assert frame["note"].tolist() == ["own", said, said] and "p" not in frame
    sure = claims_of.judged(pd.DataFrame([alone, fewer | {"p": 0.02}]), pd.DataFrame([better]))
    assert sure["note"].tolist()[1:] == [f"own; helps (p = {p}, Holm over 2)" for p in ("0.0400", "0.0400")]
    lone = claims_of.judged(pd.DataFrame([alone, fewer]))
    assert lone["note"].tolist()[1] == "own; helps (p = 0.0260)"


def kept_measures(n=60):
    rng = np.random.default_rng(0)
    a = np.arange(n, dtype=float)
    columns = {"image_id": [f"i{k}" for k in range(n)], "lesion_id": [f"l{k // 2}" for k in range(n)]}
    columns |= {"patient_id": np.nan, "dataset": "d", "split": "s", "asymmetry": a, "border": rng.normal(size=n)}
    columns |= {"predicted_asymmetry": a**3, "predicted_border": -a, "p_melanoma": np.exp(-a)}
    return pd.DataFrame(columns)


def test_what_is_followed_is_a_correlation_of_ranks():
    kept = kept_measures()
    kept.loc[0, "asymmetry"] = np.nan  # a lesion that the image cuts off
    frame = claims_of.followed(kept, **FEW)
    assert value(frame, "branch B", "asymmetry") == pytest.approx(1)
    assert value(frame, "attributes", "asymmetry") == pytest.approx(-1)
    assert value(frame, "attributes", "asymmetry", "n") == 59
    assert value(frame, "attributes", "asymmetry", "note").endswith("runs against")
    assert value(frame, "branch B", "asymmetry", "note").endswith(": follows")
    assert "Grad-CAM++ at the border" not in set(frame["row"])  # no map was made
    blind = claims_of.followed(kept.assign(band=np.nan), **FEW)
    assert np.isnan(value(blind, "Grad-CAM++ at the border", "border"))
    assert "not defined" in value(blind, "Grad-CAM++ at the border", "border", "note")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.95, 0.97, "reached"),
        (0.8, 0.94, "not reached"),
        (0.9, 0.96, "open"),
        (np.nan,) * 2 + ("open",),
        (1.0, 1.0, "open"),
    ],
)
def test_a_claim_is_judged_by_its_interval(low, high, said):
    assert claims_of.reached({"low": low, "high": high}, 0.948).split(":")[0] == said


def test_claims_meet_the_published_rows(runs):
    members = arms.members(runs)
    rows = members | {"proposed": proposed_of(runs)}
    judge = fusion_of.fused(members, {})["mean"]
    hard = claims_of.judged(
        claims_of.false_positives(rows["proposed"], members["a"], judge, **FEW),
        claims_of.borderline(rows["proposed"], arms.row(runs, "switch/no_metadata"), judge, **FEW),
    )
    special = pd.concat([hard, claims_of.followed(kept_measures(), **FEW)])
    kept = pd.DataFrame({"part": "ensemble", "device": "cpu", "views": 1, "images": 12, "repeat": [0, 1, 2]})
    speed = speed_of.throughput(kept.assign(milliseconds=1000.0, machine="here"), dataset="d")
    cohort = pd.DataFrame({"image_id": list("abcd"), "diagnosis": ["mel", "nv", "nv", "nv"], "dataset": "d"})
    frame = claims_of.claims(paper.members_vs_fusion(rows, "b", **FEW), special, speed, cohort=cohort)
    theirs = set(map(tuple, published(paper.PAPER, "claims")[["row", "metric"]].to_numpy()))
    assert theirs <= set(map(tuple, frame[["row", "metric"]].to_numpy()))
    assert not frame.duplicated(["row", "metric"]).any()
    assert value(frame, "proposed", "images_per_second") == 12
    assert value(frame, "proposed", "images_per_second", "note").endswith(
        "not comparable: printed of a GPU, timed on a CPU"
    )
    assert "reached" not in value(frame, "proposed", "images_per_second", "note")
    both = pd.concat([kept.assign(milliseconds=1000.0, machine="here"),
                      kept.assign(milliseconds=[90.0, 100.0, 110.0], machine="there", device="cuda")])  # fmt: skip
    speed = speed_of.throughput(both, dataset="d")
    frame = claims_of.claims(paper.members_vs_fusion(rows, "b", **FEW), special, speed, cohort=cohort)
    assert value(frame, "proposed", "images_per_second") == 120
    assert value(frame, "proposed", "images_per_second", "note").endswith("reached: the interval lies above 30")
    rows |= {"head on b alone": rows["proposed"]}
    frame = claims_of.claims(paper.members_vs_fusion(rows, "b", **FEW), special, speed, cohort=cohort)
    assert value(frame, paper.OVER_ALONE, "accuracy") == 0
    assert "one view and no metadata" in value(frame, paper.OVER_MEMBER, "accuracy", "note")
    assert value(frame, "melanoma", "share") == 0.25 and "0.321" in value(frame, "melanoma", "share", "note")


def test_switches_are_compared_with_the_proposed_head_on_their_draws(runs):
    frame = ablation.switch_table(ablation.switches(runs), **FEW)
    assert value(frame, "no_metadata", "accuracy_change") == -0.25
    assert verdicts(frame).loc["no_metadata", "accuracy"] == "harms"
    assert value(frame, "proposed", "accuracy") == 1
    assert value(frame, "no_metadata", "accuracy", "note").startswith("2 draw(s)")
    runs = runs | {"joint/3/fold0/seed0": runs["switch/no_metadata/fold0/seed0"]}  # one draw
    frame = ablation.switch_table(ablation.switches(runs), **FEW)
    assert value(frame, "proposed, beside joint fine-tuning", "accuracy", "note").startswith("1 draw(s)")


def test_a_binary_switch_is_compared_on_two_classes(runs):
    malignant = lambda run: Drawn(run.config, run.called)
    for seed in (0, 1):
        run = malignant(runs[f"proposed/fold0/seed{seed}"])
        run.predictions = lambda view="mean", run=run: arms.malignant(Drawn.predictions(run))
        runs[f"switch/binary/fold0/seed{seed}"] = run
    frame = ablation.switch_table(ablation.switches(runs), **FEW)
    assert value(frame, "binary", "accuracy_change") == 0
    assert value(frame, "proposed, two classes", "accuracy") == 1 and value(frame, "proposed", "accuracy") == 1


def test_modularity_counts_seconds_and_retrained_members(runs, monkeypatch):
    monkeypatch.setattr(ablation, "machine", lambda run: "here")
    frame = ablation.modularity(runs, **FEW)
    assert value(frame, "a added", "members_retrained") == 0
    assert value(frame, "a added", "train_seconds") == 10 and value(frame, "a removed", "train_seconds") == 4
    assert value(frame, ablation.ADDED, "accuracy") == 0.25 == value(frame, "a added", "accuracy_change")
    assert value(frame, ablation.REMOVED, "train_seconds") == 4
    for seed in (0, 1):
        runs[f"without/a/fold0/seed{seed}"].parents = {"b": {"id": "another"}}
    assert value(ablation.modularity(runs, **FEW), "a added", "members_retrained") == 2
    assert ablation.modularity({k: v for k, v in runs.items() if "without" not in k}, **FEW).empty


def test_one_member_is_given_the_time_of_all(runs, monkeypatch):
    """Of four images a (BLIND) and b (HALF) have three right, their mean two (a tie is wrong), a trained longer all."""
    monkeypatch.setattr(ablation, "machine", lambda run: "here")
    assert ablation.same_time(runs, **FEW).empty
    runs |= {"longer/member/a/fold0": member("a", 0, RIGHT, seconds=19.0)}
    runs |= {f"longer/only/a/fold0/seed{seed}": head(0, seed, RIGHT) for seed in (0, 1)}
    frame = ablation.same_time(runs, **FEW)
    assert value(frame, "mean of members", "train_seconds") == 20
    assert value(frame, "a, longer", "train_seconds") == 19
    assert value(frame, "a, longer", "accuracy") == 1 and value(frame, "mean of members", "accuracy") == 0.5
    assert value(frame, "a, longer - a", "accuracy_change") == 0.25
    assert value(frame, "mean of members - a, longer", "accuracy_change") == -0.5
    assert value(frame, "proposed - head on a alone, longer", "accuracy_change") == 0  # of the usual head: 0.25
    assert verdicts(frame).loc["mean of members - a, longer", "accuracy"] == "harms"
    assert set(arms.members(runs)) == {"a", "b"}  # the longer trained one is no member


def test_a_leak_is_leaky_minus_clean(runs):
    arm = MEMBER.replace(fold=None)
    none = lambda called, seed=0: Drawn(arm.replace(seed=seed), called)
    for name, called in (("leaky", RIGHT), ("clean", HALF)):
        runs[f"{name}/member/a"] = none(BLIND)
        runs |= {f"{name}/proposed/seed{s}": none(called, s) for s in (0, 1)}
    for run in list(runs.values()):
        if run.config.fold is None:
            run.predictions = lambda view="mean", run=run: table(run.called, run.config).assign(fold=-1)
    found = ablation.leaked(runs)
    assert list(found["leaky"]) == ["a", "proposed"]  # one member has no mean
    frame = ablation.leakage(found, **FEW)
    assert value(frame, "proposed, leaky", "accuracy_change") == 0.25
    assert value(frame, "a, leaky", "accuracy_change") == 0
    assert ablation.leaked({"proposed/fold0/seed0": runs["proposed/fold0/seed0"]}) == {}


def test_a_source_left_out_is_compared_on_the_same_images_with_the_same_members(runs):
    on = lambda *names: {"options": {"members": {name: MEMBER.to_dict() for name in names}}}
    for key in [key for key in runs if key.startswith(("proposed/", "only/"))]:
        names = ("a", "b") if "proposed" in key else ("a",)
        runs[key].config = runs[key].config.replace(**on(*names))
    left = {f"source/x/proposed/seed{s}": head(0, s, HALF) for s in (0, 1)}
    for run in left.values():
        run.config = run.config.replace(**on("a"))
    runs |= left | {"source/x/member/a": member("a", 0, HALF)}
    for key in ("source/x/proposed/seed0", "source/x/proposed/seed1", "source/x/member/a"):
        more = table(runs[key].called, runs[key].config, prefix="new")  # of the source, outside the usual test part
        runs[key].predictions = lambda view="mean", run=runs[key], more=more: pd.concat(
            [Drawn.predictions(run), more], ignore_index=True
        )
    of = pd.DataFrame({"image_id": [f"i{k}" for k in range(48)], "source": ["x", "x", "x", "y"] * 12})
    frame = ablation.left_out(ablation.sources(runs), of, **FEW)
    # of its images i0 i1 i2 of each four, HALF has all right, BLIND (the head on a alone) two: melanoma is missed
    assert value(frame, "proposed, trained without x", "accuracy") == 1
    assert value(frame, "proposed, trained with x", "accuracy") == pytest.approx(2 / 3)
    assert value(frame, "proposed, trained without x", "accuracy_change") == pytest.approx(1 / 3)
    assert value(frame, "a, trained without x", "accuracy_change") == pytest.approx(1 / 3)
    assert value(frame, "proposed, trained without x", "accuracy", "n") == 36
    assert value(frame, "proposed, trained with x", "accuracy", "n") == 36
    assert value(frame, "proposed, trained without x, all its images", "accuracy", "n") == 96
    assert "on 100 images an epoch" in value(frame, "proposed, trained without x", "accuracy", "note")
    with pytest.raises(KeyError, match="no head on a trained with every source"):
        ablation.sources({key: run for key, run in runs.items() if not key.startswith("only/")})


def test_every_draw_has_its_row(runs):
    frame = ablation.by_draw({"a": arms.members(runs)["a"], "proposed": arms.row(runs, "proposed")})
    assert frame.groupby("row").size().to_dict() == {"a": 2, "proposed": 4}
    assert set(frame.loc[frame["row"] == "a", "accuracy"]) == {0.75}


def test_settings_of_member_and_head(runs):
    options = {"members": {"a": MEMBER.to_dict()}}
    frame = paper.settings(MEMBER, HEAD.replace(options=options))
    assert value(frame, "loss", "attribute_weight") == 0.3 and value(frame, "branches", "attributes") == 5
    assert value(frame, "reduction", "components") == 256 and value(frame, "members", "n") == 1
    assert value(frame, "training", "patience") == 10
    endless = paper.settings(MEMBER.replace(patience=None), HEAD.replace(options=options))
    assert np.isnan(value(endless, "training", "patience"))
    assert value(endless, "training", "patience", "note").startswith("none")


def test_maps_are_compared_with_a_blob_and_constant_ones_are_counted():
    rows = {"image_id": [f"i{k}" for k in range(4)], "lesion_id": list("abcd"), "patient_id": np.nan, "member": "a"}
    rows |= {"constant": [False, False, False, True], "energy": [0.5, 0.7, np.nan, np.nan], "energy_centre": 0.4}
    rows |= {f"{m}{end}": 0.25 for m in ("pointing", "iou", "band") for end in ("", "_centre")}
    frame = shown.gradcam(pd.DataFrame(rows), dataset="d", split="s", **FEW)
    assert value(frame, "a", "constant_maps") == 1 and value(frame, "a", "energy", "n") == 2
    assert value(frame, "a", "energy") == pytest.approx(0.6)
    assert value(frame, "a", "energy_over_blob") == pytest.approx(0.2) and value(frame, "a", "band_over_blob") == 0


def test_throughput_is_the_median_of_the_repeats():
    kept = pd.DataFrame({"part": "ensemble", "device": "cpu", "views": 1, "images": 30, "repeat": [0, 1, 2]})
    frame = speed_of.throughput(kept.assign(milliseconds=[1000.0, 2000.0, 3000.0], machine="m"), dataset="d")
    assert value(frame, "ensemble, CPU", "images_per_second") == 15
    assert (
        value(frame, "ensemble, CPU", "images_per_second", "low"),
        value(frame, "ensemble, CPU", "images_per_second", "high"),
    ) == (10, 30)
    other = speed_of.throughput(kept.assign(milliseconds=1.0, machine="m", device="cuda"), dataset="d")
    assert list(other["row"]) == ["ensemble, one GPU"]


def test_cases_are_the_median_of_each_class_the_commonest_first():
    one = table(RIGHT, MEMBER)
    one[["p_bcc", "p_mel", "p_nv"]] = 1 / 3
    one.loc[one["label"] == 2, ["p_mel", "p_nv"]] = np.column_stack([x := np.linspace(0, 1 / 3, 24), 2 / 3 - x])
    found = first_of_each(one, CLASSES)
    assert list(found["diagnosis"]) == ["nv", "bcc", "mel"]
    assert found["score"].iloc[0] == pytest.approx(sorted(one.loc[one["label"] == 2, "p_nv"])[12])


def test_a_gallery_needs_a_case():
    with pytest.raises(ValueError, match="at least one case"):
        member_gallery([], ["a"])


def test_samples_are_even_steps_of_the_ids():
    cohort = pd.DataFrame({"image_id": [f"i{k:02d}" for k in range(25)][::-1]})
    assert list(sample_of(cohort, 10)["image_id"]) == [f"i{k:02d}" for k in range(0, 25, 3)]


def test_each_member_of_a_gallery_has_a_colour_bar_of_its_own_scale():
    maps = {"a": np.full((8, 8), 2.0), "b": np.full((8, 8), 0.5)}
    one = {"title": "mel", "image": np.zeros((8, 8, 3), np.uint8), "mask": np.eye(8), "maps": maps}
    figure = member_gallery([one | {"called": {"a": "mel", "b": "nv"}}] * 2, ["a", "b"])
    assert [axis.get_xlim() for axis in figure.axes[6:]] == [(0, 2.0), (0, 0.5)]
