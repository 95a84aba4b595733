"""Puts the fixtures in place: label files as typed, image files empty (readers decode nothing)."""

import shutil
import zipfile
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
ATTRIBUTES = ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def lay_ham(root: Path, fixture: str = "ham10000") -> None:
    base = root / "ham10000"
    shutil.copytree(FIXTURES / fixture, base)
    touch(base / "HAM10000_images_part_1", "ISIC_0090001.jpg", "ISIC_0090002.jpg")
    if fixture == "ham10000":
        touch(base / "HAM10000_images_part_2", "ISIC_0090003.jpg", "ISIC_0090004.JPG", "ISIC_0090005.jpg")
        names = [f"ISIC_009000{i}_segmentation.png" for i in range(1, 6)]
        touch(base / "HAM10000_segmentations_lesion_tschandl", *names)


def lay_2016(root: Path) -> None:
    base = root / "isic2016"
    shutil.copytree(FIXTURES / "isic2016", base)
    for word, ids in (("Training", (1, 2, 3)), ("Test", (4, 5))):
        touch(base / f"ISBI2016_ISIC_Part1_{word}_Data", *(f"ISIC_009000{i}.jpg" for i in ids))
        touch(base / f"ISBI2016_ISIC_Part1_{word}_GroundTruth", *(f"ISIC_009000{i}_Segmentation.png" for i in ids))


def lay_2017(root: Path) -> None:
    base = root / "isic2017"
    shutil.copytree(FIXTURES / "isic2017", base)
    for word, ids in (("Training", ("01", "02", "03")), ("Validation", ("11",)), ("Test_v2", ("21",))):
        touch(base / f"ISIC-2017_{word}_Data", *(f"ISIC_00900{i}.jpg" for i in ids))
        touch(base / f"ISIC-2017_{word}_Data", *(f"ISIC_00900{i}_superpixels.png" for i in ids))
        touch(base / f"ISIC-2017_{word}_Part1_GroundTruth", *(f"ISIC_00900{i}_segmentation.png" for i in ids))


def lay_task12(root: Path) -> None:
    base = root / "isic2018"
    touch(base / "ISIC2018_Task1-2_Training_Input", "ISIC_0080001.jpg", "ISIC_0080002.jpg")
    touch(base / "ISIC2018_Task1_Training_GroundTruth", *(f"ISIC_008000{i}_segmentation.png" for i in (1, 2)))
    names = [f"ISIC_008000{i}_attribute_{name}.png" for i in (1, 2) for name in ATTRIBUTES]
    touch(base / "ISIC2018_Task2_Training_GroundTruth_v3", *names)


def lay_task3(root: Path) -> None:
    base = root / "isic2018"
    shutil.copytree(FIXTURES / "isic2018", base, dirs_exist_ok=True)
    touch(base / "ISIC2018_Task3_Validation_Input", "ISIC_0090031.jpg")
    touch(base / "ISIC2018_Task3_Test_Input", "ISIC_0090041.jpg")


def lay_2019(root: Path) -> None:
    shutil.copytree(FIXTURES / "isic2019", root / "isic2019")
    names = ("ISIC_0090001.jpg", "ISIC_0090002_downsampled.jpg", "ISIC_0090003.jpg")
    touch(root / "isic2019" / "ISIC_2019_Training_Input", *names)


def lay_ph2_images(base: Path) -> None:
    for case in ("IMD901", "IMD902", "IMD903"):
        touch(base / "PH2 Dataset images" / case / f"{case}_Dermoscopic_Image", f"{case}.bmp")
        touch(base / "PH2 Dataset images" / case / f"{case}_lesion", f"{case}_lesion.bmp")
        touch(base / "PH2 Dataset images" / case / f"{case}_roi", f"{case}_R1_Label4.bmp")


def lay_pad(root: Path) -> None:
    base = root / "pad_ufes_20"
    shutil.copytree(FIXTURES / "pad_ufes_20", base)
    touch(base / "images" / "imgs_part_1", "PAT_9001_9101_530.png", "PAT_9002_9102_939.png")
    touch(base / "images" / "imgs_part_2", "PAT_9002_9103_940.jpg")
    touch(base / "masks_weak", "PAT_9002_9102_939_mask.png")


def write_sheet(path: Path, rows: list[list[str]]) -> None:
    """An .xlsx file with shared strings, as spreadsheet programs write it; empty cells are left out."""
    strings: list[str] = []
    lines = []
    for r, row in enumerate(rows, start=1):
        cells = []
        for c, text in enumerate(row):
            if text.isdigit():
                cells.append(f'<c r="{chr(65 + c)}{r}"><v>{text}</v></c>')
            elif text:
                strings.append(text)
                cells.append(f'<c r="{chr(65 + c)}{r}" t="s"><v>{len(strings) - 1}</v></c>')
        lines.append(f'<row r="{r}">{"".join(cells)}</row>')
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(path, "w") as book:
        items = "".join(f"<si><t>{text}</t></si>" for text in strings)
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{items}</sst>")
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )
