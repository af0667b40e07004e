"""Image files written byte by byte, without the library that reads them: what they hold is known.

Pixels are integers (H, W, C), values below 2**depth.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG's kinds of colour."""


def packed(values: np.ndarray, depth: int, order: str = ">") -> list[bytes]:
    """Rows of (H, N) values; those of less than 8 bits share bytes, the first in the high bits."""
    if depth >= 8:
        return [row.astype(f"{order}u{depth // 8}").tobytes() for row in values]
    bits = (values[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.astype(np.uint8)).tobytes() for row in bits.reshape(len(values), -1)]


def png(
    pixels: np.ndarray,
    colour: int,
    depth: int = 8,
    before: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG; chunks `before` and `after` the pixels are (type, content), such as tRNS or eXIf."""
    height, width = pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = packed(pixels.reshape(height, -1), depth)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", head), *before, (b"IDAT", body), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def exif(orientation: int, order: str = ">") -> bytes:
    """EXIF metadata that say nothing but an orientation."""
    mark = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(f"{order}HHIHH", 274, 3, 1, orientation, 0)
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(f"{order}I", 0)


def tiff(
    pages: Sequence[np.ndarray],
    photometric: int,
    depth: int = 8,
    order: str = "<",
    **tags: Sequence[int],
) -> bytes:
    """A TIFF of one strip a page; `tags` are short numbers by tag, `t274=[6]` an orientation."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    for number, pixels in enumerate(pages):
        last = number == len(pages) - 1
        content += _page(len(content), pixels, photometric, depth, order, last, tags)
    return content


def _page(
    start: int,
    pixels: np.ndarray,
    photometric: int,
    depth: int,
    order: str,
    last: bool,
    more: dict[str, Sequence[int]],
) -> bytes:
    height, width, channels = pixels.shape
    strip = b"".join(packed(pixels.reshape(height, -1), depth, order))
    tags: dict[int, Sequence[int]] = {
        256: [width], 257: [height], 258: [depth] * channels, 259: [1], 262: [photometric],
        273: [0], 277: [channels], 278: [height], 279: [len(strip)], 284: [1],
    }  # fmt: skip
    tags |= {int(name[1:]): values for name, values in more.items()}
    after = start + 2 + 12 * len(tags) + 4
    extra, entries = strip + bytes(len(strip) % 2), b""
    tags[273] = [after]
    for tag, values in sorted(tags.items()):
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        field = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(field) > 4:
            field, extra = struct.pack(f"{order}I", after + len(extra)), extra + field
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + field.ljust(4, b"\0")
    follows = 0 if last else after + len(extra)
    return struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", follows) + extra


def pnm(pixels: np.ndarray, most: int, plain: bool = False) -> bytes:
    """A PBM (`most` 1, bits where 1 is white here), PGM or PPM with values up to `most`."""
    height, width, channels = pixels.shape
    kind = {(1, True): 1, (1, False): 2, (3, False): 3}[channels, most == 1 and channels == 1]
    rows = pixels.reshape(height, -1)
    head = f"P{kind if plain else kind + 3}\n# drawn\n{width} {height}\n"
    if kind == 1:
        rows = 1 - rows
    else:
        head += f"{most}\n"
    if plain:
        return (head + "\n".join(" ".join(map(str, row)) for row in rows) + "\n").encode()
    depth = 1 if kind == 1 else 16 if most > 255 else 8
    return head.encode() + b"".join(packed(rows, depth))


def gif(
    frames: Sequence[np.ndarray],
    colours: np.ndarray,
    transparent: int | None = None,
    screen: tuple[int, int] | None = None,
) -> bytes:
    """A GIF of frames (H, W, 1) of numbers of 256 colours (256, 3), on a screen (width, height)."""
    height, width = frames[0].shape[:2]
    head = b"GIF89a" + struct.pack("<HHBBB", *(screen or (width, height)), 0xF7, 0, 0)
    content = head + colours.astype(np.uint8).tobytes()
    for frame in frames:
        flags, key = (1, transparent) if transparent is not None else (0, 0)
        content += b"!\xf9\x04" + struct.pack("<BHBB", flags, 0, key, 0)
        content += b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08"
        data = _lzw(frame.ravel().tolist())
        for at in range(0, len(data), 255):
            content += bytes([len(data[at : at + 255])]) + data[at : at + 255]
        content += b"\0"
    return content + b";"


def _lzw(values: Sequence[int]) -> bytes:
    """Codes of 9 bits that compress nothing: the table is cleared before it grows."""
    codes: list[int] = []
    for at in range(0, len(values), 200):
        codes += [256, *values[at : at + 200]]
    number = sum(code << 9 * at for at, code in enumerate([*codes, 257]))
    return number.to_bytes((9 * len(codes) + 9 + 7) // 8, "little")


def bmp(pixels: np.ndarray, alpha: bool = False) -> bytes:
    """A BMP (H, W, 3), or with masks that name an alpha channel (H, W, 4)."""
    height, width, channels = pixels.shape
    swapped = pixels[::-1, :, [2, 1, 0, 3][:channels]].astype(np.uint8)
    rows = [row.tobytes().ljust(-(-width * channels // 4) * 4, b"\0") for row in swapped]
    info: list[Any] = [width, height, 1, 8 * channels, 3 if alpha else 0, 0, 0, 0, 0, 0]
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(52) if alpha else b""
    head = struct.pack("<IiiHHIIiiII", 40 + len(masks), *info) + masks
    start = 14 + len(head)
    return (
        b"BM"
        + struct.pack("<IHHI", start + sum(map(len, rows)), 0, 0, start)
        + head
        + b"".join(rows)
    )
