"""The README says what there is: its tables are compared with notebooks, Makefile and reference results.

``python tests/test_readme.py`` writes the section of results anew.
"""

import json
import re

import pandas as pd
import pytest

from skinlib.catalogue import read_card
from skinlib.paths import project_root
from skinlib.reporting.ladder import CHANGE, verdicts
from skinlib.reporting.recall_oriented_steps import STEPS

ROOT = project_root()
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference" / "real"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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


def both_tasks(table: pd.DataFrame, record: dict) -> str:
    """Return the results of the network that outlines and diagnoses as Markdown, of its ``table3`` and its record."""
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
    return "\n".join(lines) + "\n"


def three_cancers(table: pd.DataFrame, outlined: pd.DataFrame, record: dict) -> str:
    """Return the results of the attention and the decoder as Markdown, of ``fig2``, ``segmentation`` and the record."""
    about = cell(table, "proposed", "accuracy")
    lines = [
        f"{record['dataset']}, melanoma, basal cell carcinoma and (for SCC) AKIEC, {int(about['n'])} test images, "
        f"split {about['split']}, seeds {', '.join(map(str, record['seeds']))}; 95 % intervals.",
        "Verdicts are on the difference to the baseline. The published network is a ResNet-50 at 224 pixels, tested on "
        "other images.",
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


def section() -> str:
    """Return what the README must say of the results: of the reference on real images, or that there is none."""
    parts = []
    if (recall := REFERENCE / "recall_oriented").is_dir():
        final, steps = (pd.read_csv(recall / f"{name}.csv") for name in ("table3", "table4"))
        parts.append(
            "### recall_oriented\n\n" + results(final, steps, json.loads((recall / "table3.json").read_text()))
        )
    if (joint := REFERENCE / "joint_reverse_mtl").is_dir():
        table, record = pd.read_csv(joint / "table3.csv"), json.loads((joint / "table3.json").read_text())
        parts.append("### joint_reverse_mtl\n\n" + both_tasks(table, record))
    if (three := REFERENCE / "attention_autoencoder").is_dir():
        tables = [pd.read_csv(three / f"{name}.csv") for name in ("fig2", "segmentation")]
        record = json.loads((three / "fig2.json").read_text())
        parts.append("### attention_autoencoder\n\n" + three_cancers(*tables, record))
    return "\n".join(parts) or NOTHING + "\n"


def notebook_rows() -> dict[str, list[str]]:
    """Return file name -> cells of its row in the README: number, question, exhibits, minutes of sample and of real."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in between("notebooks", readme()).splitlines()[2:]]
    return {re.search(r"\(notebooks/(.+)\)", row[0]).group(1): row for row in rows}


def readme() -> str:
    return README.read_text(encoding="utf-8")


def test_every_notebook_has_its_row():
    rows = notebook_rows()
    assert list(rows) == [path.name for path in NOTEBOOKS]
    assert [row[0][1:3] for row in rows.values()] == [path.stem[:2] for path in NOTEBOOKS]
    assert all(row[1].endswith("?") for row in rows.values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_row_says_what_its_notebook_says(path):
    row, card = notebook_rows()[path.name], read_card(path)
    code = "".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    assert row[3:] == [f"{card.minutes[profile]:g}" for profile in ("sample", "real")]
    assert [name for name in re.findall(r"`(\w+)`", row[2]) if f'"{name}"' not in code] == []


def test_every_published_exhibit_is_in_the_table():
    built = {paper for path in NOTEBOOKS for paper in read_card(path).papers}
    named = set(re.findall(r"`(\w+)`", "".join(row[2] for row in notebook_rows().values())))
    papers = {path.stem for paper in built for path in (ROOT / "data" / "published" / paper).glob("*.csv")}
    assert papers - named == set()


def test_every_target_of_make_is_named_and_exists():
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M).group(1).split())
    commands = " ".join(re.findall(r"`[^`\n]+`|^make .*$", readme(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", commands)) == targets


def test_every_profile_is_in_the_table():
    assert set(re.findall(r"^\| `(\w+)` \|", readme(), re.M)) == {p.stem for p in (ROOT / "profiles").glob("*.yaml")}


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", readme()) if "://" not in link]
    assert len(links) > len(NOTEBOOKS)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_are_those_of_the_program():
    from skinlib.cli import build_parser

    lines = re.findall(r"^(?:torchrun .*-m skinlib\.cli|skinlib) (.+?)(?:  +#.*)?$", readme(), re.M)
    assert len(lines) > 5
    for line in lines:
        build_parser().parse_args(line.split())


def test_results_are_those_of_the_reference():
    assert between("results", readme()) == section(), "run `python tests/test_readme.py`"


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
    text = both_tasks(pd.DataFrame(rows, columns=columns), record)
    assert "| seg |  |  |  |  | 0.850 (0.840 to 0.860) | 0.910 |  |  |" in text
    half = "0.500 (0.400 to 0.600)"
    assert f"| mtl0 | {half} | {half} | 0.290 |  | 0.800 (0.700 to 0.900) | 0.900 |  | harms |" in text
    assert "mtl1" not in text and "2 runs of 16,000 image visits" in text


if __name__ == "__main__":
    old = readme()
    README.write_text(old.replace(between("results", old), section()), encoding="utf-8")
