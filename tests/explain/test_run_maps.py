import numpy as np
import pytest
import torch
from torch import nn

from skinlib import models
from skinlib.config import RunConfig
from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.explain.run_maps import OfImage, attention_maps, class_maps
from skinlib.images.batches import Batches
from skinlib.images.cache import Cache
from skinlib.models import backbones
from skinlib.papers.joint_ensemble.model import joint_of

CONFIG = RunConfig(
    system="attention_autoencoder", label_space="bcc_scc_mel", backbone="test_resnet", weights="none",
    options={"latent": 16}, losses={"cross_entropy": 1, "dice": 1},
)  # fmt: skip


@pytest.fixture(scope="module")
def batches():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    return Batches(Cache(pixels, None, np.zeros(5, bool)), np.arange(5), {}, batch_size=2, normalisation="none")


@pytest.fixture(scope="module")
def images(batches):
    return torch.cat([batch["image"] for batch in batches.epoch(0, torch.device("cpu"))])


def test_attention_maps_are_the_networks_own_at_the_size_of_the_image_or_it_says_that_it_has_none(batches, images):
    model = models.build(CONFIG)
    found = np.stack(list(attention_maps(model, batches)))
    assert found.shape == (5, 48, 64) and found.dtype == np.float32 and found.min() > 0 and found.max() < 1
    wanted = model.eval()(images)["attention"]
    assert wanted.shape == (5, 1, 2, 2)
    np.testing.assert_allclose(found[:, 0, 0], wanted[:, 0, 0, 0].detach(), atol=1e-6)  # corners are not blended
    np.testing.assert_allclose(found[:, -1, -1], wanted[:, 0, 1, 1].detach(), atol=1e-6)
    with pytest.raises(ValueError, match="gives no attention map here; take a variant that attends"):
        next(attention_maps(models.build(CONFIG.replace(variant="autoencoder")), batches))


@pytest.mark.parametrize("variant", ["baseline", "attention", "proposed"])
def test_class_maps_explain_the_called_class_or_the_one_asked_for(batches, images, variant):
    decodes = {} if variant == "proposed" else {"losses": {"cross_entropy": 1}, "options": {}}
    model = models.build(CONFIG.replace(variant=variant, **decodes)).eval()
    wanted = gradcam_plusplus(model, images, model(images)["logits"].argmax(1), model.cam_layer())
    np.testing.assert_allclose(np.stack(list(class_maps(model, batches))), wanted, rtol=1e-3, atol=1e-7)
    asked = np.array([0, 1, 2, 0, 1])
    wanted = gradcam_plusplus(model, images, torch.from_numpy(asked), model.cam_layer())
    found = np.stack(list(class_maps(model, batches, asked)))
    assert found.shape == (5, 48, 64) and found.min() >= 0 and found.max() > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(list(class_maps(model, batches, 1)), list(class_maps(model, batches, np.ones(5))))


class TwoInputs(nn.Module):
    """The clinical column decides the sign with which the image counts."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image, meta):
        return {"logits": self.conv(image).relu().mean((2, 3)) * meta}


def test_a_network_of_two_inputs_is_a_function_of_its_image():
    torch.manual_seed(0)
    network, image = TwoInputs(), torch.rand(2, 3, 8, 8)
    held = [OfImage(network, sign * torch.ones(2, 1)) for sign in (1, -1)]
    maps = [gradcam_plusplus(one, image, 1, network.conv) for one in held]
    assert maps[0].max() > 0 and maps[1].max() == 0, "with the sign turned the same class is spoken against"


def test_a_joint_networks_map_is_the_mean_over_its_backbones(images):
    member = RunConfig(
        system="joint_ensemble", variant="member", dataset="ham10000", label_space="diagnosis", image_size=(48, 64),
        backbone="test_resnet", weights="none",
    )  # fmt: skip
    parts = {"one": member.to_dict(), "two": member.replace(backbone="mobilenetv3_small_050").to_dict()}
    head = member.replace(variant="fused", backbone="none", options={"members": parts, "attributes": False})
    model, meta = models.build(joint_of(head)).eval(), torch.rand(5, 20)
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    cache = Cache(pixels, None, np.zeros(5, bool))
    batches = Batches(cache, np.arange(5), {"meta": meta.numpy()}, batch_size=5, normalisation="none")
    called = np.array([0, 1, 2, 3, 4])
    found = np.stack(list(class_maps(model, batches, called)))
    layers = [backbones.last_maps(backbone) for backbone in model.backbones.values()]
    assert len(layers) == 2
    each = [gradcam_plusplus(OfImage(model, meta).eval(), images, torch.from_numpy(called), layer) for layer in layers]
    assert all(one.max() > 0 for one in each) and not torch.allclose(*each)
    np.testing.assert_allclose(found, (each[0] + each[1]) / 2, rtol=1e-3, atol=1e-7)
