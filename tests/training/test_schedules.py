import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.optim import lr_scheduler

from skinlib.config import RunConfig
from skinlib.training.schedules import factor


def oracle(make, steps: int, metrics=None) -> list[float]:
    """Return the learning rates that a torch scheduler gives, a rate of 1 at the start."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule, found = make(optimiser), []
    for step in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step(*([] if metrics is None else [metrics[step]]))
    return found


def ours(config: RunConfig, history=()) -> list[float]:
    return [factor(config, epoch, 0, 1, list(history)[:epoch]) for epoch in range(config.epochs)]


STEP = RunConfig(schedule="step", epochs=20, schedule_step=6, schedule_gamma=0.3)
EXPONENTIAL = RunConfig(schedule="exponential", epochs=12, schedule_gamma=0.01)  # the gamma of the whole run


@pytest.mark.parametrize(("config", "make", "options"), [
    *((RunConfig(schedule="cosine", epochs=n), lr_scheduler.CosineAnnealingLR, {"T_max": n}) for n in (1, 2, 7, 30)),
    (STEP, lr_scheduler.StepLR, {"step_size": 6, "gamma": 0.3}),
    (EXPONENTIAL, lr_scheduler.ExponentialLR, {"gamma": 0.01 ** (1 / 12)}),
])  # fmt: skip
def test_a_schedule_is_torchs(config, make, options):
    assert ours(config) == pytest.approx(oracle(lambda o: make(o, **options), config.epochs), abs=1e-12)
    assert ours(STEP)[18] == pytest.approx(0.027) and factor(EXPONENTIAL, 12, 0, 1, []) == pytest.approx(0.01)


@settings(max_examples=40)
@given(
    st.lists(st.floats(0.5, 2.0) | st.sampled_from([1.0, 1.00005, 0.99995]), min_size=12, max_size=12),
    st.integers(0, 3),
)
def test_plateau_is_torchs(losses, patience):
    config = RunConfig(schedule="plateau", epochs=12, schedule_step=patience, schedule_gamma=0.5)
    make = lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=patience, eps=0)
    assert ours(config, [{"val_loss": loss} for loss in losses]) == pytest.approx(oracle(make, 12, losses))


def test_onecycle_has_torchs_ends_and_shape_and_moves_with_every_step_and_the_others_do_not():
    epochs, steps = 10, 100
    config = RunConfig(schedule="onecycle", epochs=epochs)
    found = [factor(config, epoch, step, steps, []) for epoch in range(epochs) for step in range(steps)]
    wanted = oracle(lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=epochs * steps), epochs * steps - 1)
    assert (found[0], max(found), found[-1]) == (pytest.approx(1 / 25), pytest.approx(1, abs=1e-4), pytest.approx(4e-6))
    # ours peaks at 0.3 of the way, torch's up to a step before it
    shift = max(abs(a - b) for a, b in zip(wanted[1:], wanted, strict=False))
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=False)) <= shift
    for name in ("constant", "cosine", "step", "exponential", "onecycle"):
        config = RunConfig(schedule=name, epochs=5)
        assert len({factor(config, 2, step, 8, []) for step in range(8)}) == (8 if name == "onecycle" else 1), name
    assert ours(RunConfig(schedule="constant", epochs=3)) == [1, 1, 1]
    assert factor(RunConfig(schedule="onecycle", epochs=1), 0, 0, 1, []) == pytest.approx(1 / 25)
