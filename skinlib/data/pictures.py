"""The one decoder of pictures and of lesion masks: pixels as a viewer shows them, however the file codes them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

MASK_ABOVE = 128  # the official ISIC rule: a mask pixel is lesion when above 128
MOST_PIXELS = Image.MAX_IMAGE_PIXELS = 201_000_000  # of one file; telephones take pictures of 200 megapixels


class PictureError(OSError):
    """A file that is no picture, or none whose pixels mean one thing; the message names it."""


def read_image(path: str | Path, *, side: int | None = None) -> np.ndarray:
    """Decode a picture to (H, W, 3) uint8, sRGB.

    The EXIF orientation is applied, grey of 16 bits is scaled to 8, what is transparent shows white behind it, and
    colours of an embedded profile become sRGB. With ``side`` a JPEG may be decoded at a fraction of its size, no
    smaller than that many pixels, which is faster.

    Raises `PictureError` when the file is missing, damaged, no picture or larger than `MOST_PIXELS`, and where its
    numbers have no known range.
    """
    return np.array(_opened(path, lambda image: _shown(image, side)))  # a copy: that of Pillow cannot be written to


def read_mask(path: str | Path) -> np.ndarray:
    """Decode a lesion mask: (H, W) bool, True where it is lesion.

    That is above 128 of 255, in the channel that says most: grey, the brightest colour, or what is opaque. A mask whose
    two values are both lower, such as 0 and 1, is lesion where it has the higher one.

    Raises `PictureError` as `read_image` does, and for a mask of several low values, which may be classes.
    """
    plane, white = _opened(path, _mask_plane)
    lesion = plane * 255.0 > MASK_ABOVE * white
    values = np.unique(plane)
    if lesion.any() and np.count_nonzero(plane) > 5 * lesion.sum():
        raise PictureError(f"{path} is no mask of lesion and skin: most it marks is not above {MASK_ABOVE} of 255")
    if lesion.any() and not (len(values) == 3 and 0.1 < values[1] / white < 0.9):
        return lesion
    if len(values) > 2 or (len(values) == 2 and values[0] != 0):
        raise PictureError(f"{path} is no mask of lesion and skin: it has {values[0]} to {values[-1]} of {white}")
    return plane > 0


def size_of(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) in pixels that a picture shows, from its header alone."""
    # Pillow says the size of a TIFF as it is shown.
    turned = lambda image: image.format != "TIFF" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return _opened(path, lambda image: image.size[::-1] if turned(image) else image.size)


def _opened(path: str | Path, use):
    """Return what ``use`` makes of the opened file; whatever a damaged file raises is one error that names it."""
    try:
        if not Path(path).is_file():  # a pipe or a device would be waited for
            raise PictureError("there is no such file" if not Path(path).exists() else "it is no regular file")
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise PictureError(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}; shrink it")
            pages = getattr(image, "n_frames", 1)
            if pages > 1 and image.format != "MPO":  # a telephone's first is the whole
                raise PictureError(f"it has {pages} pages or frames; save the one that is meant")
            return use(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)
        raise PictureError(f"{path} cannot be read as an image ({reason})") from error


def _shown(image: Image.Image, side: int | None) -> Image.Image:
    if side is not None:
        image.draft("RGB", (side, side))
    profile = image.info.get("icc_profile")
    image = _in_8_bits(ImageOps.exif_transpose(image))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        if not np.asarray(opaque)[..., 3].any():
            raise PictureError("all of it is transparent")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return _in_srgb(image, profile).convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Scale integers of 16 bits and floats of 0 to 1 to 0 to 255; other modes are returned as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=float)
    white = 1 if image.mode == "F" else 255 if image.mode == "I" and values.max() <= 255 else 65535
    if white == 65535 and 0 < values.max() <= 4095:
        raise PictureError(f"its values are 0 to {values.max():g} of 65535: of 12 bits? Save it with 8 bits")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > white:
        raise PictureError(f"its values are {values.min():g} to {values.max():g}, and 0 to {white} was expected")
    return Image.fromarray(np.rint(values * 255 / white).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if not profile:
        return image
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        return ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # damaged, or of another kind of picture: viewers ignore it, too
        return image


def _mask_plane(image: Image.Image) -> tuple[np.ndarray, int]:
    """Return the channel of a mask that says most, as stored, and the number that is white in it."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return np.asarray(image), 65535
    if image.mode == "F":
        return np.asarray(_in_8_bits(image)), 255
    pixels = np.asarray(image.convert("RGBA"))
    plane = pixels[..., :3].max(-1) * (pixels[..., 3] > MASK_ABOVE)
    values, rgb = len(np.unique(plane)), pixels[..., :3]  # of a photograph most are coloured, neither dark nor bright
    if values > 64 and ((np.ptp(rgb, -1) > 16) & (np.abs(rgb.mean(-1) - 128) < 108)).mean() > 0.5:
        raise PictureError("it looks like a photograph, not like a mask")
    alone = values == 1 and len(np.unique(pixels[..., 3])) > 1
    return (pixels[..., 3] if alone else plane), 255
