import pytest
import torch

from skinlib.models.metadata_fusion import Concat, MetaBlock, MetaNet, VisuallyGuided, mlp


def fill(layer: torch.nn.Linear, weight: float, bias: float) -> None:
    torch.nn.init.constant_(layer.weight, weight)
    torch.nn.init.constant_(layer.bias, bias)


def test_metablock_by_hand():
    """f(u) and g(u) pass through batch norm of unit statistics in evaluation mode."""
    block = MetaBlock(64, 1).eval()
    fill(block.f[0], 2.0, 0.0)
    fill(block.g[0], 0.0, 0.5)
    u, v = torch.tensor([[1.0], [-1.0]]), torch.linspace(-1, 1, 128).view(2, 64)
    norm = (1 + 1e-5) ** -0.5
    torch.testing.assert_close(block(v, u), (torch.tanh(v * 2 * u * norm) + 0.5 * norm).sigmoid())
    with pytest.raises(ValueError, match="rows of 32; 100 features do not fit"):
        MetaBlock(100, 1)


def test_metablock_gives_each_row_of_32_its_own_pair():
    block = MetaBlock(64, 3).eval()
    block.f[0].weight.data[1] = 0
    block.g[0].weight.data[1] = 0
    block.f[0].bias.data[1] = block.g[0].bias.data[1] = 0
    out = block(torch.randn(2, 64), torch.randn(2, 3))
    assert (out[:, 32:] == 0.5).all() and (out[:, :32] != 0.5).all()


@pytest.mark.parametrize(("features", "rows"), [(2048, 64), (1024, 32), (1792, 56), (1280, 40), (25088, 784)])
def test_metablock_has_the_rows_of_the_authors_code(features, rows):
    assert MetaBlock(features, 81).f[0].weight.shape == (rows, 81)


def test_metanet_by_hand():
    net = MetaNet(2, 1, hidden=1)
    fill(net.gate[0], 1.0, 0.0)
    net.gate[2].weight.data = torch.tensor([[1.0], [-1.0]])
    net.gate[2].bias.data.zero_()
    maps, gate = torch.arange(8.0).view(1, 2, 2, 2), torch.tensor([2.0, -2.0]).sigmoid()
    torch.testing.assert_close(net(maps, torch.tensor([[2.0]])), maps * gate.view(1, 2, 1, 1))
    torch.testing.assert_close(net(maps, torch.tensor([[-2.0]])), maps / 2)  # ReLU: the answer says nothing


def test_concat_keeps_the_answers_and_four_times_as_many_image_features():
    net, table = Concat(10, 81).eval(), torch.randn(2, 81)
    out = net(torch.randn(2, 10), table)
    assert out.shape == (2, 405) == (2, net.width) and torch.equal(out[:, 324:], table) and (out[:, :324] >= 0).all()


def test_the_image_decides_which_metadata_pass():
    net = VisuallyGuided(10, 5).eval()
    net.gate.bias.data.fill_(-100.0)
    table = torch.randn(2, 5)
    shut = net(torch.randn(2, 10), table)
    assert shut.shape == (2, net.width) and shut[:, 512:].abs().max() < 1e-6
    net.gate.bias.data.fill_(100.0)
    torch.testing.assert_close(net(torch.randn(2, 10), table)[:, 512:], net.meta(table))


def test_a_stack_keeps_the_scale_of_what_enters():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = mlp((80, 64, 128, 256, 512)), torch.randn(200, 80)
    out = net(x)
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU"] * 3 + ["Linear"]
    assert 0.3 < out.std() < 3 and (out < 0).any()  # no ReLU after the last
