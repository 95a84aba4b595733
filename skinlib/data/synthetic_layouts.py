"""Where each official layout keeps the files of an image, and the label files beside them."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data.cards import CARDS
from skinlib.data.synthetic_look import ATTRIBUTES, Drawing
from skinlib.data.synthetic_tables import ham_table, pad_table, ph2_table

_WORDS = {"train": "Training", "val": "Validation", "test": "Test"}


def image_file(row) -> str:
    """Path of a row's image, relative to the data root."""
    word = _WORDS.get(row.part, "")
    return {
        "ham10000": f"ham10000/HAM10000_images_part_{1 + row.number % 2}/{row.image_id}.jpg",
        "isic2016": f"isic2016/ISBI2016_ISIC_Part1_{word}_Data/{row.image_id}.jpg",
        "isic2017": f"isic2017/ISIC-2017_{_word_2017(row.part)}_Data/{row.image_id}.jpg",
        "isic2018_task12": f"isic2018/ISIC2018_Task1-2_{word}_Input/{row.image_id}.jpg",
        "isic2018_task3": f"isic2018/ISIC2018_Task3_{word}_Input/{row.image_id}.jpg",
        "isic2019": f"isic2019/ISIC_2019_Training_Input/{row.image_id}.jpg",
        "ph2": f"ph2/PH2 Dataset images/{row.image_id}/{row.image_id}_Dermoscopic_Image/{row.image_id}.bmp",
        "pad_ufes_20": f"pad_ufes_20/images/imgs_part_{1 + row.number % 3}/{row.image_id}.png",
    }[row.dataset]


def mask_file(row) -> str | None:
    """Path of a row's lesion mask, relative to the data root; None where the set has none."""
    word = _WORDS.get(row.part, "")
    return {
        "ham10000": f"ham10000/HAM10000_segmentations_lesion_tschandl/{row.image_id}_segmentation.png",
        "isic2016": f"isic2016/ISBI2016_ISIC_Part1_{word}_GroundTruth/{row.image_id}_Segmentation.png",
        "isic2017": f"isic2017/ISIC-2017_{_word_2017(row.part)}_Part1_GroundTruth/{row.image_id}_segmentation.png",
        "isic2018_task12": f"isic2018/ISIC2018_Task1_{word}_GroundTruth/{row.image_id}_segmentation.png",
        "ph2": f"ph2/PH2 Dataset images/{row.image_id}/{row.image_id}_lesion/{row.image_id}_lesion.bmp",
        "pad_ufes_20": f"pad_ufes_20/masks_weak/{row.image_id}_mask.png",  # of others than the set's authors
    }.get(row.dataset)


def _word_2017(part: str) -> str:
    return "Test_v2" if part == "test" else _WORDS.get(part, "")


def write_images(root: Path, row, drawing: Drawing) -> None:
    """Write a row's image, mask and, for Task 2, its attribute masks."""
    _save(root / image_file(row), drawing.image)
    if mask := mask_file(row):
        _save(root / mask, drawing.mask.astype(np.uint8) * 255)
    if row.dataset == "isic2018_task12":
        folder = root / "isic2018" / f"ISIC2018_Task2_{_WORDS[row.part]}_GroundTruth_v3"
        for name in ATTRIBUTES:
            _save(folder / f"{row.image_id}_attribute_{name}.png", drawing.attributes[name].astype(np.uint8) * 255)


def _save(path: Path, pixels: np.ndarray) -> None:
    """Save pixels; images of one shape get one file size, so that the size of a file tells nothing of its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if path.suffix == ".jpg":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        path.write_bytes(padded_jpeg(buffer.getvalue(), 4096 + pixels.shape[0] * pixels.shape[1] * 3 // 4))
    else:
        options = {"compress_level": 0 if pixels.ndim == 3 else 1} if path.suffix == ".png" else {}
        image.save(path, **options)


def padded_jpeg(data: bytes, size: int) -> bytes:
    """A JPEG file filled up to ``size`` bytes with comment segments, which no decoder looks at."""
    comments, missing = [], size - len(data)
    if missing < 0:
        raise ValueError(f"a drawn JPEG has {len(data)} bytes, more than the {size} that hide its size")
    while missing >= 4:
        length = min(missing, 65_537)
        length = length if missing - length in (0, *range(4, 65_538)) or missing > 131_074 else length - 4
        comments.append(b"\xff\xfe" + (length - 2).to_bytes(2, "big") + bytes(length - 4))
        missing -= length
    return data[:2] + b"".join(comments) + data[2:] + bytes(missing)


def write_tables(root: Path, name: str, truth: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write the label files of a set; ``truth`` holds its rows and, for Task 3, those of HAM10000."""
    rows = truth[truth["dataset"] == name]
    base = root / CARDS[name].folder
    if name == "ham10000":
        _csv(base / "HAM10000_metadata.csv", ham_table(rows, rng))
    elif name == "isic2016":
        for part, word, codes in (("train", "Training", ("benign", "malignant")), ("test", "Test", ("0", "1"))):
            table = rows.loc[rows["part"] == part, ["image_id", "malignant"]]
            table = table.assign(malignant=[codes[int(m)] for m in table["malignant"]])
            _csv(base / f"ISBI2016_ISIC_Part3_{word}_GroundTruth.csv", table, header=False)
    elif name == "isic2017":
        for part, of_part in rows.groupby("part"):
            _tables_2017(base, _word_2017(part), of_part)
    elif name == "isic2018_task3":
        training = truth[truth["dataset"] == "ham10000"].assign(
            part="train", diagnosis=lambda t: t["diagnosis"].str.upper()
        )
        for part, of_part in pd.concat([training, rows]).groupby("part"):
            stem = f"ISIC2018_Task3_{_WORDS[part]}_GroundTruth"
            _csv(base / stem / f"{stem}.csv", _one_hot(of_part, CARDS[name].classes))
        groups = training[["image_id", "lesion_id"]].rename(columns={"image_id": "image"})
        _csv(
            base / "ISIC2018_Task3_Training_LesionGroupings.csv", groups.assign(diagnosis_confirm_type="histopathology")
        )
    elif name == "isic2019":
        _csv(base / "ISIC_2019_Training_GroundTruth.csv", _one_hot(rows, CARDS[name].classes).assign(UNK=0.0))
        meta = {
            "image": rows["image_id"],
            "age_approx": rows["age"],
            "anatom_site_general": "anterior torso",
            "lesion_id": rows["lesion_id"].where(rng.random(len(rows)) > 0.08),
            "sex": _sex(rows),
        }
        _csv(base / "ISIC_2019_Training_Metadata.csv", pd.DataFrame(meta))
    elif name == "ph2":
        (base / "PH2_dataset.txt").write_text(ph2_table(rows), encoding="utf-8")
    elif name == "pad_ufes_20":
        _csv(base / "metadata.csv", pad_table(rows, rng))


def _tables_2017(base: Path, word: str, rows: pd.DataFrame) -> None:
    marks = _one_hot(rows, ("melanoma", "seborrheic_keratosis")).rename(columns={"image": "image_id"})
    _csv(base / f"ISIC-2017_{word}_Part3_GroundTruth.csv", marks)
    meta = {"image_id": rows["image_id"], "age_approximate": rows["age"].astype(int), "sex": _sex(rows)}
    _csv(base / f"ISIC-2017_{word}_Data" / f"ISIC-2017_{word}_Data_metadata.csv", pd.DataFrame(meta))


def _sex(rows: pd.DataFrame) -> np.ndarray:
    return np.where(rows["male"], "male", "female")


def _one_hot(rows: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    marks = {code: (rows["diagnosis"] == code).astype(float) for code in classes}
    return pd.DataFrame({"image": rows["image_id"], **marks})


def _csv(path: Path, table: pd.DataFrame, *, header: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.sort_values(next(c for c in ("image_id", "image", "img_id") if c in table)).to_csv(
        path, index=False, header=header
    )
