"""Clinical columns of drawn patients: correlated with the class and blank in the pattern of the real tables."""

import numpy as np
import pandas as pd

_SUN = {
    "face": 0.30,
    "back": 0.18,
    "upper extremity": 0.15,
    "lower extremity": 0.13,
    "trunk": 0.08,
    "neck": 0.06,
    "scalp": 0.05,
    "hand": 0.05,
}
_TRUNK = {
    "back": 0.25,
    "lower extremity": 0.22,
    "trunk": 0.18,
    "upper extremity": 0.12,
    "abdomen": 0.12,
    "chest": 0.06,
    "foot": 0.03,
    "face": 0.02,
}
_LEGS = {"lower extremity": 0.70, "upper extremity": 0.20, "abdomen": 0.05, "back": 0.05}
SITES = {"bcc": _SUN, "akiec": _SUN, "scc": _SUN, "bkl": _SUN, "df": _LEGS}
_CLINIC = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")
CLINICS = {
    "akiec": (0.80, 0.15, 0.03, 0.02),
    "bcc": (0.55, 0.40, 0.03, 0.02),
    "bkl": (0.44, 0.42, 0.12, 0.02),
    "df": (0.26, 0.44, 0.26, 0.04),
    "mel": (0.31, 0.58, 0.05, 0.06),
    "nv": (0.12, 0.28, 0.55, 0.05),
    "vasc": (0.04, 0.56, 0.37, 0.03),
}

PAD_REGIONS = (
    "ABDOMEN",
    "ARM",
    "BACK",
    "CHEST",
    "EAR",
    "FACE",
    "FOOT",
    "FOREARM",
    "HAND",
    "NECK",
    "NOSE",
    "SCALP",
    "THIGH",
)
_PAD_SHARES = {
    "ACK": (0.01, 0.12, 0.02, 0.08, 0.03, 0.19, 0.01, 0.36, 0.11, 0.02, 0.03, 0.01, 0.01),
    "BCC": (0.01, 0.05, 0.11, 0.16, 0.04, 0.32, 0.01, 0.08, 0.02, 0.06, 0.12, 0.01, 0.01),
    "MEL": (0.04, 0.13, 0.26, 0.10, 0.04, 0.10, 0.01, 0.10, 0.02, 0.06, 0.01, 0.01, 0.12),
    "NEV": (0.08, 0.04, 0.34, 0.12, 0.01, 0.17, 0.02, 0.05, 0.02, 0.03, 0.01, 0.04, 0.07),
    "SCC": (0.02, 0.11, 0.09, 0.12, 0.06, 0.15, 0.03, 0.15, 0.10, 0.05, 0.05, 0.01, 0.06),
    "SEK": (0.03, 0.08, 0.10, 0.13, 0.01, 0.41, 0.01, 0.09, 0.02, 0.03, 0.02, 0.03, 0.04),
}
# itch, grew, hurt, changed, bleed, elevation: chance of True; a sixth of grew and changed is UNK.
_SYMPTOMS = ("itch", "grew", "hurt", "changed", "bleed", "elevation")
_PAD_SYMPTOMS = {
    "ACK": (0.78, 0.18, 0.07, 0.04, 0.12, 0.28),
    "BCC": (0.76, 0.51, 0.36, 0.10, 0.54, 0.85),
    "MEL": (0.17, 0.71, 0.02, 0.65, 0.05, 0.30),
    "NEV": (0.09, 0.50, 0.02, 0.09, 0.02, 0.65),
    "SCC": (0.77, 0.40, 0.22, 0.15, 0.31, 0.78),
    "SEK": (0.27, 0.47, 0.02, 0.03, 0.03, 0.78),
}
# The history columns are blank together, and never for a cancer: missingness gives the label away.
_PAD_BLANK = {"ACK": 0.61, "NEV": 0.69, "SEK": 0.80}
_HISTORY = {
    "smoke": 0.12,
    "drink": 0.25,
    "pesticide": 0.40,
    "skin_cancer_history": 0.45,
    "cancer_history": 0.53,
    "has_piped_water": 0.62,
    "has_sewage_system": 0.57,
}
_BACKGROUND = ("POMERANIA", "GERMANY", "ITALY", "BRAZIL", "BRASIL", "UNK")
PAD_COLUMNS = (
    "patient_id",
    "lesion_id",
    "smoke",
    "drink",
    "background_father",
    "background_mother",
    "age",
    "pesticide",
    "gender",
    "skin_cancer_history",
    "cancer_history",
    "has_piped_water",
    "has_sewage_system",
    "fitspatrick",
    "region",
    "diameter_1",
    "diameter_2",
    "diagnostic",
    "itch",
    "grew",
    "hurt",
    "changed",
    "bleed",
    "elevation",
    "img_id",
    "biopsed",
)


def pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    """One of the keys, by its share."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def ham_table(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The official 8 columns; site, clinic and confirmation belong to the lesion, a few values are unknown."""
    lesions = {}
    for row in truth.drop_duplicates("lesion_id").itertuples():
        site = pick(SITES.get(row.kind, _TRUNK), rng)
        confirmed = "histo" if row.malignant or rng.random() < 0.4 else str(rng.choice(["follow_up", "consensus"]))
        clinic = str(rng.choice(_CLINIC, p=CLINICS[row.kind]))
        unknown = not row.malignant and rng.random() < 0.01
        lesions[row.lesion_id] = {
            "dx_type": confirmed,
            "age": "" if unknown else f"{row.age:.1f}",
            "sex": "unknown" if unknown else ("male" if row.male else "female"),
            "localization": "unknown" if rng.random() < 0.023 else site,
            "dataset": clinic,
        }
    table = pd.DataFrame([lesions[lesion] for lesion in truth["lesion_id"]])
    ids = truth[["lesion_id", "image_id", "diagnosis"]].rename(columns={"diagnosis": "dx"}).reset_index(drop=True)
    return pd.concat([ids, table], axis=1)


def pad_table(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The official 26 columns, with ``UNK`` answers, both spellings of Brazil and the shared blanks."""
    rows = [_pad_row(row, rng) for row in truth.itertuples()]
    return pd.DataFrame(rows)[list(PAD_COLUMNS)]


def _pad_row(row, rng: np.random.Generator) -> dict:
    code = row.diagnosis
    out = {
        "patient_id": row.patient_id,
        "lesion_id": row.lesion_id,
        "age": int(row.age),
        "diagnostic": code,
        "img_id": f"{row.image_id}.png",
        "region": str(rng.choice(PAD_REGIONS, p=_PAD_SHARES[code])),
        "biopsed": bool(row.malignant and code != "ACK") or bool(rng.random() < 0.2),
    }
    for name, chance in zip(_SYMPTOMS, _PAD_SYMPTOMS[code], strict=True):
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
    if rng.random() < _PAD_BLANK.get(code, 0):
        history = dict.fromkeys(history, "")
    return out | history


def fitzpatrick(ita: float) -> float:
    """Skin type 1 (lightest) to 6 of a drawn skin: the six ITA categories, in order."""
    return float(6 - np.digitize(ita, (-30.0, 10.0, 28.0, 41.0, 55.0)))


def ph2_table(truth: pd.DataFrame) -> str:
    """The text of ``PH2_dataset.txt``: the criteria follow from the drawn structures."""
    digits = {"white": 1, "red": 2, "light_brown": 3, "dark_brown": 4, "blue_gray": 5, "black": 6}
    codes = {"common_nevus": 0, "atypical_nevus": 1, "melanoma": 2}
    header = (
        "Name",
        "Histological Diagnosis",
        "Clinical Diagnosis",
        "Asymmetry",
        "Pigment Network",
        "Dots/Globules",
        "Streaks",
        "Regression Areas",
        "Blue-Whitish Veil",
        "Colors",
    )
    lines = ["|| " + " || ".join(header) + " ||"]
    for row in truth.itertuples():
        cells = (
            row.image_id,
            "Melanoma" if row.malignant else "",
            codes[row.diagnosis],
            int(np.digitize(row.asymmetry, (0.3, 0.55))),
            "AT" if row.network == "atypical" else "T",
            "A" if row.globules == 0 else ("AT" if row.asymmetry > 0.4 else "T"),
            "P" if row.streaks else "A",
            "P" if "white" in row.colors else "A",
            "P" if row.veil else "A",
            "  ".join(str(d) for d in sorted(digits[c] for c in row.colors)),
        )
        lines.append("|| " + " || ".join(map(str, cells)) + " ||")
    return "\n".join([*lines, "", "Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma."]) + "\n"
