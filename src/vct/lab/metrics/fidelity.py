"""How far samples are from reference images, in the features of an extractor.

The formulas are torch-fidelity's; the features come from one loop (`vct.lab.metrics.features`) and
serve all metrics.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vct.lab.errors import UserError
from vct.lab.metrics import extras as other
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.features import Features
from vct.lab.metrics.statistics_cache import Arrays, StatisticsCache

PIECE = 50_000
"""Most reference images whose features are held at a time, unless an extra needs those of all."""


class Fidelity:
    """Compares samples with a reference, whose statistics and features are computed once.

    Args:
        reference: uint8 (M, C, H, W), M at least 2.
        extractor: gives the features.
        extras: what `measure` gives beside the Fréchet distance: keys of `extras.NAMES`.
        cache: where the reference's statistics, and its features if an extra needs them, are kept
            for other processes; None keeps them in this object alone.
        device: where the features are computed.

    Raises:
        UserError: if the extractor does not take the reference images; later, if the samples do
            not fit, or the cache cannot be written.
    """

    def __init__(
        self,
        reference: NDArray[np.uint8],
        extractor: Extractor,
        extras: Sequence[str] = (),
        cache: StatisticsCache | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        _check(reference, "reference images")
        _check_taken(reference, extractor)
        if "inception_score" in extras and not extractor.logits:
            raise UserError(
                f"the extractor '{extractor.name}' has no classes, which inception_score needs; "
                "take it out of the score's extras, or score with an extractor of kind inception."
            )
        self.reference, self.extractor, self.extras = reference, extractor, tuple(extras)
        self.device = device
        self._cache = cache
        self.features = Features(extractor, device)
        self._known: dict[str, Arrays] = {}

    def frechet(self, samples: NDArray[np.uint8]) -> float:
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
            UserError: if samples and reference cannot be compared.
        """
        self._check(samples)
        return self._frechet(self.features(samples))

    def measure(self, samples: NDArray[np.uint8]) -> dict[str, float]:
        """The Fréchet distance `fid`, and the numbers of all extras (see `extras.NAMES`)."""
        self._check(samples)
        rows = self.features(samples, logits="inception_score" in self.extras)
        features = rows[:, : self.extractor.features].contiguous()
        found = {"fid": self._frechet(features)}
        for extra in self.extras:
            if extra == "inception_score":
                numbers: tuple[float, ...] = (
                    other.inception_score(rows[:, self.extractor.features :]),
                )
            elif extra == "kid":
                numbers = (other.kid(features, self._of_reference()),)
            else:
                numbers = other.precision_recall(features, self._of_reference(), self.device)
            found |= dict(zip(other.NAMES[extra], numbers, strict=True))
        return found

    def _check(self, samples: NDArray[np.uint8]) -> None:
        _check(samples, "samples")
        _check_fit(samples, self.reference)

    def _frechet(self, features: Tensor) -> float:
        from torch_fidelity.metric_fid import (
            KEY_METRIC_FID,
            fid_features_to_statistics,
            fid_statistics_to_metric,
        )

        found = fid_features_to_statistics(features)
        metric = fid_statistics_to_metric(found, self._statistics(), verbose=False)
        # Rounding takes the distance of equal sets a little below 0.
        return max(0.0, float(metric[KEY_METRIC_FID]))

    def _statistics(self) -> Arrays:
        """Mean `mu` (D,) and covariance `sigma` (D, D) of the reference."""

        count = self.extractor.features
        shapes = {"mu": (count,), "sigma": (count, count)}
        return self._kept("statistics", shapes, lambda: _statistics(self._pieces()))

    def _pieces(self) -> Iterator[Tensor]:
        """Features of the whole reference, of at least 2 and at most `PIECE` images at a time."""
        total = len(self.reference)
        if set(self.extras) & set(other.OF_REFERENCE) and other.chosen(total) is None:
            yield self._of_reference()
            return
        count = -(-total // PIECE)
        for index in range(count):
            part = slice(total * index // count, total * (index + 1) // count)
            yield self.features(self.reference[part])

    def _of_reference(self) -> Tensor:
        """Features (M, D) of the reference images that are compared one by one."""
        chosen = other.chosen(len(self.reference))
        count = len(self.reference) if chosen is None else len(chosen)

        def compute() -> Arrays:
            images = self.reference if chosen is None else self.reference[chosen]
            return {"features": self.features(images).numpy()}

        shapes: dict[str, tuple[int, ...]] = {"features": (count, self.extractor.features)}
        return torch.from_numpy(self._kept("features", shapes, compute)["features"])

    def _kept(
        self, what: str, shapes: dict[str, tuple[int, ...]], compute: Callable[[], Arrays]
    ) -> Arrays:
        if what not in self._known:
            if self._cache is None:
                self._known[what] = compute()
            else:
                path = self._cache.path(what, self.extractor, self.device)
                self._known[what] = self._cache.get(path, shapes, compute)
        return self._known[what]


def _statistics(pieces: Iterator[Tensor]) -> Arrays:
    """Mean and covariance of rows that come in pieces of at least 2; of one piece torch-fidelity's.

    Sums of squares are merged by C = C1 + C2 + n1 n2 / (n1 + n2) (mu2 - mu1) (mu2 - mu1)^T (Chan et
    al. 1979); the mean keeps the type of the features, as torch-fidelity asks.
    """
    from torch_fidelity.metric_fid import fid_features_to_statistics

    first = next(pieces)
    count, merged = len(first), fid_features_to_statistics(first)
    mu, scatter = merged["mu"].astype(np.float64), merged["sigma"] * (count - 1)
    for piece in pieces:
        found, more = fid_features_to_statistics(piece), len(piece)
        shift = found["mu"] - mu
        scatter += found["sigma"] * (more - 1)
        scatter += np.outer(shift, shift) * (count * more / (count + more))
        mu += shift * (more / (count + more))
        count += more
        merged = {"mu": mu.astype(found["mu"].dtype), "sigma": scatter / (count - 1)}
    return merged


def _check(images: NDArray[np.uint8], what: str) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(
            f"the {what} are {images.dtype} of shape {images.shape}; a Fréchet distance needs "
            "8-bit images (count, channels, height, width)."
        )
    if len(images) < 2:
        raise UserError(
            f"there are {len(images)} {what}; a Fréchet distance needs two or more, and some "
            "hundreds to mean anything."
        )


def _check_fit(samples: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    if samples.shape[1:] != reference.shape[1:]:
        raise UserError(
            f"the samples have shape {samples.shape[1:]} and the reference images "
            f"{reference.shape[1:]}; score samples against the data set that their model was "
            "trained on."
        )


def _check_taken(images: NDArray[np.uint8], extractor: Extractor) -> None:
    shape = images.shape[1:]
    if extractor.shape is None and shape[0] not in (1, 3):
        raise UserError(
            f"the images have {shape[0]} channels; the extractor '{extractor.name}' takes grey "
            "or RGB images."
        )
    if extractor.shape not in (None, shape):
        raise UserError(
            f"the extractor '{extractor.name}' takes images of shape {extractor.shape}, not "
            f"{shape}; choose the one that was trained on this data set."
        )
