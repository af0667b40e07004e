"""Decoding: pixels survive, the crop is central, the resize is antialiased, bombs are not read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from raw_images import encoded, pixels

from vct.lab.data.raw import images
from vct.lab.data.raw.images import BrokenImage, decode


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
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


def test_sixteen_bits_are_not_cut_to_eight():
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    with pytest.raises(BrokenImage, match="more than 8 bits"):
        decode(encoded(Image.fromarray(deep)), 1, None)


@pytest.mark.parametrize("keep", [0, 1, 10, 40, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_truncated(kind, keep):
    content = encoded(pixels(3, 32, 32), kind)
    length = keep if isinstance(keep, int) else int(keep * len(content))
    with pytest.raises(BrokenImage) as caught:
        decode(content[:length], 3, 8)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
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
    "content", [b"", b"text", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 1 1 255\n123"]
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
