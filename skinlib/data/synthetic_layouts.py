"""The official layouts: where each data set keeps an image and its mask, and the label files that describe them.

Clinical columns are correlated with the class and blank in the pattern of the real tables.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from skinlib.data.cards import CARDS
from skinlib.data.readers_sets import ATTRIBUTES, COLORS, PAD_COLUMNS, WORDS, WORDS_2017
from skinlib.data.synthetic_draw import Drawing
from skinlib.data.synthetic_people import ITA_CUTS, KINDS

# A row a set: paths of an image and its mask (of PAD-UFES-20 by others than its authors), height as a share of the
# width, share of the images in each official part (the training part of Task 3 is HAM10000's).
LAYOUTS = pd.read_csv(Path(__file__).with_name("layouts.csv"), index_col="dataset").fillna({"mask": ""})
_HISTORY = {
    "smoke": 0.12, "drink": 0.25, "pesticide": 0.40, "skin_cancer_history": 0.45, "cancer_history": 0.53,
    "has_piped_water": 0.62, "has_sewage_system": 0.57,
}  # fmt: skip
_BACKGROUND = ("POMERANIA", "GERMANY", "ITALY", "BRAZIL", "BRASIL", "UNK")
_PH2_HEADER = (
    "|| Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry || Pigment Network || Dots/Globules || "
    "Streaks || Regression Areas || Blue-Whitish Veil || Colors ||"
)


def write_images(root: Path, row, drawing: Drawing) -> str:
    """Write a row's image, mask and, for Task 2, its attribute masks; returns the image's path relative to the root."""
    words = {"id": row.image_id, "half": 1 + row.number % 2, "third": 1 + row.number % 3}
    words["word"] = (WORDS_2017 if row.dataset == "isic2017" else WORDS).get(row.part)
    file, mask = (template.format(**words) for template in LAYOUTS.loc[row.dataset, ["image", "mask"]])
    pictures = {file: drawing.image} | ({mask: drawing.mask} if mask else {})
    if row.dataset == "isic2018_task12":
        stem = f"isic2018/ISIC2018_Task2_Training_GroundTruth_v3/{row.image_id}_attribute"
        pictures |= {f"{stem}_{name}.png": drawing.attributes[name] for name in ATTRIBUTES}
    for path, pixels in pictures.items():
        _save(root / path, pixels if pixels.ndim == 3 else pixels * np.uint8(255))
    return file


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
        length -= 4 if 0 < missing - length < 4 else 0  # too few for a segment of their own
        comments.append(b"\xff\xfe" + (length - 2).to_bytes(2, "big") + bytes(length - 4))
        missing -= length
    return data[:2] + b"".join(comments) + data[2:] + bytes(missing)


def write_tables(root: Path, name: str, truth: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write the label files of a set; ``truth`` holds its rows and, for Task 3, those of HAM10000."""
    rows = truth[truth["dataset"] == name]
    base = root / CARDS[name].folder
    sex = np.where(rows["male"], "male", "female")
    if name == "ham10000":
        _csv(base / "HAM10000_metadata.csv", _ham_table(rows, rng))
    elif name == "isic2016":
        for part, codes in (("train", ("benign", "malignant")), ("test", ("0", "1"))):
            table = rows.loc[rows["part"] == part, ["image_id", "malignant"]]
            table["malignant"] = [codes[int(m)] for m in table["malignant"]]
            _csv(base / f"ISBI2016_ISIC_Part3_{WORDS[part]}_GroundTruth.csv", table, header=False)
    elif name == "isic2017":
        for part, here in rows.assign(sex=sex, age_approximate=rows["age"].astype(int)).groupby("part"):
            word = WORDS_2017[part]
            marks = _one_hot(here, ("melanoma", "seborrheic_keratosis")).rename(columns={"image": "image_id"})
            _csv(base / f"ISIC-2017_{word}_Part3_GroundTruth.csv", marks)
            meta = here[["image_id", "age_approximate", "sex"]]
            _csv(base / f"ISIC-2017_{word}_Data" / f"ISIC-2017_{word}_Data_metadata.csv", meta)
    elif name == "isic2018_task3":
        training = truth[truth["dataset"] == "ham10000"]
        training = training.assign(part="train", diagnosis=training["diagnosis"].str.upper())
        for part, here in pd.concat([training, rows]).groupby("part"):
            stem = f"ISIC2018_Task3_{WORDS[part]}_GroundTruth"
            _csv(base / stem / f"{stem}.csv", _one_hot(here, CARDS[name].classes))
        groups = training[["image_id", "lesion_id"]].set_axis(["image", "lesion_id"], axis=1)
        groups = groups.assign(diagnosis_confirm_type="histopathology")
        _csv(base / "ISIC2018_Task3_Training_LesionGroupings.csv", groups)
    elif name == "isic2019":
        _csv(base / "ISIC_2019_Training_GroundTruth.csv", _one_hot(rows, CARDS[name].classes).assign(UNK=0.0))
        meta = rows[["image_id", "age"]].set_axis(["image", "age_approx"], axis=1)
        known = rows["lesion_id"].where(rng.random(len(rows)) > 0.08)
        meta = meta.assign(anatom_site_general="anterior torso", lesion_id=known, sex=sex)
        _csv(base / "ISIC_2019_Training_Metadata.csv", meta)
    elif name == "ph2":
        (base / "PH2_dataset.txt").write_text(_ph2_table(rows), encoding="utf-8")
    elif name == "pad_ufes_20":
        table = pd.DataFrame([_pad_row(row, rng) for row in rows.itertuples()])
        _csv(base / "metadata.csv", table[list(PAD_COLUMNS.index)])


def _one_hot(rows: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    marks = {code: (rows["diagnosis"] == code).astype(float) for code in classes}
    return pd.DataFrame({"image": rows["image_id"], **marks})


def _csv(path: Path, table: pd.DataFrame, *, header: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = next(c for c in ("image_id", "image", "img_id") if c in table)
    table.sort_values(image).to_csv(path, index=False, header=header)


def _pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _ham_table(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The official 8 columns; site, clinic and confirmation belong to the lesion, a few values are unknown."""
    lesions = {}
    for row in truth.drop_duplicates("lesion_id").itertuples():
        site = _pick(KINDS[row.kind]["site"], rng)
        confirmed = "histo" if row.malignant or rng.random() < 0.4 else str(rng.choice(["follow_up", "consensus"]))
        clinic = _pick(KINDS[row.kind]["clinic"], rng)
        unknown = not row.malignant and rng.random() < 0.01
        lesions[row.lesion_id] = {
            "dx_type": confirmed,
            "age": "" if unknown else f"{row.age:.1f}",
            "sex": "unknown" if unknown else ("male" if row.male else "female"),
            "localization": "unknown" if rng.random() < 0.023 else site,
            "dataset": clinic,
        }
    ids = truth[["lesion_id", "image_id", "diagnosis"]].rename(columns={"diagnosis": "dx"})
    return ids.merge(pd.DataFrame.from_dict(lesions, orient="index"), left_on="lesion_id", right_index=True)


def _pad_row(row, rng: np.random.Generator) -> dict:
    """One of the official rows, with ``UNK`` answers, both spellings of Brazil and the shared blanks."""
    kind = KINDS[row.kind]
    out = {
        "patient_id": row.patient_id,
        "lesion_id": row.lesion_id,
        "age": int(row.age),
        "diagnostic": row.diagnosis,
        "img_id": f"{row.image_id}.png",
        "region": _pick(kind["region"], rng),
        "biopsed": bool(row.malignant and row.diagnosis != "ACK") or bool(rng.random() < 0.2),
    }
    for name, chance in kind["symptom"].items():
        unknown = name in ("grew", "changed") and rng.random() < 0.17
        out[name] = "UNK" if unknown else bool(rng.random() < chance)
    history = {name: bool(rng.random() < chance) for name, chance in _HISTORY.items()}
    first, second = sorted(rng.integers(3, 24, 2), reverse=True)
    history |= {
        "background_father": str(rng.choice(_BACKGROUND)),
        "background_mother": str(rng.choice(_BACKGROUND)),
        "gender": "MALE" if row.male else "FEMALE",
        "fitspatrick": fitzpatrick(row.ita),
        "diameter_1": float(first),
        "diameter_2": float(second),
    }
    # The history is blank together, and never for a cancer: what is missing gives the label away, as in the real table.
    if rng.random() < kind["history"]["blank"]:
        history = dict.fromkeys(history, "")
    return out | history


def fitzpatrick(ita: float) -> float:
    """Skin type 1 (lightest) to 6 of a drawn skin: the six ITA categories, in order."""
    return float(6 - np.digitize(ita, ITA_CUTS))


def _ph2_table(truth: pd.DataFrame) -> str:
    """The text of ``PH2_dataset.txt``: the criteria follow from the drawn structures."""
    lines = [_PH2_HEADER]
    for row in truth.itertuples():
        cells = (
            row.image_id,
            "Melanoma" if row.malignant else "",
            CARDS["ph2"].classes.index(row.diagnosis),
            int(np.digitize(row.asymmetry, (0.3, 0.55))),
            "AT" if row.network == "atypical" else "T",
            "A" if row.globules == 0 else ("AT" if row.asymmetry > 0.4 else "T"),
            "P" if row.streaks else "A",
            "P" if "white" in row.colors else "A",
            "P" if row.veil else "A",
            "  ".join(str(d) for d in sorted(COLORS.index(c) + 1 for c in row.colors)),
        )
        lines.append("|| " + " || ".join(map(str, cells)) + " ||")
    return "\n".join([*lines, "", "Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma."]) + "\n"
