"""The scorer of an experiment: one object that turns samples into named numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vct.config import Score
from vct.data.dataset import Dataset
from vct.errors import UserError
from vct.layout import extractor_dir
from vct.metrics.wasserstein import mode_mass, wasserstein2

CACHE = Path("state/statistics")


@dataclass(frozen=True)
class Scorer:
    """Scores samples against the training set.

    Args:
        primary: the metric that ranks; lower is better.
        metrics: all names that a call returns.
        extractor: name, kind, sha256 and number of features, or None.
        reference_size: number of training points or images that samples are compared with.
        compute: samples to numbers.
    """

    primary: str
    metrics: list[str]
    extractor: dict[str, Any] | None
    reference_size: int
    compute: Callable[[np.ndarray], dict[str, float]]

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Numbers for samples (N, C, H, W)."""
        return self.compute(samples)


POINTS = 2048
"""Most points in an exact transport plan: its cost grows with the cube, and this takes a second."""


def make_scorer(settings: Score, data: Dataset, threads: int) -> Scorer:
    """The scorer that `settings` ask for; `threads` for the networks of extractors."""
    if settings.metric == "wasserstein":
        return _wasserstein_scorer(data)
    assert settings.extractor is not None
    return _frechet_scorer(settings.extractor, data, threads)


def _wasserstein_scorer(data: Dataset) -> Scorer:
    """Exact W2 to as many stratified training points as there are samples, at most `POINTS`, and
    mass per mode."""
    modes = data.meta.get("modes")
    if modes is None:
        raise UserError(
            f"data/{data.name} records no modes, which the score of points needs; make it again "
            f"with: vct data {data.name}"
        )
    reference = np.asarray(data.train.x[:POINTS]).reshape(-1, 2)
    names = [f"mass_mode{index}" for index in range(len(modes["means"]))]

    def compute(samples: np.ndarray) -> dict[str, float]:
        points = samples.reshape(len(samples), 2)
        mass = mode_mass(points, modes["means"], modes["std"])
        distance = wasserstein2(points, reference[: len(points)])
        each = dict(zip(names, mass.modes, strict=True))
        return {"w2": distance, **each, "mass_outside": mass.outside}

    return Scorer("w2", ["w2", *names, "mass_outside"], None, len(reference), compute)


def _frechet_scorer(name: str, data: Dataset, threads: int) -> Scorer:
    """Fréchet distance to the whole training set in the features of an extractor.

    The metric carries the extractor's name, so numbers of two extractors never share a column.
    """
    # Scores of points do without torch, whose import takes longer than their computation.
    import torch

    from vct.metrics.extractors import find_extractor
    from vct.metrics.fidelity import frechet_distance

    torch.set_num_threads(threads)
    extractor = find_extractor("classifier", extractor_dir(name) / "weights.safetensors")
    metric = f"fid_{name}"
    reference = np.asarray(data.train.x)

    def compute(samples: np.ndarray) -> dict[str, float]:
        distance = frechet_distance(
            samples, reference, extractor, cache_root=CACHE, reference_key=data.name
        )
        return {metric: distance}

    record = {
        "name": name,
        "kind": extractor.name,
        "sha256": extractor.sha256,
        "features": extractor.features,
    }
    return Scorer(metric, [metric], record, len(reference), compute)
