"""The 2-D mixture of the paper's figure 1."""

import numpy as np

from vct import rng
from vct.lab.data.sources.base import Source, Split

MEANS = ((0.0, -0.5), (0.0, 0.5))


def mixture(std: float, train: int, test: int, seed: int) -> Source:
    """The mixture of the paper's figure 1: half of the points around each of (0, ±0.5).

    The points are stratified (scrambled Sobol), so that a distance to them measures the model and
    not the luck of the draw; training and held-out points are scrambled independently.
    """

    def draw(count: int, purpose: str) -> Split:
        labels = np.arange(count) % 2
        x = np.empty((count, 2), dtype=np.float32)
        for mode, mean in enumerate(MEANS):
            here = labels == mode
            unit = rng.sobol_normal((int(here.sum()), 2), seed, purpose, mode).numpy()
            x[here] = np.asarray(mean, dtype=np.float32) + std * unit
        return Split(x[:, :, None, None], labels.astype(np.int64))

    modes = {"means": [list(mean) for mean in MEANS], "std": std}
    return Source(draw(train, "train"), draw(test, "test"), 2, {"modes": modes})
