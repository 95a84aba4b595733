"""How often each drawn class shows a structure: classes differ in these chances and overlap in all of them."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Kind:
    """How often a class shows a structure; ``asymmetry`` and ``border`` are means of a clipped normal."""

    asymmetry: float
    border: float
    colors: tuple[float, ...]  # chance of each further colour beyond the first, in the order of COLORS
    typical: float = 0.0
    atypical: float = 0.0
    negative: float = 0.0
    streaks: float = 0.0
    globules: float = 0.0
    milia: float = 0.0
    vessels: float = 0.0
    scales: float = 0.0
    lacunae: float = 0.0
    veil: float = 0.0
    white_centre: float = 0.0
    age: float = 55.0
    male: float = 0.5


# colors: light brown, dark brown, black, red, blue-gray, white
KINDS = {
    "mel": Kind(
        0.65,
        0.66,
        (0.52, 0.68, 0.42, 0.23, 0.22, 0.24),
        typical=0.12,
        atypical=0.58,
        negative=0.10,
        streaks=0.54,
        globules=0.28,
        milia=0.07,
        vessels=0.12,
        scales=0.06,
        veil=0.58,
        age=60.7,
        male=0.62,
    ),
    "nv": Kind(
        0.23,
        0.22,
        (0.60, 0.60, 0.20, 0.18, 0.07, 0.08),
        typical=0.58,
        atypical=0.09,
        negative=0.04,
        streaks=0.06,
        globules=0.40,
        milia=0.06,
        vessels=0.04,
        scales=0.04,
        veil=0.05,
        age=46.5,
        male=0.51,
    ),
    "bcc": Kind(
        0.50,
        0.46,
        (0.52, 0.48, 0.22, 0.34, 0.24, 0.16),
        typical=0.04,
        negative=0.05,
        globules=0.18,
        milia=0.06,
        vessels=0.84,
        scales=0.16,
        veil=0.42,
        age=66.8,
        male=0.62,
    ),
    "akiec": Kind(
        0.50,
        0.58,
        (0.60, 0.48, 0.12, 0.40, 0.06, 0.22),
        typical=0.06,
        negative=0.04,
        globules=0.08,
        milia=0.06,
        vessels=0.46,
        scales=0.86,
        veil=0.04,
        age=66.5,
        male=0.68,
    ),
    "bkl": Kind(
        0.34,
        0.34,
        (0.60, 0.60, 0.25, 0.22, 0.10, 0.18),
        typical=0.18,
        atypical=0.06,
        negative=0.05,
        streaks=0.06,
        globules=0.26,
        milia=0.63,
        vessels=0.06,
        scales=0.11,
        veil=0.07,
        age=64.3,
        male=0.57,
    ),
    "df": Kind(
        0.20,
        0.24,
        (0.60, 0.45, 0.12, 0.28, 0.05, 0.22),
        typical=0.56,
        negative=0.05,
        globules=0.06,
        vessels=0.05,
        scales=0.05,
        veil=0.03,
        white_centre=0.78,
        age=53.0,
        male=0.55,
    ),
    "vasc": Kind(
        0.30,
        0.28,
        (0.40, 0.40, 0.20, 0.50, 0.15, 0.10),
        typical=0.03,
        lacunae=0.83,
        vessels=0.06,
        scales=0.04,
        veil=0.06,
        age=51.4,
        male=0.49,
    ),
    "scc": Kind(
        0.55,
        0.60,
        (0.55, 0.50, 0.20, 0.40, 0.06, 0.28),
        vessels=0.58,
        scales=0.78,
        globules=0.05,
        veil=0.05,
        age=68.9,
        male=0.60,
    ),
}
KINDS["atypical_nv"] = replace(KINDS["nv"], asymmetry=0.36, border=0.38, typical=0.35, atypical=0.40, streaks=0.15)
MALIGNANT_KINDS = ("mel", "bcc", "akiec", "scc")
