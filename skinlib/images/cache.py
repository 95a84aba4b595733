"""Decode once: image files become one array on disk, resized and colour-corrected, in the order of the cohort."""

from __future__ import annotations

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from skinlib.data.pictures import PictureError, read_image, read_mask
from skinlib.images import colour as colour_steps
from skinlib.paths import Lock, new_folder, read_json, write_json
from skinlib.provenance import canonical_json, cohort_fingerprint, digest, file_digest

CACHE_VERSION = 3  # raise it whenever a decoded or resized pixel can come out different


def _fitted(array: np.ndarray, size: tuple[int, int], *, mask: bool = False) -> np.ndarray:
    # Pillow reckons in integers, so every processor gets the same pixels; torch's resize differs by one between them.
    how = Image.Resampling.NEAREST if mask else Image.Resampling.BILINEAR  # antialiased
    return np.asarray(Image.fromarray(array).resize(size[::-1], how))


@dataclasses.dataclass(frozen=True)
class Cache:
    """Decoded, colour-corrected and resized images on disk, in the order of the cohort.

    ``masks`` is None when no image has a mask.
    """

    images: np.ndarray  # (N, H, W, 3) uint8 memory map, RGB
    masks: np.ndarray | None  # (N, H, W) uint8 memory map of 0 and 1
    has_mask: np.ndarray  # (N,) bool

    @classmethod
    def build(
        cls, cohort: pd.DataFrame, size: tuple[int, int], *, root: str | Path, colour: str = "none", masks: bool = True
    ) -> Cache:
        """Open the cache of a cohort at a size, decoding the files on first use.

        It lies in ``root`` in a folder named after data, size and colour steps. Raises OSError when a file cannot be
        read; nothing is left behind.
        """
        ids = digest("\n".join(cohort["image_id"]))  # the order of the rows
        key = [cohort_fingerprint(cohort), ids, list(size), colour, colour_steps.VERSION, CACHE_VERSION, masks]
        folder = Path(root) / digest(canonical_json(key))[:16]
        shape = (len(cohort), *size, 3)
        if not (found := _opened(folder, shape)):
            with Lock(Path(root) / f".{folder.name}.lock"):
                if not (found := _opened(folder, shape)):
                    shutil.rmtree(folder, ignore_errors=True)
                    _decode_all(cohort, size, colour, masks, folder)
                    found = _opened(folder, shape)
        return found


def _opened(folder: Path, shape: tuple[int, ...]) -> Cache | None:
    """Return a whole cache; None where there is none or its files do not fit, so that it is made anew."""
    load = lambda name: np.load(folder / name, mmap_mode="r")
    try:
        record = read_json(folder / "cache.json")
        has_mask = np.array(record["has_mask"], bool)
        found = Cache(load("images.npy"), load("masks.npy") if has_mask.any() else None, has_mask)
        if {file.name: file_digest(file) for file in folder.glob("*.npy")} != record["digests"]:
            return None
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError):
        return None
    fits = found.images.shape == shape and len(has_mask) == len(found.images)
    return found if fits and (found.masks is None or found.masks.shape == shape[:3]) else None


def _decode_all(cohort: pd.DataFrame, size: tuple[int, int], colour: str, masks: bool, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    n, (height, width) = len(cohort), size
    has_mask = cohort["mask_path"].notna().to_numpy() if masks and "mask_path" in cohort else np.zeros(n, bool)
    needed = n * height * width * (3 + bool(has_mask.any()))
    if needed > (free := shutil.disk_usage(folder.parent).free):
        room = f"needs {needed / 1e9:.1f} GB in {folder.parent}, {free / 1e9:.1f} are free"
        raise OSError(f"the cache of {n} images {room}; make room or choose another results folder")
    image_paths, mask_paths = cohort["image_path"].to_list(), cohort["mask_path"].to_list() if has_mask.any() else []
    with new_folder(folder) as temporary:
        create = lambda name, shape: np.lib.format.open_memmap(temporary / name, mode="w+", dtype=np.uint8, shape=shape)
        images = create("images.npy", (n, height, width, 3))
        planes = create("masks.npy", (n, height, width)) if has_mask.any() else None

        def decode(i: int) -> None:
            image = read_image(image_paths[i])
            images[i] = _fitted(colour_steps.apply(image, colour), size)
            if has_mask[i]:
                mask = read_mask(mask_paths[i])
                if mask.shape != image.shape[:2]:
                    raise PictureError(f"{mask_paths[i]} is a mask of another size than {image_paths[i]}")
                planes[i] = _fitted(mask.astype(np.uint8), size, mask=True)

        with ThreadPoolExecutor(4) as pool:
            list(tqdm(pool.map(decode, range(n)), total=n, desc=f"decode {height}x{width}", unit="img", mininterval=2))
        if planes is not None and not planes.any():
            raise PictureError(f"no mask has a lesion pixel, {mask_paths[has_mask.argmax()]} first; nothing to learn")
        images.flush()
        digests = {file.name: file_digest(file) for file in temporary.glob("*.npy")}
        write_json(temporary / "cache.json", {"has_mask": has_mask.tolist(), "digests": digests})
