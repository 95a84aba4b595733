import itertools
import math

import numpy as np
import pytest
import torch
from toy_problem import CPU, Toy, batches, config, images, terms

from skinlib import models
from skinlib.config import Augment, RunConfig
from skinlib.models.system import Network
from skinlib.training import checkpoint, losses
from skinlib.training import fit as fit_module
from skinlib.training.fit import Place, evaluate, fit, optimiser_for, place, total_loss, train_step
from skinlib.training.schedules import factor


def run(tmp_path, settings: RunConfig, *, val: bool = True, model=None, **options):
    """Fit the toy problem; return network and history."""
    model = model or Toy()
    train = batches(**{name: getattr(settings, name) for name in ("batch_size", "augment", "seed", "visits")})
    held_out = batches(20, batch_size=16) if val else None
    options = {"terms": terms(settings), "config": settings, "where": CPU, "folder": tmp_path / "last"} | options
    return model, fit(model, train, held_out, **options)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("build", [Toy, lambda: models.build(RunConfig(backbone="test_resnet", weights="none"))])
def test_every_parameter_gets_a_gradient(build):
    settings, model = config(), build()
    optimiser = optimiser_for(model, settings)
    for batch in batches(size=32, augment=settings.augment).epoch(0, CPU.device):
        train_step(model.train(), optimiser, batch, terms(settings), config=settings, where=CPU)
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_every_loss_term_falls_on_an_overfitted_batch(tmp_path):
    settings = config(
        augment=Augment(flips=False, rotation=0), epochs=60, batch_size=8, label_smoothing=0.0,
        losses={"cross_entropy": 1.0, "distance": 0.5, "recorded": 0.0},
    )  # fmt: skip

    def distance(output, batch):
        error = (output["logits"] - 3 * (2 * torch.nn.functional.one_hot(batch["label"], 2) - 1)).square().mean(1)
        return error.sum(), torch.tensor(float(len(error)))

    named = terms(settings) | {"distance": distance, "recorded": distance}
    model, train = Toy(dropout=0.0), batches(8, augment=settings.augment)
    history = fit(model, train, None, terms=named, config=settings, where=CPU, folder=tmp_path)
    for name in ("loss", "cross_entropy", "distance"):
        assert history[-1][f"train_{name}"] < 0.2 * history[0][f"train_{name}"], name
    last = history[-1]
    assert last["train_loss"] == pytest.approx(last["train_cross_entropy"] + 0.5 * last["train_distance"])
    assert last["train_recorded"] == last["train_distance"]


def test_the_history_has_a_row_an_epoch(tmp_path):
    settings = config(epochs=3, schedule="cosine", visits=20)
    _, history = run(tmp_path, settings)
    columns = ["epoch", "lr", "train_loss", "train_cross_entropy", "val_loss", "val_cross_entropy", "best", "seconds"]
    assert [list(row) for row in history] == [[*columns, "images"]] * 3
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert [row["lr"] for row in history] == pytest.approx([1e-2, 7.5e-3, 2.5e-3])
    assert [row["images"] for row in history] == [20] * 3
    assert history[0]["best"] is True


def test_the_validation_loss_is_that_of_the_whole_part(tmp_path):
    settings = config(epochs=1)
    model, history = run(tmp_path, settings)
    batch = next(iter(batches(20, batch_size=20).epoch(0, CPU.device)))
    model.eval()
    with torch.no_grad():
        wanted, _ = total_loss(model(batch["image"]), batch, terms(settings), settings.losses)
    assert history[0]["val_loss"] == pytest.approx(wanted.item(), rel=1e-6)
    before = weights(model)
    evaluate(model.train(), batches(), terms(settings), settings, CPU)
    assert same(weights(model), before)  # evaluation changes nothing


def scripted(monkeypatch, values) -> None:
    """Let validation losses follow a script."""
    script = iter(values)
    monkeypatch.setattr(fit_module, "evaluate", lambda *args: {"loss": next(script), "cross_entropy": 0.0})


def saved_weights(monkeypatch) -> list[dict]:
    """Return the list that the weights after each epoch are put into."""
    found, real = [], checkpoint.save

    def save(folder, model, *others):
        found.append(weights(model))
        real(folder, model, *others)

    monkeypatch.setattr(checkpoint, "save", save)
    return found


@pytest.mark.parametrize(("losses", "patience", "best"), [
    ([3.0, 2.0, 2.5, 2.0, 1.0], 2, [True, True, False, False]),  # an equal loss is no better one
    ([3.0, 3.5, 2.0, 2.5, 1.0, 4.0], 2, [True, False] * 3),  # renewed patience
    ([1.0, 2.0, 3.0, 4.0], None, [True, False, False, False]),
])  # fmt: skip
def test_it_stops_early_and_keeps_the_best_epoch(tmp_path, monkeypatch, losses, patience, best):
    scripted(monkeypatch, losses)
    after = saved_weights(monkeypatch)
    model, history = run(tmp_path, config(epochs=len(losses), patience=patience))
    assert [row["best"] for row in history] == best
    kept = max(np.flatnonzero(best))
    assert [same(weights(model), one) for one in after] == [epoch == kept for epoch in range(len(best))]


def test_without_validation_the_last_epoch_is_kept(tmp_path, monkeypatch):
    after = saved_weights(monkeypatch)
    model, history = run(tmp_path, config(epochs=3, patience=1), val=False)
    assert [row["best"] for row in history] == [True] * 3
    assert not any(name.startswith("val_") for name in history[0])
    assert same(weights(model), after[2])


def spied(monkeypatch, look) -> list:
    """Return the list of ``look(optimiser)`` before every step."""
    found, real = [], fit_module.optimiser_for

    def build(model, settings):
        optimiser = real(model, settings)
        optimiser.register_step_pre_hook(lambda o, *_: found.append(look(o)))
        return optimiser

    monkeypatch.setattr(fit_module, "optimiser_for", build)
    return found


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "exponential", "onecycle"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_each_group_has_its_rate_at_every_step(tmp_path, monkeypatch, schedule, optimiser):
    settings = config(epochs=3, visits=24, schedule=schedule, optimiser=optimiser, schedule_step=2, weight_decay=0.01)
    rates = spied(monkeypatch, lambda o: [group["lr"] for group in o.param_groups])
    run(tmp_path, settings)
    base = [factor(settings, epoch, step, 3, []) for epoch in range(3) for step in range(3)]
    assert rates == [pytest.approx([1e-2 * b * scale for scale in (0.1, 0.5, 1.0)]) for b in base]


def test_a_plateau_lowers_the_rate_of_the_next_epoch(tmp_path, monkeypatch):
    scripted(monkeypatch, [1.0, 2.0, 2.0, 2.0])
    settings = config(epochs=4, visits=8, schedule="plateau", schedule_step=1, schedule_gamma=0.5)
    rates = spied(monkeypatch, lambda o: o.param_groups[-1]["lr"])
    run(tmp_path, settings)
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 5e-3])


def test_the_groups_are_early_late_and_head_and_have_weight_decay_and_momentum():
    model = Toy()
    groups = optimiser_for(model, config()).param_groups
    ids = [{id(p) for p in group["params"]} for group in groups]
    modules = [[model.stem, model.norm], [model.last], [model.head]]
    assert ids == [{id(p) for module in part for p in module.parameters()} for part in modules]
    assert [group["scale"] for group in groups] == [0.1, 0.5, 1.0]
    frozen = Toy()
    frozen.stem.requires_grad_(False)
    frozen.norm.requires_grad_(False)
    assert [group["scale"] for group in optimiser_for(frozen, config()).param_groups] == [0.5, 1.0]
    plain = Network()
    plain.head = torch.nn.Linear(2, 2)
    assert len(optimiser_for(plain, config()).param_groups) == 1
    sgd = optimiser_for(Toy(), config(optimiser="sgd", weight_decay=0.02, momentum=0.7)).param_groups
    assert {(g["weight_decay"], g["momentum"]) for g in sgd} == {(0.02, 0.7)}
    adamw = optimiser_for(Toy(), config(optimiser="adamw", weight_decay=0.02))
    assert isinstance(adamw, torch.optim.AdamW)
    assert {g["weight_decay"] for g in adamw.param_groups} == {0.02}


def test_gradients_are_clipped_to_the_norm(tmp_path, monkeypatch):
    norm = lambda o: math.sqrt(sum(float(p.grad.square().sum()) for g in o.param_groups for p in g["params"]))
    norms = spied(monkeypatch, norm)
    run(tmp_path / "free", config(epochs=1))
    free = list(norms)
    norms.clear()
    run(tmp_path / "clipped", config(epochs=1, clip_norm=0.5 * free[0]))
    assert norms[0] == pytest.approx(0.5 * free[0], rel=1e-4)
    assert max(norms) <= 0.5 * free[0] * 1.001


def test_a_loss_that_is_no_number_stops_with_its_place(tmp_path):
    calls = itertools.count()

    def breaks(output, batch):
        value = math.nan if next(calls) == 7 else 1.0
        return output["logits"].sum() * 0 + value, torch.tensor(1.0)

    settings = config(epochs=2)
    with pytest.raises(FloatingPointError, match="the loss is nan at epoch 1, step 2; lower lr or set clip_norm"):
        run(tmp_path, settings, val=False, terms={"cross_entropy": breaks})


def test_the_same_seed_gives_the_same_weights_whatever_the_global_state(tmp_path):
    torch.manual_seed(1)
    first, _ = run(tmp_path / "a", config(epochs=2))
    torch.manual_seed(2)
    second, _ = run(tmp_path / "b", config(epochs=2))
    third, _ = run(tmp_path / "c", config(epochs=2, seed=1))
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(third))


def test_stopping_after_an_epoch_and_going_on_is_the_whole_run(tmp_path):
    settings = config(epochs=3, schedule="onecycle")
    whole, history = run(tmp_path / "whole", settings)
    _, first = run(tmp_path / "parts", settings, stop_after=1)
    rest, parts = run(tmp_path / "parts", settings)
    assert (len(first), len(parts)) == (1, 3)
    assert same(weights(whole), weights(rest))
    without = lambda rows: [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    assert without(history) == without(parts)


def test_a_finished_state_is_not_trained_further(tmp_path, monkeypatch):
    first, _ = run(tmp_path, config(epochs=2))
    monkeypatch.setattr(fit_module, "train_step", None)
    again, history = run(tmp_path, config(epochs=2))
    assert len(history) == 2
    assert same(weights(first), weights(again))


def test_progress_is_told_after_every_step(tmp_path):
    told = []
    run(tmp_path, config(epochs=2, visits=17), progress=lambda *values: told.append(values))
    assert [values[:3] for values in told] == [(epoch, step, 3) for epoch in (0, 1) for step in (1, 2, 3)]
    assert all(values[3] > 0 for values in told)


def test_a_term_that_no_image_has_is_recorded_as_none(tmp_path):
    settings = config(epochs=1, losses={"cross_entropy": 1.0, "rare": 1.0})
    never = lambda output, batch: (output["logits"].sum() * 0, torch.tensor(0.0))
    _, history = run(tmp_path, settings, terms=terms(settings) | {"rare": never})
    assert history[0]["train_rare"] is None and history[0]["val_rare"] is None
    assert history[0]["train_loss"] == history[0]["train_cross_entropy"]


def test_half_precision_trains_in_bf16_and_keeps_weights_in_fp32(tmp_path):
    seen = []

    class Spy(Toy):
        def forward(self, image, meta=None, *, features=None):
            out = super().forward(image)
            seen.append((self.training, out["logits"].dtype))
            return out

    model, _ = run(tmp_path, config(epochs=1), model=Spy(), where=Place(CPU.device, "bf16"))
    assert set(seen) == {(True, torch.bfloat16), (False, torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_place_resolves_what_is_automatic(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = place()
    assert (found.device.type, found.rank, found.world) == ("cpu", 0, 1)
    assert found.precision == ("bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32")
    assert place("cpu", "fp32").precision == "fp32"
    with pytest.raises(ValueError, match="'fp16' is unknown; choose auto, fp32 or bf16"):
        place("cpu", "fp16")


def test_class_weights_reach_the_gradient():
    """Weights of 1 and w give the gradient of a batch that holds the second class w times."""
    pixels, label = images(9)
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    label = torch.from_numpy(label)
    weighted, doubled = (Toy(norm=False, dropout=0.0) for _ in range(2))
    term = losses.cross_entropy(torch.tensor([1.0, 2.0]), 0.0)
    total_loss(weighted(image), {"label": label}, {"ce": term}, {"ce": 1.0})[0].backward()
    twice = torch.from_numpy(np.concatenate([np.arange(9), np.flatnonzero(label)]))
    plain = losses.cross_entropy(None, 0.0)
    total_loss(doubled(image[twice]), {"label": label[twice]}, {"ce": plain}, {"ce": 1.0})[0].backward()
    for a, b in zip(weighted.parameters(), doubled.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-5)
