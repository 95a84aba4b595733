import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlib.config import RunConfig
from skinlib.data import splits
from skinlib.data.extra import extra_training, repeats
from skinlib.data.readers_files import DataError
from skinlib.training.identify import cohort_of, split_of

# Each number draws one picture. 2016: three benign, three malignant; 2017: five melanomas, two of other kinds.
TRAIN_2016 = {"ISIC_0000001": (1, "benign"), "ISIC_0000002": (2, "malignant"), "ISIC_0000003": (3, "benign")}
TEST_2016 = {"ISIC_0000011": (11, 1), "ISIC_0000012": (12, 0), "ISIC_0000013": (13, 1)}
MELANOMAS = {"ISIC_0000002": 2, "ISIC_0000111": 11, "ISIC_0000200": 13, "ISIC_0000201": 201, "ISIC_0000202": 202}
OTHERS = {"ISIC_0000203": 203, "ISIC_0000012": 12}


def picture(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def draw(folder, ids, *, masks):
    for path in (folder, masks):
        path.mkdir(parents=True)
    for image_id, number in ids.items():
        # the picture of test image 13 comes again under another name and with other bytes
        picture(number).save(folder / f"{image_id}.jpg", quality=70 if image_id == "ISIC_0000200" else 95)
        Image.new("L", (64, 64), 255).save(masks / f"{image_id}{'_S' if '2016' in str(masks) else '_s'}egmentation.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("years")
    for word, rows in (("Training", TRAIN_2016), ("Test", TEST_2016)):
        stem = root / "isic2016" / f"ISBI2016_ISIC_Part1_{word}"
        data, masks = (stem.with_name(f"{stem.name}_{kind}") for kind in ("Data", "GroundTruth"))
        draw(data, {i: n for i, (n, _) in rows.items()}, masks=masks)
        text = "".join(f"{i},{label}\n" for i, (_, label) in rows.items())
        (root / "isic2016" / f"ISBI2016_ISIC_Part3_{word}_GroundTruth.csv").write_text(text)
    base = root / "isic2017"
    draw(base / "ISIC-2017_Training_Data", MELANOMAS | OTHERS, masks=base / "ISIC-2017_Training_Part1_GroundTruth")
    lines = [f"{i},{float(i in MELANOMAS)},{float(i not in MELANOMAS)}" for i in sorted(MELANOMAS | OTHERS)]
    head = "image_id,melanoma,seborrheic_keratosis"
    (base / "ISIC-2017_Training_Part3_GroundTruth.csv").write_text("\n".join([head, *lines]) + "\n")
    return root


def config(**changes) -> RunConfig:
    return RunConfig(dataset="isic2016", split="official", folds=2, allow_missing=True, **changes)


def test_the_melanomas_as_published_what_each_repeats_and_the_new_that_repeat_nothing(root):
    base = cohort_of(config(), root)
    added = extra_training("isic2017_melanomas", base, root, allow_missing=True).set_index("image_id")
    assert list(added.index) == ["ISIC_0000002@isic2017", *sorted(MELANOMAS)[1:]]
    part = added["repeats"].fillna("new").to_dict()
    assert part == {
        "ISIC_0000002@isic2017": "train",  # by id
        "ISIC_0000111": "test",  # by bytes
        "ISIC_0000200": "test",  # by sight
        "ISIC_0000201": "new", "ISIC_0000202": "new",
    }  # fmt: skip
    assert set(added["diagnosis"]) == {"malignant"} and set(added["label"]) == {1}
    assert set(added["source"]) == {"isic2017"} and set(added["dataset"]) == {"isic2016"}
    new = extra_training("isic2017_melanomas_new", base, root, allow_missing=True)
    assert list(new["image_id"]) == ["ISIC_0000201", "ISIC_0000202"] and repeats(new, base).isna().all()


def test_extra_images_train_in_every_fold_and_move_no_other_image(root, tmp_path):
    plain, more = config(), config(extra_training="isic2017_melanomas")
    before, after = split_of(plain, root, tmp_path), split_of(more, root, tmp_path)
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)
    assert len(after) == len(before) + 2 * len(MELANOMAS)
    cohort = cohort_of(more, root)
    for fold in (0, 1, None):
        for part in ("val", "test"):
            mine = splits.part(cohort, after, fold, part)["image_id"]
            assert list(mine) == list(splits.part(cohort_of(plain, root), before, fold, part)["image_id"])
        assert splits.part(cohort, after, fold, "train")["source"].eq("isic2017").sum() == len(MELANOMAS)


def test_extra_images_know_their_name_and_their_cohort(root, tmp_path):
    with pytest.raises(ValueError, match="no extra training images 'more'"):
        extra_training("more", cohort_of(config(), root), root)
    other = cohort_of(config(), root).assign(diagnosis=["a", "b", "c"] * 2, label=[0, 1, 2] * 2)
    with pytest.raises(DataError, match="a cohort of two classes, the second malignant"):
        extra_training("isic2017_melanomas", other, root)
    with pytest.raises(DataError, match="isic2017"):
        extra_training("isic2017_melanomas", cohort_of(config(), root), tmp_path)
