"""What lies under a data root, told as tables: the sets, their classes, their overlaps."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from skinlib.data.cards import CARDS, SELECTIONS, kept
from skinlib.data.readers import READERS, read
from skinlib.data.readers_files import DataError, Findings


def found(root: str | Path) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Read every data set that can be read.

    Returns
    -------
    tuple
        Name -> cohort of the images on disk (its gaps in ``attrs["findings"]``), and name -> why the set is not there.
    """
    cohorts, absent = {}, {}
    for name in CARDS:
        try:
            cohorts[name] = read(name, root, allow_missing=True)
        except DataError as error:
            first = error.findings[0] if error.findings else str(error).splitlines()[0]
            absent[name] = first if (Path(root) / CARDS[name].folder).is_dir() else "not found"
    return cohorts, absent


def official_images(name: str) -> int | None:
    """Return how many images the official set has in all parts, None where its card does not know."""
    card = CARDS[name]
    counts = [card.expected(part) for part in (card.official or card.counts)]
    return sum(counts) if counts and None not in counts else None


def overview(cohorts: dict[str, pd.DataFrame], absent: dict[str, str]) -> pd.DataFrame:
    """Return a row a data set: what is on disk beside the official number, and the licence.

    Returns
    -------
    DataFrame
        Index the card's title; ``images, official, masks, lesions, patients, licence, note``. Lesions and patients are
        missing where the set does not name them.
    """
    rows = []
    for name, card in CARDS.items():
        line = {"data set": card.title, "official": official_images(name), "licence": card.licence}
        if name in cohorts:
            cohort = cohorts[name]
            line |= {"images": len(cohort), "masks": int(cohort["mask_path"].notna().sum())}
            line |= {f"{group}s": cohort[f"{group}_id"].nunique() or None for group in ("lesion", "patient")}
        rows.append(line | {"note": absent.get(name, "")})
    numbers = ["images", "official", "masks", "lesions", "patients"]
    table = pd.DataFrame(rows, columns=["data set", *numbers, "licence", "note"])
    return table.astype(dict.fromkeys(numbers, "Int64")).set_index("data set")


def classes(name: str, cohort: pd.DataFrame, space: str = "diagnosis") -> pd.DataFrame:
    """Return a row a class of one set that a label space keeps, in its order.

    Returns
    -------
    DataFrame
        Index the card's code; ``class, malignant, images, lesions, official``; of a selection (a key of
        `skinlib.data.cards.SELECTIONS`) also ``stands_for``: the diagnosis that the set lacks and this class replaces,
        blank where it is the diagnosis itself.
    """
    card = CARDS[name]
    groups = cohort["lesion_id"].where(cohort["lesion_id"].notna(), cohort["image_id"])
    counted = cohort.assign(group=groups).groupby("diagnosis")["group"].agg(["size", "nunique"])
    official = pd.DataFrame(card.counts).sum(axis=1) if card.counts else pd.Series(dtype=float)
    codes = pd.Index(kept(name, space), name="code")
    table = pd.DataFrame(
        {
            "class": [card.class_names[code] for code in codes],
            "malignant": [code in card.malignant for code in codes],
            "images": counted["size"].reindex(codes, fill_value=0).to_numpy(),
            "lesions": counted["nunique"].reindex(codes, fill_value=0).to_numpy(),
            "official": official.reindex(codes).astype("Int64").to_numpy(),
        },
        index=codes,
    )
    if space in SELECTIONS:
        pairs = zip(SELECTIONS[space], codes, strict=True)
        table["stands_for"] = [wanted if wanted != code.lower() else "" for wanted, code in pairs]
    return table


def of_each_class(cohort: pd.DataFrame, n: int, seed: int = 0) -> pd.DataFrame:
    """Return ``n`` random images of each class, class by class in the card's order; of a set without classes 7 n."""
    mixed = cohort.sample(frac=1, random_state=seed)
    if cohort["label"].isna().all():
        return mixed.head(7 * n)
    return mixed.groupby("label").head(n).sort_values("label", kind="stable")


def label_rows(name: str, root: str | Path) -> pd.DataFrame:
    """Return every image that the set's label files name, on disk or not: ``image_id, dataset, part``.

    A set that is only partly on disk still tells by these ids what it shares with another.
    """
    rows = READERS[name](Path(root).absolute(), Findings())
    return rows[["image_id", "part"]].dropna().assign(dataset=name).reset_index(drop=True)


def parts(cohorts: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return "set" or, where the set has official parts, "set part" -> its rows."""
    cut = {}
    for name, cohort in cohorts.items():
        column = "official_split" if "official_split" in cohort else "part"
        for part, rows in cohort.groupby(cohort[column].astype("object").fillna("all"), sort=True):
            cut[name if part == "all" else f"{name} {part}"] = rows
    return cut


def shared(cut: dict[str, pd.DataFrame], pairs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how many images of one part are in another, by id and by each table of pairs.

    Parameters
    ----------
    cut
        Name of a part -> its rows, with ``image_id`` and ``dataset``.
    pairs
        Name of a way to compare -> pairs as `skinlib.data.checks` returns them.

    Returns
    -------
    DataFrame
        A row for two parts that share anything, of two data sets: ``a, b, images_a, images_b, by_id`` and a column for
        each table of pairs, which counts images of ``a`` with a partner in ``b``.
    """
    keys = {part: set(zip(rows["dataset"], rows["image_id"], strict=True)) for part, rows in cut.items()}
    partners = {how: _partners(table) for how, table in pairs.items()}
    names, out = list(keys), []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            if {dataset for dataset, _ in keys[a]} & {dataset for dataset, _ in keys[b]}:
                continue
            line = {"by_id": len({image for _, image in keys[a]} & {image for _, image in keys[b]})}
            for how, of in partners.items():
                line[how] = sum(bool(of.get(key, set()) & keys[b]) for key in keys[a])
            if any(line.values()):
                out.append({"a": a, "b": b, "images_a": len(keys[a]), "images_b": len(keys[b])} | line)
    return pd.DataFrame(out, columns=["a", "b", "images_a", "images_b", "by_id", *pairs])


def _partners(table: pd.DataFrame) -> dict[tuple, set]:
    of: dict[tuple, set] = {}
    for row in table.itertuples(index=False):
        a, b = (row.dataset_a, row.image_a), (row.dataset_b, row.image_b)
        of.setdefault(a, set()).add(b)
        of.setdefault(b, set()).add(a)
    return of
