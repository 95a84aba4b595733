"""The localisation exhibit: means by hand, differences paired, small groups without interval."""

import numpy as np
import pandas as pd
import pytest

from skinlib.across.localisation import gallery_cells, localisation, outcomes
from skinlib.exhibits.score import Boot

OUTCOMES = ("TP", "TN", "FN", "FP")


def measures(n=24):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": [f"i{k:02d}" for k in range(n)], "lesion_id": [f"l{k // 2}" for k in range(n)]})
    table = table.assign(constant=False, outcome=["TP", "TN"] * (n // 2), dataset="d", split="s")
    for name in ("energy", "pointing", "iou"):
        table[name] = rng.random(n)
        table[f"{name}_centre"] = table[name] - 0.25
        table[f"{name}_random"] = 0.1
    return table.assign(energy_sharp=table["energy"] + 0.125)


def cells(table, outcomes=OUTCOMES):
    return localisation(table, outcomes, Boot(n=50)).set_index(["row", "metric"])


def test_means_and_paired_differences():
    table = measures()
    found = cells(table)
    assert found.loc[("Grad-CAM++", "energy"), "ours"] == pytest.approx(table["energy"].mean())
    paired = found.loc[("Grad-CAM++ minus centred blob", "iou_change")]
    assert [paired["ours"], paired["low"], paired["high"]] == pytest.approx([0.25] * 3)
    assert found.loc[("sharpened minus raw", "energy_change"), "ours"] == pytest.approx(0.125)
    of_tp = found.loc[("Grad-CAM++", "energy_of_tp")]
    assert of_tp["ours"] == pytest.approx(table["energy"][::2].mean()) and of_tp["n"] == 12
    assert of_tp["low"] < of_tp["ours"] < of_tp["high"]
    unsharpened = cells(table.drop(columns="energy_sharp"))
    assert not [row for row, _ in unsharpened.index if "sharpened" in row]


def test_constant_and_unmasked_maps_are_left_out_and_small_groups_have_no_interval():
    table = measures()
    table.loc[0, ["constant", "energy"]] = [True, np.nan]
    table.loc[1, "energy"] = np.nan
    table.loc[2:4, "outcome"] = "FN"
    found = cells(table)
    assert found.loc[("constant maps", "count"), "ours"] == 1
    assert found.loc[("Grad-CAM++", "energy"), "n"] == 22
    small = found.loc[("Grad-CAM++", "energy_of_fn")]
    assert small["ours"] == pytest.approx(table["energy"][2:5].mean())
    assert np.isnan(small["low"]) and "no interval" in small["note"]
    none = found.loc[("Grad-CAM++", "energy_of_fp")]
    assert np.isnan(none["ours"]) and none["note"] == "no such image"


def test_outcomes_call_at_the_threshold_itself():
    p = np.array([0.4, 0.39, 0.4, 0.1])
    table = pd.DataFrame({"image_id": list("abcd"), "label": [1, 1, 0, 0], "p_benign": 1 - p, "p_malignant": p})
    assert outcomes(table, 0.4).tolist() == ["TP", "FN", "FP", "TN"]


def test_every_case_has_a_row_and_a_reason():
    cases = pd.DataFrame(
        {"outcome": ["TP", "FN"], "place": ["median"] * 2, "image_id": ["i1", np.nan], "energy": [0.4, np.nan]}
    )
    found = gallery_cells(cases, ["energy"], dataset="d", split="s").set_index(["row", "metric"])
    assert found.loc[("TP, median", "energy"), ["ours", "note"]].tolist() == [0.4, "image i1"]
    assert np.isnan(found.loc[("FN, median", "energy"), "ours"])
    assert found.loc[("FN, median", "energy"), "note"] == "no such image"
