"""Who trains, who validates, who tests: files with the fingerprint of the cohort that they were made for."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from skinlib.data.readers_files import DataError
from skinlib.paths import read_json, write_atomic, write_json
from skinlib.provenance import cohort_fingerprint, digest

COLUMNS = ["image_id", "group", "fold", "part"]
PARTS = ("train", "val", "test")
LEAK_ARMS = ("leaky", "clean")
SPLITS = ("patient", "lesion", "image", "official", *LEAK_ARMS)
WITHOUT = "without_"  # begins the name of a split that leaves a source out: without_rosendahl


class GroupOverlapError(DataError):
    """Images of one lesion or patient are in more than one part of a split that says it is grouped."""


def units(rows: pd.DataFrame) -> pd.Series:
    """Return the independent unit of each row, such as ``patient_id:P1``: its patient, else its lesion, else its image.

    Rows of one lesion share a unit, too, where a patient is known for some of them only. Where it is known for all,
    lesions are told apart by their patients: PAD-UFES-20 numbers 250 lesions of two patients alike.
    """
    ids = rows.reindex(columns=["patient_id", "lesion_id", "image_id"])
    named = lambda name: (f"{name}:" + ids[name].astype(str)).where(ids[name].notna())
    patient, lesion = named("patient_id"), named("lesion_id")
    unit = patient.fillna(lesion).fillna(named("image_id"))
    link = (patient.notna() & lesion.isin(lesion[patient.isna()].dropna())).to_numpy()
    if not link.any():
        return unit
    codes, names = pd.factorize(pd.concat([unit, lesion]))
    of_unit, of_lesion = codes[: len(rows)], codes[len(rows) :]
    graph = coo_matrix((np.ones(link.sum()), (of_unit[link], of_lesion[link])), shape=(len(names),) * 2)
    joined = connected_components(graph, directed=False)[1][of_unit]
    return patient.groupby(joined).transform("min").fillna(unit)


def groups(cohort: pd.DataFrame, by: str = "auto") -> pd.Series:
    """Return the group of each image: its unit (``auto``, and ``patient`` of a set that knows any), lesion or image."""
    own = "image:" + cohort["image_id"].astype(str)
    if by == "image":
        return own
    if by not in ("auto", "patient", "lesion"):
        raise ValueError(f"no split {by!r}; choose grouped (auto), {', '.join(SPLITS)} or {WITHOUT}<source>")
    if by != "auto" and not (f"{by}_id" in cohort and cohort[f"{by}_id"].notna().any()):
        raise DataError(f"the cohort has no {by}_id; split by auto or image")
    unit = units(cohort.drop(columns="patient_id", errors="ignore") if by == "lesion" else cohort)
    parts = unit.str.split(":", n=1, expand=True)
    of_image = parts[0] == "image_id"
    if parts.loc[~of_image, 0].nunique() > 1:  # patients and lesions: a number may be one of either
        return unit.where(~of_image, own)
    return parts[1].where(~of_image, own).astype(str)


def make(cohort: pd.DataFrame, *, folds: int = 5, test: float = 0.2, seed: int = 0, by: str = "auto") -> pd.DataFrame:
    """Cut a cohort into a test part and ``folds`` stratified folds of the rest, groups kept whole.

    Parameters
    ----------
    cohort : a row an image, with ``image_id``, ``label`` and the grouping column
    test : share of the images in the test part, 0 for none; met to within one group and the rounding of 1 / ``test``
    by : see `groups`; ``image`` makes the image-level split of much of the literature, which leaks lesions

    Returns a table ``image_id, group, fold, part``, a row for each image and fold; in fold k the k-th share is ``val``.
    The test part is the same in every fold.
    """
    if folds < 2:
        raise ValueError(f"a split needs at least 2 folds, got {folds}")
    if not 0 <= test < 1:
        raise ValueError(f"the test share is {test}; give a share from 0 to below 1")
    rows, parts = cohort.sort_values("image_id", ignore_index=True), round(1 / test) if test else 0
    if parts and abs(1 / parts - test) > 0.05:
        raise ValueError(f"the test share is {test} and would be {1 / parts:.2f}; give about 1/2, 1/3, 1/4 and so on")
    rows["group"] = groups(rows, by)
    is_test = np.zeros(len(rows), bool)
    if parts:
        is_test[_fold_members(rows, parts, seed)[0]] = True
    return _long(rows, is_test, _fold_members(rows[~is_test], folds, seed))


def official(cohort: pd.DataFrame, *, folds: int = 1, seed: int = 0) -> pd.DataFrame:
    """Return the set's own split: its parts as they are (``folds=1``), or grouped folds of training and validation."""
    rows = cohort[cohort["official_split"].notna()].sort_values("image_id", ignore_index=True)
    is_test = (rows["official_split"] == "test").to_numpy()
    if not is_test.any() or is_test.all():
        raise DataError("the cohort has no official training and test parts; choose another split, as grouped")
    rows["group"] = groups(rows)
    if folds > 1:
        return _long(rows, is_test, _fold_members(rows[~is_test], folds, seed))
    validation = np.flatnonzero(rows["official_split"] == "val")
    if not len(validation):
        raise DataError("the official split has no validation part; ask for folds of its training part")
    return _long(rows, is_test, [validation])


def leave_source_out(cohort: pd.DataFrame, name: str, *, folds: int, seed: int = 0) -> pd.DataFrame:
    """Return the split ``without_<source>``: its images are the test part of every fold, `make` cuts the rest.

    Images of other sources that show a lesion or patient of the test part are left out altogether.
    """
    source = name.removeprefix(WITHOUT)
    known = sorted(cohort["source"].dropna().unique()) if "source" in cohort else []
    if source not in known:
        raise DataError(f"no source {source!r} to leave out; the cohort has {', '.join(known) or 'none'}")
    group = groups(cohort)
    test = (cohort["source"] == source).to_numpy()
    rest = ~test & ~group.isin(group[test]).to_numpy()
    inside = make(cohort[rest], folds=folds, test=0, seed=seed)
    held = pd.DataFrame({"image_id": cohort.loc[test, "image_id"], "group": group[test], "part": "test"})
    outside = pd.concat([held.assign(fold=fold) for fold in range(folds)])
    return pd.concat([inside, outside[COLUMNS]]).sort_values(["fold", "image_id"], ignore_index=True)


def leak_arms(cohort: pd.DataFrame, *, share: float = 0.5, seed: int = 0) -> dict[str, np.ndarray]:
    """Return row positions of a ``test`` part, of a ``clean`` training part, and of a ``leaky`` one with test mates.

    Of a random ``share`` of the groups with several images one image each is for testing and the rest are its mates.
    The clean part is every image of the other groups. In the leaky part the mates replace as many images of the same
    labels. So both parts have one size and one balance of classes, and the same test images, which are in neither.
    """
    if not 0 < share <= 1:
        raise DataError(f"the share of groups that give a test image is {share}; give more than 0, at most 1")
    rng = np.random.default_rng(seed)
    group = pd.factorize(groups(cohort))[0]
    several = np.flatnonzero(np.bincount(group) > 1)
    if not len(several):
        raise DataError("no lesion or patient has several images, so nothing can leak between them")
    chosen = rng.choice(several, max(1, round(share * len(several))), replace=False)
    order = rng.permutation(len(group))  # the first image of a group in a random order is its test image
    inside = np.isin(group[order], chosen)
    first = ~pd.Series(group[order]).duplicated().to_numpy()
    test, mate, clean = order[inside & first], order[inside & ~first], order[~inside]
    label = cohort["label"].to_numpy()
    gone = []
    for value, wanted in zip(*np.unique(label[mate], return_counts=True), strict=True):
        have = clean[label[clean] == value]
        if len(have) < wanted:
            raise DataError(f"label {value} has {wanted} mates and {len(have)} other images; choose a smaller share")
        gone.append(have[:wanted])
    kept = clean[~np.isin(clean, np.concatenate(gone))]
    return {"test": np.sort(test), "leaky": np.sort(np.concatenate([kept, mate])), "clean": np.sort(clean)}


def leak_arm(cohort: pd.DataFrame, arm: str, *, share: float = 0.5, seed: int = 0) -> pd.DataFrame:
    """Return an arm of `leak_arms` as a split of one fold, without a validation part: nothing is selected on it.

    Images of the other arm alone are not in it. Groups of the clean arm are the cohort's, of the leaky one the images.
    """
    if arm not in LEAK_ARMS:
        raise ValueError(f"no arm {arm!r}; choose {' or '.join(LEAK_ARMS)}")
    found = leak_arms(cohort, share=share, seed=seed)
    rows = np.concatenate([found[arm], found["test"]])
    group = groups(cohort, "image" if arm == "leaky" else "auto")
    part = np.repeat(["train", "test"], [len(found[arm]), len(found["test"])]).astype(object)
    made = pd.DataFrame({"image_id": cohort["image_id"].iloc[rows], "group": group.iloc[rows], "fold": 0, "part": part})
    return made.sort_values("image_id", ignore_index=True)


def _fold_members(rows: pd.DataFrame, folds: int, seed: int) -> list[np.ndarray]:
    """Labels (of the index) of the rows that each fold holds out; groups stay whole, classes are spread evenly."""
    if (number := rows["group"].nunique()) < folds:
        raise DataError(f"{folds} folds need at least {folds} groups, there are {number}")
    splitter, group = (StratifiedGroupKFold, rows["group"]) if number < len(rows) else (StratifiedKFold, None)
    cut = splitter(folds, shuffle=True, random_state=seed).split(rows, rows["label"], group)
    return [rows.index[held_out].to_numpy() for _, held_out in cut]


def _long(rows: pd.DataFrame, is_test: np.ndarray, members: list[np.ndarray]) -> pd.DataFrame:
    """One table of all folds; ``members`` are the validation rows of each."""
    tables = []
    for fold, held_out in enumerate(members):
        part = np.where(is_test, "test", "train").astype(object)
        part[held_out] = "val"
        tables.append(rows[["image_id", "group"]].assign(fold=fold, part=part))
    return pd.concat(tables, ignore_index=True)


def check(split: pd.DataFrame, said: str = "") -> None:
    """Raise `GroupOverlapError` when a group is in more than one part of a fold, `DataError` for a broken table."""
    if missing := [c for c in COLUMNS if c not in split]:
        raise DataError(f"{said}a split needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    if unknown := sorted(set(split["part"]) - set(PARTS)):
        raise DataError(f"{said}unknown part {', '.join(map(str, unknown))}; a part is one of {', '.join(PARTS)}")
    if len(twice := split.loc[split.duplicated(["image_id", "fold"]), "image_id"].unique()):
        raise DataError(f"{said}{len(twice)} images are twice in one fold, first {twice[0]}")
    parts = split.groupby(["fold", "group"])["part"].nunique()
    if len(names := parts[parts > 1].index.get_level_values("group").unique()):
        raise GroupOverlapError(f"{said}{len(names)} groups are in more than one part, first {names[0]}")


def fingerprint(split: pd.DataFrame) -> str:
    """Return a digest of the table, independent of its row order."""
    return digest(split[COLUMNS].sort_values(["fold", "image_id"]).to_csv(index=False, lineterminator="\n"))


def save(split: pd.DataFrame, path: str | Path, cohort: pd.DataFrame) -> Path:
    """Write the split as CSV, and next to it (``.json``) the fingerprints of the split and of its cohort."""
    check(split)
    path = Path(path)
    record = {"cohort": cohort_fingerprint(cohort), "split": fingerprint(split), "images": len(cohort)}
    write_json(path.with_suffix(".json"), record)  # first: a table without it was not left by a kill
    return write_atomic(path, split[COLUMNS].to_csv(index=False, lineterminator="\n"))


def load(path: str | Path, cohort: pd.DataFrame) -> pd.DataFrame:
    """Read a split; refuse one that leaks groups (`GroupOverlapError`), was edited, or was made for other data."""
    path = Path(path)
    try:
        split = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS, str) | {"fold": int}, keep_default_na=False)  # NA: an id
        record = read_json(path.with_suffix(".json"))
        data, made, number = record["cohort"], record["split"], record["images"]
    except (ValueError, KeyError, OSError) as error:
        raise DataError(f"{path} or its .json is damaged or gone ({error}); delete both to make them anew") from error
    check(split, f"{path}: ")
    if fingerprint(split) != made:
        raise DataError(f"{path} was edited after it was made; delete it and its .json to make it anew")
    if cohort_fingerprint(cohort) != data:
        raise DataError(f"{path} is of other data ({number} images then, {len(cohort)} now); delete it")
    return split


def part(cohort: pd.DataFrame, split: pd.DataFrame, fold: int | None, name: str) -> pd.DataFrame:
    """Return the cohort's rows of one part; ``fold=None`` counts validation images as training images."""
    rows = split[split["fold"] == (0 if fold is None else fold)]
    if fold is None:
        rows = rows.assign(part=rows["part"].where(rows["part"] != "val", "train"))
    wanted = set(rows.loc[rows["part"] == name, "image_id"])
    if absent := sorted(wanted - set(cohort["image_id"])):
        raise DataError(f"the split names {len(absent)} images that the cohort lacks, first {absent[0]}")
    return cohort[cohort["image_id"].isin(wanted)]
