"""Which images are set aside for testing, where a data set has no split of its own."""

import numpy as np

from vct import rng


def hold_out(size: int, test: int, seed: int) -> np.ndarray:
    """Choose `test` of `size` positions at random: bool (size,), true where one is held out."""
    order = np.random.default_rng(rng.key(seed, "hold out")).permutation(size)
    held = np.zeros(size, dtype=bool)
    held[order[:test]] = True
    return held
