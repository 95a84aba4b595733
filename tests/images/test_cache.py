import collections

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import resize
from written import write_cohort

from skinlib.images import cache as cache_module
from skinlib.images.cache import Cache


def picture(seed: int, height: int = 30, width: int = 40) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def cohort(tmp_path):
    """Four PNG images of 30 x 40; the third has no mask."""
    masks = [picture(i + 10)[..., 0] if i != 2 else None for i in range(4)]
    return write_cohort(tmp_path, {f"I{i}": (picture(i), mask) for i, mask in enumerate(masks)})


def test_images_of_the_same_size_are_stored_as_they_are_in_the_cohorts_order(cohort, tmp_path):
    found = Cache.build(cohort, (30, 40), root=tmp_path / "cache")
    assert (found.images.dtype, found.images.shape) == (np.uint8, (4, 30, 40, 3))
    assert all(np.array_equal(found.images[i], picture(i)) for i in range(4))
    assert found.has_mask.tolist() == [True, True, False, True] and not found.masks[2].any()
    assert np.array_equal(found.masks[0], picture(10)[..., 0] > 128)
    assert np.array_equal(Cache.build(cohort.iloc[::-1], (30, 40), root=tmp_path / "cache").images[0], picture(3))


def test_images_are_resized_to_height_and_width(cohort, tmp_path):
    found = Cache.build(cohort, (12, 20), root=tmp_path / "cache")
    assert found.images.shape == (4, 12, 20, 3) and found.masks.shape == (4, 12, 20)
    for i in range(4):  # an antialiased bilinear filter, near torch's, which is not the same on every processor
        planes = torch.from_numpy(picture(i)).permute(2, 0, 1)
        other = resize(planes, [12, 20], antialias=True).permute(1, 2, 0).numpy()
        assert np.abs(found.images[i].astype(int) - other).max() <= 2
    assert found.images[0, ::4, ::9, 0].ravel().tolist() == [65, 142, 246, 246, 113, 55, 42, 69, 87]
    nearest = np.ix_(((np.arange(12) + 0.5) * 30 / 12).astype(int), np.arange(20) * 2 + 1)
    assert np.array_equal(found.masks[0], picture(10)[..., 0][nearest] > 128)


@pytest.mark.parametrize("without", ["asked", "no column", "none known"])
def test_no_mask_no_plane(cohort, tmp_path, without):
    changed = {"asked": cohort, "no column": cohort.drop(columns="mask_path")}
    table = changed.get(without, cohort.assign(mask_path=np.nan))
    found = Cache.build(table, (30, 40), root=tmp_path / "cache", masks=without != "asked")
    assert found.masks is None and not found.has_mask.any()


def spy(monkeypatch) -> list[str]:
    """Return the list of files that are decoded from now on."""
    decoded = []
    for name in ("read_image", "read_mask"):
        real = getattr(cache_module, name)
        monkeypatch.setattr(cache_module, name, lambda path, real=real: decoded.append(path) or real(path))
    return decoded


def test_files_are_decoded_once(cohort, tmp_path, monkeypatch):
    decoded, first = spy(monkeypatch), Cache.build(cohort, (16, 16), root=tmp_path / "cache")
    assert len(decoded) == 7
    second = Cache.build(cohort, (16, 16), root=tmp_path / "cache")
    assert len(decoded) == 7
    assert np.array_equal(first.images, second.images) and np.array_equal(first.masks, second.masks)


@pytest.mark.parametrize("damage", ["cut", "empty", "other shape", "reordered", "{}", ""])
def test_a_cache_that_does_not_fit_is_made_anew(cohort, tmp_path, damage):
    before = np.array(Cache.build(cohort, (30, 40), root=tmp_path / "cache").images)
    folder = next(path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    if damage in ("other shape", "reordered"):
        np.save(folder / "images.npy", before[::-1] if damage == "reordered" else before[:3])
    elif damage in ("cut", "empty"):
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[: 900 * (damage == "cut")])
    else:
        (folder / "cache.json").write_text(damage)
    assert np.array_equal(Cache.build(cohort, (30, 40), root=tmp_path / "cache").images, before)


@pytest.mark.parametrize("change", ["size", "colour", "masks", "order", "rows", "bytes"])
def test_another_size_colour_order_or_byte_is_another_cache(cohort, tmp_path, monkeypatch, change):
    Cache.build(cohort, (16, 16), root=tmp_path / "cache")
    decoded = spy(monkeypatch)
    if change == "bytes":
        Image.fromarray(picture(99)).save(cohort.loc[1, "image_path"])
    table = {"order": cohort.iloc[::-1], "rows": cohort.iloc[:3]}.get(change, cohort)
    options = {"colour": {"colour": "clahe"}, "masks": {"masks": False}}.get(change, {})
    Cache.build(table, (16, 20) if change == "size" else (16, 16), root=tmp_path / "cache", **options)
    assert len(decoded) >= 3 and len([p for p in (tmp_path / "cache").iterdir() if p.is_dir()]) == 2


def leftovers(root) -> list[str]:
    """Return what lies in the folder of caches but for lock files, which are empty and stay."""
    return [p.name for p in root.iterdir() if p.suffix != ".lock"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_truncated_image_is_one_clear_error_and_leaves_nothing(cohort, tmp_path, share, kind):
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    cohort.loc[1, "image_path"] = str(path)
    with pytest.raises(OSError, match=rf"cut\.{kind} cannot be read as an image"):
        Cache.build(cohort, (16, 16), root=tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


def test_a_broken_mask_is_named_and_mended(cohort, tmp_path):
    mask = tmp_path / "I1_mask.png"
    whole = mask.read_bytes()
    mask.write_text("no image")
    with pytest.raises(OSError, match=r"I1_mask\.png cannot be read"):
        Cache.build(cohort, (30, 40), root=tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []
    mask.write_bytes(whole)
    assert np.array_equal(Cache.build(cohort, (30, 40), root=tmp_path / "cache").masks[1], picture(11)[..., 0] > 128)
    Image.fromarray(picture(11)[:-1, :, 0]).save(mask)
    with pytest.raises(OSError, match=r"I1_mask\.png is a mask of another size than .*\.png"):
        Cache.build(cohort, (30, 40), root=tmp_path / "cache")


def test_a_full_disk_is_told_before_work_starts(cohort, tmp_path, monkeypatch):
    decoded = spy(monkeypatch)
    usage, needed = collections.namedtuple("usage", "total used free"), 4 * 16 * 16 * 4
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - needed + 1, needed - 1))
    with pytest.raises(OSError, match=r"cache of 4 images needs .* GB .*make room"):
        Cache.build(cohort, (16, 16), root=tmp_path / "cache")
    assert decoded == [] and leftovers(tmp_path / "cache") == []
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - needed, needed))
    assert len(Cache.build(cohort, (16, 16), root=tmp_path / "cache").images) == 4
