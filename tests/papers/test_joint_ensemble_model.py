"""The ensemble's module in its three modes: shapes, known answers, what learns, what is fitted, what is refused."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from skinlib import models
from skinlib.config import RunConfig
from skinlib.images import abcd
from skinlib.images.batches import Batches
from skinlib.models.backbones import WeightsUnavailable
from skinlib.papers.joint_ensemble import model as joint_ensemble
from skinlib.papers.joint_ensemble.model import SYSTEM, Attention
from skinlib.training import losses
from skinlib.training.fit import total_loss

MEMBER = RunConfig(
    system="joint_ensemble", variant="member", dataset="ham10000", label_space="diagnosis", backbone="test_resnet",
    weights="none", image_size=(32, 32), dropout=0.2,
)  # fmt: skip
SECOND = MEMBER.replace(backbone="mobilenetv3_small_050")
MEMBERS = {"resnet": MEMBER.to_dict(), "mobile": SECOND.to_dict()}
WIDTHS = [1024, 96]  # by name
JOINT_LOSS = {"cross_entropy": 1.0, "attributes": 0.3}
FUSED = MEMBER.replace(
    variant="fused", backbone="none", dropout=0.0, losses=JOINT_LOSS,
    options={"members": MEMBERS, "width": 16, "components": 8, "hidden": [24, 12]},
)  # fmt: skip
REDUCTIONS = pytest.mark.parametrize("reduction", joint_ensemble.REDUCTIONS)


def fused(classes="diagnosis", **options):
    config = FUSED.replace(options=FUSED.options | options, label_space=classes)
    return config if options.get("attributes", True) else config.replace(losses={"cross_entropy": 1.0})


def batch_of(n=16, views=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g)
    label = torch.arange(n) % 7
    told = label.view(-1, *([1] * (2 if views else 1))) / 3
    batch = {"label": label, "features": draw(n, *([views] if views else []), sum(WIDTHS)) + told}
    batch |= {"meta": draw(n, 20), "attributes": 3 + 2 * draw(n, 5), "image": draw(n, 3, 32, 32)}
    return batch | {"index": torch.arange(n)}


def columns_of(n=40, views=2):
    batch = batch_of(n, views)
    numbers = {name: batch[name].numpy() for name in ("label", "features", "meta", "attributes")}
    return Batches(None, np.arange(n), numbers, batch_size=8)


def run(model, batch):
    return model(batch.get("image"), batch["meta"], features=batch["features"])


def loss_of(config, output, batch):
    return total_loss(output, batch, losses.terms(config, batch["label"].numpy(), 7), config.losses)[0]


@REDUCTIONS
@pytest.mark.parametrize("classes", [("diagnosis", 7), ("malignancy", 2)])
def test_shapes_of_the_fused_head(reduction, classes):
    model, batch = models.build(fused(classes[0], reduction=reduction)).eval(), batch_of(5)
    out = run(model, batch)
    width = {"attention": 16, "pca": 8, "none": sum(WIDTHS)}[reduction] + 32
    assert out["logits"].shape == (5, classes[1]) and out["features"].shape == (5, width)
    assert out["attributes"].shape == (5, len(abcd.MEASURES)) and ("attention" in out) == (reduction == "attention")
    if reduction == "attention":
        assert out["attention"].shape == (5, 2) and torch.allclose(out["attention"].sum(1), torch.ones(5))
        assert out["attention"].std(0).min() > 0  # the gates depend on the image


def test_attention_by_hand():
    """Widths 1 and 1, projections 1 and 2, score 1: gates are the softmax of tanh(1) and tanh(4)."""
    attend = Attention([1, 1], 1)
    with torch.no_grad():
        for layer, weight in zip(attend.project, (1.0, 2.0), strict=True):
            layer.weight.fill_(weight), layer.bias.zero_()
        attend.score.weight.fill_(1)
    reduced, gate = attend(torch.tensor([[1.0, 2.0]]))
    scores = np.exp(np.tanh([1.0, 4.0]))
    shares = scores / scores.sum()
    assert gate[0].tolist() == pytest.approx(shares) and reduced.item() == pytest.approx(shares @ [1.0, 4.0])


@pytest.mark.parametrize("name", ["metadata", "attributes"])
def test_a_switch_takes_its_branch_away(name):
    whole, less = models.build(fused()), models.build(fused(**{name: False}))
    gone = {n.partition(".")[0] for n in whole.state_dict()} - {n.partition(".")[0] for n in less.state_dict()}
    assert gone == {"metadata": {"meta"}, "attributes": {"attributes", "attribute_centre", "attribute_scale"}}[name]
    out = run(less.eval(), batch_of(4) | ({"meta": None} if name == "metadata" else {}))
    assert ("attributes" in out) == (name != "attributes")


def test_the_number_of_parameters_by_hand():
    dense = lambda i, o: i * o + o + 2 * o  # with batch norm
    classifier = dense(16 + 32, 24) + 2 * dense(24, 12) + 13 * 7 + 13 * 5
    attention, meta = sum((w + 1) * 16 for w in WIDTHS) + 16, 21 * 32 + 33 * 32
    assert sum(p.numel() for p in models.build(fused()).parameters()) == classifier + attention + meta


@REDUCTIONS
def test_gradients_reach_everything_that_learns(reduction):
    config = fused(reduction=reduction)
    model, batch = models.build(config).train(), batch_of()
    loss_of(config, run(model, batch), batch).backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # A bias before batch norm is taken out again; components are 0 until they are fitted.
    assert {name for name in silent if not name.endswith("0.bias")} == set()


def test_branch_b_teaches_the_shared_layer_and_not_the_diagnosis():
    model, batch = models.build(fused()).train(), batch_of()
    loss_of(fused().replace(losses={"attributes": 1.0}), run(model, batch), batch).backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved == {"attention", "meta", "shared_layer", "attributes"}


@pytest.mark.parametrize("term", ["cross_entropy", "attributes"])
def test_each_term_falls_on_a_batch_seen_again_and_again(term):
    config = fused().replace(losses={term: 1.0})
    model, batch = models.build(config), batch_of()
    model.prepare(columns_of(), torch.device("cpu"))
    optimiser, seen = torch.optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(60):
        optimiser.zero_grad()
        seen.append(loss_of(config, run(model.train(), batch), batch))
        seen[-1].backward()
        optimiser.step()
    assert seen[-1] < 0.2 * seen[0]


def test_the_attribute_loss_by_hand_and_without_what_is_not_known():
    term, nan = joint_ensemble.attribute_loss(FUSED, None), float("nan")
    output = {"attributes": torch.tensor([[1.0, 2.0], [5.0, 5.0]], requires_grad=True)}
    output["attribute_scale"] = torch.tensor([1.0, 2.0])
    total, count = term(output, {"attributes": torch.tensor([[0.0, 4.0], [nan, 7.0]])})
    assert total.item() == pytest.approx(1 + 1 + 1)  # (1 - 0)^2, ((2 - 4) / 2)^2, ((5 - 7) / 2)^2
    assert count.item() == 3
    total.backward()
    assert output["attributes"].grad.tolist() == [[2.0, -1.0], [0.0, -1.0]]
    total, count = term(output, {"attributes": torch.full((2, 2), nan)})
    assert (total.item(), count.item()) == (0, 0)


@pytest.mark.parametrize("reduction", ["pca", "attention"])
def test_prepare_fits_on_the_rows_it_is_given(reduction):
    model, batches = models.build(fused(reduction=reduction)), columns_of()
    batches.columns["attributes"][::2, 1] = np.nan
    model.prepare(batches, torch.device("cpu"))
    flat = batches.columns["features"].reshape(-1, sum(WIDTHS))
    assert np.allclose(model.centre, flat.mean(0), atol=1e-5)
    assert np.allclose(model.scale, flat.std(0, ddof=1), atol=1e-4)
    assert np.allclose(model.attribute_centre, np.nanmean(batches.columns["attributes"], 0), atol=1e-5)
    if reduction == "pca":
        standard = (flat - flat.mean(0)) / flat.std(0, ddof=1)
        assert np.allclose(model.components @ model.components.T, np.eye(8), atol=1e-4)
        kept = np.asarray(standard @ model.components.numpy().T).var(0, ddof=1)
        assert kept.sum() == pytest.approx(PCA(8, svd_solver="full").fit(standard).explained_variance_.sum(), rel=0.02)


def test_a_feature_that_never_fired_in_training_does_not_decide_alone():
    """Of deviation 0 in training: a little later would be a million deviations, and ten is all that counts."""
    model, batches = models.build(fused()), columns_of()
    batches.columns["features"][..., 0] = 0
    model.prepare(batches, torch.device("cpu"))
    batch = batch_of(6, views=1)
    batch["features"][..., 0] = 0.5
    some = run(model.eval(), batch)["logits"]
    batch["features"][..., 0] = 50.0
    assert torch.equal(run(model, batch)["logits"], some)
    assert model._standardised(batch["features"][:, 0])[:, 0].tolist() == [10.0] * 6


def test_prepare_says_what_cannot_be_fitted():
    batches = columns_of()
    batches.columns["attributes"][:, 0] = np.nan
    unmasked = "no training image has a mask to measure asymmetry"
    for config, words in ((fused(reduction="pca", components=200), "PCA to 200 components"), (fused(), unmasked)):
        with pytest.raises(ValueError, match=words):
            models.build(config).prepare(batches, torch.device("cpu"))


def test_views_are_averaged_as_probabilities_and_drawn_in_training():
    model, batch = models.build(fused()), batch_of(6, views=3)
    together = run(model.eval(), batch)
    each = [run(model, batch | {"features": batch["features"][:, v]})["logits"].softmax(1) for v in range(3)]
    assert torch.allclose(together["logits"].softmax(1), torch.stack(each).mean(0), atol=1e-6)
    assert torch.allclose(together["attention"].sum(1), torch.ones(6))
    model.train()
    torch.manual_seed(0)
    fused_features = run(model, batch)["features"]
    choices = [run(model.eval(), batch | {"features": batch["features"][:, v]})["features"] for v in range(3)]
    of = torch.stack([(fused_features - one).abs().sum(1) < 1e-4 for one in choices])
    assert (of.sum(0) == 1).all() and len(set(of.int().argmax(0).tolist())) > 1


def test_a_member_is_a_backbone_with_a_linear_layer():
    model = models.build(MEMBER).eval()
    out = model(torch.randn(2, 3, 32, 32))
    assert out["features"].shape == (2, 96) and out["logits"].shape == (2, 7)
    assert sum(p.numel() for p in model.head.parameters()) == 97 * 7
    assert set(model.depth_groups().values()) == {"early", "late", "head"} and model.cam_layer() is not None


@pytest.mark.parametrize(("backbone", "width"), [
    ("resnet50", 2048), ("inception_v3", 2048), ("efficientnet_b3", 1536), ("densenet121", 1024), ("densenet201", 1920),
])  # fmt: skip
def test_the_papers_backbones_have_their_widths(backbone, width):
    assert joint_ensemble._width(backbone, (128, 128)) == width


def test_joint_begins_where_members_and_head_were_and_trains_every_member():
    torch.manual_seed(0)
    parts = {"resnet": models.build(MEMBER), "mobile": models.build(SECOND), "head": models.build(fused())}
    parts["head"].prepare(columns_of(), torch.device("cpu"))
    config = joint_ensemble.joint_of(fused(), lr=1e-4)
    model = models.build(config)
    model.inherit(lambda name: parts[name].state_dict())
    batch = batch_of(4)
    pooled = torch.cat([parts[name].eval()(batch["image"])["features"] for name in ("mobile", "resnet")], 1)
    found = model.eval()(batch["image"], batch["meta"])
    for name, value in parts["head"].eval()(None, batch["meta"], features=pooled).items():
        assert torch.allclose(found[name], value, atol=1e-5), name
    batch = batch_of()
    loss_of(config, model.train()(batch["image"], batch["meta"]), batch).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert set(model.depth_groups().values()) == {"early", "late", "head"}


def test_what_each_variant_needs_first():
    config = fused()
    assert SYSTEM.parents(MEMBER) == {} and SYSTEM.parents(config) == {"resnet": MEMBER, "mobile": SECOND}
    assert SYSTEM.reads_features(config) and not SYSTEM.reads_images(config)
    joint = joint_ensemble.joint_of(config, lr=1e-4)
    assert SYSTEM.parents(joint) == {"resnet": MEMBER, "mobile": SECOND, "head": config}
    assert (joint.lr, joint.image_size, joint.variant) == (1e-4, (32, 32), "joint")
    assert SYSTEM.reads_images(joint) and not SYSTEM.reads_features(joint)
    assert RunConfig.from_json(joint.to_json()) == joint
    turned = fused(members=dict(reversed(MEMBERS.items())))
    for same in (turned, config, RunConfig.from_json(turned.to_json())):  # the order of members outlives a file
        assert list(SYSTEM.parents(same)) == ["mobile", "resnet"]
    alone = fused(members={}, attributes=False)  # metadata alone
    assert not SYSTEM.reads_features(alone) and not SYSTEM.reads_images(alone)
    assert models.build(alone).eval()(None, torch.randn(3, 20))["logits"].shape == (3, 7)


@pytest.mark.parametrize(("config", "message"), [
    (MEMBER.replace(variant="other"), "no variant 'other'"),
    (MEMBER.replace(options={"width": 3}), "variant member has no options"),
    (fused(wide=3), "variant fused has no option wide"), (fused(reduction="sum"), "no reduction 'sum'"),
    (FUSED.replace(variant="joint"), "the one option head"),
])  # fmt: skip
def test_configurations_that_make_no_sense(config, message):
    with pytest.raises(ValueError, match=message):
        models.build(config)


def test_joint_needs_members_of_one_size():
    other = SECOND.replace(image_size=(64, 64)).to_dict()
    with pytest.raises(ValueError, match="one image at one size"):
        joint_ensemble.joint_of(fused(members=MEMBERS | {"mobile": other}))
    with pytest.raises(WeightsUnavailable):
        models.build(MEMBER.replace(weights="/nowhere.safetensors"))
