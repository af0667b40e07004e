"""Images to restore, from files."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vct.lab.data.raw.images import SUFFIXES, BrokenImage, decode
from vct.lab.errors import UserError, quoted


def read(folder: str | Path, channels: int, background: str | None = None) -> Tensor:
    """All images of a folder by name (N, C, H, W), uint8.

    Args:
        background: colour under transparent pixels, as in the data that a model was trained on;
            without one there may be none.

    Raises:
        UserError: if there are none, if one cannot be read, or if their sizes differ.
    """
    place = Path(folder)
    if not place.is_dir():
        raise UserError(f"--inputs: {quoted(str(folder))} is no folder; give one with images.")
    found = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"--inputs: {place} holds no images ({', '.join(SUFFIXES[:3])}, ...).")
    images = [_image(file, channels, background) for file in found]
    for file, image in zip(found, images, strict=True):
        if image.shape != images[0].shape:
            raise UserError(
                f"--inputs: {file.name} has {image.shape[2]} x {image.shape[1]} pixels, and "
                f"{found[0].name} {images[0].shape[2]} x {images[0].shape[1]}; give images of "
                "one size."
            )
    return torch.from_numpy(np.stack(images))


def _image(file: Path, channels: int, background: str | None) -> np.ndarray:
    try:
        return decode(file.read_bytes(), channels, None, background)
    except BrokenImage as error:
        why = str(error).partition(";")[0]  # not what a data set could do about it
        raise UserError(f"--inputs: {file} cannot be used: {why}; remove or convert it.") from None
