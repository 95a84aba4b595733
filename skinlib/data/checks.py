"""Checks of the files of a data set: each returns a tidy table of what it found, empty where all is well.

Reading (``readers.read``) finds what the label files can show; these functions open the images.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data import pictures
from skinlib.provenance import file_digest

_BLOCK = 512  # rows of the distance matrix held at once


def _over_files(function: Callable, *items: Iterable) -> list:
    """Map in threads: decoding and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, *items))


def _paths(cohort: pd.DataFrame) -> pd.DataFrame:
    """Every image and mask file of a cohort: ``image_id, dataset, kind, path``."""
    tall = cohort.melt(["image_id", "dataset"], ["image_path", "mask_path"], var_name="kind", value_name="path")
    return tall.dropna(subset="path").assign(kind=lambda t: t["kind"].str.removesuffix("_path")).reset_index(drop=True)


def _asked(question: Callable, *items: Iterable) -> tuple[list, list]:
    """Return what each file answers and why it cannot be read, None where that is not so."""

    def ask(*item: str) -> tuple:
        try:
            return question(*item), None
        except pictures.PictureError as error:
            return None, str(error)

    found = _over_files(ask, *items)
    return [answer for answer, _ in found], [reason for _, reason in found]


def unreadable(cohort: pd.DataFrame) -> pd.DataFrame:
    """Files that cannot be decoded to the end: ``image_id, dataset, kind`` (image or mask), ``path, reason``."""
    files, read = _paths(cohort), {"image": pictures.read_image, "mask": pictures.read_mask}
    reasons = _asked(lambda kind, path: read[kind](path).size, files["kind"], files["path"])[1]
    return files.assign(reason=pd.Series(reasons, dtype="str")).dropna(subset="reason").reset_index(drop=True)


def mask_size(cohort: pd.DataFrame) -> pd.DataFrame:
    """Masks of another size than their image, as ``width x height``; files that cannot be opened are left out."""
    rows = cohort.dropna(subset=["image_path", "mask_path"])[["image_id", "dataset", "image_path", "mask_path"]]
    size = lambda path: "{} x {}".format(*pictures.size_of(path))
    sizes = {f"{kind}_size": _asked(size, rows[f"{kind}_path"])[0] for kind in ("image", "mask")}
    table = rows[["image_id", "dataset"]].assign(**sizes).dropna()
    return table[table["image_size"] != table["mask_size"]].reset_index(drop=True)


def odd_masks(cohort: pd.DataFrame) -> pd.DataFrame:
    """Masks that mark no pixel, all, or the edge and not the middle, as if inverted; unreadable ones are left out."""
    files = _paths(cohort).query("kind == 'mask'")
    marks = pd.Series(_asked(lambda path: _odd(pictures.read_mask(path)), files["path"])[0], files.index, dtype=object)
    return files[["image_id", "dataset", "path"]].assign(marks=marks).dropna(subset="marks").reset_index(drop=True)


def _odd(mask: np.ndarray) -> str | None:
    if mask.all() or not mask.any():
        return "all" if mask.all() else "none"
    inside = mask[1:-1, 1:-1] & mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    if inside.sum() < 0.1 * mask.sum():
        return "a line or a few pixels"
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    height, width = mask.shape
    middle = mask[height // 3 : height - height // 3, width // 3 : width - width // 3].mean()
    return "the edge" if edge > 0.9 and middle < 0.1 else None


def of_files(cohort: pd.DataFrame) -> list[str]:
    """Return what the checks above and ``exact_duplicates`` find, a line each, as ``readers.read`` words it."""
    lines = [f"{row.kind} {row.reason}" for row in unreadable(cohort).itertuples()]
    sizes = mask_size(cohort).itertuples()
    lines += [f"{row.image_id}: its mask is {row.mask_size}, its image {row.image_size} pixels" for row in sizes]
    lines += [f"mask {row.path} marks {row.marks} of its picture" for row in odd_masks(cohort).itertuples()]
    same = exact_duplicates(cohort.dropna(subset="image_path")).itertuples()
    return lines + [f"{row.image_a} and {row.image_b} are the same file" for row in same]


def exact_duplicates(cohort: pd.DataFrame) -> pd.DataFrame:
    """Pairs of images whose files are the same byte for byte, within and across the data sets of a cohort.

    Returns ``image_a, dataset_a, image_b, dataset_b, same_id, sha256``; each pair once, in the order of the cohort.
    """
    rows = cohort.dropna(subset="image_path").reset_index(drop=True)
    hashes = pd.Series(_over_files(file_digest, rows["image_path"]), dtype="str")
    pairs = sorted(pair for group in hashes.groupby(hashes).groups.values() for pair in combinations(group, 2))
    return _pair_table(rows, pairs, sha256=[hashes[a] for a, _ in pairs])


def _pair_table(rows: pd.DataFrame, pairs: list[tuple[int, int]], **values: list) -> pd.DataFrame:
    a, b = np.array(pairs, dtype=int).reshape(-1, 2).T
    ids, names = rows["image_id"].to_numpy(object), rows["dataset"].to_numpy(object)
    table = {"image_a": ids[a], "dataset_a": names[a], "image_b": ids[b], "dataset_b": names[b]}
    return pd.DataFrame(table | {"same_id": ids[a] == ids[b]} | values)


def perceptual_hashes(cohort: pd.DataFrame) -> np.ndarray:
    """64-bit perceptual hash (DCT of the 32 x 32 grey image) of each image, (N,) uint64 in the order of the cohort.

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); the code is imagehash's.
    """
    import imagehash  # half a second of SciPy, only where it is needed

    of_file = lambda path: int(str(imagehash.phash(Image.fromarray(pictures.read_image(path)))), 16)
    return np.array(_over_files(of_file, cohort["image_path"]), dtype=np.uint64)


def near_duplicates(cohort: pd.DataFrame, *, threshold: int = 4, hashes: np.ndarray | None = None) -> pd.DataFrame:
    """Pairs as `exact_duplicates` returns them, of `perceptual_hashes` at most ``threshold`` bits apart, nearest first.

    A near pair is a reason to look, no proof: two plain moles on plain skin can share a hash.
    """
    rows = cohort.reset_index(drop=True)
    hashes = perceptual_hashes(rows) if hashes is None else np.asarray(hashes, dtype=np.uint64)
    if len(hashes) != len(rows):
        raise ValueError(f"{len(hashes)} hashes for {len(rows)} images: they must be in the order of the cohort.")
    found = []
    for start in range(0, len(rows), _BLOCK):
        distance = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None, start:])
        a, b = np.nonzero(np.triu(distance <= threshold, k=1))
        found += zip(distance[a, b].tolist(), (a + start).tolist(), (b + start).tolist(), strict=True)
    found.sort()
    return _pair_table(rows, [(a, b) for _, a, b in found], distance=[d for d, _, _ in found])
