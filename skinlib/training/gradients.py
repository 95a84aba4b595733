"""What each loss term asks of the parameters that all tasks share: size and direction of its gradient, epoch by epoch.

It only looks: the weights that a run ends with are the same without it.
"""

from pathlib import Path

import pandas as pd
import torch

from skinlib.config import RunConfig
from skinlib.images.batches import Batches
from skinlib.models.system import Network
from skinlib.paths import write_atomic
from skinlib.training.fit import Place
from skinlib.training.losses import Term

IMAGES = 40  # training images that are asked, the same each time


def has_shared(model: Network, config: RunConfig) -> bool:
    """Whether several weighted losses meet in parameters that the model calls ``shared``."""
    return sum(weight != 0 for weight in config.losses.values()) > 1 and bool(model.shared())


def compare(
    model: Network, batches: Batches, terms: dict[str, Term], config: RunConfig, where: Place
) -> list[dict[str, float | str]]:
    """Compare the gradients of the weighted loss terms on the shared parameters, in evaluation mode, on epoch 0.

    Returns of each term with a weight: ``term``; ``loss``, its mean; ``norm``, the Euclidean norm of the gradient of
    weight times mean; ``cosine`` of that gradient with the sum of the others', in [-1, 1]: below 0 the tasks pull
    apart. None where a gradient is zero or no image has the term.
    """
    model.eval()
    shared = model.shared()
    wanted = [name for name in terms if config.losses[name]]
    sizes = [p.numel() for p in shared]
    gradients = {name: torch.zeros(sum(sizes), device=where.device) for name in wanted}
    sums, counts = dict.fromkeys(wanted, 0.0), dict.fromkeys(wanted, 0.0)
    for batch in batches.epoch(0, where.device):
        output = where.apply(model, batch)
        for name in wanted:
            value, count = terms[name](output, batch)
            found = torch.autograd.grad(value, shared, retain_graph=name != wanted[-1], allow_unused=True)
            for total, part in zip(gradients[name].split(sizes), found, strict=True):
                if part is not None:  # a task may leave a shared layer alone
                    total += part.reshape(-1)
            sums[name], counts[name] = sums[name] + float(value.detach()), counts[name] + float(count)
    for name in wanted:
        gradients[name] *= config.losses[name] / max(counts[name], 1)
    return [
        {
            "term": name,
            "loss": sums[name] / counts[name] if counts[name] else None,
            "norm": float(gradients[name].norm()) if counts[name] else None,
            "cosine": _cosine(gradients[name], sum(gradients[other] for other in wanted if other != name)),
        }
        for name in wanted
    ]


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float | None:
    size = float(first.norm() * second.norm())
    return float(first @ second) / size if size else None


class Recorder:
    """Writes `compare` into ``file`` after every epoch; called as `skinlib.training.fit.fit` reports progress.

    It has a row an epoch and term, ``epochs`` (done; 0 before the first) first. A resumed run writes the rows of
    the epochs that it repeats anew.
    """

    def __init__(self, model: Network, batches: Batches, terms: dict[str, Term], *, config, where, file: Path):
        self.asked = model, batches, terms, config, where
        self.file = file

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        if step == steps:
            self.record(epoch + 1)

    def record(self, epochs: int) -> None:
        """Add the rows of a state of the network, and drop those of later ones."""
        rows = pd.DataFrame(compare(*self.asked)).assign(epochs=epochs)
        if epochs:
            before = pd.read_csv(self.file)
            rows = pd.concat([before[before["epochs"] < epochs], rows], ignore_index=True)
        write_atomic(self.file, rows[["epochs", "term", "loss", "norm", "cosine"]].to_csv(index=False))
