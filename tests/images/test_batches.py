import threading

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from skinlib.config import Augment
from skinlib.images.batches import IMAGENET_MEAN, IMAGENET_STD, Batches, _ahead, to_model_input
from skinlib.images.cache import Cache

CPU = torch.device("cpu")
GEOMETRY = Augment(rotation=180, zoom=0.1, brightness=0.1)
EVERYTHING = Augment(zoom=0.2, shift=0.1, brightness=0.2, contrast=0.2, saturation=0.2, noise=0.05, erasing=0.5)


def cache_of(n: int = 12, size: int = 8) -> Cache:
    """Image i has the value i in its red channel; a third of the images have no mask."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(n)[:, None, None]
    return Cache(pixels, (pixels[..., 1] > 128).astype(np.uint8), np.arange(n) % 3 > 0)


def batches(n: int = 12, rows=None, **options) -> Batches:
    rows = np.arange(n) if rows is None else rows
    values = {"batch_size": 5, "normalisation": "none"} | options
    return Batches(cache_of(n), rows, {"label": np.arange(len(rows))}, **values)


sizes = {"n": st.integers(1, 40), "visits": st.integers(1, 100), "batch": st.integers(1, 16), "seed": st.integers(0, 9)}


@settings(max_examples=40)
@given(**sizes)
def test_the_epochs_walk_through_permutations_without_a_gap(n, visits, batch, seed):
    train = Batches(None, np.arange(n), {}, batch_size=batch, augment=GEOMETRY, seed=seed, visits=visits)
    stream = np.concatenate([train.order(epoch) for epoch in range(6)])
    assert len(stream) == 6 * visits
    for start in range(0, len(stream) - n + 1, n):
        assert sorted(stream[start : start + n]) == list(range(n))


@settings(max_examples=40)
@given(**sizes, world=st.integers(1, 3))
def test_processes_share_an_epoch_without_loss_or_repetition(n, visits, batch, seed, world):
    train = Batches(None, np.arange(n), {}, batch_size=batch, augment=GEOMETRY, seed=seed, visits=visits)
    shares = [list(train.epoch(1, CPU, rank=rank, world=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(train)}
    for step in range(len(train)):
        sizes = [len(share[step]["index"]) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    seen = np.concatenate([batch["index"].numpy() for share in shares for batch in share])
    assert sorted(seen) == sorted(train.order(1))


def test_the_order_depends_on_seed_and_epoch_and_its_batches_differ_by_one_image_at_most():
    order = lambda seed, epoch: tuple(batches(40, augment=GEOMETRY, seed=seed).order(epoch))
    assert order(0, 0) == order(0, 0) and len({order(0, 0), order(0, 1), order(1, 0)}) == 3
    sizes = [len(batch["index"]) for batch in batches(13, augment=GEOMETRY, batch_size=6).epoch(0, CPU)]
    assert sizes == [5, 4, 4] and len(batches(13, batch_size=6)) == 3


def test_validation_keeps_order_and_pixels():
    val = batches(rows=np.array([3, 1, 7, 8, 11, 0]), masks=True)
    found = list(val.epoch(5, CPU))
    image, cache = torch.cat([batch["image"] for batch in found]), cache_of()
    assert torch.equal(image, torch.from_numpy(cache.images[val.rows]).permute(0, 3, 1, 2).float() / 255)
    assert torch.equal(torch.cat([b["mask"] for b in found])[:, 0], torch.from_numpy(cache.masks[val.rows]).float())
    assert torch.cat([b["has_mask"] for b in found]).tolist() == cache.has_mask[val.rows].tolist()
    assert torch.cat([b["label"] for b in found]).tolist() == list(range(6))
    assert image.is_contiguous(memory_format=torch.channels_last)


def test_labels_stay_with_their_images():
    for batch in batches(rows=np.arange(2, 12), augment=Augment(rotation=180)).epoch(0, CPU):
        values = (batch["image"][:, 0].mean((1, 2)) * 255).round().int()
        assert values.tolist() == (batch["label"] + 2).tolist()


def test_an_image_is_augmented_by_its_row_whatever_batch_or_subset():
    whole, some = (batches(rows=rows, augment=EVERYTHING, masks=True) for rows in (np.arange(12), np.arange(4, 12)))
    by_row = {}
    for source in (whole, some):
        for batch in source.epoch(2, CPU):
            for row, image, mask in zip(source.rows[batch["index"]], batch["image"], batch["mask"], strict=True):
                by_row.setdefault(int(row), []).append((image, mask))
    assert sorted(len(found) for found in by_row.values()) == [1] * 4 + [2] * 8
    for (first, mask), *others in by_row.values():
        assert 0 <= first.min() and first.max() <= 1
        for second, other in others:
            torch.testing.assert_close(first, second, atol=1e-6, rtol=0)
            assert torch.equal(mask, other)


def test_tables_need_no_images_and_nothing_to_batch_is_an_error():
    with pytest.raises(ValueError, match="no image to make batches of"):
        batches(rows=np.array([], int))
    table = Batches(None, np.arange(3), {"features": np.eye(3, dtype=np.float32)}, batch_size=2)
    assert torch.equal(torch.cat([batch["features"] for batch in table.epoch(0, CPU)]), torch.eye(3))


def test_chosen_views_replace_the_drawn_ones():
    flip = np.array([[1, 1], [-1, 1], [1, -1]], dtype=np.float32)
    views = {"angle": np.zeros(3, dtype=np.float32), "flip": flip}
    cache = cache_of()
    how = {"batch_size": 3, "normalisation": "none", "masks": True, "augment": Augment(flips=False)}
    (batch,) = Batches(cache, np.array([4, 4, 4]), views, **how).epoch(0, CPU)
    assert not {"angle", "flip"} & set(batch)
    order, plain = batch["index"].tolist(), torch.from_numpy(cache.images[4]).permute(2, 0, 1).float() / 255
    for view, wanted in enumerate([plain, plain.flip(2), plain.flip(1)]):
        torch.testing.assert_close(batch["image"][order.index(view)], wanted, atol=1e-5, rtol=0)


def test_minmax_stretches_each_channel_of_each_image_and_imagenet_gives_mean_zero_and_deviation_one():
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.3
    images[1, 2] = 0.7
    out = to_model_input(images, "minmax")
    torch.testing.assert_close(out[0].amin((1, 2)), torch.zeros(3))
    torch.testing.assert_close(out[0].amax((1, 2)), torch.ones(3))
    assert out[1, 2].eq(0).all()
    mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    pixels = torch.stack([mean, mean + deviation, torch.zeros(3)])[..., None, None]
    out = to_model_input(pixels)[..., 0, 0]
    torch.testing.assert_close(out[:2], torch.tensor([[0.0] * 3, [1.0] * 3]))
    torch.testing.assert_close(out[2], torch.tensor([-2.1179, -2.0357, -1.8044]), atol=1e-4, rtol=0)
    assert to_model_input(pixels, "none") is pixels
    with pytest.raises(ValueError, match="'zscore' is unknown; choose imagenet, minmax or none"):
        to_model_input(pixels, "zscore")


def test_reading_ahead_keeps_order_and_ends_and_hands_on_errors_after_what_came_before():
    before = threading.active_count()
    assert list(_ahead(iter([{"i": i} for i in range(20)]))) == [{"i": i} for i in range(20)]
    assert threading.active_count() == before

    def broken():
        yield {"i": 0}
        raise OSError("disk on fire")

    found = _ahead(broken())
    assert next(found) == {"i": 0}
    with pytest.raises(OSError, match="disk on fire"):
        next(found)


def test_reading_ahead_stops_when_the_reader_leaves():
    before, read = threading.active_count(), []

    def endless():
        while True:
            read.append(1)
            yield {}

    found = _ahead(endless(), depth=2)
    next(found)
    found.close()
    assert threading.active_count() == before and len(read) <= 6
