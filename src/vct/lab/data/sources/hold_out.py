"""Which images are set aside for testing, where a data set has no split of its own."""

import numpy as np

from vct import rng
from vct.lab.data.dataset import Source, Split


def hold_out(size: int, test: int, seed: int) -> np.ndarray:
    """Choose `test` of `size` positions at random: bool (size,), true where one is held out."""
    order = np.random.default_rng(rng.key(seed, "hold out")).permutation(size)
    held = np.zeros(size, dtype=bool)
    held[order[:test]] = True
    return held


def with_hold_out(x: np.ndarray, labels: np.ndarray, test: int, seed: int) -> Source:
    """Set `test` images aside at random."""
    held = hold_out(len(x), test, seed)
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1
    return Source(Split(x[~held], labels[~held]), Split(x[held], labels[held]), classes)
