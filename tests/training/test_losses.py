import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skinlib.config import RunConfig
from skinlib.training import losses
from skinlib.training.fit import total_loss

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
LABEL = torch.tensor([0, 0, 1])


def test_class_weights_are_n_over_k_times_the_count():
    found = losses.class_weights(np.array([0, 0, 0, 1]), 2)
    torch.testing.assert_close(found, torch.tensor([4 / (2 * 3), 4 / (2 * 1)]))
    labels = np.repeat([0, 1, 2], [7, 2, 1])
    assert losses.class_weights(labels, 3)[labels].mean().item() == pytest.approx(1)


def test_a_class_without_images_has_no_weight():
    with pytest.raises(ValueError, match="class 1 has no training image"):
        losses.class_weights(np.array([0, 2, 2]), 3)


def test_cross_entropy_by_hand():
    total, count = losses.cross_entropy(None, 0.0)({"logits": LOGITS}, {"label": LABEL})
    by_hand = np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1)) + np.log(2)
    assert (total.item(), count.item()) == (pytest.approx(by_hand), 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0])])
def test_sum_over_count_is_torchs_mean(weights, smoothing):
    total, count = losses.cross_entropy(weights, smoothing)({"logits": LOGITS}, {"label": LABEL})
    wanted = F.cross_entropy(LOGITS, LABEL, weight=weights, label_smoothing=smoothing)
    torch.testing.assert_close(total / count, wanted)


def test_parts_of_a_batch_add_up():
    term = losses.cross_entropy(torch.tensor([0.5, 3.0]), 0.1)
    whole = term({"logits": LOGITS}, {"label": LABEL})
    parts = [term({"logits": LOGITS[i]}, {"label": LABEL[i]}) for i in (slice(0, 1), slice(1, 3))]
    torch.testing.assert_close(torch.stack(whole), torch.stack(parts[0]) + torch.stack(parts[1]))


def test_half_precision_logits_are_summed_in_full():
    total, _ = losses.cross_entropy(None, 0.0)({"logits": LOGITS.bfloat16()}, {"label": LABEL})
    assert total.dtype == torch.float32


def test_the_configuration_names_the_terms():
    config = RunConfig(class_weights=True, label_smoothing=0.2, losses={"cross_entropy": 0.5})
    found = losses.terms(config, np.array([0, 0, 0, 1]), 2)
    total, count = found["cross_entropy"]({"logits": LOGITS}, {"label": LABEL})
    weight = torch.tensor([2 / 3, 2.0])
    torch.testing.assert_close(total / count, F.cross_entropy(LOGITS, LABEL, weight=weight, label_smoothing=0.2))
    with pytest.raises(ValueError, match="no loss dice; there are cross_entropy"):
        losses.terms(RunConfig(losses={"dice": 1.0}), np.array([0, 1]), 2)


def test_the_total_is_the_weighted_sum_of_the_means():
    a, b = (
        (lambda output, batch: (torch.tensor(6.0), torch.tensor(3.0))),
        (lambda o, b: (torch.tensor(5.0), torch.tensor(1.0))),
    )
    none = lambda output, batch: (torch.tensor(0.0), torch.tensor(0.0))
    weights = {"a": 0.5, "b": 2.0, "none": 1.0, "only recorded": 0.0}
    terms = {"a": a, "b": b, "none": none, "only recorded": b}
    total, parts = total_loss({"logits": LOGITS}, {}, terms, weights)
    assert total.item() == pytest.approx(0.5 * 2 + 2 * 5)
    assert parts == {"a": (6.0, 3.0), "b": (5.0, 1.0), "none": (0.0, 0.0), "only recorded": (5.0, 1.0)}
