"""Backbones by timm, their weights, and the order of their depth."""

import os
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from timm.models import group_parameters
from torch import nn

WEIGHTS_FOLDER = "SKINLIB_WEIGHTS"  # environment variable: a folder of <timm name>*.safetensors


class WeightsUnavailable(RuntimeError):
    """Pretrained weights were asked for and cannot be had; random ones are never put in their place."""


def find_weights(backbone: str, weights: str, data_root: str | Path | None = None) -> Path | None:
    """Return the file that holds a backbone's weights, or None: ask timm's hub, or take none.

    ``imagenet`` looks for ``<backbone>*.safetensors`` in the folder named by ``SKINLIB_WEIGHTS``, then in ``weights/``
    in the data root and next to it. Raises WeightsUnavailable when ``weights`` names a file that is not there, or
    several files fit.
    """
    if weights == "none":
        return None
    if weights != "imagenet":
        if not (path := Path(weights)).is_file():
            raise WeightsUnavailable(f"no weights file {path}; give imagenet, none, or the path of a .safetensors file")
        return path
    folders = [Path(os.environ[WEIGHTS_FOLDER])] if os.environ.get(WEIGHTS_FOLDER) else []
    if data_root is not None:
        folders += [Path(data_root) / "weights", Path(data_root).resolve().parent / "weights"]
    for folder in folders:
        found = sorted([*folder.glob(f"{backbone}.safetensors"), *folder.glob(f"{backbone}.*.safetensors")])
        if len(set(found)) > 1:
            names = [file.name for file in found]
            raise WeightsUnavailable(f"{folder} holds several weights for {backbone}: {names}; keep one")
        if found:
            return found[0]
    return None


def create(backbone: str, weights: str = "imagenet", *, weights_file: Path | None = None, **options) -> nn.Module:
    """Build a timm backbone without classifier: the last feature maps, (B, 3, H, W) -> (B, C, h, w), unless
    `timm.create_model` gets other ``options``.

    ``weights`` is ``none`` (random), ``imagenet`` (``weights_file`` where given, else timm's hub), or the path of a
    file. Raises WeightsUnavailable when they cannot be had, or the file does not fit the network.
    """
    options = {"num_classes": 0, "global_pool": ""} | options
    if backbone not in timm.list_models():
        raise ValueError(f"timm knows no model {backbone!r}; see timm.list_models()")
    if weights == "none":
        return timm.create_model(backbone, pretrained=False, **options)
    path = weights_file or find_weights(backbone, weights)
    if path is None:
        try:
            return timm.create_model(backbone, pretrained=True, **options)
        except (OSError, RuntimeError, ValueError) as error:  # what timm and its hub raise: no network, no such weights
            raise WeightsUnavailable(
                f"ImageNet weights of {backbone} cannot be fetched ({type(error).__name__}); put "
                f"{backbone}.safetensors into the folder named by {WEIGHTS_FOLDER}, or choose weights none"
            ) from error
    model, state = timm.create_model(backbone, pretrained=False, **options), load_file(path)
    classifier = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ("classifier", "fc", "head")
    unused = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    wanted = set(model.state_dict())
    if names := sorted(wanted ^ {name for name in state if name in wanted or not name.startswith(unused)}):
        raise WeightsUnavailable(f"{path} does not fit {backbone}: {len(names)} tensors differ, first {names[0]}")
    model.load_state_dict({name: state[name] for name in wanted})
    return model


def depth_groups(backbone: nn.Module) -> dict[str, str]:
    """Return parameter name -> ``early`` (first half of the stages in timm's coarse grouping, stem included) or
    ``late``: of a ResNet, stem and layers 1 and 2 are early, layers 3 and 4 late.
    """
    stages = group_parameters(backbone, backbone.group_matcher(coarse=True))  # stage -> names of parameters
    early = set(sorted(stages)[: (len(stages) + 1) // 2])
    return {name: "early" if stage in early else "late" for stage, names in stages.items() for name in names}


def last_maps(backbone: nn.Module) -> nn.Module:
    """Return the module whose output Grad-CAM reads: the last block (of a ResNet ``layer4[-1]``), or what timm says
    yields the last feature maps.
    """
    modules = dict(backbone.named_modules())
    if "layer4" in modules:
        return backbone.layer4[-1]
    told = [level["module"] for level in getattr(backbone, "feature_info", None) or ()][-1:]
    for name in ("bn2", "norm5", "features.norm5", *told):
        if name in modules:
            return modules[name]
    raise ValueError(f"cannot tell the last feature maps of {type(backbone).__name__}; name the layer yourself")


def width(backbone: nn.Module, size: tuple[int, int] = (64, 64)) -> int:
    """Return C of the last feature maps, as one forward pass in evaluation mode shows it."""
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        channels = backbone(torch.zeros(1, 3, *size)).shape[1]
    backbone.train(training)
    return channels
