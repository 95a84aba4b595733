"""The localisation exhibit: means by hand, differences paired, small groups without interval; the kept evidence."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from skinlib.across.localisation import alike, gallery_table, localisation
from skinlib.exhibits import evidence


def measures(n=24):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": [f"i{k:02d}" for k in range(n)], "lesion_id": [f"l{k // 2}" for k in range(n)]})
    table["constant"] = False
    table["outcome"] = ["TP", "TN"] * (n // 2)
    for name in ("energy", "pointing", "iou"):
        table[name] = rng.random(n)
        table[f"{name}_centre"] = table[name] - 0.25
        table[f"{name}_random"] = 0.1
    return table.assign(energy_sharp=table["energy"] + 0.125)


def cells(table, **options):
    return localisation(table, dataset="d", split="s", n_boot=50, **options).set_index(["row", "metric"])


def test_means_and_paired_differences():
    table = measures()
    found = cells(table)
    assert found.loc[("Grad-CAM++", "energy"), "ours"] == pytest.approx(table["energy"].mean())
    paired = found.loc[("Grad-CAM++ minus centred blob", "iou_diff")]
    assert [paired["ours"], paired["low"], paired["high"]] == pytest.approx([0.25] * 3)
    assert found.loc[("sharpened minus raw", "energy_diff"), "ours"] == pytest.approx(0.125)
    of_tp = found.loc[("Grad-CAM++", "energy_of_tp")]
    assert of_tp["ours"] == pytest.approx(table["energy"][::2].mean()) and of_tp["n"] == 12
    assert of_tp["low"] < of_tp["ours"] < of_tp["high"]


def test_constant_and_unmasked_maps_are_left_out_and_small_groups_have_no_interval():
    table = measures()
    table.loc[0, ["constant", "energy"]] = [True, np.nan]
    table.loc[1, "energy"] = np.nan
    table.loc[2:4, "outcome"] = "FN"
    found = cells(table)
    assert found.loc[("constant maps", "count"), "ours"] == 1
    assert found.loc[("Grad-CAM++", "energy"), "n"] == 22
    assert found.loc[("random blob", "energy"), "n"] == 22
    small = found.loc[("Grad-CAM++", "energy_of_fn")]
    assert small["ours"] == pytest.approx(table["energy"][2:5].mean())
    assert np.isnan(small["low"]) and "no interval" in small["note"]
    none = found.loc[("Grad-CAM++", "energy_of_fp")]
    assert np.isnan(none["ours"]) and none["note"] == "no such image"


def test_overlaps_are_averaged_without_the_missing():
    found = alike({"a": np.array([0.5, np.nan, 1.0]), "b": np.array([np.nan])}, dataset="d", split="s").set_index("row")
    assert found.loc["a", "ours"] == 0.75
    assert np.isnan(found.loc["b", "ours"]) and found.loc["b", "note"] != ""


def test_every_case_has_a_row_and_a_reason():
    cases = pd.DataFrame(
        {"outcome": ["TP", "FN"], "place": ["median"] * 2, "image_id": ["i1", np.nan], "score": [0.7, np.nan]}
    )
    known = pd.DataFrame({"image_id": ["i1"], "cam_inside": [0.4]})
    found = gallery_table(cases, known, dataset="d", split="s").set_index(["row", "metric"])
    assert found.loc[("TP, median", "cam_inside"), "ours"] == 0.4
    assert found.loc[("TP, median", "score"), "note"] == "image i1"
    assert np.isnan(found.loc[("FN, median", "score"), "ours"])
    assert found.loc[("FN, median", "score"), "note"] == "no such image"


def test_evidence_comes_back_as_it_is_stored(tmp_path):
    study = SimpleNamespace(name="p", profile={"dataset": "d"}, results_root=tmp_path, dataset="d")
    frame = pd.DataFrame({"image_id": ["007", "8"], "x": [1 / 3, np.nan], "constant": [True, False]})
    kept = evidence.keep(frame, paper="recall_oriented", name="m", study=study)
    path = tmp_path / "p" / "recall_oriented" / "evidence" / "m.csv.gz"
    first = path.read_bytes()
    assert kept["x"][0] == 0.333333 and np.isnan(kept["x"][1])
    assert kept["image_id"].tolist() == ["007", "8"] and kept["constant"].dtype == bool
    pd.testing.assert_frame_equal(pd.read_csv(path, dtype={"image_id": str}), kept)
    evidence.keep(frame, paper="recall_oriented", name="m", study=study)
    assert path.read_bytes() == first
    evidence.keep(frame.assign(row=["one", "two"]), paper="recall_oriented", name="m", study=study)
    assert evidence.earlier("recall_oriented", "m", study, row="two")["image_id"].tolist() == ["8"]
    with pytest.raises(KeyError, match="no row 'three'"):
        evidence.earlier("recall_oriented", "m", study, row="three")
    with pytest.raises(FileNotFoundError, match="other"):
        evidence.earlier("recall_oriented", "other", study, row="two")
