import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from skinlib.data import clinical, readers, splits
from skinlib.data.synthetic import synthesise
from skinlib.evaluation import probes
from skinlib.evaluation.tables import labels, probabilities


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("pad")
    synthesise(root, datasets=("pad_ufes_20",), images=300, size=32, seed=0)
    return readers.read("pad_ufes_20", root, need_images=False)


@pytest.fixture(scope="module")
def split(cohort):
    return splits.make(cohort, folds=3, test=0.25)


def score(table, part="test"):
    rows = table[table["part"] == part]
    return balanced_accuracy_score(labels(rows), probabilities(rows)[0].argmax(1))


@pytest.mark.parametrize("kind", probes.CLASSIFIERS)
@pytest.mark.parametrize("sees", probes.SEES)
def test_a_probe_gives_a_prediction_table(cohort, split, sees, kind):
    table = probes.probe(cohort, split, sees=sees, kind=kind)
    _, names = probabilities(table)
    assert names == ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
    wanted = split[(split["fold"] == 0) & (split["part"] != "train")]
    assert set(table["image_id"]) == set(wanted["image_id"]) and table["image_id"].is_unique
    truth = cohort.set_index("image_id")["label"]
    assert (table["label"].to_numpy() == truth[table["image_id"]].to_numpy()).all()
    part = wanted.set_index("image_id")["part"]
    assert (table["part"].to_numpy() == part[table["image_id"]].to_numpy()).all()
    assert set(table["system"]) == {f"probe_{sees}_{kind}"} and set(table["view"]) == {"mean"}
    assert table["patient_id"].notna().all()


def test_which_questions_were_asked_says_more_than_chance_and_nothing_else_is_seen(cohort, split):
    assert probes.inputs(cohort, "asked").dtypes.eq(bool).all()
    assert score(probes.probe(cohort, split, sees="asked")) > 1 / 6 + 0.05
    # every answer replaced by another, the blanks as they were: the probe sees no difference
    other = cohort.assign(age=50.0, sex=cohort["sex"].where(cohort["sex"].isna(), "male"), site="face")
    a, b = (probes.probe(rows, split, sees="asked") for rows in (cohort, other))
    np.testing.assert_array_equal(probabilities(a)[0], probabilities(b)[0])


def test_the_symptom_probe_sees_six_answers_and_no_other(cohort, split):
    assert list(probes.inputs(cohort, "symptoms")) == list(clinical.SYMPTOMS)
    other = cohort.assign(age=1.0, sex=np.nan, site="ear", smoke=pd.NA)
    a, b = (probes.probe(rows, split, sees="symptoms", kind="logistic") for rows in (cohort, other))
    np.testing.assert_array_equal(probabilities(a)[0], probabilities(b)[0])
    assert clinical.SYMPTOMS == ("itch", "grew", "hurt", "changed", "bleed", "elevation")


@pytest.mark.parametrize("sees", probes.SEES)
def test_nothing_that_names_the_label_is_shown(cohort, sees):
    shown = probes.inputs(cohort, sees)
    assert not {"diagnosis", "label", "biopsed", "patient_id", "lesion_id", "image_id", "image_path"} & set(shown)
    changed = cohort.assign(biopsed=~cohort["biopsed"], diagnosis="MEL", label=2)
    pd.testing.assert_frame_equal(probes.inputs(changed, sees), shown)


def test_blanks_are_filled_from_the_training_rows(cohort):
    """The median of the training ages, the mode of the training sites, as a pipeline of its own finds them."""
    shown = probes.inputs(cohort, "metadata").head(40).copy()
    shown.loc[shown.index[0], ["age", "region"]] = np.nan
    fitted = probes.classifier("metadata", "logistic").fit(shown, np.arange(40) % 2)
    names = [n for n in clinical.columns() if n not in clinical.questions()]
    names += [n for n, answers in clinical.questions().items() if not answers]
    filled = pd.DataFrame(fitted[0].transform(shown.head(1)), columns=names)
    assert filled["age"].iloc[0] == shown["age"].median()
    mode = shown["region"].mode()[0]
    assert filled[f"region_{mode}"].iloc[0] == 1
    for name, answers in clinical.questions().items():
        if answers:
            assert filled[[f"{name}_{answer}" for answer in answers]].sum(axis=1).iloc[0] == 1  # no block of zeros


def test_a_class_without_a_training_row_has_probability_0_and_without_a_fold_the_validation_rows_train(cohort, split):
    training = split["image_id"].isin(cohort.loc[cohort["diagnosis"] == "MEL", "image_id"]) & (split["part"] == "train")
    table = probes.probe(cohort, split[~training], sees="symptoms", kind="logistic")
    assert (table["p_MEL"] == 0).all() and (table["label"] == 2).any()
    table = probes.probe(cohort, split, sees="asked", kind="logistic", fold=None)
    assert set(table["part"]) == {"test"} and set(table["fold"]) == {-1}


def test_unknown_names_are_refused(cohort, split):
    with pytest.raises(ValueError, match="no probe sees 'tea leaves'; there are asked, symptoms"):
        probes.probe(cohort, split, sees="tea leaves")
    with pytest.raises(ValueError, match="no classifier 'tree'; choose forest or logistic"):
        probes.probe(cohort, split, sees="asked", kind="tree")
