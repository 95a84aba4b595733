"""The arms differ in lesion-mates alone, and a nearest neighbour says what it can know."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinlib.across import leakage
from skinlib.data import splits
from skinlib.data.readers_files import DataError


def cohort_of(sizes, labels):
    """Return a cohort of lesions with given numbers of images and labels."""
    lesion = np.repeat(np.arange(len(sizes)), sizes)
    return pd.DataFrame({
        "image_id": [f"i{k:03d}" for k in range(len(lesion))], "lesion_id": [f"L{k}" for k in lesion],
        "label": np.asarray(labels)[lesion],
    })  # fmt: skip


@given(st.integers(0, 10_000), st.floats(0.1, 0.6))
def test_arms_have_one_size_one_balance_and_the_same_strangers(seed, share):
    sizes, labels = [1] * 30 + [2] * 6 + [3] * 4, [0, 1] * 20
    cohort = cohort_of(sizes, labels)
    arms = splits.leak_arms(cohort, share=share, seed=seed)
    lesion, label = cohort["lesion_id"].to_numpy(), cohort["label"].to_numpy()
    test, leaky, clean = (set(arms[name]) for name in ("test", "leaky", "clean"))
    assert not test & (leaky | clean)
    assert len(leaky) == len(arms["leaky"]) == len(clean) == len(arms["clean"])
    assert label[arms["leaky"]].sum() == label[arms["clean"]].sum()
    tested = set(lesion[arms["test"]])
    assert len(tested) == len(test) == max(1, round(share * 10))
    assert not tested & set(lesion[arms["clean"]])
    assert set(lesion[list(leaky - clean)]) == tested  # every test lesion has a mate in the leaky arm
    assert not tested & set(lesion[list(leaky & clean)])


def test_arms_need_repeats_and_enough_strangers():
    with pytest.raises(DataError, match="nothing can leak"):
        splits.leak_arms(cohort_of([1, 1], [0, 1]))
    with pytest.raises(DataError, match="label 1 has 2 mates and 0 other images"):
        splits.leak_arms(cohort_of([3, 1, 1], [1, 0, 0]))


def test_mates_are_counted_by_the_groups_of_the_cohort():
    cohort = cohort_of([2, 1, 2], [0, 0, 1])  # i000 i001 | i002 | i003 i004
    part = ["train", "test", "test", "test", "test"]
    split = pd.DataFrame({"image_id": cohort["image_id"], "group": cohort["image_id"], "fold": 0, "part": part})
    assert leakage.mates(cohort, split) == (1, 4)
    whole = splits.make(cohort_of([2] * 10, [0, 1] * 5), folds=2, seed=0)
    assert leakage.mates(cohort_of([2] * 10, [0, 1] * 5), whole)[0] == 0


def test_nearest_by_hand():
    cohort = cohort_of([1, 1, 2], [0, 1, 1])  # i000 benign, i001 malignant, i002 and i003 one malignant lesion
    features = np.array([[0.0], [10.0], [4.0], [5.0]])
    table = leakage.nearest(cohort, features, np.array([0, 1, 3]), np.array([2]))
    row = table.iloc[0]
    assert (row["image_id"], row["neighbour"], row["mate"]) == ("i002", "i003", True)
    assert row["p_malignant"] == pytest.approx(4 / (4 + 1))  # benign at 4, malignant at 1
    clean = leakage.nearest(cohort, features, np.array([0, 1]), np.array([2])).iloc[0]
    assert (clean["neighbour"], clean["mate"]) == ("i000", False)
    assert clean["p_malignant"] == pytest.approx(4 / (4 + 6))
