"""One encoded image of unknown origin to an array, within bounds of memory."""

import io
import warnings
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""No other: some of Pillow's decoders start programs, cut deep images to 8 bits, or are seldom
tried."""
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
MAX_BYTES = 2**26
"""Most bytes of one encoded image."""
MAX_PIXELS = 2**26
"""Most pixels of one image: decoded, it takes a quarter of a GiB."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows an image as its EXIF orientation wants it. `ImageOps.exif_transpose` does the same,
but rewrites all metadata, which fails where they are damaged."""


class BrokenImage(Exception):
    """An image that cannot be used; the message says why."""


def decode(
    content: bytes, channels: int, size: int | None, background: str | None = None
) -> np.ndarray:
    """Read an image upright; crop the largest central square and resize it to `size`, if given.

    Lanczos with antialiasing, on 8-bit values, as EDM's dataset tool does for `center-crop`; an
    image that is `size` by `size` already keeps its pixels. Colour profiles are not applied.

    Args:
        content: a file of one of `FORMATS`.
        channels: 1 makes it grey, 3 RGB.
        size: height and width of the result in pixels, or None to keep the image's own.
        background: colour under transparent pixels; without one there may be none in the square.

    Returns:
        uint8 (channels, H, W).

    Raises:
        BrokenImage: if it is damaged, no image, too large, several images, has more than 8 bits a
            channel, or has transparent pixels and there is no `background`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_header(image)
                return _pixels(image, channels, size, background)
    except (BrokenImage, MemoryError):
        raise
    except UnidentifiedImageError:  # its message names a place in memory
        raise BrokenImage("it is no image, or its beginning is damaged") from None
    except Exception as error:  # Pillow meets a damaged file with many kinds
        raise BrokenImage(" ".join(str(error).split()) or type(error).__name__) from None


def _check_header(image: Image.Image) -> None:
    """Look at what is known before pixels are decoded: a bomb is seen before it goes off."""
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImage(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
    # A JPEG with a preview or a second view (MPO) is its first image, to every other reader too.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise BrokenImage("it holds several images: an animation, or pages")
    if _is_deep(image):
        raise BrokenImage("it has more than 8 bits a channel")
    if image.format == "GIF" and [tile.extents for tile in _tiles(image)] != [(0, 0, *image.size)]:
        raise BrokenImage("its frame does not cover it")


def _is_deep(image: Image.Image) -> bool:
    """Whether 8 bits do not hold the values that are stored; Pillow cuts them in many modes."""
    if image.mode.startswith(("I", "F")):
        return True
    stored = _stored(image)
    match image.format:
        case "PNG":
            return ";16" in stored[0]
        case "PPM":
            return any(isinstance(most, int) and most > 255 for most in stored)
        case "TIFF":
            tags: Any = image.tag_v2  # type: ignore[attr-defined]
            tag = ExifTags.Base
            unsigned = set(tags.get(tag.SampleFormat, (1,))) == {1}
            # A colour of 8 bits is stored as 256 or 257 times its value.
            colours = tags.get(tag.ColorMap, ())
            fine = any(value % 256 and value % 257 for value in colours)
            return max(tags.get(tag.BitsPerSample, (1,))) > 8 or not unsigned or fine
    return False


def _stored(image: Image.Image) -> tuple[Any, ...]:
    """How the file stores pixels, as it is handed to Pillow's decoder; () where it has one way."""
    tiles = _tiles(image)
    how = tiles[0].args if tiles else ()
    return how if isinstance(how, tuple) else (how,)


def _tiles(image: Image.Image) -> list[Any]:
    """The parts of the file that hold pixels, each with the box of pixels that it holds."""
    return image.tile if isinstance(image, ImageFile.ImageFile) else []


def _pixels(
    image: Image.Image, channels: int, size: int | None, background: str | None
) -> np.ndarray:
    _mend_key(image)
    picture = _upright(image)
    if size is not None and picture.width != picture.height:
        side = min(picture.width, picture.height)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    picture = _opaque(picture, background).convert("L" if channels == 1 else "RGB")
    if size is not None and picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    array = np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _mend_key(image: Image.Image) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits as Pillow scales its pixels."""
    factor = {"L;2": 85, "L;4": 17}.get(str(next(iter(_stored(image)), "")))
    if image.format == "PNG" and factor and "transparency" in image.info:
        image.info["transparency"] *= factor


def _upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation wants it shown; Pillow turns a TIFF by itself."""
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata say nothing
        turn = None
    return image if turn is None else image.transpose(turn)


def _opaque(picture: Image.Image, background: str | None) -> Image.Image:
    """The picture on `background`, if it lets any through."""
    if not picture.has_transparency_data:
        return picture
    layers = picture.convert("LA" if picture.mode == "La" else "RGBA").convert("RGBA")
    least, _ = layers.getchannel("A").getextrema()
    if least == 255:
        return layers
    if background is None:
        raise BrokenImage(
            "it has transparent pixels; 'background: white' or 'black' puts them on a colour"
        )
    ground = Image.new("RGBA", layers.size, background)
    ground.alpha_composite(layers)
    return ground
