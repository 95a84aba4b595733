"""One decoder: what a viewer shows, worked out by hand for each coding of a file."""

import os

import numpy as np
import pytest
from PIL import Image, ImageCms

from skinlib.data.pictures import PictureError, read_image, read_mask, size_of

LESION = np.pad(np.ones((20, 20), bool), ((10, 30), (20, 20)))  # (60, 60), 400 pixels, not in the middle
WHITE = np.full((60, 60), 255, np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(picture, name="a.png", **options):
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def oriented(tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_orientation_shows_the_same_picture(saved, tag):
    upright = np.zeros((30, 10, 3), np.uint8)
    upright[:15, :5], upright[:15, 5:] = (255, 0, 0), (0, 0, 255)
    undo = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 3),
    }  # fmt: skip
    path = saved(np.ascontiguousarray(undo[tag](upright)), exif=oriented(tag))
    assert np.array_equal(read_image(path), upright) and size_of(path) == (10, 30)
    mask = np.pad(np.full((5, 4), 255, np.uint8), ((0, 25), (0, 6)))
    path = saved(np.ascontiguousarray(undo[tag](mask[..., None])[..., 0]), exif=oriented(tag))
    assert np.array_equal(read_mask(path), mask > 0)


def test_sixteen_bits_are_scaled(saved):
    assert read_image(saved(np.full((4, 4), 20000, np.uint16))).tolist() == np.full((4, 4, 3), 78).tolist()
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert np.array_equal(read_image(saved(ramp))[..., 0], np.arange(256).reshape(16, 16))
    assert (read_image(saved(np.full((4, 4), 0.5, np.float32), "f.tif")) == 128).all()
    assert (read_image(saved(np.full((4, 4), 200, np.int32), "i.tif")) == 200).all()
    with pytest.raises(PictureError, match="its values are 0 to 4000 of 65535: of 12 bits"):
        read_image(saved(np.full((4, 4), 4000, np.uint16)))


@pytest.mark.parametrize("value", [-1.0, 2.0, np.nan])
def test_numbers_of_no_known_range_are_refused(saved, value):
    with pytest.raises(PictureError, match=r"f\.tif.*its values are"):
        read_image(saved(np.full((4, 4), value, np.float32), "f.tif"))


def test_what_is_transparent_shows_white(saved):
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = (200, 100, 50, 255), (200, 100, 50, 0), (0, 0, 0, 51)
    assert read_image(saved(pixels))[0].tolist() == [[200, 100, 50], [255] * 3, [204] * 3]
    grey = np.array([[[10, 255], [10, 0]]], np.uint8)
    assert read_image(saved(Image.fromarray(grey, "LA")))[0].tolist() == [[10] * 3, [255] * 3]


def test_palettes_two_levels_and_ink(saved):
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 8, 7, 60, 50, 40])
    palette.putpixel((1, 0), 1)
    assert read_image(saved(palette))[0].tolist() == [[9, 8, 7], [60, 50, 40]]
    assert read_image(saved(palette, transparency=1))[0].tolist() == [[9, 8, 7], [255] * 3]
    assert read_image(saved(Image.new("1", (1, 1), 1)))[0, 0].tolist() == [255] * 3
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(read_image(saved(inks, "a.jpg", quality=100))[0, 0].astype(int) - [255, 0, 0]).max() <= 2


def test_a_profile_is_applied_and_one_that_is_none_is_ignored(saved):
    plain = np.full((2, 2, 3), [200, 100, 0], np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_image(saved(plain, icc_profile=srgb)), plain)
    swapped = srgb.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")  # red shows blue
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    assert np.abs(read_image(saved(plain, icc_profile=swapped)).astype(int) - plain[..., ::-1]).max() <= 2
    assert np.array_equal(read_image(saved(plain, icc_profile=b"no profile")), plain)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(read_image(saved(plain, icc_profile=lab)), plain)  # of another kind of picture


CODINGS = {
    "0 and 255": lambda: Image.fromarray(np.uint8(255 * LESION)),
    "0 and 1": lambda: Image.fromarray(np.uint8(LESION)),
    "0 and 128": lambda: Image.fromarray(np.uint8(128 * LESION)), "two levels": lambda: Image.fromarray(LESION),
    "16 bits": lambda: Image.fromarray(np.uint16(65535 * LESION)),
    "16 bits, 0 and 1": lambda: Image.fromarray(np.uint16(LESION)),
    "blue": lambda: Image.fromarray(np.uint8(LESION[..., None] * [0, 0, 255])),
    "dark red": lambda: Image.fromarray(np.uint8(LESION[..., None] * [128, 0, 0])),
    "black, opaque where lesion": lambda: Image.fromarray(np.uint8(LESION[..., None] * [0, 0, 0, 255])),
    "white, opaque where lesion": lambda: Image.fromarray(np.dstack([WHITE] * 3 + [np.uint8(255 * LESION)])),
    "opaque, white on black": lambda: Image.fromarray(np.dstack([np.uint8(255 * LESION)] * 3 + [WHITE])),
}  # fmt: skip


@pytest.mark.parametrize("coding", CODINGS)
def test_a_mask_says_lesion_the_same_way_in_every_coding(saved, coding):
    assert np.array_equal(read_mask(saved(CODINGS[coding]())), LESION)


def test_a_palette_mask_is_read_by_its_colours(saved):
    mask = Image.fromarray(np.uint8(LESION), "P")
    mask.putpalette([0, 0, 0, 0, 90, 200])
    assert np.array_equal(read_mask(saved(mask)), LESION)


def test_the_official_rule_is_above_128_and_empty_and_full_masks_stay_so_and_classes_are_refused(saved):
    assert read_mask(saved(np.array([[0, 127, 128, 129, 255]], np.uint8))).tolist() == [[False] * 3 + [True] * 2]
    assert not read_mask(saved(np.zeros((5, 5), np.uint8))).any()
    for white in (1, 255):
        assert read_mask(saved(np.full((5, 5), white, np.uint8))).all()
    for values in ([0, 1, 2], [1, 2], [0, 3, 7]):  # classes, or the noise of a JPEG without a lesion
        with pytest.raises(PictureError, match=r"a\.png is no mask of lesion and skin: it has"):
            read_mask(saved(np.resize(np.array(values, np.uint8), (6, 6))))


def test_a_mask_whose_marks_lie_about_the_border_of_the_rule_is_refused(saved):
    for values in (np.where(LESION, 128, 0), np.where(LESION, 1, 0)):  # a JPEG or a stray pixel takes a few above 128
        values[12, 22] = 255
        with pytest.raises(PictureError, match="most it marks is not above 128"):
            read_mask(saved(values.astype(np.uint8)))


def test_a_photograph_is_no_mask_and_of_several_pages_none_is_meant(saved, tmp_path):
    skin = np.random.default_rng(0).normal([200, 150, 130], 15, (20, 20, 3)).clip(0, 255).astype(np.uint8)
    with pytest.raises(PictureError, match="looks like a photograph"):
        read_mask(saved(skin))
    with pytest.raises(PictureError, match="all of it is transparent"):
        read_image(saved(np.dstack([skin, np.zeros((20, 20), np.uint8)])))
    pages = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 255)]
    for name in ("a.tif", "a.png", "a.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        with pytest.raises(PictureError, match="has 2 pages or frames"):
            read_image(tmp_path / name)
    pages[0].save(tmp_path / "telephone.jpg", format="MPO", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "telephone.jpg").max() == 0


def test_the_size_of_a_turned_tiff_is_that_of_its_pixels(saved):
    path = saved(np.zeros((30, 10, 3), np.uint8), "a.tif", exif=oriented(6))
    assert size_of(path) == read_image(path).shape[1::-1]


def test_each_file_that_is_no_picture_is_named(saved, tmp_path):
    (tmp_path / "text.png").write_text("<html>not found</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    Image.new("1", (40000, 20000)).save(tmp_path / "vast.png")
    Image.new("1", (21000, 10000)).save(tmp_path / "large.png")
    for name in ["text.png", "empty.jpg", "folder.jpg", "loop.jpg", "pipe.jpg", "vast.png", "large.png", "none.png"]:
        for read in (read_image, read_mask, size_of):
            with pytest.raises(PictureError, match=rf"{name} cannot be read as an image"):
                read(tmp_path / name)


def test_a_jpeg_may_be_decoded_small(saved):
    path = saved(np.full((512, 256, 3), 90, np.uint8), "a.jpg")
    assert read_image(path).shape == (512, 256, 3) and read_image(path, side=64).shape == (128, 64, 3)
