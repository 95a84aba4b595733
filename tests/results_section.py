"""The README's section of results, written from the reference on real images: ``python tests/results_section.py``."""

import json
import re

import pandas as pd

from skinlib.exhibits.ladder import CHANGE, verdicts
from skinlib.papers.metadata_sr.ablation import TASK, answer
from skinlib.papers.recall_oriented.steps import STEPS
from skinlib.paths import project_root

README = project_root() / "README.md"
REFERENCE = project_root() / "results" / "reference" / "real"
NOTHING = "No whole run on real images is in `results/reference/` yet."
METRICS = {
    "roc_auc": "AUC",
    "recall": "recall",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "ece": "calibration error",
}
COUNTS = {"fn": "missed (FN)", "fp": "false alarms (FP)"}


def readme() -> str:
    return README.read_text(encoding="utf-8")


def between(name: str, text: str) -> str:
    """Return what stands between a pair of marks."""
    return re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", text, re.S).group(1)


def cell(table: pd.DataFrame, row: str, metric: str) -> pd.Series:
    found = table[(table["row"] == row) & (table["metric"] == metric)]
    assert len(found) == 1, f"{row}, {metric}: {len(found)} cells"
    return found.iloc[0]


def number(value: float, places: int = 3) -> str:
    return "" if pd.isna(value) else f"{value:.{places}f}".replace("-", "−")


def interval(one: pd.Series) -> str:
    return f"{number(one['ours'])} ({number(one['low'])} to {number(one['high'])})"


def results(final: pd.DataFrame, steps: pd.DataFrame, record: dict) -> str:
    """Return the section of results as Markdown.

    Parameters
    ----------
    final, steps
        The exhibits ``table3`` and ``table4``.
    record
        The JSON beside ``table3``.
    """
    about = cell(final, "final", "roc_auc")
    at = {row: number(cell(final, row, "threshold")["ours"], 2) for row in ("final", "plain")}
    lines = [
        f"{record['dataset']}, malignant against benign, {int(about['n']):,} test images, split {about['split']}, "
        f"seeds {', '.join(map(str, record['seeds']))}; 95 % intervals.",
        f"*final* is the whole system at its own threshold ({at['final']}), *plain* a plain training script at "
        f"{at['plain']}.",
        "The published numbers are of other test images, another network and larger pictures.",
        "",
        "| | final | plain | final − plain | published |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric, name in METRICS.items():
        ours, plain, gain = (cell(final, row, metric) for row in ("final", "plain", "final - plain"))
        lines.append(
            f"| {name} | {interval(ours)} | {interval(plain)} | {interval(gain)} | {number(ours['published'])} |"
        )
    for metric, name in COUNTS.items():
        ours, plain = (cell(final, row, metric) for row in ("final", "plain"))
        values = [number(value, 0) for value in (ours["ours"], plain["ours"], ours["published"])]
        lines.append(f"| {name} | {values[0]} | {values[1]} | | {values[2]} |")
    said = verdicts(steps)
    lines += ["", "| step of the ablation | AUC | recall | change of AUC | verdict: AUC | verdict: recall |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for row in [step for step in STEPS if step in set(steps["row"])]:
        values = [number(cell(steps, row, metric)["ours"]) for metric in ("roc_auc", "recall")]
        if row in said.index:
            values += [
                interval(cell(steps, row, "roc_auc" + CHANGE)),
                said.loc[row, "roc_auc"],
                said.loc[row, "recall"],
            ]
        else:
            values += ["", "", ""]
        lines.append(f"| {row} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


CONTROLS = {
    "control/forward": "gates as many, which act on the diagnosis alone: nothing runs back",
    "control/shuffled": "each image is outlined under the gate of another one",
}


def both_tasks(
    table: pd.DataFrame, record: dict, *, longer: pd.DataFrame, alone: pd.DataFrame, controls: pd.DataFrame
) -> str:
    """Return the results of the network that outlines and diagnoses as Markdown.

    Parameters
    ----------
    table, record
        The exhibit ``table3`` and the JSON beside it.
    longer, controls
        The exhibits of that name.
    alone
        The exhibit ``against_single``.
    """
    about = cell(table, "seg", "dice")
    said = verdicts(table)
    lines = [
        f"{record['dataset']}, {int(about['n'])} images of the official test part, {len(record['runs'])} runs of "
        f"{record['image_visits']:,} image visits together, seeds {', '.join(map(str, record['seeds']))}; 95 % "
        "intervals.",
        "Each row of the ladder is judged against the one before it. The published `mtl4` was trained on 63 of its 75",
        "test melanomas; ours is trained on the added ones that ISIC 2016 does not have.",
        "",
        "| | AUC | melanoma sensitivity | published | specificity | Dice | published | verdict: AUC | verdict: Dice |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table["row"].drop_duplicates():
        cells = table[table["row"] == row].set_index("metric")
        if cells["ours"].isna().all():
            continue
        shown = [interval(cells.loc[name]) if name in cells.index else "" for name in ("roc_auc", "recall")]
        shown += [number(cells["published"].get("recall", float("nan")))]
        shown += [interval(cells.loc[name]) if name in cells.index else "" for name in ("specificity", "dice")]
        shown += [number(cells["published"].get("dice", float("nan")))]
        shown += [said[name].get(row, "") if name in said else "" for name in ("roc_auc", "dice")]
        lines.append(f"| {row} | {' | '.join(shown)} |")
    for row, one in verdicts(alone).iterrows():
        lines += [
            "",
            f"`{row}` minus the two networks with one task each, measure by measure: {_changed(alone, row, one)}.",
        ]
    lines += [
        "",
        "Controls of the reverse connection, each minus `mtl2` of the same seed; where it works they are worse:",
        "",
    ]
    for row, one in verdicts(controls).iterrows():
        lines.append(f"- `{row.removeprefix('control/')}` ({CONTROLS[row]}): {_changed(controls, row, one)}.")
    lines += [
        "",
        "Dice of the U-Net alone, trained otherwise; changes are against the one whose name it continues.",
        "",
    ]
    for row, word in verdicts(longer)["dice"].items():
        mine, change = cell(longer, row, "dice"), cell(longer, row, f"dice{CHANGE}")
        lines.append(f"- `{row}`: {interval(mine)}, change {interval(change)}, {word}; {mine['note']}.")
    return "\n".join(lines) + "\n"


def _changed(frame: pd.DataFrame, row: str, said: pd.Series) -> str:
    """Return what changed in both tasks, each with its verdict."""
    words = {"roc_auc": "AUC", "recall": "sensitivity", "dice": "Dice"}
    return "; ".join(f"{word} {interval(cell(frame, row, m + CHANGE))}, {said[m]}" for m, word in words.items())


def three_cancers(table: pd.DataFrame, outlined: pd.DataFrame, record: dict) -> str:
    """Return the results of the attention and the decoder as Markdown, of ``fig2``, ``segmentation`` and the record."""
    about = cell(table, "proposed", "accuracy")
    lines = [
        f"{record['dataset']}, melanoma, basal cell carcinoma and (for SCC) AKIEC, {int(about['n'])} test images, "
        f"split {about['split']}, seeds {', '.join(map(str, record['seeds']))}; 95 % intervals.",
        "Verdicts are on the difference to the baseline. The published network is a ResNet-50 at 224 pixels, with "
        "a test part of its own.",
        "",
        "| | accuracy | published | macro F1 | published | Dice | change of accuracy | published | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in ("baseline", "attention", "autoencoder", "proposed", "always the most frequent class"):
        shown = []
        for metric in ("accuracy", "macro_f1"):
            one = cell(table, row, metric)
            shown += [interval(one), number(one["published"])]
        drawn = outlined[(outlined["row"] == row) & (outlined["metric"] == "dice")]
        shown.append(interval(drawn.iloc[0]) if len(drawn) else "")
        change = table[(table["row"] == f"{row} - baseline") & (table["metric"] == "accuracy_diff")]
        for one in change.to_dict("records"):
            said = re.search(r"helps|harms|no evidence", one["note"])
            shown += [interval(one), number(one["published"]), said[0] if said else ""]
        lines.append(f"| {row} | {' | '.join(shown + [''] * (8 - len(shown)))} |")
    return "\n".join(lines) + "\n"


def answers_and_a_task(table: pd.DataFrame, ablation: pd.DataFrame, drawn: pd.DataFrame, record: dict) -> str:
    """Return the results of fusing clinical answers as Markdown.

    Parameters
    ----------
    table, ablation, drawn
        The exhibits ``table1``, ``ablation`` and ``superresolution``.
    record
        The JSON beside ``table1``.
    """
    ours = table[table["ours"].notna()]
    about = cell(ours, next(row for row in ours["row"] if row.startswith("Proposed, ")), "roc_auc")
    said, asked = verdicts(ours), verdicts(ablation)["balanced_accuracy"]
    helped = [
        f"{interval(cell(ablation, row, 'balanced_accuracy' + CHANGE))} {words}, {asked[row]}"
        for row, words in (
            (TASK, "to the proposed network"),
            ("the task beside concatenation: with - without", "to plain concatenation, on one split"),
        )
        if row in asked
    ]
    psnr = cell(drawn, "proposed", "psnr")
    lines = [
        f"{record['dataset']}, six diagnoses, {int(about['n'])} test images, split {about['split']}, "
        f"{about['note'].partition('; paper')[0]} (seeds {', '.join(map(str, record['seeds']))}); 95 % intervals.",
        "Verdicts are on the balanced accuracy of the proposed method less that of the row, both by the row's recipe "
        "where the proposed one was trained by it.",
        "Rows without a recipe are by the paper's. The published test part has 383 images; which, is not known.",
        f"Does super-resolution help? By rule: {answer(verdicts(ablation))}. The task adds {'; '.join(helped)}. "
        f"What its decoder draws is far from the target, {number(psnr['ours'], 1)} dB "
        f"({number(psnr['low'], 1)} to {number(psnr['high'], 1)}): about a constant gray, so "
        "by the paper's recipe, in so short a training, the task itself was hardly learnt.",
        "",
        "| | accuracy | published | balanced accuracy | published | AUC | published | proposed − it | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    of_images, of_others = [], []
    for row in [row for row in ours["row"].drop_duplicates() if " - " not in row]:
        shown = []
        for metric in ("accuracy", "balanced_accuracy", "roc_auc"):
            one = cell(ours, row, metric)
            shown += [interval(one), number(one["published"])]
        if one["n"] != about["n"]:
            of_others.append(f"| {row} | {int(one['n'])} | {' | '.join(shown[::2])} |")
            continue
        for pair in [pair for pair in said.index if pair.startswith("Proposed") and pair.endswith(f" - {row}")]:
            shown += [interval(cell(ours, pair, "balanced_accuracy" + CHANGE)), said.loc[pair, "balanced_accuracy"]]
        of_images.append(f"| {row} | {' | '.join(shown + [''] * (8 - len(shown)))} |")
    lines += of_images
    if of_others:
        lines += [
            "",
            "Without pictures, on the test rows of all patients, with another mix of diagnoses: not to be compared "
            "with the table above.",
            "",
            "| | rows | accuracy | balanced accuracy | AUC |",
            "| --- | --- | --- | --- | --- |",
            *of_others,
        ]
    return "\n".join(lines) + "\n"


def several_networks(
    table: pd.DataFrame, switched: pd.DataFrame, timed: pd.DataFrame, leaked: pd.DataFrame, record: dict
) -> str:
    """Return the results of joining networks as Markdown.

    Parameters
    ----------
    table, switched, timed, leaked
        The exhibits ``members_vs_fusion``, ``switches``, ``same_time`` and ``leakage``.
    record
        The JSON beside the first.
    """
    ours = table[table["ours"].notna()]
    about = cell(ours, "proposed", "accuracy")
    same = next(row for row in verdicts(timed).index if row.startswith("proposed - "))
    of_head = "proposed - head on the best member alone"
    longer = same.removeprefix("proposed - head on ").replace(" alone", "")
    share = cell(timed, longer, "train_seconds")["ours"] / cell(timed, "mean of members", "train_seconds")["ours"]
    mates = int(cell(leaked, "proposed, leaky", "accuracy")["n"])
    arms = [row.removesuffix(", leaky") for row in leaked["row"].drop_duplicates() if row.endswith(", leaky")]
    *others, last = [name for name in arms if name not in ("mean", "proposed")]
    trained = " and ".join(filter(None, [", ".join(others), last]))
    asked = {
        "Several members minus the best one alone, with the same head, metadata and views": (ours, of_head),
        f"The same where that one was trained for {share:.0%} of the time of all members together": (timed, same),
        f"Other images of the test lesions in training, minus none, of the head on {trained}, on {mates:,} test "
        "images that all have one (in an image-level split fewer than half have)": (leaked, "proposed, leaky"),
    }
    more = [
        f"{words}: {interval(cell(of, row, 'accuracy' + CHANGE))} in accuracy, "
        f"{interval(cell(of, row, 'roc_auc' + CHANGE))} in AUC, {verdicts(of).loc[row, 'accuracy']}."
        for words, (of, row) in asked.items()
    ]
    lines = [
        f"{record['dataset']}, seven diagnoses, {int(about['n']):,} test images, split {about['split']}, seeds "
        f"{', '.join(map(str, record['seeds']))}; 95 % intervals.",
        "Every way of joining is judged against the member that was best on validation rows, which has one view and no",
        "metadata: read the first line below too. On what split the published numbers were tested is not said.",
        "",
        *(f"- {words}" for words in more),
        "",
    ]
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "melanoma_recall")
    elsewhere = {*switched["row"], "attention"} - {"proposed"}
    ours = ours[~ours["row"].isin(elsewhere)]
    draws = ours["note"].str.extract(r"(\d+) draw")[0].astype(float).groupby(ours["row"]).transform("max")
    every = draws[about.name]
    fewer = ours["row"].str.startswith("head on ") & (draws < every)
    said = ours["row"] + draws.map(f", {{:.0f}} of {every:.0f} draws".format)
    lines += _judged(ours.assign(row=ours["row"].mask(fewer, said)), metrics)
    lines += ["", "Switches of the proposed system, on one fold, each against `proposed` on that fold:", ""]
    known = switched[~switched["row"].isin(["binary", "proposed, two classes"])]  # two classes are another question
    return "\n".join(lines + _judged(known, metrics[:4])) + "\n"


def _judged(ours: pd.DataFrame, metrics: tuple[str, ...]) -> list[str]:
    """Return a table of the rows with what changed, and by rule whether it helps, of the first two metrics."""
    names = METRICS | {
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "melanoma_recall": "melanoma recall",
    }
    said, printed = verdicts(ours), bool(ours["published"].notna().any())
    head = [name for metric in metrics for name in [names[metric]] + ["published"] * (metric == "accuracy" and printed)]
    head += [text for metric in metrics[:2] for text in (f"change of {names[metric]}", "verdict")]
    lines = [f"| | {' | '.join(head)} |", "| --- " * (len(head) + 1) + "|"]
    for row in [row for row in ours["row"].drop_duplicates() if " - " not in row]:
        shown = []
        for metric in metrics:
            one = cell(ours, row, metric)
            shown += [interval(one)] + [number(one["published"])] * (metric == "accuracy" and printed)
        for metric in metrics[:2] if row in said.index else ():
            shown += [interval(cell(ours, row, metric + CHANGE)), said.loc[row, metric]]
        lines.append(f"| {row} | {' | '.join(shown + [''] * (len(head) - len(shown)))} |")
    return lines


def section() -> str:
    """Return what the README must say of the results: of the reference on real images, or that there is none."""
    parts = []
    if (recall := REFERENCE / "recall_oriented").is_dir():
        final, steps = (pd.read_csv(recall / f"{name}.csv") for name in ("table3", "table4"))
        parts.append(
            "### recall_oriented\n\n" + results(final, steps, json.loads((recall / "table3.json").read_text()))
        )
    if (joint := REFERENCE / "joint_reverse_mtl").is_dir():
        names = {"longer": "longer", "alone": "against_single", "controls": "controls"}
        more = {word: pd.read_csv(joint / f"{name}.csv") for word, name in names.items()}
        record = json.loads((joint / "table3.json").read_text())
        parts.append("### joint_reverse_mtl\n\n" + both_tasks(pd.read_csv(joint / "table3.csv"), record, **more))
    if (three := REFERENCE / "attention_autoencoder").is_dir():
        tables = [pd.read_csv(three / f"{name}.csv") for name in ("fig2", "segmentation")]
        record = json.loads((three / "fig2.json").read_text())
        parts.append("### attention_autoencoder\n\n" + three_cancers(*tables, record))
    if (answers := REFERENCE / "metadata_sr").is_dir():
        tables = [pd.read_csv(answers / f"{name}.csv") for name in ("table1", "ablation", "superresolution")]
        record = json.loads((answers / "table1.json").read_text())
        parts.append("### metadata_sr\n\n" + answers_and_a_task(*tables, record))
    if (several := REFERENCE / "joint_ensemble").is_dir():
        tables = [
            pd.read_csv(several / f"{name}.csv") for name in ("members_vs_fusion", "switches", "same_time", "leakage")
        ]
        record = json.loads((several / "members_vs_fusion.json").read_text())
        parts.append("### joint_ensemble\n\n" + several_networks(*tables, record))
    return "\n".join(parts) or NOTHING + "\n"


if __name__ == "__main__":
    old = readme()
    README.write_text(old.replace(between("results", old), section()), encoding="utf-8")
