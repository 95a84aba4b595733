"""Maps of a finished run for any cohort: what its attention let through, and what spoke for the class it named."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from skinlib.explain.gradcam import gradcam_plusplus
from skinlib.images.batches import Batches
from skinlib.models.system import Network


def attention_maps(model: nn.Module, batches: Batches) -> Iterator[np.ndarray]:
    """Yield the attention map of each image, (H, W) float32 in (0, 1), enlarged bilinearly to the network's input.

    It has no more detail than the network's own ``attention`` (B, 1, h, w). ValueError where there is none.
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
    """A network as a function of images: its clinical columns are held, (B, M), or (1, M) for all images."""

    def __init__(self, network: nn.Module, meta: torch.Tensor | None):
        super().__init__()
        self.network, self.meta = network, meta

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network(image, None if self.meta is None else self.meta.expand(len(image), -1))


def class_maps(model: Network, batches: Batches, targets: np.ndarray | int | None = None) -> Iterator[np.ndarray]:
    """Yield the Grad-CAM++ map of each image, (H, W) float32, >= 0, as `skinlib.explain.gradcam` gives it.

    Of several ``cam_layers()`` it is the mean over theirs, as they come. Clinical columns are those of the batches.

    Parameters
    ----------
    targets : class whose logit is explained: one for all, or (N,) in the order of the batches; by default the class
        that the network calls.
    """
    model.eval()
    device = next(model.parameters()).device
    for batch in batches.epoch(0, device):
        image, of_image = batch["image"], OfImage(model, batch.get("meta")).eval()
        if targets is None:
            with torch.no_grad():
                called = of_image(image)["logits"].argmax(1)
        else:
            called = np.broadcast_to(targets, len(batches.rows))[batch["index"].cpu().numpy()]
        maps = [gradcam_plusplus(of_image, image, torch.as_tensor(called), layer) for layer in model.cam_layers()]
        yield from torch.stack(maps).mean(0).cpu().numpy()
