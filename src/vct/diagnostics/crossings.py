"""How often the straight paths from data to noise cross."""

import numpy as np


def crossings(x: np.ndarray, z: np.ndarray) -> float:
    """Share of pairs of lines from x to z that cross, as seen along one coordinate.

    The lines i and j cross where (x_i - x_j) (z_i - z_j) < 0: the pair is discordant. The share is
    (1 - τ) / 2 with Kendall's τ where no two values are equal: about one half for independent
    noise, 0 where the order is kept, 1 where it is turned round.

    Args:
        x: data (N,), N at least 2.
        z: the noise (N,) that each is paired with.

    Returns:
        A number in [0, 1]. Takes memory for N² numbers.
    """
    upper = np.triu_indices(len(x), 1)
    signs = np.sign(x[:, None] - x[None]) * np.sign(z[:, None] - z[None])
    return float((signs[upper] < 0).mean())
