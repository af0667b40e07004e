"""Encoded images of known pixels, as folders and archives, for the tests of the readers."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed, height=8, width=8, channels=3):
    """Random uint8 (H, W, 3) or (H, W)."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(array, kind="PNG", **options):
    """A file of an image (H, W[, C])."""
    stream = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, files: dict[str, bytes]):
    """The files as a folder, or as an archive if `path` ends in .zip, in an order of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = sorted(files, key=lambda name: name[::-1])
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in order:
                archive.writestr(name, files[name])
        return
    for name in order:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(files[name])


def names(*folders, count=4):
    """Names of images in folders; "" is the top."""
    return [f"{folder}{'/' if folder else ''}{i}.png" for folder in folders for i in range(count)]


def images(names, **options):
    """A PNG of its own for each name."""
    return {name: encoded(pixels(index, **options)) for index, name in enumerate(names)}
