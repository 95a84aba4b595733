import dataclasses
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from skinlib.config import Augment
from skinlib.images.augment import LUMA, augment_batch, draw

NOTHING = Augment(flips=False, rotation=0.0)
COLOUR = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "noise": 0.05, "erasing": 0.5}
EVERYTHING = Augment(rotation=180, zoom=0.2, shift=0.1, **COLOUR)


def smooth(b: int = 2, height: int = 24, width: int = 24, seed: int = 0) -> torch.Tensor:
    """Images (b, 3, height, width) in [0.1, 0.9] without sharp edges."""
    coarse = torch.rand(b, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return fine.clamp(0, 1) * 0.8 + 0.1


def neutral(b: int = 2, **changes) -> dict[str, torch.Tensor]:
    """Drawn numbers that do nothing, but for the changes."""
    drawn = {name: torch.ones(b) for name in ("zoom", "brightness", "contrast", "saturation")}
    drawn |= {"angle": torch.zeros(b), "flip": torch.ones(b, 2), "shift": torch.zeros(b, 2)}
    drawn |= {"box": torch.zeros(b, 4), "noise_seed": torch.arange(b)}
    return drawn | {name: torch.as_tensor(value).expand_as(drawn[name]) for name, value in changes.items()}


def apply(images, drawn, masks=None, **fields):
    return augment_batch(images, masks, dataclasses.replace(NOTHING, **fields), drawn)


def test_no_augmentation_is_the_identity_bit_for_bit():
    images, masks = smooth(), (smooth(seed=1)[:, :1] > 0.5).float()
    out, mask = augment_batch(images, masks, NOTHING, draw(NOTHING, 0, 0, np.arange(2)))
    assert torch.equal(out, images) and torch.equal(mask, masks)


@pytest.mark.parametrize(("flip", "axis"), [((-1.0, 1.0), 3), ((1.0, -1.0), 2)])
def test_flips_are_exact(flip, axis):
    images, masks = smooth(height=24, width=16), (smooth(height=24, width=16, seed=1)[:, :1] > 0.5).float()
    out, mask = apply(images, neutral(flip=flip), masks, flips=True)
    torch.testing.assert_close(out, images.flip(axis), atol=2e-6, rtol=0)
    assert torch.equal(mask, masks.flip(axis))


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_right_angle_is_rot90(quarter):
    images, masks = smooth(), (smooth(seed=1)[:, :1] > 0.5).float()
    out, mask = apply(images, neutral(angle=quarter * math.pi / 2), masks, rotation=180.0)
    torch.testing.assert_close(out, images.rot90(quarter, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, masks.rot90(quarter, (2, 3)))


def test_a_rotation_of_a_wide_image_keeps_a_disc_round():
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(64.0) - 31.5, indexing="ij")
    radius = (y**2 + x**2).sqrt()
    disc = torch.sigmoid(9 - radius).expand(1, 3, 32, 64)
    out, _ = apply(disc, neutral(1, angle=0.7), rotation=180.0)
    assert (out - disc)[..., radius < 15].abs().max() < 0.05  # further out the reflected border begins


def test_zoom_shows_the_middle_and_shift_moves_by_a_share_of_the_side():
    images = smooth(height=24, width=24)
    near, _ = apply(images, neutral(zoom=0.5), zoom=0.5)
    middle = torch.nn.functional.interpolate(images[..., 6:18, 6:18], (24, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(near[..., 2:-2, 2:-2], middle[..., 2:-2, 2:-2], atol=1e-5, rtol=0)
    moved, _ = apply(images, neutral(shift=(2 * 0.25, 0.0)), shift=0.25)  # in units of the grid, whose side is 2
    torch.testing.assert_close(moved[..., :, :18], images[..., :, 6:], atol=1e-5, rtol=0)


def test_mask_and_image_move_together():
    masks = torch.zeros(4, 1, 32, 32)
    masks[:, :, 6:20, 10:25] = 1
    images, geometry = masks.expand(-1, 3, -1, -1).clone(), Augment(rotation=180, zoom=0.3, shift=0.1)
    out, mask = augment_batch(images, masks, geometry, draw(geometry, 0, 0, np.arange(4)))
    assert set(mask.unique().tolist()) <= {0.0, 1.0} and not torch.equal(mask, masks)
    differ = ((out[:, :1] > 0.5).float() != mask).float().mean()
    assert differ < 0.02  # half a pixel along the outline


def test_colour_leaves_the_mask_alone():
    colour = Augment(flips=False, rotation=0, brightness=0.3, contrast=0.3, saturation=0.3, noise=0.1, erasing=1.0)
    masks = (smooth(seed=1)[:, :1] > 0.5).float()
    out, mask = augment_batch(smooth(), masks, colour, draw(colour, 0, 0, np.arange(2)))
    assert torch.equal(mask, masks) and not torch.equal(out, smooth())


def test_colour_factors_do_what_they_say():
    images = smooth()
    grey = (images * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    dark, _ = apply(images, neutral(brightness=0.5), brightness=0.5)
    torch.testing.assert_close(dark, images * 0.5)
    pale, _ = apply(images, neutral(saturation=0.0), saturation=1.0)
    torch.testing.assert_close(pale, grey.expand_as(images))
    flat, _ = apply(images, neutral(contrast=0.0), contrast=1.0)
    torch.testing.assert_close(flat, grey.mean((2, 3), keepdim=True).expand_as(images))
    bright, _ = apply(images, neutral(brightness=1.5), brightness=0.5)
    assert bright.max() == 1


def test_noise_has_the_asked_deviation_and_its_own_seed():
    images = torch.full((2, 3, 64, 64), 0.5)
    out, _ = apply(images, neutral(noise_seed=[3, 4]), noise=0.05)
    assert (out - 0.5).std().item() == pytest.approx(0.05, rel=0.03)
    again, _ = apply(images, neutral(noise_seed=[4, 3]), noise=0.05)
    assert torch.equal(out.flip(0), again)


def test_the_erased_box_has_the_mean_colour_and_the_rest_is_untouched():
    images = smooth(1, 20, 20)
    out, _ = apply(images, neutral(1, box=(0.25, 0.5, 0.5, 0.25)), erasing=1.0)
    torch.testing.assert_close(out[..., 5:15, 10:15], images.mean((2, 3), keepdim=True).expand(1, 3, 10, 5))
    out[..., 5:15, 10:15] = images[..., 5:15, 10:15]
    assert torch.equal(out, images)


def test_draws_stay_in_their_ranges_and_fill_them():
    drawn = draw(EVERYTHING, 0, 0, np.arange(2000))
    low, high = drawn["angle"].min(), drawn["angle"].max()
    assert -math.pi <= low < -3.1 and 3.1 < high <= math.pi
    for name, (bottom, top) in {"zoom": (0.8, 1.0), "brightness": (0.8, 1.2), "saturation": (0.8, 1.2)}.items():
        assert bottom <= drawn[name].min() < bottom + 0.01, name
        assert top - 0.01 < drawn[name].max() <= top, name
    assert drawn["shift"].abs().max() <= 0.2  # a tenth of the side; the grid's side is 2
    assert set(drawn["flip"].unique().tolist()) == {-1.0, 1.0}
    flipped = (drawn["flip"] < 0).float().mean(0)
    assert ((flipped - 0.5).abs() < 0.05).all()
    top, left, height, width = drawn["box"].T
    assert ((top + height <= 1) & (left + width <= 1)).all()
    erased = height > 0
    assert abs(erased.float().mean().item() - 0.5) < 0.05
    area = (height * width)[erased]
    assert area.max() <= 0.2 + 1e-6 and area.min() >= 0.02 - 1e-6


def test_the_numbers_of_an_image_are_independent():
    drawn = draw(EVERYTHING, 0, 0, np.arange(1500))
    table = torch.stack([drawn["angle"], drawn["zoom"], *drawn["flip"].T, *drawn["shift"].T, drawn["brightness"],
                         drawn["contrast"], drawn["saturation"], drawn["noise_seed"].float()])  # fmt: skip
    assert (torch.corrcoef(table) - torch.eye(len(table))).abs().max() < 0.12


@settings(max_examples=20)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True), st.integers(0, 99), st.integers(0, 99))
def test_an_image_draws_the_same_whatever_its_batch(images, seed, epoch):
    together = draw(EVERYTHING, seed, epoch, np.array(images))
    for i, image in enumerate(images):
        alone = draw(EVERYTHING, seed, epoch, np.array([image]))
        assert all(torch.equal(together[name][i], alone[name][0]) for name in alone)
    for other in (draw(EVERYTHING, seed, epoch + 1, np.array(images)), draw(EVERYTHING, seed + 1, epoch, images)):
        assert not torch.equal(other["angle"], together["angle"])


@pytest.mark.parametrize(("fill", "corner"), [("zeros", 0.0), ("border", 1.0), ("reflection", 1.0)])
def test_what_shows_beyond_the_edge(fill, corner):
    out, _ = apply(torch.ones(1, 3, 24, 24), neutral(1, angle=math.pi / 4), fill=fill)
    torch.testing.assert_close(out[0, :, 0, 0], torch.full((3,), corner))
    torch.testing.assert_close(out[0, :, 12, 12], torch.ones(3))
