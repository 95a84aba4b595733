"""The files of a run's folder: their names, how tables and masks are written and read, and what is kept as evidence."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save

from skinlib.paths import write_atomic

CONFIG, ENVIRONMENT, HISTORY, GRADIENTS = "config.json", "environment.json", "history.csv", "gradients.csv"
PREDICTIONS, SCORES = "predictions.csv.gz", "segmentation.csv.gz"
WEIGHTS, MASKS = NO_EVIDENCE = "model.safetensors", "masks.npz"
HALF = "half.safetensors"  # the weights in half precision, in the place of those of a run that was published
LARGE = 20_000  # numbers of a tensor that is halved; of a small first layer it had moved probabilities by 0.02
DONE = "metrics.json"  # the last file to appear: a folder that has it is whole
EVIDENCE = (CONFIG, ENVIRONMENT, HISTORY, GRADIENTS, PREDICTIONS, SCORES, DONE)  # a run without weights and masks
TABLE = ".csv.gz"  # how the name of a table ends
DIGITS = 6  # significant ones of a number in a table
IDS = dict.fromkeys(("image_id", "lesion_id", "patient_id"), str)


def write(rows: pd.DataFrame, path: Path) -> Path:
    """Write a table of a row an image as gzipped CSV; the same rows give the same bytes."""
    text = rows.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    return write_atomic(path, gzip.compress(text.encode(), mtime=0))


def read(path: Path) -> pd.DataFrame:
    """Read what `write` wrote; ids stay text."""
    return pd.read_csv(path, dtype=IDS, keep_default_na=False, na_values=[""])  # an image may be called NA


def save_masks(masks: Mapping[str, np.ndarray], path: Path) -> None:
    """Write masks, image id -> (H, W) bool of one size, as ``image_id``, ``shape`` and ``packed`` (a bit a pixel)."""
    stacked = np.stack(list(masks.values()))
    packed = np.packbits(stacked.reshape(len(stacked), -1), axis=1)
    np.savez_compressed(path, image_id=np.array(list(masks)), shape=stacked.shape[1:], packed=packed)


def load_masks(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_masks` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        shape = tuple(stored["shape"].tolist())
        pixels = np.unpackbits(stored["packed"], axis=1, count=shape[0] * shape[1]).astype(bool)
        return dict(zip(stored["image_id"].tolist(), pixels.reshape(-1, *shape), strict=True))


def halve(run: Path, folder: Path) -> Path:
    """Copy a run to ``folder/<run id>``, its weights in half precision; ValueError where a number is too large."""
    tensors = load_file(next(file for file in (run / WEIGHTS, run / HALF) if file.is_file()))
    half = {name: t.half() if t.is_floating_point() and t.numel() >= LARGE else t for name, t in tensors.items()}
    if wrong := [name for name, t in half.items() if not torch.isfinite(t).all()]:
        raise ValueError(f"{run}: {wrong[0]} has numbers that half precision does not hold")
    return write_atomic(copy_evidence(run, folder) / HALF, save(half)).parent


def copy_evidence(run: Path, folder: Path) -> Path:
    """Copy a run's folder to ``folder/<run id>`` without its weights and masks; return the new folder."""
    target = folder / run.name
    for file in (run / name for name in EVIDENCE):
        if file.is_file():
            write_atomic(target / file.name, file.read_bytes())
    return target
