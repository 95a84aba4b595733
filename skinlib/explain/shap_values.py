"""SHAP values of a model over named inputs: what each of them adds to a model's output for one row.

With v(S) the mean output where the inputs S are the row's own and the others those of background rows, input i gets

    phi_i = sum over S without i of |S|! (F - |S| - 1)! / F! * (v(S + i) - v(S)),

so that the values of a row add up to its output minus the mean output over the background (Lundberg and Lee 2017). An
input may mean much more than a number (a whole image, as the number of a row of features): the model looks it up.
The pixels of an image are asked differently, by gradients.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

EXACT = 8  # up to so many inputs every coalition is asked; beyond, permutations of them are drawn
ROUNDS = 10  # permutations beyond, each there and back


class Shap(NamedTuple):
    """SHAP values of N rows, in units of the output."""

    values: np.ndarray  # (N, F, K): what each input adds to each output
    base: np.ndarray  # (K,): mean output over the background


def shap_values(
    function: Callable[[np.ndarray], np.ndarray], inputs: pd.DataFrame, background: pd.DataFrame, *, seed: int = 0
) -> Shap:
    """Explain the rows ``inputs`` of a model, against a background.

    Parameters
    ----------
    function : (M, F) float -> (M, K); M is about 2^F times the background's rows, or what permutations ask for.
    inputs : (N, F) numbers without gaps: give an unknown value a number of its own.
    background : (B, F), the same columns: training rows that mean "not known".
    seed : of the permutations; up to `EXACT` inputs nothing is drawn.

    Raises ValueError when the columns differ, a value is missing, or there is no background.
    """
    if list(inputs.columns) != list(background.columns):
        raise ValueError(f"inputs have the columns {list(inputs.columns)}, the background {list(background.columns)}")
    if background.empty or inputs.isna().any().any() or background.isna().any().any():
        raise ValueError("SHAP values need a background, and a number in every cell; give unknown values a number")
    import shap  # takes seconds, and only this function needs it

    rows = background.to_numpy(float)
    masker = shap.maskers.Independent(rows, max_samples=len(rows))
    if len(inputs.columns) <= EXACT:
        found = shap.explainers.Exact(function, masker)(inputs.to_numpy(float), silent=True)
    else:
        evaluations = ROUNDS * 2 * len(inputs.columns) + 1
        explainer = shap.explainers.Permutation(function, masker, seed=seed)
        found = explainer(inputs.to_numpy(float), max_evals=evaluations, silent=True)
    values = np.asarray(found.values).reshape(*inputs.shape, -1)  # of a single output shap drops the axis
    return Shap(values, np.asarray(function(rows)).mean(axis=0))


def image_shap(
    model: nn.Module, image: torch.Tensor, background: torch.Tensor, target: int, *, samples: int = 50, seed: int = 0
) -> np.ndarray:
    """Explain one class's logit of one image by expected gradients ("gradient SHAP").

    The value of a pixel and channel is the mean over background images b and shares a of
    (image - b) * d logit / d input at b + a (image - b): Shapley values of a model that were linear in between.

    ``model`` is a function of images in evaluation mode, such as `skinlib.explain.run_maps.OfImage`; it reads ``image``
    (3, H, W) and ``background`` (B, 3, H, W) as they are; ``samples`` pairs of b and a are drawn. Returns (3, H, W)
    float, in units of the logit; their sum comes near its difference to the background's mean.

    Source: Erion et al. 2021, "Improving performance of deep learning models with axiomatic attribution priors".
    """
    import shap

    explainer = shap.GradientExplainer(_Target(model, target), background)
    values = explainer.shap_values(image[None], nsamples=samples, rseed=seed)
    return np.asarray(values).reshape(image.shape)


class _Target(nn.Module):
    """One class's logit, (B, 1)."""

    def __init__(self, model: nn.Module, target: int):
        super().__init__()
        self.model, self.target = model, target

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.model(image)["logits"][:, [self.target]]


def long(found: Shap, inputs: pd.DataFrame, ids: Sequence[str], outputs: Sequence[str]) -> pd.DataFrame:
    """Return SHAP values as a table: image_id, input, value (of the input), and a column ``of_<output>`` an output."""
    tables = []
    for k, name in enumerate(inputs.columns):
        columns = {f"of_{output}": found.values[:, k, j] for j, output in enumerate(outputs)}
        tables.append(pd.DataFrame({"image_id": list(ids), "input": name, "value": inputs[name].to_numpy()} | columns))
    return pd.concat(tables, ignore_index=True)
