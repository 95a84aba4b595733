"""How fast the full ensemble of the paper is: members, head, with and without views, timed on images in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pandas as pd
import torch

from skinlib.data import demographics
from skinlib.exhibits.estimates import cell
from skinlib.images.batches import to_model_input
from skinlib.papers.joint_ensemble.shown import pixels
from skinlib.provenance import environment
from skinlib.training.runs import Run
from skinlib.training.symmetries import SYMMETRIES, views

REPEATS = 5  # of a timing; the median counts


@torch.inference_mode()
def timings(
    head: Run, members: Mapping[str, Run], cohort: pd.DataFrame, *, device: str, batch: int = 32
) -> pd.DataFrame:
    """Time the full ensemble on images in memory: all members, the head, with and without views, and each part alone.

    Returns
    -------
    DataFrame
        part (``ensemble``, ``ensemble with TTA``, ``head``, member), device, views, images, repeat, milliseconds and
        machine.
    """
    config = next(iter(members.values())).config
    seen = torch.from_numpy(pixels(cohort, next(iter(members.values())))[0][:batch].copy())
    image = (
        to_model_input(seen.permute(0, 3, 1, 2).float() / 255, config.normalisation)
        .contiguous(memory_format=torch.channels_last)
        .to(device)
    )
    meta = torch.from_numpy(demographics.encode(cohort.head(batch))).to(device)
    nets = {name: run.model().to(device) for name, run in members.items()}
    fused = head.model().to(device)

    def ensemble(tta: str) -> torch.Tensor:
        seen = [torch.cat([net(view)["features"] for net in nets.values()], 1) for _, view in views(image, tta)]
        return fused(meta=meta, features=torch.stack(seen, 1))["logits"]

    pooled = torch.cat([net(image)["features"] for net in nets.values()], 1)
    parts = {"ensemble": lambda: ensemble("none"), "ensemble with TTA": lambda: ensemble("flips")}
    parts |= {"head": lambda: fused(meta=meta, features=pooled)} | {
        n: lambda net=net: net(image) for n, net in nets.items()
    }
    rows = []
    for name, work in parts.items():
        seen = 1 + len(SYMMETRIES["flips"]) if "TTA" in name else 1
        rows += [(name, device, seen, len(image), k, 1000 * time_) for k, time_ in enumerate(_times(work, device))]
    table = pd.DataFrame(rows, columns=["part", "device", "views", "images", "repeat", "milliseconds"])
    here = environment()
    machine = here["gpu"] if device.startswith("cuda") else f"{here['processor']}, {torch.get_num_threads()} thread(s)"
    return table.assign(machine=f"{machine}; {len(nets)} members, {config.image_size[0]} px, fp32")


def _times(work, device: str) -> list[float]:
    """Return the seconds of `REPEATS` calls after one that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return taken[1:]


def throughput(kept: pd.DataFrame, *, dataset: str) -> pd.DataFrame:
    """Return images a second of each part: the median of the repeats, with their range.

    Rows ``ensemble, CPU`` and ``ensemble with TTA, CPU``, or ``..., one GPU``.
    """
    cells = []
    for (part, device), rows in kept.groupby(["part", "device"], sort=False):
        speed = 1000 * rows["images"] / rows["milliseconds"]
        place = "one GPU" if device.startswith("cuda") else "CPU"
        words = f"{int(rows['views'].iloc[0])} view(s), {int(rows['images'].iloc[0])} images at once; range of "
        words += f"{len(rows)} repeats; {rows['machine'].iloc[0]}"
        about = {"low": speed.min(), "high": speed.max(), "n": rows["images"].iloc[0], "dataset": dataset}
        cells.append(cell(f"{part}, {place}", "images_per_second", speed.median(), split="test", note=words, **about))
    return pd.DataFrame(cells)
