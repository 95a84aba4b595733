"""From a network's mask to one outline: the largest component, its holes filled, nothing where it is small.

Pixels of a mask touch by sides and corners (8 neighbours); a hole is background that no path over sides leads from to
the image's edge. The steps and their order are those of the attention autoencoder's paper; it states no numbers.
"""

import numpy as np
from scipy import ndimage

SMALL = 0.002  # share of the image below which an object is no lesion; ours: 98 pixels of 192 x 256
_EIGHT = np.ones((3, 3), bool)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the component of a mask (H, W) bool with the most pixels; of equal ones the first from the top left."""
    parts, count = ndimage.label(mask, _EIGHT)
    if count < 2:
        return mask.copy()
    return parts == 1 + np.bincount(parts[mask], minlength=count + 1)[1:].argmax()


def remove_small(mask: np.ndarray, share: float = SMALL) -> np.ndarray:
    """Return a mask (H, W) bool without the components of less than a share (0 to 1) of the image's pixels."""
    parts = ndimage.label(mask, _EIGHT)[0]
    keep = np.bincount(parts.ravel()) >= share * mask.size
    keep[0] = False
    return keep[parts]


def postprocess(masks: np.ndarray, *, small: float = SMALL) -> np.ndarray:
    """Return masks (B, H, W) bool after all three steps; one whose lesion is small becomes empty."""
    cleaned = [remove_small(ndimage.binary_fill_holes(largest_component(mask)), small) for mask in masks]
    return np.stack(cleaned) if cleaned else masks.copy()
