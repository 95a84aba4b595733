import inspect
import json

import numpy as np
import pandas as pd
import pytest
import torch

from skinlib import models
from skinlib.config import RunConfig
from skinlib.models.backbones import WeightsUnavailable, last_maps
from skinlib.models.blocks import UpBlock
from skinlib.papers.joint_reverse_mtl.model import VARIANTS, MultiTask, visits
from skinlib.paths import project_root
from skinlib.training import losses
from skinlib.training.fit import total_loss

WIDTHS = [4, 4, 8, 8, 12, 10]
SMALL = RunConfig(
    system="joint_reverse_mtl", variant="mtl3", dataset="isic2016", label_space="malignancy",
    backbone="mobilenetv3_small_050", weights="none", image_size=(32, 32), options={"widths": WIDTHS},
    losses={"dice": 0.5, "cross_entropy": 0.5},
)  # fmt: skip
REVERSE, GATES = ("mtl2", "mtl3", "mtl4"), ("relu", "shuffled", "detached", "forward", "ones")


def network(variant: str = "mtl3", gate: str | None = None, **changes) -> torch.nn.Module:
    options = {} if variant == "cls" else dict(SMALL.options)
    options |= {"gate": gate} if gate else {}
    return models.build(SMALL.replace(variant=variant, options=options, **changes))


def batch_of(n: int = 4, height: int = 32, width: int = 32) -> dict:
    """Bright discs of two sizes, the larger ones malignant; drawn once, the same for every test."""
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    label = torch.arange(n) % 2
    mask = ((y**2 + x**2).sqrt() < 6 + 6 * label.view(-1, 1, 1)).float()[:, None]
    noise = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    image = 0.3 * noise + 0.7 * mask * torch.rand(n, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    return {"image": image, "mask": mask, "has_mask": torch.ones(n, dtype=torch.bool), "label": label}


def gradients(model: torch.nn.Module, weights: dict[str, float]) -> dict[str, torch.Tensor]:
    """Return name -> gradient of the weighted loss of a batch, in training mode; zeros where none arrives."""
    batch = batch_of()
    terms = losses.terms(SMALL.replace(losses=weights), batch["label"].numpy(), 2)
    model.zero_grad()
    total_loss(model.train()(batch["image"]), batch, terms, weights)[0].backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_at_any_size_that_fits(variant):
    model = network(variant).eval()
    for height, width in ((32, 32), (64, 96)):
        shapes = {name: tuple(value.shape) for name, value in model(torch.zeros(2, 3, height, width)).items()}
        mask = {"mask": (2, 2, height, width)} if variant != "cls" else {}
        logits = {"logits": (2, 2)} if variant != "seg" else {}
        twice = {"first_mask": (2, 2, height, width), "gates": (2, 16)} if variant in REVERSE else {}
        assert shapes.pop("features", (2,))[0] == 2
        assert shapes == mask | logits | twice


@pytest.mark.parametrize("variant", REVERSE)
def test_a_gate_of_ones_makes_the_second_pass_the_first(variant):
    image = batch_of()["image"]
    ones = network(variant, "ones").eval()(image)
    assert torch.equal(ones["mask"], ones["first_mask"])
    gated = network(variant).eval()(image)
    assert torch.equal(gated["first_mask"], ones["first_mask"])
    assert not torch.allclose(gated["mask"], gated["first_mask"], atol=1e-4)


@pytest.mark.parametrize("variant", REVERSE)
def test_the_passes_keep_separate_statistics_over_shared_weights(variant):
    model, image = network(variant), batch_of()["image"]
    model.train()(image)
    model.eval().gate = "ones"
    out = model(image)
    assert not torch.allclose(out["mask"], out["first_mask"], atol=1e-4)
    norms = [m for level in model.decoder[-2:] for m in level.modules() if hasattr(m, "running_mean")]
    assert [tuple(m.running_mean.shape) for m in norms] == [(2, 4)] * 4
    for norm in norms:
        norm.running_mean[1], norm.running_var[1] = norm.running_mean[0].clone(), norm.running_var[0].clone()
    out = model(image)
    assert torch.equal(out["mask"], out["first_mask"])


@pytest.mark.parametrize(("variant", "gate"), [*((v, None) for v in VARIANTS[2:]), *(("mtl2", g) for g in GATES)])
def test_the_masks_loss_reaches_the_fully_connected_weights_through_the_gate_alone(variant, gate):
    found = gradients(network(variant, gate), {"dice": 1.0})
    reached = variant in REVERSE and gate in (None, "relu", "shuffled")
    for name in ("fc.0.weight", "fc.1.weight"):
        assert (found[name].abs().sum().item() > 0) == reached


def test_the_diagnosis_reaches_the_decoder_from_mtl1_on():
    for variant in ("mtl0", "mtl1", "mtl2"):
        found = gradients(network(variant), {"cross_entropy": 1.0})
        assert (found["decoder.4.block.conv2.weight"].abs().sum() > 0) == (variant != "mtl0")
        assert (found["to_mask.weight"].abs().sum() > 0) == (variant != "mtl0")


def test_shuffled_gates_are_the_neighbours_and_change_the_output():
    model, image = network().eval(), batch_of()["image"]
    own = model(image)
    model.gate = "shuffled"
    other = model(image)
    assert torch.equal(other["gates"], own["gates"].roll(1, 0)) and torch.equal(other["logits"], own["logits"])
    assert (other["mask"] != own["mask"]).flatten(1).any(1).all()
    alike = image[:1].expand(3, -1, -1, -1)
    model.gate = "sigmoid"
    wanted = model(alike)["mask"]
    model.gate = "shuffled"
    torch.testing.assert_close(model(alike)["mask"], wanted)  # another's gate that is one's own
    with pytest.raises(ValueError, match="give at least two images"):
        model(image[:1])


def test_the_gates_of_equation_2_by_hand():
    model, image = network("mtl2").eval(), batch_of()["image"]
    out = model(image)
    first = model.fc[0](out["features"]).relu()
    second = model.fc[1](first).relu()
    gates = [model.gates[0](first).sigmoid(), model.gates[1](second).sigmoid()]
    torch.testing.assert_close(out["gates"], torch.cat(gates, 1))
    torch.testing.assert_close(out["logits"], model.fc[2](second))
    maps = model.encode(image)
    x = model.coarse(maps)
    for level, skip, gate in zip(model.decoder[-2:], (maps[1], maps[0]), gates, strict=True):
        x = level.block(torch.cat([level.up(x), skip], 1) * gate[..., None, None])  # X_L = ReLU(W * [X . FC] + b)
    torch.testing.assert_close(out["mask"], model.to_mask(x))


def test_the_literal_gate_is_unbounded_and_never_negative():
    model, image = network("mtl2", "relu").eval(), batch_of()["image"]
    model.gates[0].bias.data.fill_(3.0)
    gates = model(image)["gates"]
    assert gates.max() > 1 and gates.min() >= 0
    model.gate = "sigmoid"
    gates = model(image)["gates"]
    assert gates.max() < 1 and gates.min() > 0


def test_the_control_has_the_same_parameters_and_nothing_runs_back():
    control, proposed = network("mtl2", "forward"), network("mtl2")
    assert {n: p.shape for n, p in control.named_parameters()} == {n: p.shape for n, p in proposed.named_parameters()}
    out, gated = (model.eval()(batch_of()["image"]) for model in (control, proposed))
    assert set(out) == {"logits", "features", "mask"} and torch.equal(out["mask"], gated["first_mask"])
    assert not torch.equal(out["logits"], gated["logits"])


def test_variants_of_one_seed_begin_with_one_unet_and_cbam_stays_in_the_classifiers_branch():
    states = {variant: network(variant).state_dict() for variant in ("seg", "mtl1", "mtl3")}
    learnt = [name for name, _ in network("seg").named_parameters()]
    assert all(torch.equal(states["seg"][name], states[variant][name]) for name in learnt for variant in states)
    image = batch_of()["image"]
    masks = [network(v).eval()(image) for v in ("seg", "mtl2", "mtl3")]
    assert torch.equal(masks[0]["mask"], masks[1]["first_mask"])
    assert torch.equal(masks[1]["first_mask"], masks[2]["first_mask"])
    assert masks[1]["features"].shape == masks[2]["features"].shape
    assert not torch.equal(masks[1]["features"][:, :22], masks[2]["features"][:, :22])
    assert torch.equal(masks[1]["features"][:, 22:], masks[2]["features"][:, 22:])


@pytest.mark.parametrize("variant", ["seg", "mtl0", "mtl1", "mtl3", "mtl2"])
def test_gradients_reach_every_parameter_that_can_learn(variant):
    weights = {"dice": 1.0} if variant == "seg" else {"dice": 0.5, "cross_entropy": 0.5}
    found = gradients(network(variant, "forward" if variant == "mtl2" else None), weights)
    cancelled = {name for name in found if ".conv" in name and name.endswith(".bias")}  # batch norm subtracts them
    assert all(found[name].abs().max() < 1e-5 for name in cancelled)
    assert [name for name, g in found.items() if name not in cancelled and g.abs().max() < 1e-9] == []


@pytest.mark.parametrize(("variant", "also"), [("seg", ()), ("mtl3", ("cross_entropy", "first_dice"))])
def test_each_loss_term_falls_when_a_batch_is_learnt_by_heart(variant, also):
    weights = {"dice": 1.0 if not also else 0.5} | dict.fromkeys(also, 0.5)
    model, batch = network(variant).train(), batch_of()
    terms = losses.terms(SMALL.replace(losses=weights), batch["label"].numpy(), 2)
    optimiser, seen = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(12):
        loss, parts = total_loss(model(batch["image"]), batch, terms, weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append({name: total / count for name, (total, count) in parts.items()})
    assert all(seen[-1][name] < 0.9 * seen[0][name] for name in weights), seen[:: len(seen) - 1]


def test_first_dice_is_dice_of_the_first_map():
    batch, out = batch_of(), network().eval()(batch_of()["image"])
    terms = losses.terms(SMALL.replace(losses={"dice": 1.0, "first_dice": 1.0}), batch["label"].numpy(), 2)
    torch.testing.assert_close(terms["first_dice"](out, batch), terms["dice"]({"mask": out["first_mask"]}, batch))
    assert not torch.equal(terms["first_dice"](out, batch)[0], terms["dice"](out, batch)[0])


def test_half_precision_keeps_shapes_and_finite_numbers():
    with torch.autocast("cpu", torch.bfloat16):
        out = network().train()(batch_of()["image"])
    assert all(torch.isfinite(value.float()).all() for value in out.values())


def test_the_layer_of_the_heat_maps():
    unet, classifier = network("mtl3"), network("cls")
    assert unet.cam_layer() is unet.encoder[-1] and classifier.cam_layer() is last_maps(classifier.backbone)


def test_unknown_choices_and_sides_that_do_not_fit_are_refused():
    for changes, words in (
        ({"variant": "mtl5"}, "no variant 'mtl5'; there are cls, seg, mtl0"),
        ({"options": {"width": [8]}}, "variant mtl3 has no option width; it has views, widths, gate"),
        ({"options": {"gate": "tanh"}}, "no gate 'tanh'; there are sigmoid, relu"),
        ({"variant": "mtl1", "options": {"gate": "ones"}}, "variant mtl1 has no option gate"),
        ({"variant": "cls"}, "variant cls has no option widths"),
        ({"options": {"widths": [4, 8]}}, "at least three levels"),
    ):
        with pytest.raises(ValueError, match=words):
            models.build(SMALL.replace(**changes))
    with pytest.raises(WeightsUnavailable, match="variant seg has no published weights"):
        network("seg", weights="imagenet")
    with pytest.raises(ValueError, match=r"sides divisible by 32, got \(48, 64\)"):
        network("seg")(torch.zeros(1, 3, 48, 64))


def test_the_visits_of_the_official_training_part_with_the_404_melanomas():
    kinds = ["benign"] * 727 + ["malignant"] * (173 + 404)
    part = pd.DataFrame({"diagnosis": kinds, "added": [False] * 900 + [True] * 404})
    config = SMALL.replace(options={"views": {"benign": "right_angles", "malignant": "octagon", "added": "identity"}})
    found = visits(part, config)
    assert len(found["row"]) == 727 * 4 + 173 * 16 + 404 == 6080
    assert np.bincount(found["row"])[[0, 726, 727, 899, 900, 1303]].tolist() == [4, 4, 16, 16, 1, 1]
    assert found["angle"].shape == (6080,) and found["flip"].shape == (6080, 2)
    assert len(visits(part.drop(columns="added").iloc[:900], config)["row"]) == 5676 and visits(part, SMALL) is None


def test_the_notebook_quotes_the_lines_that_gate():
    notebook = json.loads((project_root() / "notebooks" / "22_joint_reverse_mtl.ipynb").read_text())
    text = "".join(line for cell in notebook["cells"] for line in cell["source"] if cell["cell_type"] == "markdown")
    quoted = [line.split("  #")[0] for line in text.split("```python")[1].split("```")[0].strip().split("\n")]
    assert len(quoted) == 2
    assert quoted[0] in inspect.getsource(MultiTask._diagnose) and quoted[1] in inspect.getsource(UpBlock.forward)
