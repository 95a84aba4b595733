import json

import pytest
import torch
from safetensors.torch import load_file
from toy_problem import Toy

from skinlib.training import checkpoint

OPTIMISERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd without momentum": lambda p: torch.optim.SGD(p, lr=0.1),
}


def stepped(kind: str, steps: int = 3, seed: int = 0):
    """Return a toy network and its optimiser after some steps on noise."""
    model = Toy(seed=seed)
    optimiser = OPTIMISERS[kind](model.parameters())
    for step in range(steps):
        step_on(model, optimiser, step)
    return model, optimiser


def step_on(model, optimiser, step: int) -> None:
    torch.manual_seed(step)
    optimiser.zero_grad()
    model(torch.rand(4, 3, 8, 8))["logits"].square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_restored_state_goes_on_bit_for_bit(tmp_path, kind):
    model, optimiser = stepped(kind)
    best = {name: value.clone() for name, value in model.state_dict().items()}
    record = {"history": [{"val_loss": 0.1 + 0.2, "best": True}]}
    checkpoint.save(tmp_path / "last", model, optimiser, best, record)
    other = Toy(seed=9)
    fresh = OPTIMISERS[kind](other.parameters())
    found_best, found_record = checkpoint.load(tmp_path / "last", other, fresh)
    assert found_record == record
    assert list(found_record["history"][0]) == ["val_loss", "best"]  # or the columns of history.csv would change places
    assert all(torch.equal(found_best[name], best[name]) for name in best)
    for step in (10, 11):
        step_on(model, optimiser, step)
        step_on(other, fresh, step)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_damaged_state_is_named(tmp_path):
    model, optimiser = stepped("adam")
    checkpoint.save(tmp_path, model, optimiser, {}, {"history": [{}]})
    for file in sorted(tmp_path.glob("*/*.safetensors")):
        whole = file.read_bytes()
        file.write_bytes(whole[:-5])
        with pytest.raises(ValueError, match=r"0001 is damaged, or of another run \(.*; delete "):
            checkpoint.load(tmp_path, *stepped("adam"))
        file.write_bytes(whole)
    tmp_path.joinpath("other").mkdir()
    tmp_path.joinpath("0001").rename(tmp_path / "other" / "0001")
    with pytest.raises(ValueError, match="or of another run"):
        checkpoint.load(tmp_path / "other", *stepped("adam"))


def test_moments_lie_in_memory_as_their_parameters_do(tmp_path):
    model, optimiser = stepped("adam")
    checkpoint.save(tmp_path, model, optimiser, {}, {"history": [{}]})
    other = Toy()
    fresh = OPTIMISERS["adam"](other.parameters())
    checkpoint.load(tmp_path, other, fresh)
    for parameter in other.parameters():
        assert fresh.state[parameter]["exp_avg"].stride() == parameter.stride()
    assert other.last.weight.is_contiguous(memory_format=torch.channels_last)


def test_nothing_to_load_is_none_and_changes_nothing_and_the_newest_whole_state_is_taken(tmp_path):
    (model, optimiser), last = stepped("adam"), tmp_path / "last"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert checkpoint.load(last, model, optimiser) is None
    (last / ".0001.half").mkdir(parents=True)
    assert checkpoint.load(last, model, optimiser) is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    checkpoint.save(last, model, optimiser, {}, {"history": [{}] * 9})
    checkpoint.save(tmp_path / "x", model, optimiser, {}, {"history": [{}] * 10})
    (tmp_path / "x" / "0010").rename(last / "0010")  # as a kill between renaming and cleaning leaves them
    assert len(checkpoint.load(last, model, optimiser)[1]["history"]) == 10


def test_older_states_and_torn_ones_are_dropped_and_nothing_on_disk_is_a_pickle(tmp_path):
    model, optimiser = stepped("adam")
    for epochs in (1, 2):
        checkpoint.save(tmp_path, model, optimiser, {}, {"history": [{}] * epochs})
        (tmp_path / ".0003.torn").mkdir(exist_ok=True)
    checkpoint.save(tmp_path, model, optimiser, {}, {"history": [{}] * 3})
    assert [p.name for p in tmp_path.iterdir()] == ["0003"]
    files = sorted(p.name for p in (tmp_path / "0003").iterdir())
    assert files == ["best.safetensors", "model.safetensors", "optimiser.safetensors", "record.json"]
    assert json.loads((tmp_path / "0003" / "record.json").read_text())["history"] == [{}] * 3
    assert set(load_file(tmp_path / "0003" / "model.safetensors")) == set(model.state_dict())
