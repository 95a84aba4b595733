"""Batches: from a cache to the dictionaries of tensors that networks read."""

import collections
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from skinlib.config import Augment
from skinlib.images.augment import augment_batch, draw
from skinlib.images.cache import Cache
from skinlib.provenance import generator

# ImageNet channel statistics (RGB, of [0, 1]), the ones timm's weights were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

GEOMETRY = ("angle", "flip")  # of `skinlib.images.augment.draw`: (n,) float32 radians, (n, 2) float32 of 1 and -1


def to_model_input(images: torch.Tensor, normalisation: str = "imagenet") -> torch.Tensor:
    """Normalise (B, 3, H, W) float images in [0, 1].

    ``imagenet``: by its mean and deviation. ``minmax``: every channel of every image stretched to [0, 1], which is a
    colour correction too. ``none``: untouched.
    """
    if normalisation == "none":
        return images
    if normalisation == "minmax":
        low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
        return (images - low) / (high - low).clamp(min=1e-6)  # a channel of one value becomes 0
    if normalisation != "imagenet":
        raise ValueError(f"normalisation {normalisation!r} is unknown; choose imagenet, minmax or none")
    mean = images.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    return (images - mean) / images.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)


class Batches:
    """Batches of some rows of a cache, in an order and with augmentations that depend on (seed, epoch) alone.

    Parameters
    ----------
    cache : where images and masks come from; None for batches of table columns only
    rows : (n,) positions in the cache
    columns : name -> (n, ...) array that goes with each image: ``label``, ``meta``, ``features`` ... Those of
        `GEOMETRY` are chosen views: they replace what is drawn for an image.
    augment : None for validation: order kept, pixels untouched
    visits : images an epoch; the permutation goes on where the last epoch stopped, so that none is preferred
    """

    def __init__(
        self,
        cache: Cache | None,
        rows: np.ndarray,
        columns: Mapping[str, np.ndarray],
        *,
        batch_size: int,
        augment: Augment | None = None,
        normalisation: str = "imagenet",
        seed: int = 0,
        visits: int | None = None,
        masks: bool = False,
    ):
        if not len(rows):
            raise ValueError("there is no image to make batches of; look at the split's part")
        self.cache, self.rows, self.columns = cache, np.asarray(rows), dict(columns)
        self.batch_size, self.augment, self.normalisation = batch_size, augment, normalisation
        self.seed, self.visits, self.masks = seed, visits or len(self.rows), masks and cache.masks is not None

    def __len__(self) -> int:
        return -(-self.visits // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return the (visits,) positions of an epoch, in order."""
        if self.augment is None:
            return np.arange(self.visits)
        n, first = len(self.rows), epoch * self.visits
        turns = range(first // n, (first + self.visits - 1) // n + 1)
        stream = np.concatenate([generator(self.seed, turn).permutation(n) for turn in turns])
        return stream[first - turns[0] * n :][: self.visits]

    def epoch(self, epoch: int, device: torch.device, *, rank: int = 0, world: int = 1) -> Iterator[dict]:
        """Yield the batches of an epoch on ``device``; rank r of w gets every w-th image of each.

        Batches differ in size by at most one image, so that none is too small for batch norm.
        """
        shares = (share[rank::world] for share in np.array_split(self.order(epoch), len(self)))
        gathered = (self._gather(share, pin=device.type == "cuda") for share in shares)
        # A GPU waits for nothing but copies: the next batches are gathered while it works. A CPU has no idle half.
        for batch in _ahead(gathered) if device.type == "cuda" else gathered:
            yield self._finish({k: v.to(device, non_blocking=True) for k, v in batch.items()}, epoch)

    def _gather(self, share: np.ndarray, *, pin: bool) -> dict[str, torch.Tensor]:
        batch = {"index": torch.from_numpy(share)}
        if self.cache is not None:
            rows = self.rows[share]
            batch["image"] = torch.from_numpy(np.stack([self.cache.images[r] for r in rows]))
            if self.masks:
                batch["mask"] = torch.from_numpy(np.stack([self.cache.masks[r] for r in rows]))
                batch["has_mask"] = torch.from_numpy(self.cache.has_mask[rows])
        batch |= {name: torch.from_numpy(np.asarray(values[share])) for name, values in self.columns.items()}
        return {k: v.pin_memory() for k, v in batch.items()} if pin else batch

    def _finish(self, batch: dict, epoch: int) -> dict:
        if "image" not in batch:
            return batch
        image = batch["image"].permute(0, 3, 1, 2).float().div_(255)
        mask = batch["mask"][:, None].float() if "mask" in batch else None
        if self.augment is not None:
            drawn = draw(self.augment, self.seed, epoch, self.rows[batch["index"].cpu().numpy()])
            drawn |= {name: batch.pop(name).cpu() for name in GEOMETRY if name in batch}
            image, mask = augment_batch(image, mask, self.augment, drawn)
        image = to_model_input(image, self.normalisation).contiguous(memory_format=torch.channels_last)
        return batch | {"image": image} | ({} if mask is None else {"mask": mask})


def _ahead(batches: Iterator[dict], depth: int = 3) -> Iterator[dict]:
    """Run an iterator in a thread, ``depth`` items ahead; its errors are raised here, and leaving early ends it."""
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, batches, None) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, batches, None))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
