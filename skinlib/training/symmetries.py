"""The views of test-time augmentation: symmetries of the square, applied to images and undone on maps."""

from collections.abc import Iterator

import torch

# Views next to the image itself: name -> (axes that are mirrored, quarter turns after that).
SYMMETRIES = {
    "none": {},
    "flips": {"left_right": ((3,), 0), "up_down": ((2,), 0)},
    "d4": {f"rot{90 * quarter}": ((), quarter) for quarter in (1, 2, 3)}
    | {f"mirror_rot{90 * quarter}": ((3,), quarter) for quarter in range(4)},
}


def views(image: torch.Tensor, tta: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, view) of a batch (B, C, H, W): the identity first.

    ``flips`` adds the left-right and up-down mirror images; ``d4`` the eight symmetries of the square.
    """
    yield "identity", image
    for name, (mirrored, quarters) in SYMMETRIES[tta].items():
        yield name, image.flip(mirrored).rot90(quarters, (2, 3))


def views_of(batch: dict, tta: str) -> Iterator[tuple[str, dict]]:
    """Yield (name, batch) of each view: with the image turned, or with the cached features (B, V, C) of that view.

    A batch that has neither, or features without views, for networks that read columns alone, is its own identity.
    """
    features = batch.get("features")
    if "image" in batch:
        for name, image in views(batch["image"], tta):
            yield name, batch | {"image": image.contiguous(memory_format=torch.channels_last)}
    elif features is not None and features.ndim == 3:
        for name, view in zip(("identity", *SYMMETRIES[tta]), features.unbind(1), strict=True):
            yield name, batch | {"features": view}
    else:
        yield "identity", batch


def undo(maps: torch.Tensor, view: str) -> torch.Tensor:
    """Turn maps (B, C, h, w) of a view, named as `views` names it, back to lie on the image that it is a view of."""
    if view == "identity":
        return maps
    mirrored, quarters = next(named[view] for named in SYMMETRIES.values() if view in named)
    return maps.rot90(-quarters, (2, 3)).flip(mirrored)
