"""Several processes (torchrun) train as one would: what depends on the whole batch sees the rows of all of them."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class WholeBatch(TorchFunctionMode):
    """In it, batch norm takes its statistics from all ``rows`` of a batch, and dropout draws for all of them.

    A process has every ``world``-th row. It adds up in another order than one process alone: the last digits differ.
    """

    def __init__(self, rows: int, rank: int, world: int):
        super().__init__()
        self.rows, self.mine = rows, slice(rank, None, world)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        own = {F.batch_norm: _batch_norm, F.dropout: self._dropout}
        return own.get(function, function)(*args, **(kwargs or {}))

    def _dropout(self, x, p=0.5, training=True, inplace=False):
        return x * F.dropout(x.new_ones(self.rows, *x.shape[1:]), p)[self.mine] if training else x


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        x = x.clone()
        dist.all_reduce(x)
        return x

    backward = forward


def _batch_norm(x, running_mean, running_var, *, weight, bias, training, momentum, eps):
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    values, shape, over = x.float(), [1, -1] + [1] * (x.dim() - 2), [0, *range(2, x.dim())]
    count = _Sum.apply(values.new_tensor(x.numel() / x.shape[1]))
    mean = _Sum.apply(values.sum(over)) / count
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(over)) / count
    running_mean.lerp_(mean.detach(), momentum)
    running_var.lerp_(variance.detach() * count / (count - 1), momentum)
    normed = centred * (variance + eps).rsqrt().view(shape)
    return (normed if weight is None else normed * weight.view(shape) + bias.view(shape)).to(x.dtype)
