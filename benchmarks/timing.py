"""How things are timed: windows of whole steps, arms in turn, medians; and a process of its own where habits matter."""

from __future__ import annotations

import abc
import dataclasses
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

from skinlib import provenance


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes of the benchmark; `QUICK` only shows that it runs."""

    images: int = 300
    pixels: int = 256  # of the files; as wide as the reduced real sets
    cases: tuple[tuple[str, int, int], ...] = (  # (backbone, pixels, batch)
        ("mobilenetv2_100", 128, 32),
        ("mobilenetv2_100", 224, 16),
        ("resnet50", 224, 16),
    )
    outlines: tuple[tuple[str, tuple[int, int], tuple[int, ...]], ...] = (  # (variant, size, widths of the levels)
        ("seg", (192, 256), (32, 64, 128, 256, 320, 320)),
        ("mtl3", (192, 256), (32, 64, 128, 256, 320, 320)),
    )
    redrawn: tuple[tuple[str, int, int], ...] = (("resnet50", 224, 16),)
    cams: tuple[tuple[str, int, int], ...] = (("mobilenetv2_100", 128, 32), ("resnet50", 224, 8))
    predicted: tuple[int, int] = (96, 24)  # images of ours and of the plain loop, in a repeat
    repeats: int = 5
    seconds: float = 2.0  # of a window
    apart: bool = True  # peers in processes of their own; without, they inherit our settings and start at once

    def process(self) -> Apart | Here:
        return Apart() if self.apart else Here()


QUICK = Settings(
    images=56,
    pixels=32,
    cases=(("resnet10t", 32, 8),),
    outlines=(("seg", (16, 32), (4, 4, 4)), ("mtl3", (16, 32), (4, 4, 4))),
    redrawn=(("resnet10t", 32, 8),),
    cams=(("resnet10t", 32, 4),),
    predicted=(8, 2),
    repeats=1,
    seconds=0.0,
    apart=False,
)


class Loop(abc.ABC):
    """A training loop whose steps are timed; a subclass has ``batch``, the images of a step."""

    batch: int
    steps = 2

    @abc.abstractmethod
    def run(self, steps: int) -> list[float]:
        """Do some steps and return the time after each, in seconds."""

    def settle(self, seconds: float) -> float:
        """Warm up, make a window last about ``seconds``, and return the rate seen."""
        times = self.run(2)
        self.steps = max(2, round(seconds / (times[-1] - times[-2])))
        return self.batch / (times[-1] - times[-2])

    def window(self) -> float:
        """Return images a second over ``steps`` steps, after one that is not counted."""
        times = self.run(1 + self.steps)
        return self.steps * self.batch / (times[-1] - times[0])


class Apart:
    """A process of its own, whose objects inherit no setting of ours: ``make`` builds one there, ``call`` uses it.

    ``make`` returns at once, so that several processes start together; a ``call`` waits.
    """

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()

    def make(self, build: Callable, *arguments: object) -> None:
        """Build the object that calls are for, in the place of the one before."""
        self.pipe.send((build, arguments))

    def call(self, method: str, *arguments: object) -> float:
        self.pipe.send((method, arguments))
        return self.pipe.recv()

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()  # the other side then ends
        self.process.join()


class Here:
    """What `Apart` does, in this process."""

    served = None

    def make(self, build: Callable, *arguments: object) -> None:
        self.served = build(*arguments)

    def call(self, method: str, *arguments: object) -> float:
        return getattr(self.served, method)(*arguments)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        self.served = None


def _serve(pipe: Connection) -> None:
    served = None
    while True:
        try:
            act, given = pipe.recv()
        except EOFError:
            return
        if isinstance(act, str):
            pipe.send(getattr(served, act)(*given))
        else:
            del served  # its workers and memory first
            served = act(*given)


def alternate(arms: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Run every arm in turn, ``repeats`` times, and return the median of each."""
    seen: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            seen[name].append(arm())
    return {name: statistics.median(values) for name, values in seen.items()}


def rate_of(act: Callable[[], object], images: int) -> Callable[[], float]:
    """Return a function that does ``act`` once and returns images a second."""

    def measured() -> float:
        begin = time.perf_counter()
        act()
        return images / (time.perf_counter() - begin)

    return measured


def row(name: str, ours: float, peer: float, unit: str = "images/s") -> dict:
    """Return a row of the result; ``name`` says what is measured, and after the bar against what."""
    short = lambda value: float(f"{value:.4g}")
    return {"name": name, "ours": short(ours), "peer": short(peer), "ratio": short(ours / peer), "unit": unit,
            "machine": machine()}  # fmt: skip


def machine() -> str:
    """Return processor, threads, GPU and torch of this machine in a line."""
    seen = provenance.environment()
    parts = [seen["processor"], f"{seen['threads']} threads", seen["gpu"], f"torch {seen['packages']['torch']}"]
    return ", ".join(part for part in parts if part)
