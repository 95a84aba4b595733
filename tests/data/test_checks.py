import itertools

import hypothesis.strategies as st
import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from PIL import Image

from skinlib.data import checks


def picture(seed: int, size: int = 48) -> np.ndarray:
    """A smooth random picture: noise would have no perceptual hash worth the name."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


@pytest.fixture
def cohort(tmp_path):
    """Six good images with masks, of two sets."""
    rows = []
    for i in range(6):
        image, mask = tmp_path / "images" / f"I{i}.png", tmp_path / "masks" / f"I{i}_segmentation.png"
        for path in (image, mask):
            path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(i)).save(image)
        Image.fromarray(np.full((48, 48), 255, dtype=np.uint8)).save(mask)
        rows.append((f"I{i}", "ab"[i % 2], str(image), str(mask)))
    return pd.DataFrame(rows, columns=["image_id", "dataset", "image_path", "mask_path"])


def test_a_good_cohort_has_no_findings(cohort):
    for check in (checks.unreadable, checks.mask_size, checks.exact_duplicates, checks.near_duplicates):
        assert check(cohort).empty


def test_unreadable_finds_truncated_empty_missing_and_foreign_files(cohort, tmp_path):
    whole = (tmp_path / "images" / "I0.png").read_bytes()
    (tmp_path / "images" / "I0.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "images" / "I1.png").write_bytes(b"")
    (tmp_path / "masks" / "I2_segmentation.png").unlink()
    (tmp_path / "images" / "I3.png").write_text("<html>not found</html>")
    Image.fromarray(picture(9)).save(tmp_path / "whole.jpg")
    jpeg = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "images" / "I4.png").write_bytes(jpeg[:-200])  # opens, and breaks only while decoding
    found = checks.unreadable(cohort)
    assert sorted(zip(found["image_id"], found["kind"], strict=True)) == [
        ("I0", "image"), ("I1", "image"), ("I2", "mask"), ("I3", "image"), ("I4", "image")
    ]  # fmt: skip
    assert found["reason"].str.len().min() > 5


def test_masks_of_another_size(cohort, tmp_path):
    Image.fromarray(np.zeros((30, 48), dtype=np.uint8)).save(tmp_path / "masks" / "I4_segmentation.png")
    wanted = {"image_id": "I4", "dataset": "a", "image_size": "48 x 48", "mask_size": "48 x 30"}
    assert checks.mask_size(cohort).to_dict("records") == [wanted]


def test_masks_without_a_lesion_and_without_skin(cohort, tmp_path):
    mask = lambda name, values: Image.fromarray(values).save(tmp_path / "masks" / f"{name}_segmentation.png")
    mask("I0", np.zeros((48, 48), np.uint8))
    mask("I1", np.pad(np.ones((9, 9), np.uint8), ((0, 39), (0, 39))))  # 0 and 1: a lesion all the same
    mask("I2", np.resize(np.arange(5, dtype=np.uint8), (48, 48)))
    mask("I3", 255 - 255 * np.pad(np.ones((30, 30), np.uint8), 9))
    mask("I4", np.repeat(np.uint8([0, 100, 200]), 16)[:, None].repeat(48, 1))
    ring = np.zeros((48, 48), np.uint8)
    ring[10, 10:30] = ring[29, 10:30] = ring[10:30, 10] = ring[10:30, 29] = 255
    mask("I5", ring)
    found = checks.odd_masks(cohort)
    marks = dict(zip(found["image_id"], found["marks"], strict=True))
    odd = {"I0": "none", "I3": "the edge", "I5": "a line or a few pixels"}
    assert marks == dict.fromkeys(cohort["image_id"][6:], "all") | odd
    lines = checks.of_files(cohort)
    assert any("I0_segmentation.png marks none of its picture" in line for line in lines)
    assert sum("is no mask of lesion and skin" in line for line in lines) == 2  # I2 and I4
    (tmp_path / "images" / "I3.png").write_bytes((tmp_path / "images" / "I4.png").read_bytes())
    assert "I3 and I4 are the same file" in checks.of_files(cohort)


def test_exact_duplicates_of_three_files_are_three_pairs(cohort, tmp_path):
    for copy in ("I3", "I5"):
        (tmp_path / "images" / f"{copy}.png").write_bytes((tmp_path / "images" / "I1.png").read_bytes())
    found = checks.exact_duplicates(cohort)
    assert list(zip(found["image_a"], found["image_b"], strict=True)) == [("I1", "I3"), ("I1", "I5"), ("I3", "I5")]
    assert found["sha256"].nunique() == 1 and not found["same_id"].any()


def test_near_duplicates_survive_size_format_and_compression(cohort, tmp_path):
    Image.fromarray(picture(2)).resize((80, 80), Image.Resampling.LANCZOS).save(tmp_path / "copy.jpg", quality=70)
    extra = pd.DataFrame([("I2", "c", str(tmp_path / "copy.jpg"), None)], columns=cohort.columns)
    found = checks.near_duplicates(pd.concat([cohort, extra], ignore_index=True))
    both = found[["image_a", "dataset_a", "image_b", "dataset_b", "same_id"]].to_numpy().tolist()
    assert both == [["I2", "a", "I2", "c", True]] and found["distance"][0] <= 4


def test_perceptual_hashes_are_imagehash_s(cohort):
    for value, path in zip(checks.perceptual_hashes(cohort), cohort["image_path"], strict=True):
        with Image.open(path) as image:
            assert f"{value:016x}" == str(imagehash.phash(image))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=12), st.integers(0, 64))
def test_near_duplicates_equal_the_plain_double_loop(values, threshold):
    cohort = pd.DataFrame({"image_id": [f"I{i}" for i in range(len(values))], "dataset": "a"})
    found = checks.near_duplicates(cohort, threshold=threshold, hashes=np.array(values, dtype=np.uint64))
    pairs = itertools.combinations(range(len(values)), 2)
    plain = sorted(((values[a] ^ values[b]).bit_count(), a, b) for a, b in pairs)
    wanted = [(d, f"I{a}", f"I{b}") for d, a, b in plain if d <= threshold]
    assert list(zip(found["distance"], found["image_a"], found["image_b"], strict=True)) == wanted


def test_near_duplicates_across_blocks():
    hashes = np.random.default_rng(0).integers(0, 2**63, 1300, dtype=np.uint64)
    hashes[1299] = hashes[3] ^ np.uint64(0b101)
    cohort = pd.DataFrame({"image_id": [f"I{i}" for i in range(1300)], "dataset": "a"})
    found = checks.near_duplicates(cohort, threshold=4, hashes=hashes)
    assert found[["image_a", "image_b", "distance"]].to_numpy().tolist() == [["I3", "I1299", 2]]
    with pytest.raises(ValueError, match="2 hashes for 1300 images"):
        checks.near_duplicates(cohort, hashes=hashes[:2])
