import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from skinlib.data import splits
from skinlib.data.readers_files import DataError


def people(lesions: list[int], seed: int = 0, share: float = 0.4) -> pd.DataFrame:
    """A cohort with ``lesions[i]`` images of lesion i; two lesions a patient, the label the lesion's."""
    rng = np.random.default_rng(seed)
    lesion = np.repeat(np.arange(len(lesions)), lesions)
    label = (rng.random(len(lesions)) < share).astype(int)
    label[:8] = np.tile([0, 1], 4)[: len(label)]  # enough of each for four folds
    ids = rng.permutation(len(lesion))
    return pd.DataFrame({
        "image_id": [f"I{i:04d}" for i in ids], "label": label[lesion],
        "diagnosis": np.array(["nv", "mel"])[label[lesion]], "lesion_id": [f"L{i:03d}" for i in lesion],
        "patient_id": [f"P{i // 2:03d}" for i in lesion], "official_split": np.nan,
    })  # fmt: skip


cohorts = st.builds(
    people, st.lists(st.integers(1, 4), min_size=40, max_size=80), st.integers(0, 100), st.floats(0.2, 0.8)
)
quick = settings(max_examples=15)


@quick
@given(cohorts, st.integers(2, 4), st.sampled_from([0.0, 0.2, 0.25]), st.sampled_from(["auto", "patient", "lesion"]))
def test_groups_never_cross_and_every_image_stands_once_in_a_fold(cohort, folds, test, by):
    split = splits.make(cohort, folds=folds, test=test, by=by)
    joined = split.merge(cohort, on="image_id")
    column = "lesion_id" if by == "lesion" else "patient_id"
    assert (joined.groupby(["fold", column])["part"].nunique() == 1).all()
    for fold in range(folds):
        assert sorted(split.loc[split["fold"] == fold, "image_id"]) == sorted(cohort["image_id"])
    assert set(split["fold"]) == set(range(folds))


@quick
@given(cohorts, st.integers(2, 4))
def test_the_test_part_is_one_and_each_other_image_validates_once(cohort, folds):
    split = splits.make(cohort, folds=folds, test=0.2)
    tests = [set(rows.loc[rows["part"] == "test", "image_id"]) for _, rows in split.groupby("fold")]
    assert all(part == tests[0] for part in tests)
    times = split[split["part"] == "val"].groupby("image_id").size()
    assert (times == 1).all() and set(times.index) == set(cohort["image_id"]) - tests[0]


@quick
@given(cohorts, st.integers(0, 5), st.sampled_from(["auto", "image"]))
def test_row_order_does_not_matter_and_the_seed_does(cohort, seed, by):
    split = splits.make(cohort, folds=3, seed=seed, by=by)
    shuffled = cohort.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(splits.make(shuffled, folds=3, seed=seed, by=by), split)
    assert splits.fingerprint(splits.make(cohort, folds=3, seed=seed + 1, by=by)) != splits.fingerprint(split)


@quick
@given(cohorts, st.sampled_from([0.2, 0.25, 0.5]))
def test_shares_and_strata_are_near_what_was_asked(cohort, test):
    split = splits.make(cohort, folds=2, test=test, by="lesion")
    first = split[split["fold"] == 0].merge(cohort, on="image_id")
    held_out = first["part"] == "test"
    assert abs(held_out.mean() - test) < 0.1
    prevalence = first["label"].mean()
    assert abs(first.loc[held_out, "label"].mean() - prevalence) < 0.2
    assert abs(first.loc[first["part"] == "val", "label"].mean() - prevalence) < 0.2


def test_without_groups_shares_and_strata_are_exact():
    cohort = people([1] * 100, share=0.5)
    cohort["label"] = np.arange(100) % 4 == 0  # 25 of 100
    split = splits.make(cohort, folds=4, test=0.2, by="image")
    counts = split.merge(cohort, on="image_id").groupby(["fold", "part"])["label"].agg(["size", "sum"])
    for fold in range(4):
        assert counts.loc[fold].to_dict("index") == {
            "test": {"size": 20, "sum": 5}, "train": {"size": 60, "sum": 15}, "val": {"size": 20, "sum": 5},
        }  # fmt: skip


def test_the_group_is_the_patient_else_the_lesion_else_the_image():
    cohort = people([2] * 4)
    cohort.loc[0, "patient_id"] = np.nan
    assert splits.groups(cohort).to_list() == [cohort.loc[1, "patient_id"], *cohort["patient_id"][1:]]  # by its lesion
    own = "image:" + cohort.loc[0, "image_id"]
    assert splits.groups(cohort.assign(lesion_id=np.nan)).to_list() == [own, *cohort["patient_id"][1:]]
    assert splits.groups(cohort, "lesion").to_list() == cohort["lesion_id"].to_list()
    blank = cohort.assign(patient_id=np.nan)
    assert splits.groups(blank).to_list() == cohort["lesion_id"].to_list()
    bare = cohort[["image_id", "label"]]
    assert splits.groups(bare).to_list() == ("image:" + bare["image_id"]).to_list()
    with pytest.raises(DataError, match="no patient_id"):
        splits.groups(blank, "patient")
    with pytest.raises(ValueError, match="no split 'site'; choose grouped"):
        splits.groups(cohort, "site")


def test_rows_without_a_patient_share_a_group_with_their_lesion():
    rows = [
        ("a", "P1", "L1"), ("b", None, "L1"), ("c", "P2", "L2"), ("d", "P3", "L2"), ("e", None, "L3"),
        ("f", None, "L3"), ("g", None, None), ("h", "P4", None), ("i", "P5", "L4"), ("j", "P6", "L4"),
        ("k", None, "L4"), ("l", "P6", "L9"),
    ]  # fmt: skip
    cohort = pd.DataFrame(rows, columns=["image_id", "patient_id", "lesion_id"])
    group = splits.groups(cohort)
    # L2 is two lesions, one of P2 and one of P3; L4 may be of either patient, so both are one group with it
    together = [["a", "b"], ["c"], ["d"], ["e", "f"], ["g"], ["h"], ["i", "j", "k", "l"]]
    assert sorted(cohort.groupby(group)["image_id"].agg(list)) == together
    assert group[0] == "patient_id:P1" and group[4] == "lesion_id:L3" and group[6] == "image:g"


def test_lesions_stay_together_where_few_patients_are_known():
    labels = [k // 2 % 2 for k in range(120)]
    ids = {"image_id": [f"i{k}" for k in range(120)], "lesion_id": [f"L{k // 2}" for k in range(120)]}
    cohort = pd.DataFrame(ids | {"label": labels, "patient_id": ["P1", "P1"] + [None] * 118})
    split = splits.make(cohort, folds=2).merge(cohort[["image_id", "lesion_id"]])
    assert (split.groupby(["fold", "lesion_id"])["part"].nunique() == 1).all()


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan", ""])
def test_a_split_is_read_back_whatever_its_images_and_lesions_are_called(tmp_path, name):
    cohort = people([2] * 20)
    cohort.loc[0, ["image_id", "lesion_id", "patient_id"]] = name or "blank", name or np.nan, name or np.nan
    split = splits.make(cohort, folds=2)
    splits.save(split, tmp_path / "s.csv", cohort)
    pd.testing.assert_frame_equal(splits.load(tmp_path / "s.csv", cohort), split, check_dtype=False)


def test_an_image_level_split_leaks_lesions_and_only_on_demand():
    cohort = people([4] * 40)
    leaky = splits.make(cohort, folds=2, by="image").merge(cohort, on="image_id")
    leaks = lambda table: (table.groupby(["fold", "lesion_id"])["part"].nunique() > 1).mean()
    assert leaks(leaky) > 0.5
    assert leaks(splits.make(cohort, folds=2).merge(cohort, on="image_id")) == 0


@pytest.mark.parametrize(("options", "message"), [
    ({"folds": 1}, "at least 2 folds, got 1"), ({"test": 1.0}, "test share is 1.0"), ({"test": -0.1}, "test share"),
    ({"test": 0.4}, "would be 0.50; give about 1/2, 1/3"),
])  # fmt: skip
def test_impossible_splits_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        splits.make(people([1] * 20), **options)
    with pytest.raises(DataError, match="5 folds need at least 5 groups, there are 4"):
        splits.make(people([3] * 8), folds=2, test=0.2)


@pytest.fixture
def saved(tmp_path):
    """A cohort without files, its split, and where it was saved."""
    cohort = people([2] * 30)
    split = splits.make(cohort, folds=3)
    return cohort, split, splits.save(split, tmp_path / "s" / "split.csv", cohort)


def test_a_saved_split_comes_back(saved):
    cohort, split, path = saved
    again = splits.load(path, cohort.iloc[::-1])
    assert again.astype(str).equals(split.astype(str))
    assert splits.fingerprint(again) == splits.fingerprint(split)


def test_a_leaking_file_is_refused_with_a_name(saved):
    cohort, split, path = saved
    text = split.copy()
    row = text.index[(text["fold"] == 0) & (text["part"] == "test")][0]
    text.loc[row, "part"] = "train"
    text.to_csv(path, index=False)
    with pytest.raises(splits.GroupOverlapError, match=f"1 groups .* first {split.loc[row, 'group']}"):
        splits.load(path, cohort)
    assert issubclass(splits.GroupOverlapError, DataError)
    with pytest.raises(splits.GroupOverlapError):
        splits.save(text, path, cohort)


def test_an_edited_file_is_refused_also_where_nothing_leaks(saved):
    cohort, split, path = saved
    split.assign(part=split["part"].replace({"test": "val", "val": "test"})).to_csv(path, index=False)
    with pytest.raises(DataError, match="was edited"):
        splits.load(path, cohort)
    for damage in (lambda: path.write_bytes(b'"'), path.with_suffix(".json").unlink):
        damage()
        with pytest.raises(DataError, match="is damaged or gone"):
            splits.load(path, cohort)


def test_a_split_of_other_data_is_refused(saved):
    cohort, _, path = saved
    with pytest.raises(DataError, match=r"of other data \(60 images then, 59 now\)"):
        splits.load(path, cohort.iloc[1:])
    with pytest.raises(DataError, match="of other data"):
        splits.load(path, cohort.assign(label=1 - cohort["label"]))


def test_a_broken_table_is_refused():
    split = splits.make(people([1] * 20), folds=2)
    with pytest.raises(DataError, match="missing: part"):
        splits.check(split.drop(columns="part"))
    with pytest.raises(DataError, match="unknown part trian"):
        splits.check(split.replace({"part": {"train": "trian"}}))
    with pytest.raises(DataError, match="1 images are twice"):
        splits.check(pd.concat([split, split.iloc[:1]]))


def test_a_part_is_the_cohorts_rows_in_the_cohorts_order():
    cohort = people([2] * 30)
    split = splits.make(cohort, folds=3)
    parts = {name: splits.part(cohort, split, 1, name) for name in splits.PARTS}
    rows = split[split["fold"] == 1]
    for name, found in parts.items():
        assert set(found["image_id"]) == set(rows.loc[rows["part"] == name, "image_id"])
        assert found["image_id"].to_list() == [i for i in cohort["image_id"] if i in set(found["image_id"])]
    everything = splits.part(cohort, split, None, "train")
    assert len(everything) == len(parts["train"]) + len(parts["val"])
    assert splits.part(cohort, split, None, "val").empty
    assert set(splits.part(cohort, split, None, "test")["image_id"]) == set(parts["test"]["image_id"])


def test_a_part_that_the_cohort_lacks_is_an_error():
    cohort = people([2] * 30)
    split = splits.make(cohort, folds=3)
    gone = splits.part(cohort, split, 0, "test")["image_id"].min()
    with pytest.raises(DataError, match=f"1 images that the cohort lacks, first {gone}"):
        splits.part(cohort[cohort["image_id"] != gone], split, 0, "test")


def test_official_parts_stay_and_their_training_part_folds():
    cohort = people([1] * 40)
    cohort["official_split"] = ["train"] * 20 + ["val"] * 8 + ["test"] * 10 + [np.nan] * 2
    cohort["official_split"] = cohort["official_split"].astype(object)
    one = splits.official(cohort, folds=1).set_index("image_id")["part"]
    assert one.to_dict() == cohort.dropna(subset="official_split").set_index("image_id")["official_split"].to_dict()
    alone = cohort.assign(patient_id=np.nan, lesion_id=cohort["image_id"])
    folded = splits.official(alone, folds=2)
    assert set(folded.loc[folded["part"] == "test", "image_id"]) == set(cohort["image_id"][28:38])
    assert folded.groupby("fold").size().to_dict() == {0: 38, 1: 38}
    assert folded[folded["part"] == "val"].groupby("fold").size().to_dict() == {0: 14, 1: 14}


def test_an_official_split_that_is_none_or_leaks_is_refused(tmp_path):
    cohort = people([1] * 40)
    with pytest.raises(DataError, match=r"no official training and test parts; choose another"):
        splits.official(cohort)
    cohort["official_split"] = ["train"] * 30 + ["test"] * 10
    with pytest.raises(DataError, match="no validation part; ask for folds"):
        splits.official(cohort, folds=1)
    cohort = people([2] * 20)
    cohort["official_split"] = ["train", "test"] * 20  # the two images of a lesion
    with pytest.raises(splits.GroupOverlapError, match="first P"):
        splits.save(splits.official(cohort, folds=2), tmp_path / "x.csv", cohort)
    assert list(tmp_path.iterdir()) == []


def members(split, part):
    return set(split.loc[split["part"] == part, "image_id"])


def test_both_arms_of_a_leak_test_the_same_images_and_train_on_as_many():
    cohort = people(list(np.arange(40) % 3 + 1)).assign(patient_id=lambda table: "P" + table["lesion_id"])
    with pytest.raises(DataError, match="the share of groups that give a test image is 0; give more than 0"):
        splits.leak_arms(cohort, share=0)
    leaky, clean = (splits.leak_arm(cohort, arm, share=0.5, seed=3) for arm in splits.LEAK_ARMS)
    assert members(leaky, "test") == members(clean, "test") != set()
    known = cohort.set_index("image_id")
    patients = lambda split, part: set(known.loc[list(members(split, part)), "patient_id"])
    assert not patients(clean, "test") & patients(clean, "train")
    assert patients(clean, "test") <= patients(leaky, "train")
    trained = [known.loc[list(members(split, "train")), "label"] for split in (leaky, clean)]
    assert len(trained[0]) == len(trained[1]) and trained[0].sum() == trained[1].sum()
    for split in (leaky, clean):
        splits.check(split)
        assert set(split["part"]) == {"train", "test"} and set(split["fold"]) == {0}
        assert set(splits.part(cohort, split, None, "train")["image_id"]) == members(split, "train")
    assert clean["group"].str.startswith("P").all() and leaky["group"].str.startswith("image:").all()
    with pytest.raises(ValueError, match="no arm 'dirty'; choose leaky or clean"):
        splits.leak_arm(cohort, "dirty")
