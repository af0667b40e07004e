"""One encoded image of unknown origin to an array, within bounds of memory."""

import io
import warnings

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MAX_BYTES = 2**26
"""Most bytes of one encoded image."""
MAX_PIXELS = 2**26
"""Most pixels of one image: decoded, it takes a quarter of a GiB."""


class BrokenImage(Exception):
    """An image that cannot be used; the message says why."""


def decode(content: bytes, channels: int, size: int | None) -> np.ndarray:
    """Read an image; crop the largest central square and resize it to `size`, if that is given.

    Lanczos with antialiasing, on 8-bit values, as EDM's dataset tool does for `center-crop`; an
    image that is `size` by `size` already keeps its pixels. Transparency is dropped.

    Args:
        content: a PNG, JPEG, WebP or BMP file.
        channels: 1 makes it grey, 3 RGB.
        size: height and width of the result in pixels, or None to keep the image's own.

    Returns:
        uint8 (channels, H, W).

    Raises:
        BrokenImage: if it is damaged, no image, too large, or has more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata, which nobody reads here
            # No other format: some decoders start programs or are seldom tried.
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _pixels(image, channels, size)
    except (BrokenImage, MemoryError):
        raise
    except Exception as error:  # Pillow meets a damaged file with many kinds
        raise BrokenImage(" ".join(str(error).split()) or type(error).__name__) from None


def _pixels(image: Image.Image, channels: int, size: int | None) -> np.ndarray:
    # Only the header has been read so far: a bomb is seen before it goes off.
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImage(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
    if image.mode.startswith(("I", "F")):
        raise BrokenImage("it has more than 8 bits a channel")
    picture: Image.Image = image
    if size is not None and image.width != image.height:
        side = min(image.width, image.height)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if size is not None and picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    array = np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
