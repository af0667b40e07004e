"""The scorer of an experiment: one object that turns samples into named numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import extractor_dir
from vct.lab.metrics.wasserstein import mode_mass, wasserstein2
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.params import Params

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
        rank: samples to the primary metric alone.
        extras: how metrics beside the primary one are computed for so many samples.
        serve: in a process that helps another to score, help until `release` is called there.
        release: let the helpers go.
    """

    primary: str
    metrics: list[str]
    extractor: dict[str, Any] | None
    reference_size: int
    compute: Callable[[np.ndarray], dict[str, float]]
    rank: Callable[[np.ndarray], float]
    extras: Callable[[int], dict[str, Any]] = lambda samples: {}
    serve: Callable[[], None] = lambda: None
    release: Callable[[], None] = lambda: None

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Numbers for samples (N, C, H, W)."""
        return self.compute(samples)


POINTS = 2048
"""Most points in an exact transport plan: its cost grows with the cube, and this takes a second."""


def make_scorer(params: Params, experiment: ExperimentSettings, data: Dataset) -> Scorer:
    """The scorer that the settings of an experiment ask for."""
    if experiment.score.metric == "wasserstein":
        return _wasserstein_scorer(data)
    return _frechet_scorer(params, experiment, data)


def _wasserstein_scorer(data: Dataset) -> Scorer:
    """Exact W2 to as many stratified training points as there are samples, at most `POINTS`, and
    mass per mode."""
    modes = data.meta.modes
    if modes is None:
        raise UserError(
            f"data/{data.name} records no modes, which the score of points needs; make it again "
            f"with: vct data {data.name}"
        )
    reference = np.asarray(data.train.x[:POINTS]).reshape(-1, 2)
    names = [f"mass_mode{index}" for index in range(len(modes.means))]

    def compute(samples: np.ndarray) -> dict[str, float]:
        points = samples.reshape(len(samples), 2)
        mass = mode_mass(points, modes.means, modes.std)
        distance = wasserstein2(points, reference[: len(points)])
        each = dict(zip(names, mass.modes, strict=True))
        return {"w2": distance, **each, "mass_outside": mass.outside}

    return Scorer(
        primary="w2",
        metrics=["w2", *names, "mass_outside"],
        extractor=None,
        reference_size=len(reference),
        compute=compute,
        rank=lambda samples: compute(samples)["w2"],
    )


def _frechet_scorer(params: Params, experiment: ExperimentSettings, data: Dataset) -> Scorer:
    """Fréchet distance and extras to the whole training set in the features of an extractor.

    The metrics carry the extractor's name, so numbers of two extractors never share a column.
    """
    # Scores of points do without torch, whose import takes longer than their computation.
    import torch

    from vct.lab import build
    from vct.lab.metrics import extras as other
    from vct.lab.metrics.extractors.base import find_extractor
    from vct.lab.metrics.fidelity import Fidelity
    from vct.lab.metrics.statistics_cache import StatisticsCache

    name, extras = str(experiment.score.extractor), experiment.score.extras
    torch.set_num_threads(params.runtime.threads)
    kind = params.extractors[name].kind
    extractor = find_extractor(kind, extractor_dir(name) / "weights.safetensors")
    device = torch.device("cpu") if extractor.on_cpu else build.device(params.runtime)
    # The hash of the whole data set stands for that of its training images.
    cache = StatisticsCache(CACHE, f"{data.name}-train", data.sha256)
    reference = np.asarray(data.train.x)
    fidelity = Fidelity(reference, extractor, extras, cache, device)
    numbers = ("fid", *(number for extra in extras for number in other.NAMES[extra]))

    def compute(samples: np.ndarray) -> dict[str, float]:
        return {f"{number}_{name}": value for number, value in fidelity.measure(samples).items()}

    return Scorer(
        primary=f"fid_{name}",
        metrics=[f"{number}_{name}" for number in numbers],
        extractor=extractor.record(name),
        reference_size=len(reference),
        compute=compute,
        rank=fidelity.frechet,
        extras=lambda samples: other.protocol(extras, samples, len(reference)),
        serve=fidelity.features.serve,
        release=fidelity.features.release,
    )
