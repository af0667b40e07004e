"""What a metric is: named numbers of samples, compared with the training set."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from vct.lab.errors import UserError
from vct.lab.records import ExtractorRecord, Label

__all__ = ["Label", "Metric"]


class Metric(ABC):
    """Scores samples; called with (N, C, H, W), it gives its numbers by name.

    A metric of one's own is a class with `labels` and `compute`, whose `__init__` takes `reference`
    (the training data, float32 points or uint8 images (M, C, H, W), memory-mapped) and its options:

        class MeanDistance(Metric):
            labels = {"mean_distance": Label(label="distance", lower_is_better=True)}

            def __init__(self, reference, order=2):
                self.mean, self.order = reference.mean(axis=0), order

            def compute(self, samples):
                shift = samples.mean(axis=0) - self.mean
                return {"mean_distance": np.linalg.norm(shift.ravel(), self.order)}

    Attributes:
        labels: what a table calls each number; the first number ranks the runs.
        extractor: whose features it compares, if it does.
        compared: number of training samples that it compares with; None: all.
    """

    labels: Mapping[str, Label]
    extractor: ExtractorRecord | None = None
    compared: int | None = None

    @abstractmethod
    def compute(self, samples: np.ndarray) -> Mapping[str, float]:
        """Numbers of samples (N, C, H, W), by the names in `labels`."""

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Numbers of samples (N, C, H, W).

        Raises:
            UserError: if one is not finite, or if a user's metric gives others than it has labels
                for.
        """
        found = self.compute(samples)
        try:
            numbers = {name: float(found[name]) for name in self.labels}
        except (KeyError, TypeError, ValueError, IndexError):
            numbers = {}
        if not numbers or len(found) != len(numbers):
            raise UserError(
                f"the metric '{type(self).__module__}.{type(self).__qualname__}' must compute one "
                f"number for each of its labels ({', '.join(self.labels)}); correct its compute."
            )
        return {name: self.finite(name, value) for name, value in numbers.items()}

    def finite(self, name: str, value: float) -> float:
        """The number `value` called `name`.

        Raises:
            UserError: if it is NaN or infinite: then it is no score.
        """
        if not math.isfinite(value):
            raise UserError(
                f"the metric '{type(self).__module__}.{type(self).__qualname__}' gives {value} for "
                f"{name}, which is no score; the samples or the metric are wrong, so nothing was "
                "written."
            )
        return value

    @property
    def primary(self) -> str:
        """Name of the number that ranks."""
        return next(iter(self.labels))

    def rank(self, samples: np.ndarray) -> float:
        """The primary number alone."""
        return self(samples)[self.primary]

    def protocol(self, samples: int) -> dict[str, dict[str, Any]]:
        """What a reader must know of the numbers of so many samples, by part of the metric."""
        return {}

    def serve(self) -> None:  # noqa: B027 - most metrics are computed by one process
        """In a process that helps another to score: help until `release` is called there."""

    def release(self) -> None:  # noqa: B027
        """Let the helpers go."""
