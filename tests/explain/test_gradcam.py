"""Grad-CAM++ against maps worked by hand and against the grad-cam package."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_grad_cam import GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from skinlib.explain.gradcam import gradcam_plusplus, sharpen


class Net(nn.Module):
    """Identity layer, mean over pixels, fixed head: gradients are known on paper."""

    def __init__(self, head, behind=None, as_dict=False):
        super().__init__()
        self.layer, self.behind, self.as_dict = nn.Identity(), behind or nn.Identity(), as_dict
        self.head = nn.Linear(3, len(head), bias=False)
        self.head.weight.data = torch.tensor(head, dtype=torch.float32)

    def forward(self, image):
        logits = self.head(self.behind(self.layer(image)).mean((2, 3)))
        return {"logits": logits, "features": None} if self.as_dict else logits


def small():
    torch.manual_seed(0)
    head = [nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), *head)


@pytest.mark.parametrize("as_dict", [False, True])
def test_map_by_hand(as_dict):
    # Four pixels, head (8, -4, 0): g = (2, -1, 0) everywhere. Channel 0 is (1, 0, 0, 3): alpha = 1 / (2 + 2 * 4) = 0.1,
    # w_0 = 4 pixels * 0.1 * 2 = 0.8; the negative and the zero gradient weigh nothing. Map = 0.8 * channel 0.
    model = Net([[8, -4, 0], [0, 0, 0]], as_dict=as_dict)
    image = torch.tensor([[[[1.0, 0.0], [0.0, 3.0]], [[5.0, 5.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]]]])
    torch.testing.assert_close(gradcam_plusplus(model, image, 0, model.layer), torch.tensor([[[0.8, 0.0], [0.0, 2.4]]]))
    assert not gradcam_plusplus(model, image, [1], model.layer).any()  # no gradient, no map


def test_gradients_far_below_the_usual_epsilon_still_count():
    # g = 1e-6: alpha = 1 / (2 + 4e-6), w = 4 * alpha * 1e-6 = 2e-6; an epsilon of 1e-6 next to g^2 would leave nothing
    model, image = Net([[4e-6, 0, 0]]), torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    expected = torch.tensor([[[2e-6, 0.0], [0.0, 6e-6]]])
    torch.testing.assert_close(gradcam_plusplus(model, image, 0, model.layer), expected, rtol=1e-4, atol=0)


def test_in_place_relu_behind_the_layer_does_not_change_the_map():
    image = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    head = [[1, 2, -1], [-1, 1, 2]]
    safe, trap = Net(head, nn.ReLU()), Net(head, nn.ReLU(inplace=True))
    maps = gradcam_plusplus(trap, image, 1, trap.layer)
    assert maps.any()
    torch.testing.assert_close(maps, gradcam_plusplus(safe, image, 1, safe.layer))


def test_a_batch_gives_the_maps_of_its_images():
    model, images, targets = small(), torch.randn(5, 3, 12, 10), [0, 1, 2, 1, 0]
    maps = gradcam_plusplus(model, images, targets, model[2])
    assert maps.shape == (5, 12, 10) and maps.dtype == torch.float32 and (maps >= 0).all() and not maps.requires_grad
    for i, target in enumerate(targets):
        torch.testing.assert_close(maps[i : i + 1], gradcam_plusplus(model, images[i : i + 1], target, model[2]))


@pytest.mark.parametrize("fails", [False, True])
def test_mode_gradients_and_hooks_are_restored(fails):
    model = small().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[6].weight.grad = torch.full_like(model[6].weight, 7.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if fails:
        with pytest.raises(ValueError, match="classes count from 0"):
            gradcam_plusplus(model, torch.randn(2, 3, 8, 8), [0, 3], model[2])
    else:
        gradcam_plusplus(model, torch.randn(2, 3, 8, 8), [0, 2], model[2])
    assert [module.training for module in model] == [True, False, True, True, True, True, True] and model.training
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert (model[6].weight.grad == 7).all() and model[6].bias.grad is None
    assert not any(module._forward_hooks for module in model) and torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_frozen_model_under_no_grad_or_inference_mode_works():
    model, images = small().requires_grad_(False), torch.randn(2, 3, 8, 8)
    expected = gradcam_plusplus(model, images, 1, model[2])
    with torch.no_grad():
        torch.testing.assert_close(gradcam_plusplus(model, images, 1, model[2]), expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        torch.testing.assert_close(gradcam_plusplus(model, images.clone(), 1, model[2]), expected)
        assert torch.is_inference_mode_enabled()


def test_bfloat16_autocast_stays_close():
    model, images = small(), torch.randn(3, 3, 16, 16)
    expected = gradcam_plusplus(model, images, 0, model[2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = gradcam_plusplus(model, images, 0, model[2])
    assert maps.dtype == torch.float32 and np.corrcoef(maps.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("index", "targets", "error", "message"), [
    (2, [0, 1, 2], ValueError, "for 2 images"), (2, -1, ValueError, "classes count from 0"),
    (6, 0, ValueError, "choose a convolution"),
])  # fmt: skip
def test_bad_calls_are_named(index, targets, error, message):
    model = small()
    with pytest.raises(error, match=message):
        gradcam_plusplus(model, torch.randn(2, 3, 8, 8), targets, model[index])


def test_a_layer_that_does_not_run_or_runs_twice_is_named():
    model, images = small(), torch.randn(2, 3, 8, 8)
    with pytest.raises(RuntimeError, match="ran 0 times"):
        gradcam_plusplus(model, images, 0, nn.Conv2d(3, 8, 3))
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(3, 4, 3), shared, nn.Conv2d(4, 4, 3), shared, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(RuntimeError, match="ran 2 times"):
        gradcam_plusplus(twice, images, 0, shared)


class Louder(nn.Module):
    """Ten times the logits: lifts the gradients of untrained weights above the epsilon (1e-6) of the package."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return 10 * self.model(image)


@pytest.mark.parametrize(("name", "layer"), [("resnet10t", "layer4"), ("mobilenetv3_small_050", "blocks")])
def test_equals_the_grad_cam_package(name, layer):
    torch.manual_seed(0)
    model = Louder(timm.create_model(name, pretrained=False, num_classes=7)).eval()
    layer = getattr(model.model, layer)[-1]
    shapes = torch.nn.functional.interpolate(torch.randn(64, 3, 8, 8), size=64, mode="bicubic")
    images = shapes + 0.3 * torch.randn(64, 3, 64, 64)
    targets = model(images).argmax(1)
    ours = gradcam_plusplus(model, images, targets, layer).flatten(1).numpy()
    with GradCAMPlusPlus(model=model, target_layers=[layer]) as cam:
        theirs = cam(input_tensor=images, targets=[ClassifierOutputTarget(int(t)) for t in targets]).reshape(64, -1)
    constant = (np.ptp(ours, axis=1) == 0) | (np.ptp(theirs, axis=1) == 0)
    assert (np.ptp(ours, axis=1)[constant] == 0).all() and constant.sum() <= 6
    lowest = min(np.corrcoef(a, b)[0, 1] for a, b in zip(ours[~constant], theirs[~constant], strict=True))
    assert lowest > 0.999, f"lowest correlation {lowest:.6f}, {constant.sum()} constant maps"


def test_sharpen_by_hand_and_that_it_refuses_nonsense():
    maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[8.0, 0.0], [7.0, 5.0]]])
    torch.testing.assert_close(sharpen(maps), torch.tensor([[[0.0, 0.0], [0.0, 4.0]], [[8.0, 0.0], [0.0, 0.0]]]))
    high = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[8.0, 0.0], [7.0, 0.0]]])  # at least 3 and at least 6
    torch.testing.assert_close(sharpen(maps, mode="maximum"), high)
    torch.testing.assert_close(sharpen(maps, 1.0), maps)
    for options, words in (({"keep": 0}, "a share in"), ({"mode": "top"}, "unknown mode 'top'")):
        with pytest.raises(ValueError, match=words):
            sharpen(maps, **options)


@given(st.integers(1, 40), st.floats(0.01, 1))
def test_sharpen_keeps_the_wanted_number_of_distinct_values(side, keep):
    values = torch.randperm(side * 3).reshape(side, 3) + 1.0
    kept = sharpen(values, keep)
    assert (kept > 0).sum() == int(np.ceil(keep * side * 3))
    assert kept[kept > 0].min() > values[kept == 0].max() if (kept == 0).any() else True
