"""Which images are taken of a data set, and which of them are set aside for testing."""

import numpy as np

from vct.lab.data.sources.base import Source, Split


def hold_out(size: int, test: int, seed: int) -> np.ndarray:
    """Choose `test` of `size` positions at random: bool (size,), true where one is held out."""
    # It imports torch, which doubles the memory of a source; one with its own split goes without.
    from vct import rng

    order = np.random.default_rng(rng.key(seed, "hold out")).permutation(size)
    held = np.zeros(size, dtype=bool)
    held[order[:test]] = True
    return held


def with_hold_out(x: np.ndarray, labels: np.ndarray, test: int, seed: int) -> Source:
    """A data set without a split of its own, of which `test` images are set aside at random."""
    held = hold_out(len(x), test, seed)
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1
    return Source(Split(x[~held], labels[~held]), Split(x[held], labels[held]), classes)


def evenly_spaced(size: int, limit: int | None) -> np.ndarray:
    """Positions of at most `limit` of `size` things, evenly spaced; all where `limit` is None."""
    count = size if limit is None else min(limit, size)
    return np.arange(count) * size // max(count, 1)
