import pytest
import torch

from skinlib import models
from skinlib.config import RunConfig
from skinlib.images.batches import to_model_input
from skinlib.models.backbones import depth_groups, last_maps
from skinlib.models.blocks import AttentionMap, Decoder, pyramid, skip_widths
from skinlib.papers.attention_autoencoder.model import FUSIONS, VARIANTS, Fusion
from skinlib.training import gradients, losses
from skinlib.training.fit import total_loss

ALONE = {"cross_entropy": 1.0}
ALL = ALONE | {"dice": 0.5, "mask_cross_entropy": 0.5, "reconstruction": 0.1}
SMALL = RunConfig(
    system="attention_autoencoder", variant="proposed", dataset="ham10000", label_space="bcc_scc_mel",
    backbone="resnet10t", weights="none", image_size=(64, 64), normalisation="none", options={"latent": 16}, losses=ALL,
)  # fmt: skip
DECODES = ("autoencoder", "proposed")


def configured(variant: str = "proposed", weights: dict | None = None, **options) -> RunConfig:
    if variant not in DECODES:
        return SMALL.replace(variant=variant, losses=weights or ALONE, options=options)
    return SMALL.replace(variant=variant, losses=weights or ALL, options=SMALL.options | options)


def network(variant: str = "proposed", weights: dict | None = None, **options) -> torch.nn.Module:
    return models.build(configured(variant, weights, **options))


def batch_of(n: int = 6, side: int = 64, *, x: int = 32) -> dict:
    """Discs of three sizes and colours, a class each, drawn around column x; the same for every test."""
    rows, columns = torch.meshgrid(torch.arange(side) - side / 2, torch.arange(side) - float(x), indexing="ij")
    label = torch.arange(n) % 3
    mask = ((rows**2 + columns**2).sqrt() < 6 + 5 * label.view(-1, 1, 1)).float()[:, None]
    noise = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))
    colour = torch.eye(3)[label].view(n, 3, 1, 1)
    has_mask = torch.ones(n, dtype=torch.bool)
    return {"image": 0.2 * noise + 0.8 * mask * colour, "mask": mask, "has_mask": has_mask, "label": label}


def awake(model: torch.nn.Module) -> torch.nn.Module:
    """A ResNet's blocks begin as identities, their last norm's weight 0; nothing inside would get a gradient yet."""
    for name, module in model.phi.named_modules():
        if name.endswith("bn2"):
            torch.nn.init.constant_(module.weight, 0.5)
    return model


def loss_of(model, config, batch) -> tuple[torch.Tensor, dict]:
    return total_loss(model(batch["image"]), batch, losses.terms(config, batch["label"].numpy(), 3), config.losses)


def count(module: torch.nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_at_sizes_that_need_not_fit_the_steps_of_the_backbone(variant):
    model = network(variant).eval()
    for height, width in ((64, 64), (70, 100)):
        found = {name: tuple(value.shape) for name, value in model(torch.rand(2, 3, height, width)).items()}
        steps = (-(-height // 32), -(-width // 32))
        wanted = {"logits": (2, 3), "features": (2, 512 + (16 if variant in DECODES else 0))}
        wanted |= {"attention": (2, 1, *steps)} if variant in ("attention", "proposed") else {}
        drawn = {"mask": (2, 1, height, width), "reconstruction": (2, 3, height, width)}
        assert found == wanted | (drawn if variant in DECODES else {})


def test_each_switch_adds_exactly_its_parts():
    with torch.device("meta"):
        full = SMALL.replace(backbone="resnet50", options={})
        made = {v: models.build(full.replace(variant=v, losses=ALL if v in DECODES else ALONE)) for v in VARIANTS}
    sizes = {variant: count(model) for variant, model in made.items()}
    assert sizes["baseline"] == 23_508_032 + 2048 * 3 + 3  # ResNet-50 without its own classifier, and ours
    assert sizes["attention"] - sizes["baseline"] == 2 * 49 + 2  # 7x7 over two maps, and batch norm
    # 1x1 to the latent with batch norm; levels of two 3x3 convolutions; the last 1x1; 256 more for each of 3 classes
    levels = [(256, 1024, 128), (128, 512, 64), (64, 256, 32), (32, 64, 16)]
    blocks = lambda skips: sum(9 * (i + skips * s) * o + 9 * o * o + 6 * o for i, s, o in levels)
    parts = 2048 * 256 + 2 * 256 + blocks(1) + 16 + 1 + blocks(0) + 3 * 16 + 3 + 3 * 256
    assert sizes["autoencoder"] - sizes["baseline"] == parts
    assert sizes["proposed"] - sizes["autoencoder"] == sizes["attention"] - sizes["baseline"]


def test_a_decoder_is_there_if_a_loss_asks_for_what_it_draws():
    whole = network()
    for weights, mask, image in (
        (ALONE, False, False), (ALONE | {"dice": 1.0}, True, False),
        (ALONE | {"mask_cross_entropy": 0.0}, True, False),  # weight 0: recorded, not trained
        (ALONE | {"reconstruction": 0.1}, False, True),
    ):  # fmt: skip
        model = network(weights=weights)
        out = model.eval()(batch_of()["image"])
        assert ("mask" in out, "reconstruction" in out) == (mask, image)
        assert count(model) == count(whole) - (not mask) * count(whole.to_mask) - (not image) * count(whole.to_image)
        assert out["features"].shape[1] == 512 + 16  # the latent is fused whatever is drawn from it


def test_the_published_variants_begin_with_one_backbone():
    states = [network(variant).state_dict() for variant in VARIANTS]
    names = [name for name in states[0] if name.startswith("phi.")]
    assert all(torch.equal(states[0][name], state[name]) for name in names for state in states)


def test_the_attention_map_by_hand_and_between_0_and_1():
    block, x = AttentionMap().eval(), torch.randn(2, 5, 9, 9)
    kernel = torch.zeros(1, 2, 7, 7)
    kernel[0, 0, 3, 3], kernel[0, 1, 3, 3] = 2.0, -1.0  # twice the largest channel less their mean, pixel by pixel
    block.conv.weight.data = kernel
    wanted = (2 * x.amax(1, keepdim=True) - x.mean(1, keepdim=True)) / (1 + block.norm.eps) ** 0.5
    torch.testing.assert_close(block(x), wanted.sigmoid())
    for scale in (1.0, 1e6):
        for precision in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision):
                found = block(scale * x)
            assert found.dtype == torch.float32 and found.min() > 0 and found.max() < 1


def test_the_attention_map_moves_when_the_lesion_moves():
    model = network("attention").eval()
    with torch.no_grad():
        skin = torch.full((1, 3, 128, 256), 0.5)
        maps = {}
        for x in (64, 192):  # a dark disc, 128 pixels to the right: four pixels of the map
            image = skin.clone()
            rows, columns = torch.meshgrid(torch.arange(128) - 64, torch.arange(256) - x, indexing="ij")
            image[:, :, (rows**2 + columns**2) < 30**2] = 0.1
            maps[x] = (model(image)["attention"] - model(skin)["attention"]).abs()[0, 0]
    centres = {x: float((m.sum(0) * torch.arange(8)).sum() / m.sum()) for x, m in maps.items()}
    assert centres[64] < 3.5 < centres[192] and centres[192] - centres[64] > 1


@pytest.mark.parametrize("variant", ["attention", "proposed"])
def test_attention_weighs_what_is_pooled_and_what_becomes_latent(variant):
    model, image = network(variant).eval(), batch_of()["image"]
    out = model(image)
    maps = pyramid(model.phi, image)[0] * out["attention"]
    torch.testing.assert_close(out["features"][:, :512], maps.mean((2, 3)))
    if variant == "proposed":
        torch.testing.assert_close(out["features"][:, 512:], model.bottleneck(maps).mean((2, 3)))
    torch.testing.assert_close(out["logits"], model.head(out["features"]))


def test_the_fusions_by_hand():
    f, z = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0]])
    made = {kind: Fusion(kind, 2, 1) for kind in FUSIONS}
    assert {kind: fusion.width for kind, fusion in made.items()} == {"concatenate": 3, "gate": 2, "add": 2}
    for kind in ("gate", "add"):
        made[kind].linear.weight.data = torch.tensor([[1.0], [0.0]])
        made[kind].linear.bias.data = torch.tensor([0, 1.0])
    gate = torch.tensor([[3.0, 1.0]])
    assert made["concatenate"](f, z).tolist() == [[1.0, -2.0, 3.0]]
    torch.testing.assert_close(made["gate"](f, z), f * gate.sigmoid())
    torch.testing.assert_close(made["add"](f, z), f + gate)


def test_the_reconstruction_sees_the_image_through_the_bottleneck_alone():
    model, image = network().eval(), batch_of()["image"]
    last, skips = pyramid(model.phi, image)
    latent = model.bottleneck(last * model.attend(last))
    noise, drawn = [torch.randn_like(skip) for skip in skips], model.to_image(latent, skips, (64, 64))
    assert torch.equal(drawn, model.to_image(latent, noise, (64, 64)))
    torch.testing.assert_close(drawn.sigmoid(), model(image)["reconstruction"])
    assert not torch.equal(model.to_mask(latent, skips, (64, 64)), model.to_mask(latent, noise, (64, 64)))
    assert not torch.equal(drawn, model.to_image(0 * latent, skips, (64, 64)))


def test_gradients_reach_every_parameter_that_can_learn_and_only_from_its_own_losses():
    for variant, fusion in ((v, f) for v in VARIANTS for f in (FUSIONS if v == "proposed" else FUSIONS[:1])):
        config = configured(variant, **({"fusion": fusion} if variant in DECODES else {}))
        model = awake(models.build(config)).train()
        loss_of(model, config, batch_of())[0].backward()
        # Before batch norm a bias is subtracted again: it has no gradient but rounding.
        learns = [(n, p) for n, p in model.named_parameters() if not (".conv" in n and n.endswith(".bias"))]
        assert [n for n, p in learns if p.grad is None or not p.grad.abs().max() > 0] == []
    model = network(weights=ALL | {"reconstruction": 0.0})
    loss_of(model.train(), configured(weights=ALL | {"reconstruction": 0.0}), batch_of())[0].backward()
    assert all(p.grad is None for p in model.to_image.parameters())


def test_each_loss_term_falls_when_a_batch_is_learnt_by_heart():
    config, batch = configured(), batch_of()
    model, seen = models.build(config).train(), []
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        loss, parts = loss_of(model, config, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append({name: total / n for name, (total, n) in parts.items()})
    assert set(seen[0]) == set(ALL)
    assert all(seen[-1][name] < 0.85 * seen[0][name] for name in ALL), (seen[0], seen[-1])


def test_images_without_a_mask_are_left_out_of_the_mean_not_counted_as_zero():
    config, batch = configured(), batch_of()
    model, some = models.build(config).eval(), torch.tensor([True, False, True, False, False, False])
    parts = loss_of(model, config, batch | {"has_mask": some})[1]
    masked = {name: value[some] for name, value in batch.items()}
    alone = loss_of(model, config, masked)[1]
    for name in ("dice", "mask_cross_entropy"):
        assert parts[name][1] == 2 and parts[name] == pytest.approx(alone[name], rel=1e-4)
    assert parts["reconstruction"][1] == parts["cross_entropy"][1] == 6  # these need no mask
    total, none = loss_of(model, config, batch | {"has_mask": torch.zeros(6, dtype=torch.bool)})
    assert none["dice"] == (0, 0)
    wanted = none["cross_entropy"][0] / 6 + 0.1 * none["reconstruction"][0] / 6
    assert float(total.detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("normalisation", ["none", "imagenet", "minmax"])
def test_the_reconstruction_is_compared_with_pixels(normalisation):
    pixels = torch.rand(2, 3, 8, 8)
    batch = {"image": to_model_input(pixels, normalisation)}
    target = batch["image"] if normalisation == "minmax" else pixels
    term = losses.terms(configured().replace(normalisation=normalisation), [0, 1, 2], 3)["reconstruction"]
    total, n = term({"reconstruction": target + torch.tensor([0.5, 0.1]).view(2, 1, 1, 1)}, batch)
    assert float(total.detach()) == pytest.approx(0.25 + 0.01, rel=1e-4) and float(n) == 2


def test_the_gradients_of_the_tasks_meet_in_the_backbone():
    config = configured()
    model = awake(models.build(config))
    assert gradients.has_shared(model, config) and not gradients.has_shared(network("baseline"), configured("baseline"))
    shared, batch = model.shared(), batch_of()
    assert sum(p.numel() for p in shared) == count(model.phi)
    output = model.eval()(batch["image"])
    for term in losses.terms(config, batch["label"].numpy(), 3).values():
        found = torch.autograd.grad(term(output, batch)[0], shared, retain_graph=True, allow_unused=True)
        assert sum(g is not None and bool(g.abs().max() > 0) for g in found) == len(shared)


def test_layers_of_the_heat_maps_and_of_the_learning_rates():
    model = network()
    assert model.cam_layer() is last_maps(model.phi)
    groups = model.depth_groups()
    assert set(groups) == {name for name, _ in model.named_parameters()}
    assert {name.removeprefix("phi.") for name, g in groups.items() if g != "head"} == set(depth_groups(model.phi))
    assert groups["head.weight"] == groups["bottleneck.0.weight"] == groups["attend.conv.weight"] == "head"


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "densenet121", "inception_v3", "convnext_atto"])
def test_other_backbones_give_what_they_give_alone(backbone):
    model = models.build(SMALL.replace(backbone=backbone, image_size=(96, 96))).eval()
    image = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        last, skips = pyramid(model.phi, image)
        assert torch.equal(last, model.phi(image)) and [skip.shape[1] for skip in skips] == skip_widths(model.phi)
        sizes = [skip.shape[-1] for skip in (*skips, last)]
        assert sizes == sorted(set(sizes), reverse=True) and model(image)["mask"].shape == (1, 1, 96, 96)


def test_half_precision_keeps_shapes_and_finite_numbers():
    with torch.autocast("cpu", torch.bfloat16):
        out = network().train()(batch_of()["image"])
    assert all(torch.isfinite(value.float()).all() for value in out.values())
    assert out["mask"].dtype == out["reconstruction"].dtype == torch.float32
    assert out["reconstruction"].min() >= 0 and out["reconstruction"].max() <= 1


def test_levels_of_a_decoder_halve_down_to_sixteen_channels():
    assert [block.conv2.out_channels for block in Decoder(128, [3, 4, 5, 6, 7], 1).levels] == [64, 32, 16, 16, 16]


def test_unknown_choices_are_refused():
    for config, words in (
        (SMALL.replace(variant="seg"), "no variant 'seg'; there are baseline, attention, autoencoder, proposed"),
        (configured("attention", fusion="add"), "variant attention has no option fusion; it has share"),
        (configured(fusion="multiply"), "no fusion 'multiply'; there are concatenate, gate, add"),
        (configured("baseline", ALL), "variant baseline has no decoder for the loss dice, mask_cross_entropy, rec"),
        (SMALL.replace(backbone="vit_tiny_patch16_224"), "VisionTransformer has no skip features"),
    ):
        with pytest.raises(ValueError, match=words):
            models.build(config)
