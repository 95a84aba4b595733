"""The cards of the ISIC challenges."""

from skinlib.data.card import CC0, CC_BY_NC, HAM_COUNTS, SEVEN_NAMES, TSCHANDL, Archive, Card

ISIC = "https://isic-challenge-data.s3.amazonaws.com"
_CODELLA_2018 = "Codella et al.: Skin Lesion Analysis Toward Melanoma Detection 2018. arXiv:1902.03368"
_TASK3 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_ISIC2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
_ISIC2019_NAMES = (*SEVEN_NAMES[:3], "actinic keratosis", *SEVEN_NAMES[4:], "squamous cell carcinoma")
_TASK12_CHECKSUMS = {
    f"ISIC2018_{name}.zip": f"sha256:{hexadecimal}"
    for name, hexadecimal in (
        ("Task1-2_Training_Input", "80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f"),
        ("Task1_Training_GroundTruth", "99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c"),
    )
}


def _isic(year: int, *names: str, checksums: dict[str, str] | None = None) -> tuple[Archive, ...]:
    return tuple(Archive(f"{ISIC}/{year}/{name}", name, (checksums or {}).get(name)) for name in names)


ISIC_CARDS = (
    Card(
        name="isic2016",
        folder="isic2016",
        title="ISIC 2016 (Parts 1 and 3)",
        source="https://challenge.isic-archive.com/data/#2016",
        licence=CC0,
        citation="Gutman et al.: Skin Lesion Analysis toward Melanoma Detection (ISBI 2016). arXiv:1605.01397",
        classes=("benign", "malignant"),
        class_names={"benign": "benign", "malignant": "malignant (melanoma)"},
        malignant=("malignant",),
        counts={"train": {"benign": 727, "malignant": 173}, "test": {"benign": 304, "malignant": 75}},
        official={"train": 900, "test": 379},
        notes="Many of its pictures are in ISIC 2017 and in ISIC 2018 Task 1-2 again, 305 of its test images among the "
        "ISIC 2017 training and validation images: never treat the years as independent.",
        archives=_isic(
            2016,
            *(
                f"ISBI2016_ISIC_Part1_{part}_{kind}.zip"
                for part in ("Training", "Test")
                for kind in ("Data", "GroundTruth")
            ),
            "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
            "ISBI2016_ISIC_Part3_Test_GroundTruth.csv",
        ),
    ),
    Card(
        name="isic2017",
        folder="isic2017",
        title="ISIC 2017 (Parts 1 and 3)",
        source="https://challenge.isic-archive.com/data/#2017",
        licence=CC0,
        citation="Codella et al.: Skin Lesion Analysis Toward Melanoma Detection (ISBI 2017). arXiv:1710.05006",
        classes=("melanoma", "seborrheic_keratosis", "nevus"),
        class_names={"melanoma": "melanoma", "seborrheic_keratosis": "seborrheic keratosis", "nevus": "benign nevus"},
        malignant=("melanoma",),
        counts={
            "train": {"melanoma": 374, "seborrheic_keratosis": 254, "nevus": 1372},
            "val": {"melanoma": 30, "seborrheic_keratosis": 42, "nevus": 78},
            "test": {"melanoma": 117, "seborrheic_keratosis": 90, "nevus": 393},
        },
        official={"train": 2000, "val": 150, "test": 600},
        notes="The label file names melanoma and seborrheic keratosis; neither means nevus.",
        archives=_isic(
            2017,
            *(
                f"ISIC-2017_{part}_{kind}"
                for part in ("Training", "Validation", "Test_v2")
                for kind in ("Data.zip", "Part1_GroundTruth.zip", "Part3_GroundTruth.csv")
            ),
        ),
    ),
    Card(
        name="isic2018_task12",
        folder="isic2018",
        title="ISIC 2018 Tasks 1 and 2 (segmentation, attributes)",
        source="https://challenge.isic-archive.com/data/#2018",
        licence=CC0,
        citation=_CODELLA_2018,
        official={"train": 2594, "val": 100, "test": 1000},
        notes="No diagnosis. Shares no image with Task 3, but 806 and 339 images with ISIC 2016 training and test.",
        archives=_isic(
            2018,
            "ISIC2018_Task1-2_Training_Input.zip",
            "ISIC2018_Task1_Training_GroundTruth.zip",
            "ISIC2018_Task2_Training_GroundTruth_v3.zip",
            checksums=_TASK12_CHECKSUMS,
        ),
    ),
    Card(
        name="isic2018_task3",
        folder="isic2018",
        title="ISIC 2018 Task 3 (diagnosis)",
        source="https://challenge.isic-archive.com/data/#2018",
        licence=CC_BY_NC,
        citation=f"{_CODELLA_2018}; {TSCHANDL}",
        classes=_TASK3,
        class_names=dict(zip(_TASK3, SEVEN_NAMES, strict=True)),
        malignant=("MEL", "BCC", "AKIEC"),
        stand_ins={"scc": "AKIEC"},
        counts={
            "train": dict(zip(_TASK3, HAM_COUNTS, strict=True)),
            "test": dict(zip(_TASK3, (171, 909, 93, 43, 217, 44, 35), strict=True)),
        },
        official={"train": 10015, "val": 193, "test": 1512},
        notes="The training images are those of HAM10000 and are found in ham10000/; validation and test in isic2018/.",
        archives=_isic(
            2018,
            "ISIC2018_Task3_Training_GroundTruth.zip",
            "ISIC2018_Task3_Training_LesionGroupings.csv",
            *(
                f"ISIC2018_Task3_{part}_{kind}.zip"
                for part in ("Validation", "Test")
                for kind in ("Input", "GroundTruth")
            ),
        ),
    ),
    Card(
        name="isic2019",
        folder="isic2019",
        title="ISIC 2019",
        source="https://challenge.isic-archive.com/data/#2019",
        licence=CC_BY_NC,
        citation=f"{TSCHANDL}; Codella et al. arXiv:1710.05006; Combalia et al.: BCN20000. arXiv:1908.02288",
        classes=_ISIC2019,
        class_names=dict(zip(_ISIC2019, _ISIC2019_NAMES, strict=True)),
        malignant=("MEL", "BCC", "AK", "SCC"),
        counts={"train": dict(zip(_ISIC2019, (4522, 12875, 3323, 867, 2624, 239, 253, 628), strict=True))},
        official={"train": 25331},
        notes="Holds HAM10000 again. The column UNK is empty in the training part. AK counts as malignant here to stay "
        "comparable with AKIEC of ISIC 2018.",
        archives=_isic(
            2019,
            "ISIC_2019_Training_Input.zip",
            "ISIC_2019_Training_GroundTruth.csv",
            "ISIC_2019_Training_Metadata.csv",
        ),
    ),
)
