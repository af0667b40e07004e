"""Which images are taken of a data set, and which of them are set aside for testing."""

import numpy as np

from vct.lab.data.sources.base import Source, Split


def hold_out(labels: np.ndarray, test: int, seed: int) -> np.ndarray:
    """Choose `test` of N samples at random: bool (N,), true where one is held out.

    Never the last of a class, as long as others are left: the class would have no training image.

    Args:
        labels: int64 (N,); all alike where there are no classes.
    """
    # It imports torch, which doubles the memory of a source; one with its own split goes without.
    from vct import rng

    order = np.random.default_rng(rng.key(seed, "hold out")).permutation(len(labels))
    last = len(order) - 1 - _firsts(labels[order[::-1]])
    kept = np.zeros(len(order), dtype=bool)
    kept[last] = True
    held = np.zeros(len(order), dtype=bool)
    held[np.concatenate([order[~kept], order[kept]])[:test]] = True
    return held


def with_hold_out(x: np.ndarray, labels: np.ndarray, test: int, seed: int) -> Source:
    """A data set without a split of its own, of which `test` images are set aside at random."""
    labels = labels.astype(np.int64)
    held = hold_out(labels, test, seed)
    classes = int(labels.max()) + 1
    return Source(Split(x[~held], labels[~held]), Split(x[held], labels[held]), classes)


def evenly_spaced(size: int, limit: int | None) -> np.ndarray:
    """Positions of at most `limit` of `size` things, evenly spaced; all where `limit` is None."""
    count = size if limit is None else min(limit, size)
    return np.arange(count) * size // max(count, 1)


def limited(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Positions of at most `limit` samples, evenly spaced, but of every class one if they suffice.

    The first of a class that would be lost takes the place of one of which there are others.

    Args:
        labels: int64 (N,); all alike where there are no classes.
    """
    chosen = evenly_spaced(len(labels), limit)
    firsts = _firsts(labels)
    lost = firsts[~np.isin(labels[firsts], labels[chosen])]
    spare = np.delete(chosen, _firsts(labels[chosen]))
    count = min(len(lost), len(spare))
    leave = spare[evenly_spaced(len(spare), count)]
    return np.sort(np.concatenate([np.setdiff1d(chosen, leave), lost[:count]]))


def _firsts(labels: np.ndarray) -> np.ndarray:
    """Position of the first sample of each class."""
    return np.unique(labels, return_index=True)[1]
