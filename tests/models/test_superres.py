import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from skinlib.config import RunConfig
from skinlib.images.batches import to_model_input
from skinlib.models import superres
from skinlib.models.backbones import WEIGHTS_FOLDER, WeightsUnavailable

BASE = RunConfig(system="metadata_sr", dataset="pad_ufes_20")


def image_of(n: int = 2, side: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def error(target: str, output: dict, image: torch.Tensor, normalisation: str = "imagenet"):
    config = BASE.replace(options={"target": target}, normalisation=normalisation)
    return superres.squared_error(config, None)(output, {"image": to_model_input(image, normalisation)})


@pytest.mark.parametrize("make", [superres.NinaSR, superres.EDSR])
@pytest.mark.parametrize("size", [(16, 16), (20, 36)])
def test_the_teachers_double_any_size(make, size):
    assert make()(torch.rand(1, 3, *size)).shape == (1, 3, 2 * size[0], 2 * size[1])


def test_the_decoder_doubles_six_times_and_its_control_has_as_many_parameters():
    plain, control = superres.Decoder(24), superres.Decoder(24, double_last=False)
    maps = torch.randn(2, 24, 1, 2)
    assert plain(maps).shape == (2, 3, 64, 128) and control(maps).shape == (2, 3, 32, 64)
    count = lambda network: sum(p.numel() for p in network.parameters())
    assert count(plain) == count(control)
    assert sum(isinstance(m, torch.nn.ConvTranspose2d | torch.nn.Conv2d) for m in plain) == 6
    assert sum(isinstance(m, torch.nn.ConvTranspose2d | torch.nn.Conv2d) for m in control) == 6
    assert plain(maps).min() >= 0 and plain(maps).max() <= 1


@pytest.mark.parametrize("normalisation", ["imagenet", "none"])
def test_pixels_come_back(normalisation):
    image = image_of()
    torch.testing.assert_close(superres.pixels(to_model_input(image, normalisation), normalisation), image)
    with pytest.raises(ValueError, match="'minmax' cannot be undone"):
        superres.pixels(image, "minmax")


def test_bilinear_enlargement_by_hand():
    """Each new pixel lies a quarter of a step from its old one: 3/4 of it and 1/4 of the next."""
    row, wanted = torch.tensor([0.0, 1.0, 0.4]).view(1, 1, 1, 3), [0.0, 0.25, 0.75, 0.85, 0.55, 0.4]
    torch.testing.assert_close(superres.enlarge(row, "bilinear")[0, 0, 0], torch.tensor(wanted))


def test_bicubic_enlargement_by_hand():
    """Keys's kernel with a = -0.75 at distances 1.25, 0.25, 0.75 and 1.75 (torch's choice)."""
    a = -0.75
    near = lambda x: (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = lambda x: a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    row = torch.tensor([0.2, 0.4, 0.3, 0.6, 0.5])
    wanted = far(1.25) * 0.2 + near(0.25) * 0.4 + near(0.75) * 0.3 + far(1.75) * 0.6
    assert superres.enlarge(row.view(1, 1, 1, 5), "bicubic")[0, 0, 0][3] == pytest.approx(wanted, abs=1e-6)
    steps = superres.enlarge(torch.tensor([0.0, 0, 1, 1]).view(1, 1, 1, 4), "bicubic")
    assert steps.min() == 0 and steps.max() == 1  # its overshoot is cut


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 100))
def test_reducing_undoes_a_bilinear_enlargement_of_what_is_even(height, width, seed):
    flat = torch.rand(1, 3, 1, 1, generator=torch.Generator().manual_seed(seed)).expand(1, 3, 2 * height, 2 * width)
    small = superres.reduce(flat)
    assert small.shape == (1, 3, height, width)
    torch.testing.assert_close(superres.enlarge(small, "bilinear"), flat.contiguous())


@pytest.mark.parametrize("target", ["bilinear", "bicubic", "self", "native"])
@pytest.mark.parametrize("normalisation", ["imagenet", "none"])
def test_the_error_is_that_of_eq_4(target, normalisation):
    image = image_of()
    wanted = image if target in ("self", "native") else F.interpolate(image, scale_factor=2, mode=target).clamp(0, 1)
    total, count = error(target, {"superres": wanted.clone()}, image, normalisation)
    assert total == pytest.approx(0, abs=1e-9) and count == 2
    off = wanted.clone()
    off[1] += 0.5
    assert error(target, {"superres": off}, image, normalisation)[0] == pytest.approx(0.25, abs=1e-5)


def test_a_teachers_error_reads_what_it_has_drawn():
    drawn, enlarged = torch.zeros(3, 3, 8, 8), torch.full((3, 3, 8, 8), 0.2)
    for target in superres.TEACHERS:
        total, count = error(target, {"superres": drawn, "enlarged": enlarged}, image_of(3, 4))
        assert total / count == pytest.approx(0.04), target


def test_a_teacher_trained_here_learns_to_undo_a_reduction_and_is_frozen():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    stripes = [0.5 + 0.4 * torch.sin((y * a + x * b) * 0.9) for a, b in ((1, 0), (0, 1), (0.7, 0.7), (0.7, -0.7))]
    images = torch.stack(stripes)[:, None].repeat(1, 3, 1, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = superres.teacher("ninasr_here")
    before = F.l1_loss(network(superres.reduce(images)), images)
    plain = F.l1_loss(superres.enlarge(superres.reduce(images), "bicubic"), images)
    superres.train_teacher(network, (images for _ in range(1000)), steps=60, seed=0)
    after = F.l1_loss(network(superres.reduce(images)), images)
    assert after < before and after < plain
    assert not any(p.requires_grad for p in network.parameters()) and not network.training


@pytest.mark.parametrize(("target", "name"), [("edsr", "edsr_baseline_x2"), ("ninasr", "ninasr_b0_x2")])
def test_published_weights_are_used_where_there_are_any_and_never_replaced(target, name, tmp_path, monkeypatch):
    monkeypatch.delenv(WEIGHTS_FOLDER, raising=False)
    with pytest.raises(WeightsUnavailable, match=f"no weights of {name}: put {name}.safetensors into the folder"):
        superres.teacher(target)
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    network = superres.EDSR() if target == "edsr" else superres.NinaSR()
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state | {"sub_mean.bias": torch.zeros(3)}, tmp_path / f"{name}.safetensors")
    found, image = superres.teacher(target), torch.rand(1, 3, 16, 16)
    assert torch.equal(found(image), network(image)) and not any(p.requires_grad for p in found.parameters())
    key = next(iter(state))
    save_file(state | {key: torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsUnavailable, match=f"does not fit {name}: 1 tensors, first {key}"):
        superres.teacher(target)


def test_the_teachers_have_the_published_tensors_and_numbers_of_parameters():
    edsr = {"head.0.weight", "body.0.body.0.weight", "body.16.bias", "tail.0.0.weight", "tail.1.bias"}
    nina = {"head.1.weight", "body.9.body.0.bias", "body.0.body.2.body.1.weight", "body.0.body.3.weight", "tail.0.bias"}
    for network, names, count in ((superres.EDSR(), edsr, 1_369_859), (superres.NinaSR(), nina, 100_172)):
        assert names <= set(network.state_dict()) and sum(p.numel() for p in network.parameters()) == count
