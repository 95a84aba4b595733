"""What each of two processes does under torchrun in test_distributed.py: python two_processes.py DATA RESULTS OUT."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from toy_problem import Toy, batches, config, terms

from skinlib import models, provenance
from skinlib.config import RunConfig
from skinlib.training import build, checkpoint, fit, runs

ODD = 37  # images
SETTINGS = config(epochs=3, visits=ODD)


def step_gradients(model, settings: RunConfig, where: fit.Place) -> dict[str, torch.Tensor]:
    """Train one step on one batch of all images and return its gradients."""
    parallel = DistributedDataParallel(model) if where.world > 1 else model
    train = batches(ODD, size=32, batch_size=ODD, augment=settings.augment)
    (batch,) = train.epoch(0, where.device, rank=where.rank, world=where.world)
    optimiser = fit.optimiser_for(model, settings)
    _, parts = fit.train_step(parallel, optimiser, batch, terms(settings), config=settings, where=where)
    loss = fit._means([parts], settings.losses, where.world)["loss"]
    return {name: p.grad for name, p in model.named_parameters()} | {"loss": torch.tensor(loss)}


def one_step(where: fit.Place) -> dict[str, torch.Tensor]:
    """Return the gradients of networks whose batch norm does not see the batch: there is none, or it is frozen."""
    settings = config(batch_size=ODD, class_weights=True, clip_norm=None)
    plain = Toy(norm=False, dropout=0.0).train()
    real = models.build(RunConfig(backbone="test_resnet", weights="none")).eval()
    found = {}
    for kind, model in (("plain", plain), ("real", real)):
        for name, value in step_gradients(model, settings, where).items():
            found[f"{kind}.{name}"] = value.float()
    return found


def fit_toy(where: fit.Place, folder: Path) -> tuple[Toy, list[dict]]:
    """Train a network with batch norm and dropout; a bias before batch norm has a gradient of rounding alone."""
    model, about = Toy(), {"terms": terms(SETTINGS), "config": SETTINGS, "where": where, "folder": folder}
    model.stem.bias.requires_grad_(False)
    train = batches(ODD, augment=SETTINGS.augment, batch_size=8)
    return model, fit.fit(model, train, batches(21, batch_size=8), **about)


def watch(folder: Path) -> list[str]:
    """Return the list of what this process writes, makes, renames or removes under a folder from now on."""
    seen = []

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and str(path).startswith(str(folder)):
            seen.append(f"{event} {path}")

    sys.addaudithook(hook)
    real = checkpoint.save_tensors
    checkpoint.save_tensors = lambda tensors, path: (seen.append(f"save {path}"), real(tensors, path))
    return seen


def main(data_root: Path, results_root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    where = fit.place("cpu", "fp32")
    found = {"world": where.world, "rank": where.rank}
    checkpoint.save_tensors(one_step(where), out / f"gradients{where.rank}.safetensors")

    train = batches(ODD, augment=SETTINGS.augment, batch_size=8)
    found["seen"] = [
        [batch["index"].tolist() for batch in train.epoch(epoch, where.device, rank=where.rank, world=where.world)]
        for epoch in range(2)
    ]
    model, history = fit_toy(where, out / f"last{where.rank}")
    found["weights"] = provenance.digest(b"".join(v.numpy().tobytes() for v in model.state_dict().values()))
    found["history"] = [{k: float(v) for k, v in row.items() if k != "seconds"} for row in history]

    written = watch(results_root / "runs")
    tiny = RunConfig.from_json((out / "tiny.json").read_text())
    run = runs.ensure(tiny, data_root=data_root, results_root=results_root, device="cpu")
    found["run"], found["files"] = run.id, sorted(p.name for p in run.path.iterdir())
    build.train = None  # a second call must find
    found["again"] = runs.ensure(tiny, data_root=data_root, results_root=results_root, device="cpu").id
    found["written"] = written
    (out / f"found{where.rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
