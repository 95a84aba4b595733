"""The one training loop. It knows neither paper nor data set: models, batches and named losses come from outside."""

import contextlib
import ctypes
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from skinlib.config import RunConfig
from skinlib.images.batches import Batches
from skinlib.provenance import digest
from skinlib.training import checkpoint
from skinlib.training.losses import Term
from skinlib.training.processes import WholeBatch
from skinlib.training.schedules import factor

# M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of glibc's malloc.h
MALLOC = {-3: 1 << 30, -1: 2**31 - 1, -2: 1 << 28}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run computes: the device, the precision there, and this process among others (torchrun)."""

    device: torch.device
    precision: str  # of training steps: fp32 | bf16
    rank: int = 0
    world: int = 1

    def autocast(self) -> torch.autocast:
        """Return the context in which a network is trained at this precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def apply(self, model: nn.Module, batch: dict) -> dict[str, torch.Tensor]:
        """Return what a network says of a batch; to predict in fp32, for bf16 moved probabilities by up to 0.12."""
        return model(batch.get("image"), batch.get("meta"), features=batch.get("features"))


@functools.cache
def _keep_freed_memory() -> None:
    """Ask glibc, where there is one, to keep freed blocks; the price is that the process's memory does not shrink."""
    # By default it maps every batch's tensors anew and the kernel clears every page: 8 ms of a 0.3 ms operation here.
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        for parameter, value in MALLOC.items():
            ctypes.CDLL("libc.so.6").mallopt(parameter, value)


def place(device: str = "auto", precision: str = "auto") -> Place:
    """Resolve ``auto``: a GPU where there is one, bf16 where the device multiplies it faster than fp32.

    Under ``torchrun`` the process group is joined: nccl for tensors of GPUs, gloo for those of the CPU.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and world > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r} is unknown; choose auto, cpu or cuda") from error
    if (gpu := found.type == "cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is asked for, and torch finds no GPU here; choose auto or cpu")
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if gpu else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if fast else "fp32"
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is unknown; choose auto, fp32 or bf16")
    if not gpu:
        _keep_freed_memory()
    if world > 1 and not dist.is_initialized():
        if found.type == "cuda":
            torch.cuda.set_device(found)
        dist.init_process_group("cpu:gloo,cuda:nccl" if found.type == "cuda" else "gloo")
    return Place(found, precision, rank, world)


def _strided_in_fp32(model: nn.Module) -> None:
    """Take depthwise convolutions with a stride out of bf16, where oneDNN's gradient takes six times as long."""
    for conv in model.modules():
        if isinstance(conv, nn.Conv2d) and 1 < conv.groups == conv.in_channels and max(conv.stride) > 1:
            forward = torch.autocast("cpu", enabled=False)(conv.forward)
            conv.forward = lambda maps, forward=forward: forward(maps.float()).to(maps.dtype)


def optimiser_for(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """Build the optimiser: a group each for early, late and head parameters, its ``scale`` the factor on ``lr``."""
    scales = {"early": config.lr_early, "late": config.lr_late, "head": 1.0}
    where = model.depth_groups()
    members: dict[str, list] = {name: [] for name in scales}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            members[where.get(name, "head")].append(parameter)
    groups = [{"params": m, "lr": config.lr * scales[g], "scale": scales[g]} for g, m in members.items() if m]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser]
    return kind(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)


def total_loss(
    output: dict, batch: dict, terms: dict[str, Term], weights: dict[str, float], world: int = 1
) -> tuple[torch.Tensor, dict[str, tuple[float, float]]]:
    """Return the weighted loss of a batch and each term's (sum, count) on this process.

    With several processes each term is divided by the count over all of them and multiplied by their number, because
    gradients are averaged afterwards: the gradient is that of one process with the whole batch.
    """
    total, parts = next(iter(output.values())).new_zeros((), dtype=torch.float32), {}
    for name, term in terms.items():
        value, count = term(output, batch)
        parts[name] = (float(value.detach()), float(count))
        if world > 1:
            count = count.clone()
            dist.all_reduce(count)
        if float(count) > 0 and weights[name]:
            total = total + weights[name] * world * value / count
    return total, parts


def train_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, batch: dict, terms: dict[str, Term], *, config, where: Place
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Move the weights by one batch; return its loss and the parts as `total_loss` does."""
    with where.autocast():
        output = where.apply(model, batch)
    loss, parts = total_loss(output, batch, terms, config.losses, where.world)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if config.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimiser.step()
    return float(loss.detach()), parts


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, terms: dict[str, Term], config: RunConfig, where: Place) -> dict:
    """Return the mean of every loss term over all batches, in evaluation mode."""
    model.eval()
    parts = [
        total_loss(where.apply(model, batch), batch, terms, config.losses)[1]
        for batch in batches.epoch(0, where.device)
    ]
    return _means(parts, config.losses, 1)


def fit(
    model: nn.Module,
    train: Batches,
    val: Batches | None,
    *,
    terms: dict[str, Term],
    config: RunConfig,
    where: Place,
    folder: Path,
    progress: Callable[[int, int, int, float], None] | None = None,
    stop_after: int | None = None,
) -> list[dict]:
    """Train a model in place and leave it with its best weights; return a row an epoch.

    The best epoch is the one of lowest validation loss; without ``val``, or where the configuration keeps the last, it
    is the last. After every epoch the whole state is written to ``folder``; called again after a kill, training goes on
    from there, bit for bit on the CPU. ``progress`` is called with (epoch, steps done, steps, loss). After
    ``stop_after`` epochs of this call it returns; the state on disk is that of an interrupted run.

    The rows are ``epoch, lr, train_<term>, val_<term>, best, seconds, images``. A loss that is not a number raises
    FloatingPointError; the state on disk is that of the last whole epoch.
    """
    model.to(where.device)
    if where.precision == "bf16" and where.device.type == "cpu":
        _strided_in_fp32(model)
    optimiser = optimiser_for(model, config)
    best, history = {}, []
    if state := checkpoint.load(folder, model, optimiser):
        best, history = state[0], state[1]["history"]
    parallel, until = model, config.epochs if stop_after is None else min(config.epochs, len(history) + stop_after)
    if where.world > 1:
        gpu = [where.device] if where.device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=gpu, broadcast_buffers=False)
    for epoch in range(len(history), until):
        if _exhausted(history, config.patience):
            break
        start, seen = time.perf_counter(), []
        parallel.train()
        for step, batch in enumerate(train.epoch(epoch, where.device, rank=where.rank, world=where.world)):
            scale = factor(config, epoch, step, len(train), history)
            for group in optimiser.param_groups:
                group["lr"] = config.lr * group["scale"] * scale
            seed = digest(f"{config.seed}.{epoch}.{step}.0")
            torch.manual_seed(int(seed[:15], 16))  # of dropout; so there is no random state to save
            rows = train.visits // len(train) + (step < train.visits % len(train))  # of all processes
            together = WholeBatch(rows, where.rank, where.world) if where.world > 1 else contextlib.nullcontext()
            with together:
                loss, parts = train_step(parallel, optimiser, batch, terms, config=config, where=where)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at epoch {epoch}, step {step}; lower lr or set clip_norm")
            seen.append(parts)
            if progress:
                progress(epoch, step + 1, len(train), loss)
        row = {"epoch": epoch, "lr": config.lr * factor(config, epoch, 0, len(train), history)}
        row |= {f"train_{name}": value for name, value in _means(seen, config.losses, where.world).items()}
        if val is not None:
            row |= {f"val_{name}": value for name, value in evaluate(model, val, terms, config, where).items()}
        chosen = val is not None and config.keep == "best"  # else nothing is, and every epoch is the best so far
        row["best"] = not chosen or all(row["val_loss"] < old["val_loss"] for old in history)
        row |= {"seconds": time.perf_counter() - start, "images": train.visits}
        history.append(row)
        if row["best"]:
            best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        if where.rank == 0:
            checkpoint.save(folder, model, optimiser, best, {"history": history})
        if where.world > 1:
            dist.barrier()
    model.load_state_dict(best)
    return history


def _means(parts: list[dict], weights: dict[str, float], world: int) -> dict[str, float | None]:
    """Return the weighted loss and the mean of each term over all processes, None where no image had it."""
    sums = np.array([list(one.values()) for one in parts], float).sum(0)  # (terms, 2)
    if world > 1:
        dist.all_reduce(torch.from_numpy(sums))
    means = {name: total / count if count else None for name, (total, count) in zip(parts[0], sums, strict=True)}
    return {"loss": sum(w * means[n] for n, w in weights.items() if w and means[n] is not None), **means}


def _exhausted(history: list[dict], patience: int | None) -> bool:
    if patience is None or not history or "val_loss" not in history[0]:
        return False
    return len(history) - 1 - max(i for i, row in enumerate(history) if row["best"]) >= patience
