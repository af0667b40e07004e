"""Whether samples are nearer to training data than to data that the model has not seen."""

from dataclasses import dataclass

import numpy as np

BLOCK = 2**24
"""Numbers of the largest table of distances that is made at once."""


@dataclass(frozen=True)
class Memorisation:
    """What `memorisation` finds.

    Args:
        share: of samples whose nearest point is a training point, in [0, 1]; one half without
            memorisation.
        p_value: of that share or a larger one, in (0, 1].
        points: m, of each kind.
    """

    share: float
    p_value: float
    points: int


def memorisation(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    generator: np.random.Generator,
    permutations: int = 999,
    mirrored: bool = False,
) -> Memorisation:
    """The share of samples that lie nearer to training than to held-out data, and a test of it.

    As many points of each kind as there are of the rarer one, m, are drawn at random. If the model
    had not seen its training data, it would not matter which m of the 2m points are called so: the
    p-value is (1 + #{shares as large}) / (1 + permutations) over random such choices (Phipson and
    Smyth 2010). It is exact for exchangeable data, whether or not samples depend on each other.

    Args:
        samples, train, held_out: (S, ...), (N, ...), (M, ...): pixels or features, at least one
            each. Train and held-out points have the same distribution.
        generator: of the points, their order, and the permutations.
        permutations: a p-value is at least 1 / (1 + permutations).
        mirrored: whether an image (..., W) and its mirror image are one point, as to a model that
            was trained on both. A point is then as near as the nearer of them; two points would not
            be exchangeable, since of a chosen one the twin was chosen too, or not.
    """
    m = min(len(train), len(held_out))
    # Of equally near points the first one counts, so their order has to be random.
    order = generator.permutation(2 * m)
    kinds = [kind[generator.choice(len(kind), m, replace=False)] for kind in (train, held_out)]
    pool = np.concatenate(kinds)[order].astype(np.float64)
    if mirrored:
        pool = np.concatenate([pool, pool[..., ::-1]])
    # A sample's nearest point does not depend on what that point is called.
    places = nearest(samples, pool.reshape(len(pool), -1)) % (2 * m)
    hits = np.bincount(places, minlength=2 * m)
    found = hits[order < m].sum()
    others = np.array([generator.permutation(hits)[:m].sum() for _ in range(permutations)])
    p_value = (1 + (others >= found).sum()) / (1 + permutations)
    return Memorisation(float(found / len(samples)), float(p_value), m)


def nearest(samples: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Index (S,) of the Euclidean nearest of points (N, D) to each of samples (S, ...)."""
    middle = points.mean(axis=0)
    centred = points - middle
    squares = (centred**2).sum(axis=1) / 2
    found = np.empty(len(samples), dtype=np.int64)
    rows = max(1, BLOCK // max(points.shape))
    for start in range(0, len(samples), rows):
        some = samples[start : start + rows]
        away = some.reshape(len(some), -1).astype(np.float64) - middle
        found[start : start + rows] = (squares - away @ centred.T).argmin(axis=1)
    return found
