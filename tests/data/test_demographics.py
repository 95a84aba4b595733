import numpy as np
import pandas as pd
import pytest

from skinlib.data import readers
from skinlib.data.demographics import COLUMNS, encode
from skinlib.data.readers_files import DataError

ROWS = pd.DataFrame({
    "age": [70.0, np.nan, 0.0], "sex": ["male", np.nan, "female"], "site": ["back", "scalp", np.nan],
    "dx_type": "histo",
})  # fmt: skip


def named(values):
    return [{COLUMNS[k] for k in np.flatnonzero(row) if k} for row in values]


def test_by_hand():
    values = encode(ROWS)
    assert values.shape == (3, len(COLUMNS)) == (3, 20) and values.dtype == np.float32
    assert values[:, 0].tolist() == [1.0, 0.0, -2.5]  # (70 - 50) / 20; unknown; a newborn is no unknown
    assert named(values) == [
        {"sex male", "site back"}, {"age unknown", "sex unknown", "site scalp"}, {"sex female", "site unknown"},
    ]  # fmt: skip


def test_how_the_diagnosis_was_made_and_the_clinic_do_not_enter():
    other = ROWS.assign(dx_type="follow_up", source="rosendahl", diagnosis="mel", label=1)
    assert (encode(other) == encode(ROWS)).all()
    assert not [name for name in COLUMNS if "dx" in name or "source" in name or "dataset" in name]


def test_the_sets_own_values_are_known(data_root):
    cohort = readers.read("ham10000", data_root)
    values = encode(cohort)
    assert np.isfinite(values).all() and (values[:, 2:5].sum(1) == 1).all() and (values[:, 5:].sum(1) == 1).all()
    assert (values[:, 1] == cohort["age"].isna()).all()


def test_what_is_not_listed_is_refused():
    with pytest.raises(DataError, match=r"(?s)does not list.*site: .*elbow"):
        encode(ROWS.assign(site="elbow"))
    with pytest.raises(DataError, match="missing: sex"):
        encode(ROWS.drop(columns="sex"))
