"""Images of every kind and suffix: what is stored is what they show, or they are refused."""

import io
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faults import encoders
from faults.makings import REFUSED, STORED, Different, made, try_each
from vct.lab.errors import UserError

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""EXIF: what shows the stored pixels as they were meant."""
UNREADABLE = (".jp2", ".heic", ".svg", ".tga", ".npy", "", ".png.txt", ".pcx", ".ico", ".pdf")


@dataclass
class Drawn:
    """A file, and what it shows: pixels (H, W, 3) and opacity (H, W), both of 0 to 255.

    Args:
        refused: why it must not be taken.
        rough: by how much values may differ: what a lossy format costs.
    """

    content: bytes
    pixels: np.ndarray
    suffixes: tuple[str, ...]
    opacity: np.ndarray | None = None
    refused: str = ""
    rough: float = 0
    facts: dict[str, Any] = field(default_factory=dict)


def try_all(folder: Path, count: int) -> tuple[Counter[str], list[str]]:
    """Make so many data sets, each of one odd image to train on and one plain to test."""
    return try_each(folder, count, "image", trial)


def trial(draw: random.Random) -> str:
    """One image, in one of all ways to take it."""
    array = np.random.default_rng(draw.randrange(2**32))
    drawn = draw.choice(KINDS)(draw, array)
    suffix = draw.choice(drawn.suffixes if draw.random() < 0.9 else UNREADABLE)
    suffix = draw.choice([suffix, suffix.upper(), suffix.title()])
    size = draw.choice([None, None, 4, 7, 16])
    options: dict[str, Any] = {
        "channels": draw.choice([1, 3]),
        "size": size,
        "background": draw.choice([None, None, "white", "black"]),
    }
    plain = encoders.png(np.zeros((*(drawn.pixels.shape[:2]), 3), np.int64), encoders.RGB)
    names = {f"train/odd{suffix}": drawn.content, "test/plain.png": plain}
    expected = None if suffix.lower() in UNREADABLE else stored(drawn, **options)
    words = f"{drawn.facts}, {suffix}, {options}"
    try:
        found = np.asarray(made(names, **options).train.x[0]).astype(float)
    except UserError as error:
        if expected is not None:
            raise Different(f"{words} is good and refused: {error}") from None
        if "\n" in str(error) or f"odd{suffix}" not in str(error):
            raise Different(f"{words} is not named: {error}") from None
        return REFUSED
    if expected is None:
        raise Different(f"{words} is stored, but {drawn.refused or 'transparent or unreadable'}")
    if found.shape != expected.shape:
        raise Different(f"{words} is stored as {found.shape}, not {expected.shape}")
    off = np.abs(found - expected)
    if off.max() > 3 + 6 * drawn.rough or off.mean() > 1 + drawn.rough:
        raise Different(f"{words} is stored with errors of {off.mean():.1f}, {off.max():.0f}")
    if exact(drawn, size) and off.max() > (0 if options["channels"] == 3 else 1):
        raise Different(f"{words} does not keep its pixels ({off.max():.0f})")
    return STORED


def exact(drawn: Drawn, size: int | None) -> bool:
    """Whether pixels go through unchanged."""
    opaque = drawn.opacity is None or drawn.opacity.min() == 255
    return opaque and not drawn.rough and size in (None, min(drawn.pixels.shape[:2]))


def stored(
    drawn: Drawn, channels: int, size: int | None, background: str | None
) -> np.ndarray | None:
    """What must be stored, float (C, H, W); None where the image must be refused."""
    pixels, height, width = drawn.pixels.astype(float), *drawn.pixels.shape[:2]
    opacity = np.full((height, width), 255.0) if drawn.opacity is None else drawn.opacity
    square = slice(None), slice(None)
    if size is not None:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = slice(top, top + side), slice(left, left + side)
    pixels, share = pixels[square], opacity[square][..., None] / 255
    if drawn.refused or (share.min() < 1 and background is None):
        return None
    pixels = share * pixels + (1 - share) * (255 if background == "white" else 0)
    if channels == 1:
        pixels = pixels @ np.array([[0.299], [0.587], [0.114]])
    if size is not None and size != len(pixels):
        across = lanczos(np.rint(pixels).swapaxes(0, 1), size).swapaxes(0, 1)
        pixels = lanczos(across, size)
    return pixels.transpose(2, 0, 1)


def lanczos(x: np.ndarray, size: int) -> np.ndarray:
    """Resize the first axis: Lanczos with three lobes, widened where it shrinks; 0 to 255."""
    scale = len(x) / size
    support = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    distance = (np.arange(len(x)) + 0.5 - centres[:, None]) / support
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.rint(np.clip(np.tensordot(weights, x, 1), 0, 255))


# --- what is drawn -------------------------------------------------------------------------------


def values(array: np.random.Generator, channels: int, below: int = 256) -> np.ndarray:
    """Random pixels (H, W, C)."""
    height, width = array.integers(3, 20, 2)
    return array.integers(0, below, (height, width, channels))


def spread(pixels: np.ndarray, most: int) -> np.ndarray:
    """Values up to `most` to 0..255, grey to RGB."""
    full = np.rint(pixels.astype(float) * 255 / most).astype(np.int64)
    return np.repeat(full, 3, 2) if full.shape[2] == 1 else full


def turn(draw: random.Random) -> int:
    """An orientation; often none."""
    return draw.choice([1, 1, *TURNED])


def cover(draw: random.Random, array: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Opacity (H, W): all opaque, or with some pixels that are not, perhaps at an edge alone."""
    opacity = np.full(shape, 255)
    if draw.random() < 0.6:
        part = draw.choice([opacity, opacity[:1], opacity[:, :1]])
        part[...] = array.integers(0, 256, part.shape)
    return opacity


def png(draw: random.Random, array: np.random.Generator) -> Drawn:
    """Every kind of colour and depth, with alpha, transparent colours and EXIF."""
    colour, depth = draw.choice(
        [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)]
        + [(c, d) for c in (2, 4, 6) for d in (8, 16)]
    )  # fmt: skip
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    most, orientation = 2**depth - 1, turn(draw)
    pixels = values(array, channels, most + 1)
    opacity, chunks = None, []
    if colour == encoders.PALETTE:
        table = array.integers(0, 256, (most + 1, 3))
        chunks.append((b"PLTE", table.astype(np.uint8).tobytes()))
        shown = table[pixels[:, :, 0]]
        if draw.random() < 0.5:
            alpha = cover(draw, array, (1, most + 1))[0]
            chunks.append((b"tRNS", alpha.astype(np.uint8).tobytes()))
            opacity = alpha[pixels[:, :, 0]]
    elif colour in (encoders.GREY, encoders.RGB):
        shown = spread(pixels, most)
        if draw.random() < 0.5:
            key = pixels[0, 0] if draw.random() < 0.7 else array.integers(0, most + 1, channels)
            chunks.append((b"tRNS", key.astype(">u2").tobytes()))
            opacity = np.where((pixels == key).all(axis=2), 0, 255)
    else:
        opacity = cover(draw, array, pixels.shape[:2])
        pixels[:, :, -1] = opacity * most // 255
        shown = spread(pixels[:, :, :-1], most)
    meta = [(b"eXIf", encoders.exif(orientation, draw.choice("<>")))] if orientation > 1 else []
    before, after = (chunks + meta, []) if draw.random() < 0.5 else (chunks, meta)
    return Drawn(
        encoders.png(pixels, colour, depth, before, after),
        TURNED[orientation](shown),
        (".png", ".apng"),
        None if opacity is None else TURNED[orientation](opacity),
        "16 bits" if depth == 16 else "",
        facts={"png": colour, "depth": depth, "orientation": orientation},
    )


def tiff(draw: random.Random, array: np.random.Generator) -> Drawn:
    """Grey (also white is 0), RGB, alpha, palettes, CMYK; 1 to 16 bits; pages; orientations."""
    orientation, order = turn(draw), draw.choice("<>")
    kind = draw.choice(["grey", "white", "rgb", "alpha", "spare", "palette", "cmyk"])
    depth = 8 if kind in ("spare", "palette") else draw.choice([8, 8, 16])
    if kind in ("grey", "white"):
        depth = draw.choice([1, 2, 4, 8, 16])
    channels = {"rgb": 3, "alpha": 4, "spare": 4, "cmyk": 4}.get(kind, 1)
    most = 2**depth - 1
    pixels, tags, opacity, rough = values(array, channels, most + 1), {}, None, 0.0
    refused = "16 bits" if depth == 16 else ""
    photometric = {"white": 0, "grey": 1, "palette": 3, "cmyk": 5}.get(kind, 2)
    if kind == "alpha":
        opacity, tags["t338"] = cover(draw, array, pixels.shape[:2]), [2]
        pixels[:, :, 3] = opacity * most // 255
    elif kind == "spare":
        tags["t338"] = [0]
    shown = spread(pixels[:, :, :3], most)
    if kind == "white":
        shown = 255 - shown
    elif kind == "palette":
        table = array.integers(0, 256, (256, 3))
        scale = draw.choice([256, 257, 254])
        refused = "colours of 16 bits" if scale == 254 else ""
        tags["t320"] = (table.T.ravel() * scale).tolist()
        shown = table[pixels[:, :, 0]]
    elif kind == "cmyk":
        ink, black = spread(pixels[:, :, :3], most), spread(pixels[:, :, 3:], most)
        shown, rough = (255 - ink) * (255 - black) // 255, 0.5
    if kind == "grey" and depth == 8 and draw.random() < 0.2:
        refused, tags["t339"] = "values with a sign", [2]
    pages = [pixels, pixels] if draw.random() < 0.1 else [pixels]
    if orientation > 1:
        tags["t274"] = [orientation]
    return Drawn(
        encoders.tiff(pages, photometric, depth, order, **tags),
        TURNED[orientation](shown),
        (".tif", ".tiff"),
        None if opacity is None else TURNED[orientation](opacity),
        refused or ("pages" if len(pages) > 1 else ""),
        rough,
        {"tiff": kind, "depth": depth, "orientation": orientation, "pages": len(pages), **tags},
    )


def pnm(draw: random.Random, array: np.random.Generator) -> Drawn:
    """Bits, grey and colour with values up to any number, as text or not."""
    most, channels = draw.choice([1, 3, 15, 100, 255, 256, 4095, 65535]), draw.choice([1, 3])
    pixels, plain = values(array, channels, most + 1), draw.random() < 0.5
    return Drawn(
        encoders.pnm(pixels, most, plain),
        spread(pixels, most),
        (".ppm", ".pgm", ".pbm", ".pnm"),
        refused="more than 8 bits" if most > 255 else "",
        # Pillow cuts or rounds what it spreads.
        rough=0 if most in (1, 255) else 0.2,
        facts={"pnm": channels, "most": most, "plain": plain},
    )


def gif(draw: random.Random, array: np.random.Generator) -> Drawn:
    """One frame or two, with a transparent colour, on a screen that may be larger."""
    pixels, colours = values(array, 1), array.integers(0, 256, (256, 3))
    height, width = pixels.shape[:2]
    key = draw.choice([None, None, int(pixels[0, 0, 0]), int(array.integers(256))])
    larger = draw.random() < 0.1
    frames = [pixels] if draw.random() < 0.8 else [pixels, 255 - pixels]
    refused = "an animation" if len(frames) > 1 else "not covered" if larger else ""
    return Drawn(
        encoders.gif(frames, colours, key, (width + 3, height) if larger else None),
        colours[pixels[:, :, 0]],
        (".gif",),
        np.where(pixels[:, :, 0] == key, 0, 255),
        refused,
        facts={"gif": len(frames), "key": key, "larger": larger},
    )


def bmp(draw: random.Random, array: np.random.Generator) -> Drawn:
    """With and without an alpha channel."""
    pixels, alpha = values(array, 4), draw.random() < 0.5
    opacity = cover(draw, array, pixels.shape[:2]) if alpha else None
    if opacity is None:
        pixels = pixels[:, :, :3]
    else:
        pixels[:, :, 3] = opacity
    content = encoders.bmp(pixels, alpha)
    return Drawn(content, pixels[:, :, :3], (".bmp",), opacity, facts={"bmp": alpha})


def compressed(draw: random.Random, array: np.random.Generator) -> Drawn:
    """Modes and compressions without loss that only a library writes."""
    kind, mode = draw.choice(
        [("TIFF", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16", "F")]
        + [("WEBP", "RGB"), ("WEBP", "RGBA"), ("BMP", "L"), ("BMP", "1"), ("PNG", "I;16")]
    )
    channels = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode, 1)
    pixels, opacity = values(array, channels).astype(np.uint8), None
    if mode == "1":
        pixels = pixels // 128 * 255
    if mode in ("LA", "RGBA"):
        opacity = cover(draw, array, pixels.shape[:2])
        pixels[:, :, -1] = opacity
    shown = spread(pixels[:, :, :1] if channels < 3 else pixels[:, :, :3], 255)
    if mode == "CMYK":
        shown = (255 - shown) * (255 - spread(pixels[:, :, 3:], 255)) // 255
    deep = {"I;16": np.uint16, "F": np.float32}.get(mode)
    flat = pixels[:, :, 0] if channels == 1 else pixels
    picture = Image.fromarray(flat.astype(deep) * 200 if deep else flat)
    if mode in ("1", "CMYK"):
        size = picture.size
        picture = (
            picture.convert("1") if mode == "1" else Image.frombytes("CMYK", size, pixels.tobytes())
        )
    how = draw.choice(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    more: dict[str, Any] = {"compression": how} if kind == "TIFF" else {}
    more |= {"lossless": True, "exact": True} if kind == "WEBP" else {}
    stream = io.BytesIO()
    picture.save(stream, kind, **more)
    return Drawn(
        stream.getvalue(),
        shown,
        {"TIFF": (".tif", ".tiff"), "PNG": (".png",)}.get(kind, (f".{kind.lower()}",)),
        opacity,
        "more than 8 bits" if deep else "",
        0.5 if mode == "CMYK" else 0,
        {kind: mode, **more},
    )


def photograph(draw: random.Random, array: np.random.Generator) -> Drawn:
    """JPEG and WebP of smooth pictures, grey or in colour, turned, with damaged EXIF or none."""
    height, width = array.integers(24, 48, 2)
    y, x = np.mgrid[:height, :width] / 48
    planes = [128 + 100 * np.sin(4 * (a * x + b * y)) for a, b in array.uniform(-1, 1, (3, 2))]
    pixels = np.rint(np.stack(planes, 2)).astype(np.uint8)
    kind, orientation = draw.choice(["JPEG", "WEBP", "MPO"]), turn(draw)
    mode = "RGB" if kind != "JPEG" else draw.choice(["RGB", "L", "CMYK"])
    picture = Image.fromarray(pixels).convert(mode)
    shown = np.asarray(picture.convert("RGB"))
    metadata = b"Exif\0\0" + encoders.exif(orientation) if orientation > 1 else b""
    damaged = draw.random() < 0.1
    if damaged:
        metadata, orientation = b"Exif\0\0MM\0*\0\0", 1
    frames = 2 if kind != "JPEG" and draw.random() < 0.3 else 1
    others = {"save_all": True, "append_images": [Image.new("RGB", picture.size)]}
    stream = io.BytesIO()
    more = others if frames > 1 else {}
    picture.save(stream, kind, quality=95, exif=metadata, **more)
    return Drawn(
        stream.getvalue(),
        TURNED[orientation](shown),
        (".webp",) if kind == "WEBP" else (".jpg", ".jpeg", ".jpe", ".jfif"),
        refused="an animation" if frames > 1 and kind == "WEBP" else "",
        rough=5,
        facts={kind: mode, "orientation": orientation, "frames": frames, "damaged": damaged},
    )


KINDS = (png, png, png, tiff, tiff, pnm, gif, bmp, compressed, compressed, photograph)
