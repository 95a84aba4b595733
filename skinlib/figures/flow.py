"""A picture of the data flow of a model, made from the model itself: hooks see the real shapes."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from skinlib.figures.style import WIDTH, new, style

LIGHT = "#D6EAF5"
A_LINE = 5  # boxes of a line that stay readable at page width


def trace(
    model: nn.Module, image_size: tuple[int, int], *, expand: Sequence[str] = (), meta: torch.Tensor | None = None
) -> list[dict]:
    """Return the steps of ``model(image)`` or ``model(image, meta)`` in evaluation mode, in the order of their ends.

    Each has name, kind (class), shape (of the output) and parameters; first the input, last what the model returns.
    ``source`` is the earlier step that it reads, where that is not the one before and the tensor is given on untouched.

    Parameters
    ----------
    expand : children shown by their own children instead (``("phi",)`` opens the backbone).
    meta : (1, D), for a network that reads metadata; it comes before the first child that is given it.
    """
    children = dict(model.named_children())
    if unknown := sorted(set(expand) - set(children)):
        raise ValueError(f"{type(model).__name__} has no child {', '.join(unknown)}; it has {', '.join(children)}")
    watched = {name: child for name, child in children.items() if name not in expand}
    for name in expand:
        watched |= {f"{name}.{inner}": module for inner, module in children[name].named_children()}
    device = next(model.parameters()).device
    image, more = torch.zeros(1, 3, *image_size, device=device), [] if meta is None else [meta.to(device)]
    made: list[tuple[str, torch.Tensor]] = []  # holds on to the tensors, for an address may be given twice
    steps = []

    def add(name: str, kind: str, value: torch.Tensor, parameters: int = 0, read: Sequence = ()) -> None:
        step = {"name": name, "kind": kind, "shape": _shape(value), "parameters": parameters}
        sources = [maker for maker, tensor in made if any(one is tensor for one in read)]
        if sources and steps[-1]["name"] not in sources:
            step["source"] = sources[-1]
        steps.append(step)

    def watch(name: str, module: nn.Module):
        def after(_module, inputs, output):
            if more and any(one is more[0] for one in inputs) and all(step["name"] != "metadata" for step in steps):
                add("metadata", "input", more[0])
            add(name, type(module).__name__, output, sum(p.numel() for p in module.parameters()), inputs)
            if isinstance(output, torch.Tensor):
                made.append((name, output))

        return module.register_forward_hook(after)

    add("image", "input", image)
    hooks = [watch(name, module) for name, module in watched.items() if not isinstance(module, nn.Identity)]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            result = model(image, *more)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    for name, value in (result if isinstance(result, dict) else {"output": result}).items():
        if isinstance(value, torch.Tensor):
            add(name, "output", value, read=[value])
    return steps


def _shape(output) -> tuple[int, ...]:
    while not isinstance(output, torch.Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return tuple(output.shape)


def data_flow(
    model: nn.Module,
    image_size: tuple[int, int],
    *,
    expand: Sequence[str] = (),
    meta: torch.Tensor | None = None,
    title: str = "",
) -> Figure:
    """Draw the data flow of a model as boxes and arrows, read like text, with the real shapes; see `trace`."""
    steps = trace(model, image_size, expand=expand, meta=meta)
    lines = -(-len(steps) // A_LINE)
    with style():
        figure, (axis,) = new(height=0.4 + 1.05 * lines, width=WIDTH)
        axis.axis("off")
        axis.set(xlim=(-0.5, A_LINE - 0.5), ylim=(-lines + 0.5, 0.5))
        for k, step in enumerate(steps):
            _box(axis, k % A_LINE, -(k // A_LINE), step)
            # outputs are next to each other, none comes from another; nor does a second input come from anything
            if k and steps[k - 1]["kind"] != "output" and step["kind"] != "input" and "source" not in step:
                _arrow(axis, k)
        axis.set_title(title or type(model).__name__)
    return figure


def _box(axis, x: float, y: float, step: dict) -> None:
    colour = LIGHT if step["kind"] in ("input", "output") else "white"
    shape = (x - 0.43, y - 0.32)
    style_ = "round,pad=0,rounding_size=0.06"
    axis.add_patch(FancyBboxPatch(shape, 0.86, 0.64, boxstyle=style_, facecolor=colour, edgecolor="0.3"))
    size = " × ".join(str(side) for side in step["shape"][1:])
    lines = [step["name"], step["kind"], size]
    lines += [f"{step['parameters']:,} par."] if step["parameters"] else []
    lines += [f"reads {step['source']}"] if "source" in step else []
    axis.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=6.5)


def _arrow(axis, k: int) -> None:
    line, column = divmod(k, A_LINE)
    if column:
        start, end = (column - 0.57, -line), (column - 0.43, -line)
    else:  # to the next line: from below the last box to above the first
        start, end = (A_LINE - 1, -line + 1 - 0.32), (0, -line + 0.32)
    axis.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "0.3"})
