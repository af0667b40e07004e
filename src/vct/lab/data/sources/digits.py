"""scikit-learn's handwritten digits."""

import numpy as np

from vct.lab.data.sources.base import Source
from vct.lab.data.sources.splits import with_hold_out


def digits(test: int, seed: int) -> Source:
    """scikit-learn's digits: 1,797 grey images of 8 px with values 0..16, spread to 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return with_hold_out(images, bunch.target, test, seed)
