import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skinlib.config import RunConfig
from skinlib.models.system import System
from skinlib.training import losses
from skinlib.training.fit import total_loss

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
LABEL = torch.tensor([0, 0, 1])


def test_class_weights_are_n_over_k_times_the_count():
    found = losses.class_weights(np.array([0, 0, 0, 1]), 2)
    torch.testing.assert_close(found, torch.tensor([4 / (2 * 3), 4 / (2 * 1)]))
    labels = np.repeat([0, 1, 2], [7, 2, 1])
    assert losses.class_weights(labels, 3)[labels].mean().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="class 1 has no training image"):
        losses.class_weights(np.array([0, 2, 2]), 3)


def test_cross_entropy_by_hand():
    total, count = losses.cross_entropy(None, 0.0)({"logits": LOGITS}, {"label": LABEL})
    by_hand = np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1)) + np.log(2)
    assert (total.item(), count.item()) == (pytest.approx(by_hand), 3)
    total, _ = losses.cross_entropy(None, 0.0)({"logits": LOGITS.bfloat16()}, {"label": LABEL})
    assert total.dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0])])
def test_sum_over_count_is_torchs_mean(weights, smoothing):
    total, count = losses.cross_entropy(weights, smoothing)({"logits": LOGITS}, {"label": LABEL})
    torch.testing.assert_close(total / count, F.cross_entropy(LOGITS, LABEL, weight=weights, label_smoothing=smoothing))


def test_parts_of_a_batch_add_up():
    term = losses.cross_entropy(torch.tensor([0.5, 3.0]), 0.1)
    whole = term({"logits": LOGITS}, {"label": LABEL})
    parts = [term({"logits": LOGITS[i]}, {"label": LABEL[i]}) for i in (slice(0, 1), slice(1, 3))]
    torch.testing.assert_close(torch.stack(whole), torch.stack(parts[0]) + torch.stack(parts[1]))


def test_the_configuration_names_the_terms():
    config = RunConfig(class_weights=True, label_smoothing=0.2, losses={"cross_entropy": 0.5})
    found = losses.terms(config, np.array([0, 0, 0, 1]), 2)
    total, count = found["cross_entropy"]({"logits": LOGITS}, {"label": LABEL})
    weight = torch.tensor([2 / 3, 2.0])
    torch.testing.assert_close(total / count, F.cross_entropy(LOGITS, LABEL, weight=weight, label_smoothing=0.2))
    with pytest.raises(ValueError, match="no loss focal; there are cross_entropy, dice, mask_cross_entropy"):
        losses.terms(RunConfig(losses={"focal": 1.0}), np.array([0, 1]), 2)


def test_the_total_is_the_weighted_sum_of_the_means():
    a = lambda output, batch: (torch.tensor(6.0), torch.tensor(3.0))
    b = lambda output, batch: (torch.tensor(5.0), torch.tensor(1.0))
    none = lambda output, batch: (torch.tensor(0.0), torch.tensor(0.0))
    weights = {"a": 0.5, "b": 2.0, "none": 1.0, "only recorded": 0.0}
    total, parts = total_loss({"logits": LOGITS}, {}, {"a": a, "b": b, "none": none, "only recorded": b}, weights)
    assert total.item() == pytest.approx(0.5 * 2 + 2 * 5)
    assert parts == {"a": (6.0, 3.0), "b": (5.0, 1.0), "none": (0.0, 0.0), "only recorded": (5.0, 1.0)}


def mask_batch(**changes):
    truth = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    return {"mask": truth, "has_mask": torch.tensor([True, True, False])} | changes


def test_dice_by_hand_leaves_images_without_a_mask_out_and_nothing_of_nothing_is_perfect():
    sure = 50 * (2 * mask_batch()["mask"] - 1)
    sure[1] = -sure[1]  # the second prediction is the complement: 1 - (0 + 1) / (3 + 1 + 1)
    total, count = losses.dice({"mask": sure}, mask_batch())
    assert (total.item(), count.item()) == (pytest.approx(0.8, abs=1e-6), 2)
    none, count = losses.dice({"mask": sure}, mask_batch(has_mask=torch.zeros(3, dtype=torch.bool)))
    assert (none.item(), count.item()) == (0, 0)
    with pytest.raises(ValueError, match="needs batches with masks"):
        losses.dice({"mask": torch.zeros(1, 1, 2, 2)}, {"label": LABEL})
    empty = {"mask": torch.full((1, 1, 4, 4), -50.0)}
    truth = {"mask": torch.zeros(1, 1, 4, 4), "has_mask": torch.ones(1)}
    assert losses.dice(empty, truth)[0].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", [losses.dice, losses.mask_cross_entropy])
def test_two_channels_mean_the_same_as_one(term):
    logits = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    two = torch.cat([0.3 * torch.ones_like(logits), 0.3 + logits], 1)
    torch.testing.assert_close(term({"mask": two}, mask_batch()), term({"mask": logits}, mask_batch()))


def test_mask_cross_entropy_is_torchs_over_the_images_with_a_mask():
    logits = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    total, count = losses.mask_cross_entropy({"mask": logits}, mask_batch())
    torch.testing.assert_close(total / count, F.binary_cross_entropy_with_logits(logits[:2], mask_batch()["mask"][:2]))


def test_a_system_brings_its_own_losses(monkeypatch):
    def make(config, weights):
        return lambda output, batch: (torch.tensor(config.lr), weights.sum())

    monkeypatch.setattr(losses.models, "system_of", lambda config: System(None, losses={"own": make}))
    config = RunConfig(losses={"own": 2.0, "cross_entropy": 1.0}, class_weights=True, lr=0.25)
    found = losses.terms(config, np.array([0, 0, 1]), 2)
    assert list(found) == ["own", "cross_entropy"] and found["own"]({}, {})[0].item() == 0.25
    with pytest.raises(ValueError, match="no loss other; there are cross_entropy, dice, mask_cross_entropy, own"):
        losses.terms(config.replace(losses={"other": 1.0}), np.array([0, 1]), 2)
