"""Backbones by timm, their weights, and the order of their depth."""

import os
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
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
            raise WeightsUnavailable(f"no weights file {weights!r}: give imagenet, none, or a .safetensors file")
        return path
    folders = [Path(os.environ[WEIGHTS_FOLDER])] if os.environ.get(WEIGHTS_FOLDER) else []
    if data_root is not None:
        folders += [Path(data_root) / "weights", Path(data_root).resolve().parent / "weights"]
    for folder in folders:
        found = sorted([*folder.glob(f"{backbone}.safetensors"), *folder.glob(f"{backbone}.*.safetensors")])
        if len(set(found)) > 1:
            raise WeightsUnavailable(f"{folder}: several weights for {backbone}: {[f.name for f in found]}; keep one")
        if found:
            return found[0]
    return None


def create(
    backbone: str,
    weights: str = "imagenet",
    *,
    weights_file: Path | None = None,
    size: tuple[int, int] | None = None,
    **options,
) -> nn.Module:
    """Build a timm backbone without classifier.

    ``weights`` is ``none`` (random), ``imagenet`` (``weights_file`` where given, else timm's hub), or the path of a
    file. Without other options of `timm.create_model` it gives the last feature maps, (B, 3, H, W) -> (B, C, h, w), of
    a transformer the tokens of the image in their places. ``size`` (H, W) is that of the images, for networks that are
    built for one.

    Raises WeightsUnavailable when the weights cannot be had, or the file does not fit the network.
    """
    options = {"num_classes": 0, "global_pool": ""} | options
    if backbone not in timm.list_models():
        raise ValueError(f"timm knows no model {backbone!r}; see timm.list_models()")
    if size is not None and timm.get_pretrained_cfg(backbone).fixed_input_size:
        options |= {"img_size": size}
    model = _load(backbone, weights, weights_file, options)
    model.register_forward_hook(_as_maps)
    model.image_size = size or (96, 96)  # an Inception-v3 needs 75
    return model


def _as_maps(model: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    """Turn tokens (B, N, C), or maps with the channels last, into (B, C, h, w); other outputs stay as they are."""
    if output.ndim == 3:
        tokens = output[:, getattr(model, "num_prefix_tokens", 0) :]
        grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
        return tokens.transpose(1, 2).unflatten(2, grid) if grid else output
    last = output.ndim == 4 and output.shape[-1] == model.num_features != output.shape[1]
    return output.permute(0, 3, 1, 2) if last else output


def _load(backbone: str, weights: str, weights_file: Path | None, options: dict) -> nn.Module:
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
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:  # a page, a pointer to a file elsewhere, half a download
        raise WeightsUnavailable(f"{path} is no whole safetensors file ({error}); fetch it again") from error
    model = timm.create_model(backbone, pretrained=False, **options)
    classifier = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ("classifier", "fc", "head")
    unused = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    wanted = model.state_dict()
    kinds = lambda tensors: {(name, tensor.is_floating_point()) for name, tensor in tensors.items()}
    given = kinds({name: state[name] for name in state if name in wanted or not name.startswith(unused)})
    if names := sorted(kinds(wanted) ^ given):
        raise WeightsUnavailable(f"{path} does not fit {backbone}: {len(names)} tensors differ, first {names[0][0]}")
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


def width(backbone: nn.Module) -> int:
    """Return C of the last feature maps, as one forward pass in evaluation mode shows it.

    Raises ValueError where the network takes no images of the size that it was built for, or has no maps.
    """
    training, size = backbone.training, backbone.image_size
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, 3, *size))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"{type(backbone).__name__} takes no images of {size[0]} x {size[1]} ({error})") from error
    if maps.ndim != 4:
        raise ValueError(f"{type(backbone).__name__} has no feature maps: its output is {tuple(maps.shape)}")
    backbone.train(training)
    return maps.shape[1]
