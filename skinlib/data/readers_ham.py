"""HAM10000: metadata in the official 8-column or the Kaggle 7-column form, images in one or two folders."""

from pathlib import Path

import pandas as pd

from skinlib.data.readers_files import DataError, Findings, find_table, folders, index_images, numbers, read_table

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
IMAGE_FOLDERS = ("HAM10000_images*", "images", "ISIC2018_Task3_Training_Input")


def images(base: Path, findings: Findings) -> dict[str, str]:
    """Image id -> path, from the two part folders, from one folder of all, or flat beside the metadata."""
    return index_images(folders(base, *IMAGE_FOLDERS) or [base], findings)


def masks(base: Path, findings: Findings) -> dict[str, str] | None:
    """Image id -> path of the lesion mask; None where the mask archive is not there at all."""
    where = folders(base, "HAM10000_segmentations_lesion_tschandl*")
    return index_images(where, findings, ending="_segmentation") if where else None


def metadata(base: Path, findings: Findings) -> pd.DataFrame | None:
    """The metadata table under the cohort's column names; None where the file is not there."""
    path = find_table(base, "HAM10000_metadata", suffixes=(".csv", ".tab", ""))
    if path is None:
        return None
    table = read_table(path, findings, required=COLUMNS)
    if "dataset" not in table.columns:  # the Kaggle copy lacks the source clinic
        table["dataset"] = pd.Series(float("nan"), index=table.index, dtype="str")
    table["age"] = numbers(table["age"], f"{path.name} column age", findings)
    names = {"dx": "diagnosis", "localization": "site", "dataset": "source"}
    return table[[*COLUMNS, "dataset"]].rename(columns=names)


def ham10000(root: Path, findings: Findings) -> pd.DataFrame:
    """Rows of HAM10000."""
    base = root / "ham10000"
    table = metadata(base, findings)
    if table is None:
        raise DataError(f"HAM10000_metadata.csv is not in {base}: put it there, or run `skinlib data get ham10000`.")
    found, found_masks = images(base, findings), masks(base, findings)
    table["part"] = "all"
    table["image_path"] = table["image_id"].map(found)
    table["mask_path"] = table["image_id"].map(found_masks or {})
    table.attrs["masked"] = {"all": found_masks is not None}
    table.attrs["without_row"] = sorted(set(found) - set(table["image_id"].dropna()))
    return table
