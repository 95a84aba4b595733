import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from skinlib import models
from skinlib.config import RunConfig
from skinlib.data import clinical
from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.explain.run_maps import OfImage
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.models import superres
from skinlib.papers.metadata_sr.model import VARIANTS
from skinlib.training import gradients, losses
from skinlib.training.fit import Place, total_loss

SMALL = RunConfig(
    system="metadata_sr", variant="proposed", dataset="pad_ufes_20", label_space="diagnosis", backbone="test_resnet",
    weights="none", image_size=(32, 32), losses={"cross_entropy": 0.5}, class_weights=True,
)  # fmt: skip
FUSED = [variant for variant in VARIANTS if variant not in ("image", "metadata")]
FIVE = ("vgg13", "resnet50", "efficientnet_b4", "mobilenetv2_100", "densenet121")


def settings(variant: str = "proposed", target: str | None = None, **changes) -> RunConfig:
    options = dict(changes.pop("options", {})) | ({"target": target} if target else {})
    weights = SMALL.losses | ({"superres": 1.0} if target else {})
    return SMALL.replace(**({"variant": variant, "options": options, "losses": weights} | changes))


def batch_of(n: int = 12, side: int = 32, columns: int = 80) -> dict:
    """Images whose brightness says the class modulo 2, and answers that say it modulo 3."""
    draw, label = torch.Generator().manual_seed(0), torch.arange(n) % 6
    image = torch.rand(n, 3, side, side, generator=draw) * 0.3 + 0.6 * (label % 2).view(-1, 1, 1, 1)
    meta = torch.zeros(n, columns)
    meta[torch.arange(n), label % 3] = 1
    meta[::4, 5] = float("nan")
    return {"image": image, "meta": meta, "label": label}


def network(*args, **changes) -> torch.nn.Module:
    return models.build(settings(*args, **changes))


def terms_of(config: RunConfig, batch: dict) -> dict:
    return losses.terms(config, batch["label"].numpy(), 6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("encoding", ["cleaned", "literature"])
def test_every_variant_gives_logits_of_six_classes(variant, encoding):
    batch = batch_of(columns=len(clinical.columns(encoding)))
    out = network(variant, options={"encoding": encoding}).eval()(batch["image"], batch["meta"])
    assert set(out) == {"logits", "features"} and out["logits"].shape == (12, 6) and len(out["features"]) == 12
    assert not out["logits"].isnan().any()  # the blanks are filled in, whatever the fit


@pytest.mark.parametrize("backbone", FIVE)
def test_the_five_backbones_have_maps_of_a_thirty_second_and_features_of_512(backbone):
    with torch.device("meta"):
        model = network(target="bilinear", backbone=backbone, image_size=(224, 224)).eval()
        out = model(torch.zeros(2, 3, 224, 224), torch.zeros(2, 80))
        maps = model.backbone(torch.zeros(2, 3, 224, 224))
    assert out["features"].shape == (2, 512) and out["superres"].shape == (2, 3, 448, 448) and maps.shape[2:] == (7, 7)


@pytest.mark.parametrize("backbone", FIVE)
@pytest.mark.parametrize("variant", FUSED)
def test_every_fusion_fits_every_backbone(backbone, variant):
    with torch.device("meta"):
        model = network(variant, backbone=backbone).eval()
        assert model(torch.zeros(2, 3, 64, 64), torch.zeros(2, 80))["logits"].shape == (2, 6)


def test_vgg_comes_without_its_fully_connected_layers_and_with_its_whole_map():
    with torch.device("meta"):
        model = network("image", backbone="vgg13")
        assert sum(p.numel() for p in model.backbone.parameters()) == 9_404_992  # its ten convolutions
        assert model.eval()(torch.zeros(1, 3, 224, 224))["features"].shape == (1, 25088)


def test_equation_2_by_hand():
    model, batch = network().eval(), batch_of()
    maps, table = model.backbone(batch["image"]), model.imputer(batch["meta"])
    image = F.conv2d(maps, model.adapt.weight, model.adapt.bias).flatten(2).mean(2)
    x = table
    for layer in model.meta:
        x = layer(x)
    out = model(batch["image"], batch["meta"])
    torch.testing.assert_close(out["features"], image * x)
    torch.testing.assert_close(out["logits"], model.head[2](model.head[0](image * x).relu()))
    assert [m.out_features for m in model.meta if isinstance(m, torch.nn.Linear)] == [64, 128, 256, 512]


def test_the_literal_adaptive_convolution_covers_the_map():
    kernel = network(options={"adaptive": "kernel"}, image_size=(96, 64)).adapt.weight.shape
    assert kernel[2:] == (3, 2)
    assert network(target="native", options={"adaptive": "kernel"}, image_size=(192, 128)).adapt.weight.shape == kernel
    batch = batch_of(2, 64)
    out = network(options={"adaptive": "kernel"}, image_size=(64, 64)).eval()(batch["image"], batch["meta"])
    assert out["features"].shape == (2, 512)


@pytest.mark.parametrize("target", ["bilinear", "bicubic", "self", "ninasr_here"])
def test_the_auxiliary_task_and_what_it_leaves_as_it_is(target):
    """Weight 0 trains the very network that has no decoder: the ablation's beta = 0 is the run without the task."""
    batch = batch_of(6)
    alone, both = network(), network(target=target)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, both.state_dict()[name]), name
    out = both.train()(batch["image"], batch["meta"])
    assert torch.equal(out["logits"], alone.train()(batch["image"], batch["meta"])["logits"])
    side = 32 if target == "self" else 64
    assert out["superres"].shape == (6, 3, side, side) and ("enlarged" in out) == (target == "ninasr_here")


def test_prediction_needs_no_decoder():
    model, batch = network(target="bilinear").eval(), batch_of(4)
    with torch.no_grad():
        with_it = model(batch["image"], batch["meta"])
    with torch.inference_mode():
        without = model(batch["image"], batch["meta"])
    assert set(with_it) - set(without) == {"superres"} and torch.equal(with_it["logits"], without["logits"])


def test_the_native_target_is_the_image_of_which_the_input_is_the_reduction():
    model, batch = network(target="native").eval(), batch_of(4, 64)
    out = model(batch["image"], batch["meta"])
    assert out["superres"].shape == (4, 3, 64, 64)
    plain = network(target="bilinear").eval()
    torch.testing.assert_close(plain(superres.reduce(batch["image"]), batch["meta"])["logits"], out["logits"])


@pytest.mark.parametrize("named", [*VARIANTS, *(f"{variant} bilinear" for variant in ("image", "concat", "proposed"))])
def test_gradients_reach_every_parameter_and_each_term_falls(named):
    config, batch = settings(*named.split()), batch_of()
    model, terms = models.build(config).train(), terms_of(config, batch)
    image = None if named == "metadata" else batch["image"]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    seen, reached = [], set()
    for _ in range(30):
        loss, parts = total_loss(model(image, batch["meta"]), batch, terms, config.losses)
        optimiser.zero_grad()
        loss.backward()
        # residual branches wake with the second step: timm begins them at zero
        reached |= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
        optimiser.step()
        seen.append({name: total / count for name, (total, count) in parts.items()})
    assert reached == {name for name, _ in model.named_parameters()}
    assert all(seen[-1][name] < 0.8 * seen[0][name] for name in terms)


def test_super_resolution_trains_the_backbone_and_neither_answers_nor_teacher():
    config, batch = settings(target="ninasr_here"), batch_of(6)
    model = models.build(config).train()
    output, weights = model(batch["image"], batch["meta"]), {"cross_entropy": 0, "superres": 1}
    total_loss(output, batch, terms_of(config, batch), weights)[0].backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert reached == {"backbone", "decoder"} and all(parameter.grad is not None for parameter in model.shared())


def test_the_printed_loss_by_hand():
    config = settings(losses={"eq3": 1.0})
    label, weight = torch.tensor([0, 1, 1, 2, 3, 4, 5]), [7 / 6, 7 / 12, 7 / 6, 7 / 6, 7 / 6, 7 / 6]
    logits = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    total, count = losses.terms(config, label.numpy(), 6)["eq3"]({"logits": logits}, {"label": label})
    p, wanted = logits.double().softmax(1).numpy(), 0.0
    for row, truth in enumerate(label.tolist()):
        for i in range(6):
            wanted -= weight[i] * np.log(p[row, i]) if i == truth else np.log(1 - p[row, i])
    assert (float(total), float(count)) == (pytest.approx(wanted, rel=1e-5), 7)
    sure = torch.full((1, 6), -50.0)
    sure[0, 2] = 50
    output, truth = {"logits": sure.requires_grad_()}, {"label": torch.tensor([0])}
    losses.terms(config, label.numpy(), 6)["eq3"](output, truth)[0].backward()
    assert torch.isfinite(sure.grad).all()


def cached(n: int = 24, side: int = 32) -> Batches:
    batch = batch_of(n, side)
    pixels = (255 * batch["image"]).byte().permute(0, 2, 3, 1).numpy()
    columns = {"label": batch["label"].numpy(), "meta": batch["meta"].numpy()}
    columns["meta"][:, 6:] = np.arange(n)[:, None] % 3
    return Batches(Cache(pixels, None, np.zeros(n, bool)), np.arange(n), columns, batch_size=8)


def test_preparing_fits_the_imputation_and_trains_the_teacher():
    model = network(target="ninasr_here", options={"teacher_steps": 4, "imputation": "frequent"})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.prepare(cached(), torch.device("cpu"))
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"imputer", "teacher"}


def test_what_both_tasks_ask_of_the_backbone_is_recorded():
    config, batches = settings(target="bilinear"), cached()
    model = models.build(config)
    assert gradients.has_shared(model, config) and not gradients.has_shared(network(), settings())
    terms = terms_of(config, {"label": torch.from_numpy(batches.columns["label"])})
    rows = gradients.compare(model, batches, terms, config, Place(torch.device("cpu"), "fp32"))
    assert [row["term"] for row in rows] == ["cross_entropy", "superres"]
    assert all(row["norm"] > 0 and -1 <= row["cosine"] <= 1 for row in rows)


def test_heat_maps_of_the_fused_model_as_a_function_of_the_image():
    model, batch = network(target="bilinear").eval(), batch_of(3)
    maps = gradcam_plusplus(OfImage(model, batch["meta"]), batch["image"], torch.tensor([0, 1, 2]), model.cam_layer())
    assert maps.shape == (3, 32, 32) and (maps >= 0).all()


def test_with_resnet50_the_decoder_does_not_double_the_work():
    def work(target: str | None) -> int:
        with torch.device("meta"):
            model = network(target=target, backbone="resnet50", image_size=(224, 224))
            with FlopCounterMode(display=False) as counter:
                model(torch.zeros(2, 3, 224, 224), torch.zeros(2, 80))["logits"]
        return counter.get_total_flops()

    assert 1.05 < work("bilinear") / work(None) < 1.5


@pytest.mark.parametrize(("changes", "message"), [
    ({"variant": "both"}, "no variant 'both'; there are image, metadata"),
    ({"options": {"traget": "self"}}, "metadata_sr has no option traget; it has encoding"),
    ({"options": {"target": "trilinear"}}, "option target is 'trilinear'; choose one of None, bilinear"),
    ({"options": {"adaptive": "yes"}}, "option adaptive is 'yes'; choose one of pool, kernel"),
    ({"options": {"encoding": "old"}}, "no encoding 'old'"),
    ({"options": {"imputation": "mean"}}, "no imputation 'mean'"),
    ({"options": {"target": "bilinear"}}, "the loss superres and the option target go together"),
    ({"losses": {"superres": 1.0}}, "the loss superres and the option target go together"),
    ({"variant": "metadata", "options": {"target": "self"}}, "variant metadata sees no image"),
    ({"options": {"rows": "all"}}, "variant proposed reads images: rows without one cannot be used"),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        models.build(SMALL.replace(**changes))


def test_what_a_variant_needs_is_said():
    batch = batch_of(2)
    with pytest.raises(ValueError, match="variant proposed needs metadata"):
        network()(batch["image"])
    with pytest.raises(ValueError, match="variant concat needs images"):
        network("concat")(None, batch["meta"])
    with pytest.raises(ValueError, match=r"needs sides divisible by 32, got \(48, 48\)"):
        network(target="bilinear")(torch.zeros(2, 3, 48, 48), torch.zeros(2, 80))
