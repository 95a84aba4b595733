"""What lies under a data root: the sets, their classes, what parts of them share."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from skinlib.data.cards import CARDS
from skinlib.data.readers import read
from skinlib.data.readers_files import DataError


def found(root: str | Path) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Read every data set that can be read.

    Returns name -> cohort of the images on disk (its gaps in ``attrs["findings"]``), and name -> why the set is absent.
    """
    cohorts, absent = {}, {}
    for name in CARDS:
        try:
            cohorts[name] = read(name, root, allow_missing=True)
        except DataError as error:
            first = error.findings[0] if error.findings else str(error).splitlines()[0]
            absent[name] = first if (Path(root) / CARDS[name].folder).is_dir() else "not found"
    return cohorts, absent


def classes(name: str, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a row a class of one set, in the card's order: class, malignant, images, lesions, official."""
    card = CARDS[name]
    groups = cohort["lesion_id"].where(cohort["lesion_id"].notna(), cohort["image_id"])
    counted = cohort.assign(group=groups).groupby("diagnosis")["group"].agg(images="size", lesions="nunique")
    official = pd.DataFrame(card.counts).sum(axis=1) if card.counts else pd.Series(dtype=float)
    table = pd.DataFrame({"class": card.class_names}).rename_axis("code").reindex(card.classes)
    table = table.assign(malignant=table.index.isin(card.malignant)).join(counted.reindex(card.classes, fill_value=0))
    return table.assign(official=official.reindex(card.classes).astype("Int64"))


def of_each_class(cohort: pd.DataFrame, n: int, seed: int = 0) -> pd.DataFrame:
    """Return ``n`` random images of each class, class by class in the card's order; of a set without classes 7 n."""
    mixed = cohort.sample(frac=1, random_state=seed)
    if cohort["label"].isna().all():
        return mixed.head(7 * n)
    return mixed.groupby("label").head(n).sort_values("label", kind="stable")


def shared(cut: Mapping[str, pd.DataFrame], pairs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how many images of one part are in another, by id and by each table of pairs (`skinlib.data.checks`).

    ``cut`` is name of a part -> its rows, with ``image_id`` and ``dataset``. Two parts of two data sets that share
    anything are a row: ``a, b, images_a, images_b, by_id``, and by each table the images of ``a`` with a partner in
    ``b``.
    """
    order = {name: place for place, name in enumerate(cut)}
    rows = pd.concat([part[["dataset", "image_id"]].drop_duplicates().assign(part=name) for name, part in cut.items()])
    rows = rows.rename(columns={"image_id": "image"})
    a, b = rows.add_suffix("_a"), rows.add_suffix("_b")
    links = {"by_id": a.merge(b.assign(image_a=b["image_b"]))}
    for how, table in pairs.items():
        one = table[["dataset_a", "image_a", "dataset_b", "image_b"]]
        both = pd.concat([one, one.set_axis(["dataset_b", "image_b", "dataset_a", "image_a"], axis=1)])
        links[how] = a.merge(both).merge(b)
    counted = {}
    for how, each in links.items():
        each = each[(each["dataset_a"] != each["dataset_b"]) & (each["part_a"].map(order) < each["part_b"].map(order))]
        counted[how] = each.groupby(["part_a", "part_b"])["image_a"].nunique()
    table = pd.DataFrame(counted).fillna(0).astype(int).reset_index(names=["a", "b"])
    table = table.sort_values(["a", "b"], key=lambda names: names.map(order), ignore_index=True)
    sizes = rows["part"].value_counts()
    table = table.assign(images_a=table["a"].map(sizes), images_b=table["b"].map(sizes))
    return table[["a", "b", "images_a", "images_b", *links]]
