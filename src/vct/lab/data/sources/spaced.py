"""Which images a trial takes of a large data set."""

import numpy as np


def evenly_spaced(size: int, limit: int | None) -> np.ndarray:
    """Positions of at most `limit` of `size` things, evenly spaced; all where `limit` is None."""
    count = size if limit is None else min(limit, size)
    return np.arange(count) * size // max(count, 1)
