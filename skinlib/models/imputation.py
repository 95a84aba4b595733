"""Answers that were never given: filled in by what the training rows teach, and how wrong that is on known answers.

A filled table must not tell which cells were filled, for that nearly gives the label away. So a filled answer is one
answer, not shares of several, and a filled number is whole and within the range that was seen.
"""

import itertools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import possible
from sklearn.impute import IterativeImputer
from sklearn.neural_network import MLPRegressor
from torch import nn

METHODS = ("autoencoder", "frequent", "zeros")
HIDDEN = 64  # width of the autoencoder; this, the steps and the share are ours, the paper gives no description
STEPS, ROWS, RATE = 500, 128, 0.01  # of Adam
ALONE = 0.15  # share of the answers that the autoencoder must guess one by one, next to whole patterns of blanks


class Imputer(nn.Module):
    """Completes and scales encoded answers (B, D); ``fit`` sees training rows only and fills the buffers.

    Parameters
    ----------
    blocks : question -> its columns: several for a one-hot answer, one for a number
    method : ``autoencoder``: a masked autoencoder, one hidden layer, guesses hidden answers from the others;
        ``frequent``: the most frequent answer, the median; ``zeros``: as the literature does, they say "missing"
    scale : standardise numbers by mean and deviation of the training rows; else they keep their units
    """

    def __init__(self, blocks: Mapping[str, slice], *, method: str = "autoencoder", scale: bool = True, seed: int = 0):
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"no imputation {method!r}; there are {', '.join(METHODS)}")
        self.blocks, self.method, self.scale, self.seed = dict(blocks), method, scale, seed
        width = max(place.stop for place in self.blocks.values())
        for name, value in {"mean": 0.0, "deviation": 1.0, "fill": 0.0, "low": 0.0, "high": 1.0}.items():
            self.register_buffer(name, torch.full((width,), value))
        if method == "autoencoder":
            shapes = {"inside": (HIDDEN, width + len(self.blocks)), "bias": (HIDDEN,), "outside": (width, HIDDEN)}
            for name, shape in shapes.items():
                self.register_buffer(name, torch.zeros(shape))

    def fit(self, table: torch.Tensor) -> None:
        """Learn from (N, D) training rows, NaN where there is no answer; some row must answer each question."""
        table = table.float().cpu()
        known = ~table.isnan()
        if empty := [name for name, place in self.blocks.items() if not known[:, place].any()]:
            raise ValueError(f"no training row answers {', '.join(empty)}; leave the question out or add rows")
        for place in self.blocks.values():
            column = table[known[:, place.start], place]
            if column.shape[1] == 1:
                deviation = column.std(unbiased=False)
                self.mean[place], self.deviation[place] = column.mean(), deviation if deviation > 0 else 1.0
                self.fill[place], self.low[place], self.high[place] = column.median(), column.min(), column.max()
            else:
                self.fill[place] = F.one_hot(column.sum(0).argmax(), column.shape[1]).float()
        if self.method == "zeros":  # in the units of the output
            self.fill.copy_(self.mean if self.scale else torch.zeros_like(self.mean))
        if self.method == "autoencoder":
            self._train(table)

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """Return (B, D) float32 without NaN; answers that were given are untouched but for the scale of numbers."""
        table = table.float()
        blank = table.isnan()
        filled = torch.where(blank, self._guess(table, blank), table)
        return (filled - self.mean) / self.deviation if self.scale else filled

    def _guess(self, table: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
        if self.method != "autoencoder":
            return self.fill.expand_as(table)
        weights = [one.double() for one in (self.inside, self.bias, self.outside)]  # autocast leaves doubles alone
        out, parts = _apply(weights, self._inputs(table, blank).double()).float(), []
        for place in self.blocks.values():
            part = out[:, place]
            if part.shape[1] == 1:  # whole, for a filled decimal would give itself away
                part = (part * self.deviation[place] + self.mean[place]).round()
                parts.append(part.clamp(self.low[place], self.high[place]))
            else:
                parts.append(torch.zeros_like(part).scatter(1, part.argmax(1, keepdim=True), 1.0))
        return torch.cat(parts, 1)

    def _inputs(self, table: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
        """Return the standardised answers, 0 where blank, and which questions are blank: (B, D + questions)."""
        questions = torch.stack([blank[:, place.start] for place in self.blocks.values()], 1)
        values = ((table - self.mean) / self.deviation).masked_fill(blank, 0.0)
        return torch.cat([values, questions.to(values.dtype)], 1)

    @torch.enable_grad()
    def _train(self, table: torch.Tensor) -> None:
        """Hide answers and learn to guess them: the blanks of another row, as they come, and some alone."""
        draw, names = torch.Generator().manual_seed(self.seed), ("inside", "bias", "outside")
        shapes = [getattr(self, name).shape for name in names]
        weights = [(torch.randn(shape, generator=draw) / shape[-1] ** 0.5).requires_grad_() for shape in shapes]
        optimiser = torch.optim.Adam(weights, lr=RATE, fused=True)  # its own square root, not MKL's
        sizes = torch.tensor([place.stop - place.start for place in self.blocks.values()])
        for _ in range(STEPS):
            rows = table[torch.randint(len(table), (ROWS,), generator=draw)]
            blank = rows.isnan()
            other = table[torch.randint(len(table), (ROWS,), generator=draw)].isnan()
            alone = torch.rand(ROWS, len(sizes), generator=draw) < ALONE
            hide = (other | alone.repeat_interleave(sizes, 1)) & ~blank
            out = _apply(weights, self._inputs(rows, blank | hide))
            loss = _guessing_loss(
                out, ((rows - self.mean) / self.deviation).nan_to_num(0.0), hide, list(self.blocks.values())
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for name, weight in zip(names, weights, strict=True):
            getattr(self, name).copy_(weight.detach())


def _apply(weights: Sequence[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    inside, bias, outside = weights
    return F.linear(F.linear(inputs, inside, bias).relu(), outside)


def _guessing_loss(out: torch.Tensor, truth: torch.Tensor, hide: torch.Tensor, blocks: Sequence[slice]) -> torch.Tensor:
    """Return the mean over the hidden answers: cross entropy of answers, half the squared error of numbers."""
    number = torch.cat([torch.full((q.stop - q.start,), q.stop - q.start == 1) for q in blocks])  # (D,)
    logs = torch.cat([out[:, q].log_softmax(1) for q in blocks], 1)  # MKL's exp and log differ by instruction set
    surprise = torch.where(number, 0.5 * (out - truth).square(), -truth * logs)
    hidden_questions = sum(hide[:, q.start].sum() for q in blocks)
    return surprise.masked_fill(~hide, 0.0).sum() / hidden_questions.clamp(min=1)


def iterative(train: np.ndarray, table: np.ndarray, blocks: Mapping[str, slice], seed: int = 0) -> np.ndarray:
    """Complete a table column by column with small networks: the other reading of "a neural network based imputation".

    It is only compared, for it is thirty times slower to fit.
    """
    network = MLPRegressor(hidden_layer_sizes=(16,), max_iter=60, early_stopping=True, random_state=seed)
    scaler = Imputer(blocks, method="frequent")
    scaler.fit(torch.from_numpy(train))
    mean, deviation = scaler.mean.numpy(), scaler.deviation.numpy()
    fitted = IterativeImputer(network, max_iter=1, skip_complete=True, random_state=seed)
    with warnings.catch_warnings():  # one round is all that is asked for
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit((train - mean) / deviation)
    out = fitted.transform((table - mean) / deviation) * deviation + mean
    for place in blocks.values():
        part = out[:, place]
        whole = np.eye(part.shape[1])[part.argmax(1)] if part.shape[1] > 1 else part.round()
        out[:, place] = np.where(np.isnan(table[:, place]), whole, table[:, place])
    return out.astype(np.float32)


def hidden_errors(
    train: np.ndarray, known: np.ndarray, blocks: Mapping[str, slice], *, share: float = ALONE, seed: int = 0
) -> pd.DataFrame:
    """Hide known answers (M, D) of rows that nothing was fitted on, fill them in and report the error of each question.

    A row a question, method (`METHODS` but zeros, and iterative) and pattern: ``alone``, a ``share`` of the answers
    hidden one by one; ``together``, as training rows (N, D) leave them blank. ``error`` of the ``n`` hidden answers is
    the ``metric`` ``error_rate``, or of numbers ``mean_absolute_error`` in their unit.
    """
    rng, blank = np.random.default_rng(seed), np.isnan(known)
    one_by_one = np.zeros_like(blank)
    for place, hidden in zip(blocks.values(), rng.random((len(blocks), len(known))) < share, strict=True):
        one_by_one[:, place] = hidden[:, None]
    patterns = np.isnan(train)[np.isnan(train).any(1)]
    together = patterns[rng.integers(len(patterns), size=len(known))] if len(patterns) else np.zeros_like(blank)
    fitted = {method: Imputer(blocks, method=method, scale=False, seed=seed) for method in METHODS if method != "zeros"}
    for imputer in fitted.values():
        imputer.fit(torch.from_numpy(train))
    rows = []
    for pattern, hide in (("alone", one_by_one & ~blank), ("together", together & ~blank)):
        holes = np.where(hide, np.nan, known).astype(np.float32)
        guesses = {method: imputer(torch.from_numpy(holes)).numpy() for method, imputer in fitted.items()}
        guesses["iterative"] = iterative(train, holes, blocks, seed)
        for (method, guess), (question, place) in itertools.product(guesses.items(), blocks.items()):
            if (hidden := hide[:, place.start]).any():
                truth, given = known[hidden, place], guess[hidden, place]
                number = truth.shape[1] == 1
                wrong = np.abs(truth - given) if number else truth.argmax(1) != given.argmax(1)
                metric = "mean_absolute_error" if number else "error_rate"
                rows.append((question, method, pattern, metric, float(wrong.mean()), len(wrong)))
    return pd.DataFrame(rows, columns=["question", "method", "pattern", "metric", "error", "n"])
