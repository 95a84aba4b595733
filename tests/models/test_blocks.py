import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from skinlib.models.blocks import CBAM, ConvBlock, MaskedFeatures, PassNorm, UpBlock, masked_mean


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_pass_norm_of_one_pass_is_batch_norm():
    ours, torchs = PassNorm(4), nn.BatchNorm2d(4)
    for training in (True, True, False):
        ours.train(training), torchs.train(training)
        x = noise(3, 4, 5, 5, seed=int(training)) * 2 + 1
        assert torch.equal(ours(x), torchs(x))
    assert torch.equal(ours.running_mean[0], torchs.running_mean)
    assert torch.equal(ours.running_var[0], torchs.running_var)


def test_each_pass_keeps_its_own_statistics_and_all_share_the_weights():
    norm = PassNorm(4, passes=2)
    norm(noise(3, 4, 5, 5) + 5, turn=1)
    assert torch.equal(norm.running_mean[0], torch.zeros(4))
    assert (norm.running_mean[1] > 0.3).all()  # a tenth of the way to 5
    assert parameters(norm) == 2 * 4
    with pytest.raises(IndexError):
        norm(noise(1, 4, 2, 2), turn=2)


def test_convolution_block_by_hand():
    block, x = ConvBlock(3, 5, stride=2).eval(), noise(2, 3, 8, 12)
    by_hand = block.conv2(block.conv1(x).div((1 + 1e-5) ** 0.5).relu()).div((1 + 1e-5) ** 0.5).relu()
    assert block(x).shape == (2, 5, 4, 6)
    torch.testing.assert_close(block(x), by_hand)
    assert parameters(block) == (3 * 9 + 1) * 5 + (5 * 9 + 1) * 5 + 2 * 2 * 5


def test_a_gate_multiplies_the_channels_that_enter_the_convolution():
    level = UpBlock(6, 4).eval()
    x, skip, gate = noise(2, 6, 3, 5), noise(2, 4, 6, 10, seed=1), torch.rand(2, 8)
    entering = torch.cat([level.up(x), skip], 1)
    torch.testing.assert_close(level(x, skip, gate), level.block(torch.einsum("bchw,bc->bchw", entering, gate)))
    assert torch.equal(level(x, skip, torch.ones(2, 8)), level(x, skip))
    closed = level(x, skip, torch.zeros(2, 8))
    assert torch.equal(closed, level(0 * x + 7, 3 * skip, torch.zeros(2, 8)))  # nothing comes through


@pytest.mark.parametrize(("reduction", "wanted"), [(10, 20_932), (16, 13_240)])
def test_parameters_of_cbam_at_320_channels(reduction, wanted):
    hidden = 320 // reduction
    assert parameters(CBAM(320, reduction)) == 2 * 320 * hidden + hidden + 320 + 2 * 49 + 2 == wanted


def test_cbam_by_hand():
    module, x = CBAM(6, 2).eval(), noise(2, 6, 4, 5)
    mlp, spatial = module[0].mlp, module[1]
    channel = (mlp(x.flatten(2).mean(2)) + mlp(x.flatten(2).max(2).values)).sigmoid()
    attended = x * channel[..., None, None]
    summary = torch.stack([attended.max(1).values, attended.mean(1)], 1)
    weight = (spatial.conv(summary) / (1 + 1e-5) ** 0.5).sigmoid()
    torch.testing.assert_close(module(x), attended * weight)
    assert (module(x).abs() <= x.abs()).all()


def test_masked_mean_by_hand():
    maps, weight = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
    torch.testing.assert_close(masked_mean(maps, weight), torch.tensor([[(1 + 1.5) / (1.5 + 1)]]))
    assert masked_mean(maps, 0 * weight).item() == 0


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_masked_mean_lies_between_zero_and_the_largest_value(seed, share):
    maps, weight = noise(1, 3, 6, 6, seed=seed).abs(), (noise(1, 1, 6, 6, seed=seed + 1).abs() < share).float()
    pooled = masked_mean(maps, weight)
    assert (pooled >= 0).all() and (pooled <= maps.amax((2, 3)) + 1e-6).all()


def test_what_lies_outside_the_mask_is_ignored():
    pool, mask = MaskedFeatures(4, 3).eval(), torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:12] = 1  # twice the maps' size, on their grid
    maps = noise(1, 4, 8, 8)
    inside = torch.nn.functional.adaptive_avg_pool2d(mask, (8, 8))
    other = torch.where(inside > 0, maps, noise(1, 4, 8, 8, seed=1))
    torch.testing.assert_close(pool(other, mask), pool(maps, mask), atol=0, rtol=0)
    assert not torch.equal(pool(maps + inside, mask), pool(maps, mask))
