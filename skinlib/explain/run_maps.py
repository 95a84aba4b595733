"""Maps of a finished run for any cohort: what its attention let through, and what spoke for the class it named."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.images.batches import Batches


def attention_maps(model: nn.Module, batches: Batches) -> Iterator[np.ndarray]:
    """Yield the attention map of each image, enlarged bilinearly to the size that the network saw.

    Parameters
    ----------
    model
        A network whose output has ``attention``, (B, 1, h, w).
    batches
        Of the images, in order, such as `skinlib.training.predict.batches_of` gives them.

    Yields
    ------
    (H, W) float32, in (0, 1) where the network's attention is; of no more detail than h x w.

    Raises
    ------
    ValueError
        When the network has no attention map.
    """
    model.eval()
    device = next(model.parameters()).device
    for batch in batches.epoch(0, device):
        with torch.inference_mode():
            output = model(batch["image"])
        if "attention" not in output:
            raise ValueError(f"{type(model).__name__} gives no attention map here; take a variant that attends")
        maps = F.interpolate(output["attention"].float(), batch["image"].shape[2:], mode="bilinear")
        yield from maps[:, 0].cpu().numpy()


class OfImage(nn.Module):
    """A network of images and clinical columns as a function of the images.

    The columns are held: (B, M), a row an image, or (1, M), one row for all.
    """

    def __init__(self, network: nn.Module, meta: torch.Tensor | None):
        super().__init__()
        self.network, self.meta = network, meta

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network(image, None if self.meta is None else self.meta.expand(len(image), -1))


def class_maps(model: nn.Module, batches: Batches, targets: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the Grad-CAM++ map of each image.

    Parameters
    ----------
    model
        With ``cam_layer()``, or one of several backbones: its map is the mean over theirs, all of one logit, as they
        come. One that reads clinical columns too is a function of the image, the columns being what the batches say of
        it.
    targets
        (N,) class whose logit is explained, in the order of the batches; by default the class that the network calls.

    Yields
    ------
    (H, W) float32, >= 0, as `skinlib.explain.gradcam.gradcam_plusplus` gives it.
    """
    model.eval()
    device = next(model.parameters()).device
    for batch in batches.epoch(0, device):
        image, of_image = batch["image"], OfImage(model, batch.get("meta")).eval()
        if targets is None:
            with torch.no_grad():
                called = of_image(image)["logits"].argmax(1)
        else:
            called = torch.as_tensor(np.asarray(targets)[batch["index"].cpu().numpy()])
        maps = [gradcam_plusplus(of_image, image, called, layer) for layer in model.cam_layers()]
        yield from torch.stack(maps).mean(0).cpu().numpy()
