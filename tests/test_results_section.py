import pandas as pd
from results_section import COUNTS, METRICS, answers_and_a_task, both_tasks, results, several_networks, three_cancers

from skinlib.exhibits.ladder import CHANGE
from skinlib.papers.metadata_sr.ablation import TASK
from skinlib.papers.recall_oriented.steps import STEPS

METRICS_OF_ANSWERS = ("accuracy", "balanced_accuracy", "roc_auc")


def test_a_result_is_written_with_its_interval_and_a_verdict_by_rule():
    columns = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note"]
    final = [
        [row, metric, 0.9, 0.85, 0.95, 2000, "ham10000", "grouped", 0.8785, ""]
        for row in ("final", "plain", "final - plain")
        for metric in (*METRICS, *COUNTS, "threshold")
    ]
    steps = [
        [step, m, 0.8, 0.7, 0.9, 2000, "ham10000", "grouped", None, ""] for step in STEPS for m in ("roc_auc", "recall")
    ]
    note = "harms (p = 0.0010, Holm over 5)"
    steps += [
        [step, m + CHANGE, -0.02, -0.03, -0.01, 2000, "", "", None, note]
        for step in STEPS[1:]
        for m in ("roc_auc", "recall")
    ]
    tables = [pd.DataFrame(rows, columns=columns) for rows in (final, steps)]
    text = results(*tables, {"dataset": "ham10000", "seeds": [0, 1]})
    assert "| recall | 0.900 (0.850 to 0.950) | 0.900 (0.850 to 0.950) | 0.900 (0.850 to 0.950) | 0.878 |" in text
    assert "| + TTA ensemble | 0.800 | 0.800 | −0.020 (−0.030 to −0.010) | harms | harms |" in text
    assert "2,000 test images, split grouped, seeds 0, 1" in text


def test_three_cancers_are_judged_against_the_baseline():
    columns = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note"]
    variants = ("baseline", "attention", "autoencoder", "proposed", "always the most frequent class")
    rows = [
        [v, m, 0.8, 0.7, 0.9, 392, "ham10000", "grouped", 0.87, ""] for v in variants for m in ("accuracy", "macro_f1")
    ]
    note = "harms (p = 0.0010, Holm over 5)"
    rows += [["attention - baseline", "accuracy_diff", -0.02, -0.03, -0.01, 392, "ham10000", "grouped", 0.025, note]]
    outlined = pd.DataFrame(
        [["proposed", "dice", 0.88, 0.87, 0.89, 392, "ham10000", "grouped", None, ""]], columns=columns
    )
    text = three_cancers(pd.DataFrame(rows, columns=columns), outlined, {"dataset": "ham10000", "seeds": [0, 1]})
    assert "| attention | 0.800 (0.700 to 0.900) | 0.870 | 0.800 (0.700 to 0.900) | 0.870 |  " in text
    assert "| −0.020 (−0.030 to −0.010) | 0.025 | harms |" in text and "0.880 (0.870 to 0.890)" in text
    assert "392 test images, split grouped, seeds 0, 1" in text


def test_both_tasks_stand_in_a_row_with_their_verdicts():
    columns = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note"]
    rows = [["seg", "dice", 0.85, 0.84, 0.86, 339, "isic2016", "official", 0.91, ""]]
    rows += [["mtl0", m, 0.5, 0.4, 0.6, 339, "isic2016", "official", 0.29, ""] for m in ("roc_auc", "recall")]
    rows += [["mtl0", "dice", 0.8, 0.7, 0.9, 339, "isic2016", "official", 0.9, ""]]
    note = "harms (p = 0.0010, Holm over 2)"
    rows += [["mtl0", "dice" + CHANGE, -0.05, -0.1, -0.01, 339, "isic2016", "official", None, note]]
    rows += [["mtl1", "dice", None, None, None, None, "isic2016", "official", 0.8886, "not run"]]
    record = {"dataset": "isic2016", "image_visits": 16000, "runs": ["a", "b"], "seeds": [0]}
    longer = [["seg/96px-14000", "dice", 0.86, 0.85, 0.87, 339, "isic2016", "official", None, "14,000 visits"]]
    change = [0.01, -0.01, 0.02, 339, "isic2016", "official", None, "no evidence (p = 0.3000)"]
    longer += [["seg/96px-14000", "dice" + CHANGE, *change]]
    compared = {
        row: pd.DataFrame([[row, m + CHANGE, *change] for m in ("roc_auc", "recall", "dice")], columns=columns)
        for row in ("mtl4", "control/forward")
    }
    more = {"alone": compared["mtl4"], "controls": compared["control/forward"]}
    text = both_tasks(pd.DataFrame(rows, columns=columns), record, longer=pd.DataFrame(longer, columns=columns), **more)
    alike = "0.010 (−0.010 to 0.020), no evidence"
    assert f"`mtl4` minus the two networks with one task each, measure by measure: AUC {alike}; sens" in text
    assert f"nothing runs back): AUC {alike}; sensitivity {alike}; Dice {alike}.\n" in text
    said = "0.860 (0.850 to 0.870), change 0.010 (−0.010 to 0.020), no evidence; 14,000 visits."
    assert text.endswith(f"- `seg/96px-14000`: {said}\n")
    assert "| seg |  |  |  |  | 0.850 (0.840 to 0.860) | 0.910 |  |  |" in text
    half = "0.500 (0.400 to 0.600)"
    assert f"| mtl0 | {half} | {half} | 0.290 |  | 0.800 (0.700 to 0.900) | 0.900 |  | harms |" in text
    assert "mtl1" not in text and "2 runs of 16,000 image visits" in text


def test_methods_with_answers_are_judged_against_the_proposed_one():
    columns = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note"]
    about = [0.6, 0.5, 0.7, 400, "pad_ufes_20", "patient", 0.65, "mean of 3 splits and seeds; paper: x"]
    rows = [[row, m, *about] for row in ("Concat, MobileNet-V2", "Proposed, MobileNet-V2") for m in METRICS_OF_ANSWERS]
    rows += [["Probe: metadata alone", m, 0.7, 0.6, 0.8, 900, "", "", None, ""] for m in METRICS_OF_ANSWERS]
    rows += [["MetaNet, VGG-13", "accuracy", None, None, None, None, "", "", 0.7, "not run"]]
    pair = "Proposed - Concat, MobileNet-V2"
    change = [-0.02, -0.03, -0.01, 400, "pad_ufes_20", "patient", None, "harms (p = 0.0010, Holm over 6)"]
    table = pd.DataFrame([*rows, [pair, "balanced_accuracy" + CHANGE, *change]], columns=columns)
    task = [TASK, "balanced_accuracy" + CHANGE, 0.01, -0.02, 0.04, 400, "", "", None, "no evidence (p = 0.4)"]
    drawn = pd.DataFrame([["proposed", "psnr", 14.7, 14.5, 15.0, 137, "", "", None, "dB"]], columns=columns)
    record = {"dataset": "pad_ufes_20", "seeds": [0]}
    text = answers_and_a_task(table, pd.DataFrame([task], columns=columns), drawn, record)
    six = "| 0.600 (0.500 to 0.700) | 0.650 " * 3
    assert f"| Concat, MobileNet-V2 {six}| −0.020 (−0.030 to −0.010) | harms |" in text
    assert f"| Proposed, MobileNet-V2 {six}|  |  |" in text and "VGG-13" not in text
    assert "400 test images, split patient, mean of 3 splits and seeds (seeds 0)" in text
    assert "By rule: no evidence" in text and "14.7 dB (14.5 to 15.0)" in text
    assert "The task adds 0.010 (−0.020 to 0.040) to the proposed network, no evidence." in text
    other = " | 0.700 (0.600 to 0.800)" * 3
    assert f"| Probe: metadata alone | 900{other} |" in text.split("Without pictures")[1]


def test_joined_networks_are_judged_against_the_best_member():
    columns = ["row", "metric", "ours", "low", "high", "n", "dataset", "split", "published", "note"]
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "melanoma_recall")
    about = [0.8, 0.7, 0.9, 2003, "ham10000", "grouped"]
    rows = [[row, m, *about, None, ""] for row in ("resnet18", "mean") for m in metrics]
    rows += [["proposed", m, *about, 0.948 if m == "accuracy" else None, ""] for m in metrics]
    rows += [["resnet50", "accuracy", None, None, None, None, "", "", 0.917, "not run"]]
    for row, note in (("mean", "helps (p = 0.0010, Holm over 2)"), ("proposed", "no evidence (p = 0.4, Holm over 2)")):
        for metric in ("accuracy", "balanced_accuracy"):
            rows += [[row, metric + CHANGE, 0.02, 0.01, 0.03, 2003, "ham10000", "grouped", None, note]]

    def changed(row, note):
        both = ((metric + CHANGE, value) for metric, value in (("accuracy", 0.02), ("roc_auc", -0.01)))
        return [[row, name, v, v - 0.01, v + 0.01, 2003, "ham10000", "grouped", None, note] for name, v in both]

    rows += changed("proposed - head on the best member alone", "no evidence (p = 0.2, Holm over 3)")
    rows += [["pca", m, *about, None, ""] for m in metrics]
    for row, draws in (("head on resnet18 alone", 9), ("head on densenet121 alone", 3), ("proposed", 9)):
        if row != "proposed":
            rows += [[row, m, *about, None, ""] for m in metrics]
        first = next(cells for cells in rows if cells[:2] == [row, "accuracy"])
        first[-1] = f"{draws} draw(s) of fold and seed"
    seconds = [("mean of members", 200.0), ("resnet18, longer", 150.0)]
    timed = [[row, "train_seconds", value, None, None, 2003, "", "", None, ""] for row, value in seconds]
    timed += changed("proposed - head on resnet18 alone, longer", "harms (p = 0.0010, Holm over 3)")
    leaked = changed("proposed, leaky", "helps (p = 0.0010, Holm over 2)")
    arms = ("resnet18", "densenet121", "vgg19", "mean", "proposed")
    leaked += [[f"{row}, leaky", "accuracy", *about[:3], 1565, "", "", None, ""] for row in arms]
    switched = [[row, m, *about, None, ""] for row in ("proposed", "pca") for m in metrics[:4]]
    switched += [
        ["pca", m + CHANGE, 0.0, -0.1, 0.1, 2003, "", "", None, "no evidence (p = 0.9, Holm over 1)"]
        for m in ("accuracy", "balanced_accuracy")
    ]
    record = {"dataset": "ham10000", "seeds": [0, 1, 2]}
    frames = (pd.DataFrame(cells, columns=columns) for cells in (rows, switched, timed, leaked))
    text = several_networks(*frames, record)
    both = "0.020 (0.010 to 0.030) in accuracy, −0.010 (−0.020 to 0.000) in AUC"
    assert [line.rpartition(": ")[2] for line in text.splitlines() if line.startswith("- ")] == [
        f"{both}, {said}." for said in ("no evidence", "harms", "helps")
    ]
    assert "for 75% of the time of all members" in text and "on 1,565 test images" in text
    assert "minus none, of the head on resnet18, densenet121 and vgg19, on" in text  # a mean of members is no member
    assert "| head on resnet18 alone |" in text and "| head on densenet121 alone, 3 of 9 draws |" in text
    above, below = text.split("Switches")
    assert "| pca |" not in above and "| 0.000 (−0.100 to 0.100) | no evidence |" in below
    one = "0.800 (0.700 to 0.900)"
    assert f"| resnet18 | {one} |  | {one} | {one} | {one} | {one} |  |  |  |  |" in text and "resnet50" not in text
    changes = " | 0.020 (0.010 to 0.030) | helps" * 2
    assert f"| mean | {one} |  | {one} | {one} | {one} | {one}{changes} |" in text
    assert f"| proposed | {one} | 0.948 | {one} |" in text and "2,003 test images" in text
