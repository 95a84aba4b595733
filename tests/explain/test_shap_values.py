"""SHAP values by hand, their sum, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from skinlib.explain.shap_values import EXACT, long, shap_values


def table(values, names="abcdefghijkl"):
    values = np.asarray(values, float)
    return pd.DataFrame(values, columns=list(names[: values.shape[1]]))


def additive(x):
    return np.stack([2 * x[:, 0] + 3 * x[:, 1], -x[:, 0]], axis=1)


def test_an_additive_model_gives_each_input_its_own_term_and_a_product_is_shared_alike():
    background = table([[0, 0], [2, 4]])  # mean 1 and 2
    found = shap_values(additive, table([[5, 1]]), background)
    assert found.values[0] == pytest.approx(np.array([[2 * (5 - 1), -(5 - 1)], [3 * (1 - 2), 0]]))
    assert found.base == pytest.approx([2 * 1 + 3 * 2, -1])
    found = shap_values(lambda x: x[:, :1] * x[:, 1:2], table([[1, 1]]), table([[0, 0]]))
    assert found.values[0, :, 0] == pytest.approx([0.5, 0.5])  # alone neither moves it


@pytest.mark.parametrize("inputs", [4, EXACT + 2])
def test_values_add_up_to_output_minus_base_also_where_permutations_are_drawn(inputs):
    rng = np.random.default_rng(0)
    rows, background = table(rng.normal(size=(3, inputs))), table(rng.normal(size=(5, inputs)))
    model = lambda x: np.tanh(x @ np.ones((inputs, 2)) * [1, -2]) + x[:, :1] * x[:, 1:2]
    found = shap_values(model, rows, background, seed=1)
    assert found.values.shape == (3, inputs, 2)
    assert found.values.sum(1) == pytest.approx(model(rows.to_numpy()) - found.base, abs=1e-6)


def test_the_long_table_names_rows_inputs_and_outputs():
    rows = table([[5, 1], [0, 2]])
    frame = long(shap_values(additive, rows, table([[0, 0]])), rows, ["x", "y"], ["mel", "nv"])
    assert list(frame.columns) == ["image_id", "input", "value", "of_mel", "of_nv"]
    assert frame.set_index(["image_id", "input"]).loc[("x", "a"), "of_mel"] == pytest.approx(10)
    assert frame.set_index(["image_id", "input"]).loc[("y", "b"), "value"] == 2


@pytest.mark.parametrize(("rows", "background", "message"), [
    (table([[1, 2]]), table([[1, 2]], "ba"), "have the columns"),
    (table([[1, np.nan]]), table([[1, 2]]), "give unknown values a number"),
    (table([[1, 2]]), table([[1, 2]]).head(0), "need a background"),
])  # fmt: skip
def test_what_cannot_be_explained_is_refused(rows, background, message):
    with pytest.raises(ValueError, match=message):
        shap_values(additive, rows, background)
