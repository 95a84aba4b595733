"""Learning-rate schedules as functions of the time and the history: a resumed run has no schedule to restore."""

import math

from skinlib.config import RunConfig

WARM, START, END = 0.3, 1 / 25, 1 / 25e4  # one-cycle: share of the rise, first and last factor (torch's defaults)


def factor(config: RunConfig, epoch: int, step: int, steps: int, history: list[dict]) -> float:
    """Return the factor on every learning rate at a step of an epoch.

    ``cosine`` falls from 1 to 0 over the epochs, ``exponential`` to ``schedule_gamma`` at the end, ``step`` by
    ``schedule_gamma`` every ``schedule_step`` epochs, ``plateau`` by ``schedule_gamma`` after more than
    ``schedule_step`` finished epochs of ``history`` without a better validation loss; ``onecycle`` moves with every
    step.
    """
    done = epoch / config.epochs
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "exponential":
        return config.schedule_gamma**done
    if config.schedule == "step":
        return config.schedule_gamma ** (epoch // config.schedule_step)
    if config.schedule == "plateau":
        return config.schedule_gamma ** _plateaus([row["val_loss"] for row in history], config.schedule_step)
    if config.schedule == "onecycle":
        return _onecycle((epoch * steps + step) / max(config.epochs * steps - 1, 1))
    return 1.0


def _plateaus(losses: list[float], patience: int) -> int:
    best, waited, drops = math.inf, 0, 0
    for loss in losses:
        better = loss < best * (1 - 1e-4)  # torch's relative threshold
        best, waited = (loss, 0) if better else (best, waited + 1)
        if waited > patience:
            drops, waited = drops + 1, 0
    return drops


def _onecycle(done: float) -> float:
    begin, end, share = (START, 1.0, done / WARM) if done <= WARM else (1.0, END, (done - WARM) / (1 - WARM))
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * share))
