import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skinlib.data import clinical
from skinlib.models.imputation import METHODS, Imputer, _guessing_loss, hidden_errors

BLOCKS = {"colour": slice(0, 3), "size": slice(3, 4), "twin": slice(4, 6)}
NAN = float("nan")


def table(n: int = 240, seed: int = 0) -> torch.Tensor:
    """Three questions: a colour, a size that follows from it, and a twin that says whether the colour is the first."""
    colour, rows = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, n)), torch.zeros(n, 6)
    rows[torch.arange(n), colour] = 1
    rows[:, 3] = 10.0 * colour + 5
    rows[torch.arange(n), 4 + (colour > 0).long()] = 1
    return rows


def blanked(rows: torch.Tensor, **chosen) -> torch.Tensor:
    rows = rows.clone()
    for name, which in chosen.items():
        rows[which, BLOCKS[name]] = NAN
    return rows


def test_simple_rules_by_hand():
    rows = torch.tensor([[1.0, 0, 0, 4, 1, 0], [0, 1, 0, 8, 1, 0], [0, 1, 0, NAN, 0, 1], [NAN, NAN, NAN, 9, NAN, NAN]])
    frequent = Imputer(BLOCKS, method="frequent", scale=False)
    frequent.fit(rows)
    assert frequent(rows)[2].tolist() == [0, 1, 0, 8, 0, 1] and frequent(rows)[3].tolist() == [0, 1, 0, 9, 1, 0]
    scaled = Imputer(BLOCKS, method="frequent")
    scaled.fit(rows)
    np.testing.assert_allclose(scaled(rows)[:, 3], (np.array([4, 8, 8, 9]) - 7) / np.std([4, 8, 9]), rtol=1e-5)
    assert scaled(rows)[:, :3].tolist() == frequent(rows)[:, :3].tolist()
    for scale in (True, False):
        zeros = Imputer(BLOCKS, method="zeros", scale=scale)
        zeros.fit(rows)
        assert zeros(rows)[2, 3] == 0 and zeros(rows)[3, :3].tolist() == [0, 0, 0]


def test_the_autoencoder_reads_what_answers_say_of_each_other():
    rows, auto = table(), Imputer(BLOCKS, scale=False)
    auto.fit(blanked(rows, colour=slice(0, 240, 5), size=slice(1, 240, 5)))
    fresh = table(60, seed=1)
    holes = blanked(fresh, colour=slice(0, 30), size=slice(30, 60))
    filled = auto(holes)
    assert (filled[:30] == fresh[:30]).all(1).float().mean() > 0.9 and (filled[30:, 3] - fresh[30:, 3]).abs().mean() < 2
    frequent = Imputer(BLOCKS, method="frequent", scale=False)
    frequent.fit(rows)
    assert (frequent(holes)[:30, :3] == fresh[:30, :3]).all(1).float().mean() < 0.6


@pytest.fixture(scope="module")
def fitted() -> dict[str, Imputer]:
    found = {method: Imputer(BLOCKS, method=method) for method in METHODS}
    for imputer in found.values():
        imputer.fit(blanked(table(), size=slice(0, 240, 7), twin=slice(0, 240, 7)))
    return found


@settings(max_examples=30)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8), st.sampled_from(METHODS))
def test_given_answers_stay_and_filled_ones_cannot_be_told_from_them(fitted, holes, method):
    whole, imputer = table(len(holes), seed=2), fitted[method]
    rows = whole.clone()
    for row, hidden in enumerate(holes):
        for place, gone in zip(BLOCKS.values(), hidden, strict=True):
            rows[row, place] = NAN if gone else rows[row, place]
    filled, given_cells = imputer(rows), ~rows.isnan()
    assert not filled.isnan().any()
    torch.testing.assert_close(filled[given_cells], imputer(whole)[given_cells])
    torch.testing.assert_close(filled, torch.cat([imputer(row[None]) for row in rows]))  # alone as in company
    if method != "zeros":
        assert set(filled[:, :3].sum(1).tolist()) == {1.0} and set(filled[:, :3].flatten().tolist()) <= {0.0, 1.0}
        size = filled[:, 3] * imputer.deviation[3] + imputer.mean[3]
        torch.testing.assert_close(size, size.round(), atol=1e-3, rtol=0)
        assert size.min() > 4.9 and size.max() < 25.1


def test_the_fit_is_the_same_each_time_also_where_gradients_are_off():
    rows = blanked(table(), size=slice(0, 240, 7))
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = Imputer(BLOCKS), Imputer(BLOCKS), Imputer(BLOCKS, seed=1)
    for imputer in (first, again, other):
        imputer.fit(rows)
    assert torch.equal(torch.rand(1), wanted)
    assert torch.equal(first.inside, again.inside) and not torch.equal(first.inside, other.inside)
    assert not list(first.parameters())  # nothing that an optimiser could move
    restored = Imputer(BLOCKS)
    restored.load_state_dict(first.state_dict())
    assert torch.equal(restored(rows), first(rows))
    with torch.inference_mode(False), torch.no_grad():
        auto = Imputer(BLOCKS)
        auto.fit(blanked(table(), size=slice(0, 240, 7)))
    assert auto.inside.abs().sum() > 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no imputation 'guess'; there are autoencoder, frequent, zeros"):
        Imputer(BLOCKS, method="guess")
    with pytest.raises(ValueError, match="no training row answers size, twin; leave the question out"):
        Imputer(BLOCKS).fit(blanked(table(), size=slice(None), twin=slice(None)))


def test_errors_on_hidden_answers():
    train = blanked(table(300), size=slice(0, 300, 3), twin=slice(0, 300, 3)).numpy()
    known = blanked(table(200, seed=1), colour=slice(0, 20)).numpy()
    before, found = known.copy(), hidden_errors(train, known, BLOCKS, share=0.5)
    np.testing.assert_array_equal(known, before)
    assert set(found["method"]) == {"autoencoder", "frequent", "iterative"}
    assert set(found.loc[found["question"] == "size", "metric"]) == {"mean_absolute_error"}
    error = found.set_index(["question", "method", "pattern"])["error"]
    assert error["colour", "autoencoder", "alone"] < 0.5 * error["colour", "frequent", "alone"]
    together = found[found["pattern"] == "together"]
    assert set(together["question"]) == {"size", "twin"}  # colour is never blank in training
    assert (together["n"] == 200).all() and (found.loc[(found["question"] == "colour"), "n"] < 180).all()


def test_a_hidden_answer_that_is_guessed_by_the_mode_has_the_rate_of_the_other_answers():
    train, known = table(300).numpy(), np.zeros((10, 6), np.float32)
    known[:, 3], known[:, 5] = 5, 1
    known[np.arange(10), [0] * 4 + [1] * 3 + [2] * 3] = 1
    mode = int(train[:, :3].sum(0).argmax())
    found = hidden_errors(train, known, BLOCKS, share=1.0).set_index(["question", "method", "pattern"])
    row = found.loc["colour", "frequent", "alone"]
    assert row["error"] == pytest.approx(1 - [0.4, 0.3, 0.3][mode]) and row["n"] == 10


def test_the_questions_of_the_clinical_features_fit():
    for encoding in clinical.ENCODINGS:
        assert len(Imputer(clinical.blocks(encoding), method="frequent").mean) == len(clinical.columns(encoding))


def test_the_guessing_loss_by_hand():
    out, truth, blocks = torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([[1.0, 0.0, 1.0]]), [slice(0, 2), slice(2, 3)]
    hidden = torch.tensor([[True, True, True]])  # two questions: log 2 for an answer of two, 2 squared over 2
    assert _guessing_loss(out, truth, hidden, blocks).item() == pytest.approx((np.log(2) + 2) / 2)
    hidden[0, 2] = False
    assert _guessing_loss(out, truth, hidden, blocks).item() == pytest.approx(np.log(2))
