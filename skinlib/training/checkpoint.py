"""The state of an interrupted run on disk: tensors as safetensors, the rest as JSON, never a pickle."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from skinlib.paths import new_folder, read_json, write_atomic


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write named tensors; they are copied to the CPU, contiguous, for the format knows no strides."""
    try:
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written ({error}); is the disk full?") from error


def save(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, best: dict[str, torch.Tensor], record: dict
) -> None:
    """Write the state after an epoch as ``folder/<epoch>`` by one rename, then drop older ones."""
    final = folder / f"{len(record['history']):04d}"
    with new_folder(final) as temporary:
        save_tensors(model.state_dict(), temporary / "model.safetensors")
        save_tensors(best, temporary / "best.safetensors")
        save_tensors(_flat(optimiser), temporary / "optimiser.safetensors")
        record = record | {"run": folder.parent.name}
        write_atomic(temporary / "record.json", json.dumps(record, allow_nan=False))  # keys keep their order
    for old in folder.iterdir():  # older states, and what a killed save left
        if old != final:
            shutil.rmtree(old)


def load(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[dict, dict] | None:
    """Restore the newest whole state into model and optimiser; return (best weights, record), or None for none."""
    whole = sorted(path for path in folder.glob("[0-9]*") if path.is_dir())
    if not whole:
        return None
    newest, device = whole[-1], str(next(model.parameters()).device)
    try:
        if (run := (record := read_json(newest / "record.json")).pop("run")) != folder.parent.name:
            raise LookupError(f"it is of {run}")
        model.load_state_dict(load_file(newest / "model.safetensors", device=device))
        _restore(optimiser, load_file(newest / "optimiser.safetensors", device=device))
        return load_file(newest / "best.safetensors"), record
    except (SafetensorError, RuntimeError, LookupError) as error:
        raise ValueError(f"{newest} is damaged, or of another run ({error}); delete {folder}") from error


def _flat(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


def _restore(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:  # fused optimisers walk memory: moments must lie as their parameter does
            tensor = torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
