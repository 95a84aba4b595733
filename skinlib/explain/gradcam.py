"""Grad-CAM++: which regions of a layer speak for a class, and the sharpened overlay drawn from it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

KEPT = 0.25  # of the pixels that sharpening keeps; Rumale et al. 2026, section III: "top 25 %"


def gradcam_plusplus(
    model: nn.Module, images: torch.Tensor, targets: int | torch.Tensor | list[int], layer: nn.Module
) -> torch.Tensor:
    """Grad-CAM++ maps of a batch, by one forward pass and one backward pass that ends at the layer.

    With A^k the layer's channel k, S the *logit* of the target class and g = dS/dA^k (B, K, h, w):

        alpha = g^2 / (2 g^2 + g^3 sum A^k) where g != 0, else 0          eq. 19, no epsilon
        w_k   = sum over h, w of alpha ReLU(g)                            eq. 7
        map   = ReLU(sum over k of w_k A^k), bilinear to the input size

    The fraction is computed as 1 / (2 + g sum A^k), the same number without the underflow of g^2 and g^3. The images of
    a batch do not meet in evaluation mode, so the gradient of the sum of their logits holds that of each.

    Parameters
    ----------
    model : returns logits (B, classes), or a dict with them under "logits"; wrap a model of two inputs
    images : (B, 3, H, W), as the model wants them, on its device
    targets : class index for all images, or one for each (B,)
    layer : module inside `model` whose output is (B, K, h, w)

    Returns (B, H, W) float32 on the images' device, >= 0; neither normalised nor sharpened. Training mode of every
    module, parameters (their `grad` too) and hooks are left as they were, also after an error.

    Raises ValueError (targets of another number than the images, or out of range; a layer whose output has another
    shape), RuntimeError (a layer that does not run, runs more than once, or does not reach the logits).

    Source: Chattopadhay et al. 2018, "Grad-CAM++". Departure: the score is the logit, not its exponential, whose higher
    derivatives lead to eq. 19; this is what public implementations do.
    """
    with _evaluation_mode(model), torch.inference_mode(False), torch.no_grad(), _held_output(layer) as held:
        output = model(images)  # gradients are on from the layer onwards: the hook turns them on
        logits = output["logits"] if isinstance(output, dict) else output  # (B, classes)
        if len(held) != 1:
            raise RuntimeError(f"the layer ran {len(held)} times in one forward pass; Grad-CAM++ needs exactly once")
        activation = held[0]  # (B, K, h, w)
        if not logits.requires_grad:
            raise RuntimeError("the logits do not depend on the layer; choose a layer on the way to them")
        score = logits.gather(1, _as_index(targets, logits)).sum()
        (gradient,) = torch.autograd.grad(score, activation)
    activation, gradient = activation.detach().float(), gradient.float()
    alpha = torch.where(gradient != 0, 1 / (2 + gradient * activation.sum((2, 3), keepdim=True)), 0.0)
    weights = (alpha * gradient.relu()).sum((2, 3))  # (B, K)
    maps = (weights[:, :, None, None] * activation).sum(1).relu()  # not einsum: autocast would run it in bfloat16
    return F.interpolate(maps[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _as_index(targets: int | torch.Tensor | list[int], logits: torch.Tensor) -> torch.Tensor:
    index = torch.as_tensor(targets, dtype=torch.long, device=logits.device)
    index = index.expand(len(logits)) if index.ndim == 0 else index
    if index.shape != (len(logits),):
        given = tuple(index.shape)
        raise ValueError(f"{given} targets for {len(logits)} images; give one class, or one for each image")
    if len(index) and not (0 <= index.min() and index.max() < logits.shape[1]):
        raise ValueError(f"targets {index.min()}..{index.max()} for {logits.shape[1]} classes; classes count from 0")
    return index[:, None]


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, each module's own mode afterwards (a frozen batch norm stays in evaluation mode)."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was


@contextmanager
def _held_output(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """List that receives the layer's output as a leaf of the graph, one entry a call."""
    held: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ValueError(f"Grad-CAM++ needs a layer with output (B, K, h, w), got {what}; choose a convolution")
        torch.set_grad_enabled(True)  # the caller's no_grad restores the mode
        held.append(output.detach().requires_grad_())
        return held[-1].clone()  # an in-place ReLU behind the layer would overwrite what we keep

    handle = layer.register_forward_hook(keep)
    try:
        yield held
    finally:
        handle.remove()


def sharpen(maps: torch.Tensor, keep: float = KEPT, *, mode: str = "pixels") -> torch.Tensor:
    """Set the weak part of each map to 0.

    Parameters
    ----------
    maps : (..., H, W), >= 0
    keep : in (0, 1]
    mode : "pixels" keeps the top `keep` of the pixels (rounded up) and what ties with the last of them; "maximum"
        keeps what is at least (1 - keep) of the map's maximum, 0.75 of it by default

    Returns (..., H, W); kept values are unchanged, so sharpened maps still share one colour scale.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"sharpen keeps a share in (0, 1], got {keep}")
    if mode == "pixels":
        flat = maps.flatten(-2)
        kept = math.ceil(keep * flat.shape[-1])
        threshold = flat.topk(kept, dim=-1).values[..., -1]
    elif mode == "maximum":
        threshold = (1 - keep) * maps.amax(dim=(-2, -1))
    else:
        raise ValueError(f"unknown mode {mode!r} of sharpen; use 'pixels' or 'maximum'")
    return torch.where(maps >= threshold[..., None, None], maps, 0.0)
