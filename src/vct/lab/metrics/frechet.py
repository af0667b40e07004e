"""How far samples are from reference images, in the features of an extractor.

The formulas are torch-fidelity's; the features come from one loop (`vct.lab.metrics.features`) and
serve all metrics.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vct.lab.errors import UserError
from vct.lab.files.layout import Statistic
from vct.lab.metrics import extras as other
from vct.lab.metrics.base import Metric
from vct.lab.metrics.features import Features, check_count
from vct.lab.settings.score import COMPARED, label


class Frechet(Metric):
    """The Fréchet distance `fid` to the whole training set, and the numbers of `extras`.

    Its numbers carry the extractor's name, so those of two extractors never share a column.

    Args:
        reference: uint8 (M, C, H, W).
        extractor: its name in params.yaml.
        features: of that extractor.
        statistics: gives what is known of the reference, see `vct.lab.metrics.statistics`.
        extras: what is computed beside the distance: keys of `extras.NAMES`.

    Raises:
        UserError: if an extra needs logits, and the extractor has none; later, if the samples do
            not fit.
    """

    def __init__(
        self,
        reference: NDArray[np.uint8],
        extractor: str,
        features: Features,
        statistics: Callable[[Statistic], Mapping[str, Tensor]],
        extras: Sequence[str] = (),
    ) -> None:
        if "inception_score" in extras and not features.extractor.logits:
            raise UserError(
                f"the extractor '{extractor}' has no classes, which inception_score needs; take it "
                "out of the score's extras, or score with an extractor of kind inception."
            )
        self.features, self.extras, self._name = features, tuple(extras), extractor
        self._count, self._shape = len(reference), reference.shape[1:]
        self._statistics = statistics
        numbers = ["fid", *(number for extra in extras for number in other.NAMES[extra])]
        self.labels = {name: label(name) for name in map(self._called, numbers)}

    def compute(self, samples: NDArray[np.uint8]) -> dict[str, float]:
        """The distance, and the numbers of all extras."""
        if set(self.extras) & set(COMPARED):
            self._each  # noqa: B018 - read before the work, as the file may be missing
        rows = self._features(samples, logits="inception_score" in self.extras)
        size = self.features.extractor.features
        features, logits = rows[:, :size].contiguous(), rows[:, size:]
        found = {"fid": self._distance(features)}
        compute: dict[str, Callable[[], tuple[float, ...]]] = {
            "kid": lambda: (other.kid(features, self._each),),
            "precision_recall": lambda: other.precision_recall(
                features, self._each, self.features.device
            ),
            "inception_score": lambda: (other.inception_score(logits),),
        }
        for extra in self.extras:
            found |= dict(zip(other.NAMES[extra], compute[extra](), strict=True))
        return {self._called(number): value for number, value in found.items()}

    def rank(self, samples: NDArray[np.uint8]) -> float:
        """Fréchet distance between Gaussians fitted to the features of samples and reference,

            |mu1 - mu2|² + tr(S1 + S2 - 2 (S1 S2)^½)        (Heusel et al., arXiv 1706.08500)

        The covariances are singular when a set has fewer images than there are features; the
        distance is then defined but biased upwards, as it is, less, for every finite number of
        samples: compare only distances with equal numbers.

        Args:
            samples: uint8 (N, C, H, W), N at least 2.

        Returns:
            The distance, at least 0.

        Raises:
            UserError: if samples and reference cannot be compared, or the distance is not finite.
        """
        return self.finite(self.primary, self._distance(self._features(samples)))

    def protocol(self, samples: int) -> dict[str, dict[str, Any]]:
        """How the extras are computed."""
        return other.protocol(self.extras, samples, self._count)

    def serve(self) -> None:
        """Compute features for the main process."""
        self.features.serve()

    def release(self) -> None:
        """Let the others go."""
        self.features.release()

    def _called(self, number: str) -> str:
        return f"{number}_{self._name}"

    def _features(self, samples: NDArray[np.uint8], logits: bool = False) -> Tensor:
        self._moments  # noqa: B018 - read before the work, as the file may be missing
        if samples.shape[1:] != self._shape:
            raise UserError(
                f"the samples have shape {samples.shape[1:]} and the reference images "
                f"{self._shape}; score samples against the data set that their model was "
                "trained on."
            )
        check_count(samples, "samples")
        return self.features(samples, logits)

    def _distance(self, features: Tensor) -> float:
        from torch_fidelity.metric_fid import (
            KEY_METRIC_FID,
            fid_features_to_statistics,
            fid_statistics_to_metric,
        )

        found = fid_features_to_statistics(features)
        metric = fid_statistics_to_metric(found, self._moments, verbose=False)
        # Rounding takes the distance of equal sets a little below 0; in this order, NaN stays NaN.
        return max(float(metric[KEY_METRIC_FID]), 0.0)

    @cached_property
    def _moments(self) -> dict[str, np.ndarray]:
        """Mean `mu` (D,) and covariance `sigma` (D, D) of the reference."""
        return {name: tensor.numpy() for name, tensor in self._statistics("moments").items()}

    @cached_property
    def _each(self) -> Tensor:
        """Features (M, D) of the reference images that are compared one by one."""
        return self._statistics("features")["features"]
