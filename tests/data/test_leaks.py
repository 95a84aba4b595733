import numpy as np
import pandas as pd
import pytest

from skinlib.data import leaks, splits


@pytest.fixture
def cohort():
    """40 patients of one to three images, two labels."""
    patient = np.repeat(np.arange(40), np.arange(40) % 3 + 1)
    ids = [f"I{i:03d}" for i in range(len(patient))]
    columns = {"image_id": ids, "patient_id": [f"P{p}" for p in patient], "label": patient % 2}
    return pd.DataFrame(columns).sample(frac=1, random_state=0, ignore_index=True)


def members(split, part):
    return set(split.loc[split["part"] == part, "image_id"])


def test_both_arms_test_the_same_images_and_train_on_as_many(cohort):
    leaky, clean = (leaks.split(cohort, arm, share=0.5, seed=3) for arm in leaks.ARMS)
    assert members(leaky, "test") == members(clean, "test") != set()
    assert len(members(leaky, "train")) == len(members(clean, "train"))
    patient = cohort.set_index("image_id")["patient_id"]
    tested = set(patient[list(members(clean, "test"))])
    assert not tested & set(patient[list(members(clean, "train"))])
    assert tested <= set(patient[list(members(leaky, "train"))])
    for split in (leaky, clean):
        splits.check(split)
        assert set(split["part"]) == {"train", "test"} and set(split["fold"]) == {0}
        assert members(splits_part(cohort, split, "train"), "train") == members(split, "train")
    label = cohort.set_index("image_id")["label"]
    assert label[list(members(leaky, "train"))].sum() == label[list(members(clean, "train"))].sum()


def splits_part(cohort, split, name):
    return splits.part(cohort, split, None, name).assign(part=name)


def test_the_clean_arm_is_grouped_by_patient_and_the_leaky_one_by_image(cohort):
    leaky, clean = (leaks.split(cohort, arm) for arm in leaks.ARMS)
    assert clean["group"].str.startswith("P").all()
    assert leaky["group"].str.startswith("image:").all()
    with pytest.raises(ValueError, match="no arm 'dirty'; choose leaky or clean"):
        leaks.split(cohort, "dirty")
