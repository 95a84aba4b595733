import shutil
from itertools import pairwise

import huggingface_hub.constants
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from skinlib import models
from skinlib.config import RunConfig
from skinlib.models import backbones, weights
from skinlib.models.backbones import WeightsUnavailable, create, depth_groups, find_weights, last_maps

SMALL = RunConfig(backbone="resnet10t", weights="none", image_size=(32, 32), dropout=0.4)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, no folder of weights, nothing downloaded before."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv(backbones.WEIGHTS_FOLDER, raising=False)


@pytest.fixture(scope="module")
def resnet50():
    return models.build(RunConfig(backbone="resnet50", weights="none"))


def test_weights_of_a_package_are_renamed_and_its_network_must_say_what_is_known(tmp_path, monkeypatch):
    theirs = timm.create_model("test_resnet", num_classes=5).eval()
    torch.save({f"other.{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "w.pth")
    wheel = shutil.make_archive(tmp_path / "wheel", "zip", tmp_path, "w.pth")
    monkeypatch.setattr(weights.pooch, "retrieve", lambda *_: wheel)
    said = theirs(torch.linspace(-1, 1, 3 * 224 * 224).view(1, 3, 224, 224))[0].tolist()
    facts = {"classes": 5, "url": "u", "sha256": "0", "member": "w.pth", "argmax": said.index(max(said))}
    monkeypatch.setattr(weights, "PACKAGES", pd.DataFrame([facts | {"highest": max(said)}], index=["test_resnet"]))
    file = weights.get("test_resnet", tmp_path / "weights")
    assert file == find_weights("test_resnet", "imagenet", tmp_path)
    assert torch.equal(create("test_resnet", weights_file=file).conv1[0].weight, theirs.conv1[0].weight)
    weights.PACKAGES["highest"] = 0.0
    for name, words in (("test_resnet", "is not the network that was expected"), ("resnet18", "no package is known")):
        with pytest.raises(WeightsUnavailable, match=words):
            weights.get(name, tmp_path / "weights")


def test_every_paper_has_a_system():
    assert "recall_oriented" in models.systems()
    for name in models.systems():
        assert isinstance(models.system_of(RunConfig(system=name)), models.System)


def test_resnet50_with_two_outputs_has_the_known_number_of_parameters(resnet50):
    # 23,508,032 of the network without classifier, 2048 x 2 + 2 of the head
    assert sum(p.numel() for p in resnet50.parameters()) == 23_508_032 + 4_098 == 23_512_130


@pytest.mark.parametrize(("space", "classes"), [("malignancy", 2), ("diagnosis", 7)])
def test_the_output_has_a_column_a_class(space, classes):
    out = models.build(SMALL.replace(label_space=space)).eval()(torch.zeros(3, 3, 32, 32))
    assert out["logits"].shape == (3, classes) and out["features"].shape == (3, 512)


def test_the_networks_equation_by_hand():
    model, image = models.build(SMALL).eval(), torch.rand(2, 3, 64, 64)
    out, maps = model(image), model.phi(image)  # f(x) = W . GAP(Phi(x)) + b without dropout
    assert maps.shape == (2, 512, 2, 2)
    pooled = maps.flatten(2).mean(2)
    torch.testing.assert_close(out["features"], pooled)
    torch.testing.assert_close(out["logits"], pooled @ model.head.weight.T + model.head.bias)


def test_dropout_has_the_asked_share_and_only_in_training():
    model = models.build(SMALL)
    assert model.drop.p == 0.4
    model.phi.eval()
    with torch.no_grad():
        assert not torch.equal(*(model(torch.ones(1, 3, 32, 32))["logits"] for _ in range(2)))
        model.eval()
        assert torch.equal(*(model(torch.ones(1, 3, 32, 32))["logits"] for _ in range(2)))


def test_depth_groups_and_last_layer_of_a_resnet(resnet50):
    groups = resnet50.depth_groups()
    assert set(groups) == {name for name, _ in resnet50.named_parameters()}
    found = {}
    for name, group in groups.items():
        found.setdefault(group, set()).add(name.removeprefix("phi.").split(".")[0])
    assert found == {"early": {"conv1", "bn1", "layer1", "layer2"}, "late": {"layer3", "layer4"}, "head": {"head"}}
    assert resnet50.cam_layer() is resnet50.phi.layer4[-1]


@pytest.mark.parametrize("name", ["mobilenetv2_100", "efficientnet_b0", "densenet121", "mobilenetv3_small_050"])
def test_depth_groups_of_others_cut_the_network_once(name):
    backbone = create(name, "none")
    groups, names = depth_groups(backbone), [parameter for parameter, _ in backbone.named_parameters()]
    assert set(names) <= set(groups)
    order = [groups[parameter] for parameter in names]
    assert order[0] == "early" and order[-1] == "late" and sum(a != b for a, b in pairwise(order)) == 1


@pytest.mark.parametrize("name", ["mobilenetv2_100", "efficientnet_b0", "densenet121", "resnet10t"])
def test_the_last_maps_are_what_is_pooled(name):
    backbone, seen = create(name, "none").eval(), []
    handle = last_maps(backbone).register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 64))
    handle.remove()
    assert len(seen) == 1 and seen[0].shape == maps.shape
    assert torch.equal(seen[0].relu(), maps.relu())  # a last activation may lie between


def test_width_leaves_the_network_alone_and_unknown_maps_are_asked_for():
    backbone = create("resnet10t", "none").train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert backbones.width(backbone) == 512 and backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    with pytest.raises(ValueError, match="name the layer yourself"):
        last_maps(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)))


@pytest.mark.parametrize(("name", "size", "shape"), [
    ("vit_tiny_patch16_224", (64, 96), (192, 4, 6)), ("swin_tiny_patch4_window7_224", (64, 64), (768, 2, 2)),
    ("test_vit", (160, 160), (64, 10, 10)),
])  # fmt: skip
def test_a_network_built_for_one_size_is_built_for_that_of_the_images(name, size, shape):
    backbone = create(name, "none", size=size).eval()
    assert backbones.width(backbone) == shape[0]
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, *size)).shape == (2, *shape)


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", b""])
def test_a_weights_file_that_is_none_is_named(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=r"w\.safetensors is no whole safetensors file"):
        create("resnet10t", "imagenet", weights_file=tmp_path / "w.safetensors")


def test_the_seed_decides_the_weights_and_the_callers_randomness_is_untouched():
    state = lambda seed: models.build(SMALL.replace(seed=seed)).state_dict()
    torch.manual_seed(5)
    before, first = torch.get_rng_state(), state(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = state(0), state(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert not torch.equal(first["phi.conv1.0.weight"], other["phi.conv1.0.weight"])
    assert first["phi.layer4.0.conv1.weight"].is_contiguous(memory_format=torch.channels_last)


def test_unknown_names_and_a_size_that_a_network_cannot_take_are_refused():
    unknown = {r"no system 'nobody'; there are .*recall_oriented": {"system": "nobody"}}
    unknown |= {"no model 'resnet51'": {"backbone": "resnet51"}, "no system 'backbones'": {"system": "backbones"}}
    for words, changes in unknown.items():
        with pytest.raises(ValueError, match=words):
            models.build(SMALL.replace(**changes))
    with pytest.raises(ValueError, match="InceptionV3 takes no images of 64 x 64"):
        backbones.width(create("inception_v3", "none", size=(64, 64)))


def test_imagenet_weights_that_cannot_be_had_are_an_error_that_names_the_file(offline):
    with pytest.raises(WeightsUnavailable, match=r"resnet10t\.safetensors into the folder named by SKINLIB_WEIGHTS"):
        models.build(SMALL.replace(weights="imagenet"))


def weights_of(name: str, path, *, classifier: bool = True, seed: int = 3):
    """Write random weights as timm would publish them, and return them."""
    import timm

    torch.manual_seed(seed)
    state = timm.create_model(name, pretrained=False).state_dict()
    if not classifier:
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    path.parent.mkdir(exist_ok=True, parents=True)
    save_file(state, path)
    return state


@pytest.mark.parametrize("classifier", [True, False])
def test_a_files_weights_are_loaded_with_or_without_classifier(tmp_path, offline, classifier):
    path = tmp_path / "own.safetensors"
    state = weights_of("resnet10t", path, classifier=classifier)
    by_config = models.build(SMALL.replace(weights=str(path)))
    by_argument = models.build(SMALL.replace(weights="imagenet"), weights_file=path)
    for model in (by_config, by_argument):
        loaded = model.phi.state_dict()
        assert all(torch.equal(loaded[name], state[name]) for name in loaded)
        assert any(name.startswith("fc.") for name in state) == classifier


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    weights_of("resnet18", tmp_path / "w.safetensors")
    with pytest.raises(WeightsUnavailable, match=r"w\.safetensors does not fit resnet10t: \d+ tensors differ, first"):
        create("resnet10t", str(tmp_path / "w.safetensors"))
    state = weights_of("resnet10t", tmp_path / "w.safetensors")
    save_file({k: v for k, v in state.items() if k != "bn1.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsUnavailable, match=r"1 tensors differ, first bn1\.bias"):
        create("resnet10t", str(tmp_path / "w.safetensors"))


def test_weights_are_sought_in_the_named_folder_then_next_to_the_data(tmp_path, offline, monkeypatch):
    root = tmp_path / "top" / "data"
    root.mkdir(parents=True)
    find = lambda: find_weights("resnet10t", "imagenet", root)
    assert find() is None
    for place in ("top/weights/resnet10t.a", "top/data/weights/resnet10t", "own/resnet10t"):
        path = tmp_path / f"{place}.safetensors"  # each goes before those already there
        path.parent.mkdir(parents=True)
        path.touch()
        if place.startswith("own"):
            monkeypatch.setenv(backbones.WEIGHTS_FOLDER, str(path.parent))
        assert find() == path
    assert find_weights("resnet10t", "none", root) is None
    assert find_weights("resnet10", "imagenet", root) is None  # not a beginning of a name


def test_two_files_for_one_network_are_refused(tmp_path, offline):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("resnet10t.safetensors", "resnet10t.c3.safetensors"):
        (folder / name).touch()
    with pytest.raises(WeightsUnavailable, match=r"several weights for resnet10t: .*c3.*keep one"):
        find_weights("resnet10t", "imagenet", tmp_path)
    with pytest.raises(WeightsUnavailable, match=r"no weights file .*gone\.safetensors"):
        find_weights("resnet10t", str(tmp_path / "gone.safetensors"))
