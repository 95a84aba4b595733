"""Checks of the files of a data set: each returns a tidy table of what it found, empty where all is well.

Reading (``readers.read``) finds what the label files can show; these functions open the images.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data.readers_files import IMAGE_SUFFIXES, DataError

__all__ = [
    "DataError",
    "exact_duplicates",
    "group_overlap",
    "mask_size",
    "near_duplicates",
    "of_files",
    "orphans",
    "overlap_by_id",
    "perceptual_hashes",
    "unreadable",
]
_BLOCK = 512  # rows of the distance matrix held at once


def _over_files(function: Callable, items: Iterable, threads: int | None = None) -> list:
    """Map in threads: decoding and hashing release the interpreter's lock."""
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))


def _paths(cohort: pd.DataFrame) -> pd.DataFrame:
    """Every image and mask file of a cohort: ``image_id, dataset, kind, path``."""
    tall = cohort.melt(["image_id", "dataset"], ["image_path", "mask_path"], var_name="kind", value_name="path")
    return tall.dropna(subset="path").assign(kind=lambda t: t["kind"].str.removesuffix("_path")).reset_index(drop=True)


def unreadable(cohort: pd.DataFrame, *, threads: int | None = None) -> pd.DataFrame:
    """Files that cannot be decoded to the end: missing, empty, truncated or no image.

    Returns
    -------
    DataFrame
        ``image_id, dataset, kind`` (image or mask), ``path, reason``.
    """
    files = _paths(cohort)
    reasons = _over_files(_decode_error, files["path"], threads)
    return (
        files.assign(reason=pd.Series(reasons, index=files.index, dtype="str"))
        .dropna(subset="reason")
        .reset_index(drop=True)
    )


def _decode_error(path: str) -> str | None:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on a damaged file
        return f"{type(error).__name__}: {error}"
    return None


def mask_size(cohort: pd.DataFrame, *, threads: int | None = None) -> pd.DataFrame:
    """Masks of another size than their image.

    Returns
    -------
    DataFrame
        ``image_id, dataset, image_size, mask_size``, sizes as ``width x height`` in pixels. Files that cannot be opened
        are the business of ``unreadable`` and left out.
    """
    rows = cohort.dropna(subset=["image_path", "mask_path"])[["image_id", "dataset", "image_path", "mask_path"]]
    sizes = {kind: _over_files(_size, rows[f"{kind}_path"], threads) for kind in ("image", "mask")}
    table = rows[["image_id", "dataset"]].assign(image_size=sizes["image"], mask_size=sizes["mask"]).dropna()
    return table[table["image_size"] != table["mask_size"]].reset_index(drop=True)


def _size(path: str) -> str | None:
    try:
        with Image.open(path) as image:
            return f"{image.width} x {image.height}"
    except OSError:
        return None


def of_files(cohort: pd.DataFrame) -> list[str]:
    """Return what ``unreadable`` and ``mask_size`` find, a line each, in the words of ``readers.read``'s findings."""
    lines = [f"{row.kind} {row.path} cannot be read: {row.reason}" for row in unreadable(cohort).itertuples()]
    sizes = mask_size(cohort).itertuples()
    return lines + [f"{row.image_id}: its mask is {row.mask_size}, its image {row.image_size} pixels" for row in sizes]


def orphans(cohort: pd.DataFrame) -> pd.DataFrame:
    """Image files that lie in the folders of a cohort's images or masks and belong to none of its rows.

    Returns
    -------
    DataFrame
        ``folder, file``, sorted.
    """
    known = set(_paths(cohort)["path"])
    found = [
        (folder, name)
        for folder in sorted({str(Path(path).parent) for path in known})
        for name in sorted(entry.name for entry in os.scandir(folder))
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and f"{folder}{os.sep}{name}" not in known
    ]
    return pd.DataFrame(found, columns=["folder", "file"])


def exact_duplicates(cohort: pd.DataFrame, *, threads: int | None = None) -> pd.DataFrame:
    """Pairs of images whose files are the same byte for byte (SHA-256), within and across the data sets of a cohort.

    Returns
    -------
    DataFrame
        ``image_a, dataset_a, image_b, dataset_b, same_id, sha256``; each pair once, in the order of the cohort.
    """
    rows = cohort.dropna(subset="image_path").reset_index(drop=True)
    hashes = pd.Series(_over_files(_sha256, rows["image_path"], threads), dtype="str")
    pairs = [pair for group in hashes.groupby(hashes).groups.values() for pair in combinations(group, 2)]
    return _pair_table(rows, sorted(pairs), "sha256", lambda a, b: hashes[a])


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pair_table(rows: pd.DataFrame, pairs: list[tuple], name: str, value: Callable) -> pd.DataFrame:
    table = [
        (rows["image_id"][a], rows["dataset"][a], rows["image_id"][b], rows["dataset"][b], value(a, b))
        for a, b in pairs
    ]
    out = pd.DataFrame(table, columns=["image_a", "dataset_a", "image_b", "dataset_b", name])
    out.insert(4, "same_id", out["image_a"] == out["image_b"])
    return out


def perceptual_hashes(cohort: pd.DataFrame, *, threads: int | None = None) -> np.ndarray:
    """64-bit perceptual hash (DCT of the 32 x 32 grey image) of each image, (N,) uint64 in the order of the cohort.

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); the code is imagehash's.
    """
    return np.array(_over_files(_phash, cohort["image_path"], threads), dtype=np.uint64)


def _phash(path: str) -> int:
    import imagehash  # half a second of SciPy, only where it is needed

    with Image.open(path) as image:
        return int(str(imagehash.phash(image.convert("L"))), 16)


def near_duplicates(
    cohort: pd.DataFrame, *, threshold: int = 4, hashes: np.ndarray | None = None, threads: int | None = None
) -> pd.DataFrame:
    """Pairs of images whose perceptual hashes differ in at most ``threshold`` of 64 bits.

    A near pair is a reason to look, no proof: two plain moles on plain skin can share a hash. Exact duplicates are
    among them, at distance 0.

    Parameters
    ----------
    threshold : Hamming distance, 0 to 64.
    hashes : ``perceptual_hashes(cohort)`` where they are at hand.

    Returns
    -------
    DataFrame
        ``image_a, dataset_a, image_b, dataset_b, same_id, distance``, nearest first.
    """
    rows = cohort.reset_index(drop=True)
    hashes = perceptual_hashes(rows, threads=threads) if hashes is None else np.asarray(hashes, dtype=np.uint64)
    if len(hashes) != len(rows):
        raise ValueError(f"{len(hashes)} hashes for {len(rows)} images: they must be in the order of the cohort.")
    found = []
    for start in range(0, len(rows), _BLOCK):
        block = hashes[start : start + _BLOCK, None]
        distance = np.bitwise_count(block ^ hashes[None, start:])
        a, b = np.nonzero(distance <= threshold)
        later = b > a
        found += zip(
            distance[a, b][later].tolist(), (a[later] + start).tolist(), (b[later] + start).tolist(), strict=True
        )
    found.sort()
    distances = {(a, b): d for d, a, b in found}
    return _pair_table(rows, list(distances), "distance", lambda a, b: distances[a, b])


def overlap_by_id(cohorts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How many image ids two cohorts share.

    Parameters
    ----------
    cohorts : name -> cohort; pass parts (``{"isic2016 test": ...}``) to compare parts.

    Returns
    -------
    DataFrame
        A row a pair of names: ``a, b, images_a, images_b, shared`` and ``ids`` (the shared ids, a sorted tuple).
    """
    sets = {name: set(cohort["image_id"]) for name, cohort in cohorts.items()}
    rows = []
    for a, b in combinations(sets, 2):
        shared = tuple(sorted(sets[a] & sets[b]))
        rows.append((a, b, len(sets[a]), len(sets[b]), len(shared), shared))
    return pd.DataFrame(rows, columns=["a", "b", "images_a", "images_b", "shared", "ids"])


def group_overlap(
    split: pd.DataFrame, cohort: pd.DataFrame, *, by: Iterable[str] = ("patient_id", "lesion_id")
) -> pd.DataFrame:
    """Patients and lesions that stand in more than one part of a fold.

    Parameters
    ----------
    split : ``image_id, fold, part``, one row an image and fold.
    cohort : ``image_id`` and the columns of ``by``; images whose patient or lesion is unknown cannot be checked.

    Returns
    -------
    DataFrame
        ``fold, by, group, parts`` (names joined by ``+``), ``images``.
    """
    joined = split.merge(cohort[["image_id", *by]], on="image_id", how="left", validate="many_to_one")
    found = []
    for column in by:
        for (fold, group), rows in joined.dropna(subset=column).groupby(["fold", column], sort=True):
            if rows["part"].nunique() > 1:
                found.append((fold, column, group, "+".join(sorted(rows["part"].unique())), len(rows)))
    return pd.DataFrame(found, columns=["fold", "by", "group", "parts", "images"])
