"""Decoding: pixels survive, the crop is central, the resize is antialiased, bombs are not read."""

import struct
import zlib

import numpy as np
import pytest
from faults import encoders
from faults.image_files import TURNED, lanczos
from PIL import Image, ImageFile
from raw_images import encoded, pixels

from vct.lab.data.raw import images
from vct.lab.data.raw.images import BrokenImage, decode


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("size", [None, 8])
def test_an_image_of_the_right_size_keeps_its_pixels(kind, size):
    array = pixels(0)
    result = decode(encoded(array, kind), 3, size)
    assert result.dtype == np.uint8
    assert np.array_equal(result, array.transpose(2, 0, 1))


def test_lossy_formats_come_close():
    smooth = np.linspace(0, 255, 16).astype(np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    for kind in ("JPEG", "WEBP"):
        result = decode(encoded(smooth, kind, quality=95), 3, None).astype(float)
        assert abs(result - smooth.transpose(2, 0, 1)).mean() < 4


@pytest.mark.parametrize(("height", "width"), [(8, 20), (20, 8), (9, 12)])
def test_crop_is_the_largest_central_square(height, width):
    array = pixels(1, height, width)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    expected = array[top : top + side, left : left + side]
    assert np.array_equal(decode(encoded(array), 3, side), expected.transpose(2, 0, 1))
    assert decode(encoded(array), 3, None).shape == (3, height, width)


def test_resize_is_antialiased():
    """A checkerboard has its mean everywhere when shrunk; picking pixels would give 0 or 255."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    inner = decode(encoded(board), 1, 16)[0, 2:-2, 2:-2].astype(float)
    assert abs(inner - 127.5).max() < 3
    assert decode(encoded(np.full((5, 7), 9, np.uint8)), 1, 12).tolist() == [[[9] * 12] * 12]


def test_resize_keeps_what_is_smooth():
    ramp = np.linspace(0, 255, 64)[None].repeat(64, 0)
    result = decode(encoded(np.rint(ramp).astype(np.uint8)), 1, 16)[0, 8].astype(float)
    # The mean of each four neighbours.
    np.testing.assert_allclose(result[2:-2], ramp[0].reshape(16, 4).mean(axis=1)[2:-2], atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_8_bit_mode_gives_the_channels_asked_for(mode):
    image = Image.fromarray(np.full((6, 6, 3), 255, np.uint8)).convert(mode)
    content = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    for channels in (1, 3):
        result = decode(content, channels, 4)
        assert result.shape == (channels, 4, 4)
        assert (result >= 254).all()


def test_grey_is_repeated_and_colour_is_weighted():
    grey = pixels(2, channels=1)
    assert np.array_equal(decode(encoded(grey), 3, None), np.stack([grey] * 3))
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 255
    # ITU-R 601: 0.587 of luma is green.
    assert abs(decode(encoded(green), 1, None).astype(float) - 0.587 * 255).max() < 1


def tolerant(found, expected, by=1):
    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() <= by


DEEP = pixels(5).astype(int) * 257
DEEP_FILES = {
    **{f"png {c}": encoders.png(DEEP[..., :n], c, 16) for c, n in ((0, 1), (2, 3), (4, 2))},
    "png 6": encoders.png(np.full((4, 4, 4), 65535), encoders.RGBA, 16),
    "tiff grey": encoders.tiff([DEEP[..., :1]], 1, 16),
    "tiff white": encoders.tiff([DEEP[..., :1]], 0, 16),
    "tiff rgb": encoders.tiff([DEEP], 2, 16, ">"),
    "tiff signed": encoders.tiff([pixels(5)[..., :1]], 1, 8, t339=[2]),
    "tiff palette": encoders.tiff([pixels(5)[..., :1]], 3, 8, t320=list(range(0, 65535, 85))[:768]),
    "pgm": encoders.pnm(DEEP[..., :1], 65535),
    "ppm": encoders.pnm(DEEP, 65535),
    "ppm 256": encoders.pnm(pixels(5), 256),
    "ppm plain": encoders.pnm(DEEP, 65535, plain=True),
    "I;16": encoded(Image.fromarray(DEEP[..., 0].astype(np.uint16))),
    "I": encoded(Image.fromarray(DEEP[..., 0].astype(np.int32)), "TIFF"),
    "F": encoded(Image.fromarray(DEEP[..., 0].astype(np.float32)), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("kind", DEEP_FILES)
def test_more_than_8_bits_are_not_cut_to_8(kind):
    for channels in (1, 3):
        with pytest.raises(BrokenImage, match="more than 8 bits"):
            decode(DEEP_FILES[kind], channels, None, "white")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF lzw", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", TURNED)
def test_images_stand_upright(kind, orientation):
    """A crop of an odd margin tells before from after."""
    exif, array = Image.Exif(), np.zeros((12, 9, 3), np.uint8)
    array[:4, :3] = 255
    exif[274] = orientation
    options = {"TIFF lzw": {"compression": "tiff_lzw"}, "WEBP": {"lossless": True}}.get(kind, {})
    content = encoded(array, kind.split()[0], exif=exif, **options)
    upright = TURNED[orientation](array)
    tolerant(decode(content, 3, None), upright.transpose(2, 0, 1), 60 if kind == "JPEG" else 0)
    top, left = ((side - 9) // 2 for side in upright.shape[:2])
    square = upright[top : top + 9, left : left + 9].transpose(2, 0, 1)
    tolerant(decode(content, 3, 9), square, 60 if kind == "JPEG" else 0)


def test_exif_after_the_pixels_counts():
    array = pixels(6, 5, 9)
    content = encoders.png(array, encoders.RGB, after=[(b"eXIf", encoders.exif(6))])
    assert np.array_equal(decode(content, 3, None), np.rot90(array, -1).transpose(2, 0, 1))


@pytest.mark.parametrize(
    "metadata", [b"", b"MM", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\xff"]
)
def test_damaged_metadata_say_nothing(metadata):
    array = pixels(6, 5, 9)
    content = encoders.png(array, encoders.RGB, before=[(b"eXIf", metadata)])
    assert np.array_equal(decode(content, 3, None), array.transpose(2, 0, 1))


def seen_through(kind):
    """An image of 6 x 9 pixels whose first row is transparent, and its colours there."""
    array, opacity = pixels(7, 6, 9).astype(int), np.full((6, 9, 1), 255)
    opacity[0] = 100 if kind in ("RGBA", "LA", "TIFF", "WEBP") else 0
    if kind in ("RGBA", "TIFF", "WEBP"):
        array = np.concatenate([array, opacity], 2)
        if kind == "TIFF":
            return encoders.tiff([array], 2, t338=[2]), array[..., :3], opacity
        if kind == "WEBP":
            picture = Image.fromarray(array.astype(np.uint8))
            return encoded(picture, "WEBP", lossless=True, exact=True), array[..., :3], opacity
        return encoders.png(array, encoders.RGBA), array[..., :3], opacity
    if kind == "LA":
        grey = np.concatenate([array[..., :1], opacity], 2)
        return encoders.png(grey, encoders.GREY_ALPHA), array[..., :1].repeat(3, 2), opacity
    if kind == "RGB key":
        array[0] = (1, 2, 3)
        return encoders.png(array, 2, before=[(b"tRNS", b"\0\1\0\2\0\3")]), array, opacity
    if kind == "GIF":
        number, colours = array[..., :1] % 100, pixels(8, 16, 16).reshape(256, 3)
        number[0] = 200
        return encoders.gif([number], colours, 200), colours[number[..., 0]], opacity
    depth = int(kind.split()[1])
    number = array[..., :1] % (2**depth - 1)
    number[0] = 2**depth - 1
    if kind.startswith("palette"):
        colours = pixels(8, 16, 16).reshape(256, 3)[: 2**depth]
        chunks = [(b"PLTE", colours.tobytes()), (b"tRNS", bytes([255] * (2**depth - 1) + [0]))]
        return encoders.png(number, 3, depth, chunks), colours[number[..., 0]], opacity
    content = encoders.png(number, 0, depth, [(b"tRNS", (2**depth - 1).to_bytes(2, "big"))])
    return content, number.repeat(3, 2) * (255 // (2**depth - 1)), opacity


CLEAR = [
    *("RGBA", "LA", "RGB key", "GIF", "TIFF", "WEBP", "palette 8", "palette 2"),
    *("key 1", "key 2", "key 4", "key 8"),
]


@pytest.mark.parametrize("kind", CLEAR)
def test_transparent_pixels_are_refused_or_on_a_colour(kind):
    content, colours, opacity = seen_through(kind)
    with pytest.raises(BrokenImage, match="transparent pixels; 'background: white'"):
        decode(content, 3, None)
    for background, value in (("white", 255), ("black", 0)):
        mixed = (opacity * colours + (255 - opacity) * value) / 255
        tolerant(decode(content, 3, None, background), mixed.transpose(2, 0, 1))
        grey = mixed @ np.array([0.299, 0.587, 0.114])
        tolerant(decode(content, 1, None, background), grey[None], 1.5)


def test_what_is_cropped_away_may_be_transparent():
    array = np.concatenate([pixels(9, 8, 6), np.full((8, 6, 1), 255, np.uint8)], 2)
    array[[0, 7], :, 3] = 0
    found = decode(encoders.png(array, encoders.RGBA), 3, 6)
    assert np.array_equal(found, array[1:7, :, :3].transpose(2, 0, 1))
    array[6, 5, 3] = 254
    with pytest.raises(BrokenImage, match="transparent"):
        decode(encoders.png(array, encoders.RGBA), 3, 6)


def test_an_alpha_that_lets_nothing_through_is_dropped():
    array = np.concatenate([pixels(9), np.full((8, 8, 1), 255, np.uint8)], 2)
    rgb = array[..., :3].transpose(2, 0, 1)
    unused = encoders.png(array[..., :3], 2, before=[(b"tRNS", b"\0\1\0\2\0\3")])
    for content in (encoders.png(array, 6), encoders.tiff([array], 2, t338=[2]), unused):
        for background in (None, "white", "black"):
            assert np.array_equal(decode(content, 3, None, background), rgb)


def several(kind):
    one, other = (Image.fromarray(pixels(seed)) for seed in (0, 1))
    return encoded(one, kind, save_all=True, append_images=[other])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind):
    with pytest.raises(BrokenImage, match="several images"):
        decode(several(kind), 3, None)


def test_a_jpeg_with_a_preview_is_its_first_image():
    found = decode(several("MPO"), 3, None)
    assert np.array_equal(found, decode(encoded(pixels(0), "JPEG"), 3, None))


def test_a_gif_that_does_not_fill_its_screen_is_refused():
    number = pixels(0)[..., :1]
    with pytest.raises(BrokenImage, match="does not cover"):
        decode(encoders.gif([number], pixels(8, 16, 16).reshape(256, 3), screen=(9, 8)), 3, None)


@pytest.mark.parametrize(("side", "size"), [(20, 7), (30, 16), (9, 16), (64, 8)])
def test_resizing_is_lanczos(side, size):
    """Against its definition; on noise, other filters are far from it."""
    array = pixels(10, side, side)
    expected = lanczos(lanczos(array.swapaxes(0, 1), size).swapaxes(0, 1), size).transpose(2, 0, 1)
    found = decode(encoded(array), 3, size).astype(float)
    assert np.abs(found - expected).mean() < 0.5
    bicubic = np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC))
    assert np.abs(bicubic.transpose(2, 0, 1) - expected).mean() > 0.9


@pytest.mark.parametrize("keep", [0, 1, 10, 40, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"])
def test_truncated(kind, keep):
    content = encoded(pixels(3, 32, 32), kind)
    length = keep if isinstance(keep, int) else int(keep * len(content))
    with pytest.raises(BrokenImage) as caught:
        decode(content[:length], 3, 8)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM"])
def test_damage_anywhere_is_an_image_or_named(kind):
    content, draw = encoded(pixels(4, 24, 24), kind), np.random.default_rng(0)
    named = 0
    for _ in range(150):
        damaged = bytearray(content)
        for place in draw.integers(0, len(content), 3):
            damaged[place] = draw.integers(0, 256)
        try:
            assert decode(bytes(damaged), 3, 8).shape == (3, 8, 8)
        except BrokenImage:
            named += 1
    assert named


@pytest.mark.parametrize(
    "content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0\0\0\x0cjP  \r\n\x87\n"]
)
def test_what_is_no_image_of_a_known_format(content):
    with pytest.raises(BrokenImage):
        decode(content, 3, 8)


def png(width, height, data):
    """A PNG whose header states a size, whatever its data hold."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def undecoded(monkeypatch):
    """Decoding pixels fails the test; headers may be read."""
    refuse = lambda *_: pytest.fail("pixels were decoded")  # noqa: E731
    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)


@pytest.mark.parametrize("side", [8193, 12_000, 60_000, 2**31 - 1])
def test_a_bomb_is_seen_before_it_goes_off(side, undecoded):
    with pytest.raises(BrokenImage, match=r"pixels|size"):
        decode(png(side, side, zlib.compress(bytes(10**6))), 3, 8)
    with pytest.raises(pytest.fail.Exception):
        decode(png(8, 8, zlib.compress(bytes(72))), 3, 8)


def test_the_limit_itself_is_allowed(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 64)
    assert decode(encoded(pixels(0, 8, 8)), 3, None).shape == (3, 8, 8)
    with pytest.raises(BrokenImage, match="13 x 5 pixels"):
        decode(encoded(pixels(0, 5, 13)), 3, None)
