"""How far the noise that a coupling trains on is from the noise that sampling starts from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vct.misfit import check
from vct.priors import GaussianPrior, fit


@dataclass(frozen=True)
class Moments:
    """Moments of noise z, which N(0, I) has as 0, 1 and 0.

    Args:
        mean: |mean of z|/√D; about 1/√N more, in squares, from the sampling of N points.
        variance: of z, the mean over dimensions.
        kl: of the Gaussian that is fitted to z from N(0, I), in nats per dimension.
    """

    mean: float
    variance: float
    kl: float


def moments(z: Tensor) -> Moments:
    """Moments of z (N, ...), N at least 2, with the covariance of `vct.priors.fit`.

    That one is shrunk towards its diagonal where N is small. For z ~ N(0, I) the KL is above 0 by
    about (number of fitted moments)/2ND: (D + 3)/4N where the covariance is not shrunk, 1/N where
    nothing is left beside its diagonal; in between, correlations that are there are made light of.
    """
    z = z.flatten(1).double()
    prior = fit(lambda: iter([(z, torch.zeros_like(z))]))
    mean = z.mean(dim=0).square().mean().sqrt()
    return Moments(float(mean), float(z.var(dim=0).mean()), kl(prior))


def kl(prior: GaussianPrior) -> float:
    """KL(prior || N(0, I)) in nats per dimension; infinite if a direction has no variance."""
    mean, scale, basis, gain = (part.double() for part in prior.tensors().values())
    variance = scale**2 * (1 + basis**2 @ ((1 + gain) ** 2 - 1))
    log_determinant = 2 * (scale.log().sum() + gain.log1p().sum())
    return float((variance + mean**2 - 1).mean() - log_determinant / len(mean)) / 2


FACTORS = (0.5, 1.0, 2.0)
"""Bandwidths of the kernel, in medians of the distance of two points; the mean of all is used."""


@dataclass(frozen=True)
class TwoSample:
    """An unbiased MMD², and the values that it has where it is chance which point is whose.

    Args:
        mmd2: the statistic, about 0 for sets of one distribution and as often below.
        null: its values for random divisions of the same points.
    """

    mmd2: float
    null: tuple[float, ...]

    @property
    def p_value(self) -> float:
        """(1 + #{null >= mmd2}) / (1 + #null): at most α with probability α, or less, under the
        hypothesis that both sets are independent draws of one distribution."""
        return (1 + sum(value >= self.mmd2 for value in self.null)) / (1 + len(self.null))


def two_sample(
    z: Tensor,
    reference: Tensor,
    generator: torch.Generator,
    permutations: int = 300,
    factors: Sequence[float] = FACTORS,
) -> TwoSample:
    """Kernel two-sample test of z (N, ...) against a reference (M, ...) of any prior.

    Gretton et al., JMLR 13 (2012), Lemma 6, with Gaussian kernels exp(-|a - b|²/2h²) whose h are
    `factors` of the median distance in both sets together. Points must be independent: one z of
    each x, drawn at random. Takes memory for (N + M)² numbers in double precision, a few times.
    """
    check("reference", reference, (len(reference), *z.shape[1:]))
    points = torch.cat([z.flatten(1), reference.flatten(1)]).double()
    count, total = len(z), len(points)
    chance = torch.rand(
        permutations, total, generator=generator, device=generator.device, dtype=torch.float64
    )
    first = torch.zeros(total, 1 + permutations, dtype=points.dtype, device=points.device)
    first[:count, 0] = 1  # the division as it is, beside the random ones
    first[:, 1:].scatter_(0, chance.argsort(dim=1)[:, :count].T.to(points.device), 1)
    values = _mmd2(_gram(points, factors), first)
    return TwoSample(float(values[0]), tuple(values[1:].tolist()))


def _gram(points: Tensor, factors: Sequence[float]) -> Tensor:
    """The mean kernel between points, zero on the diagonal."""
    squared = torch.cdist(points, points).square()
    unit = squared[~torch.eye(len(points), dtype=torch.bool, device=points.device)].median()
    squared = squared / unit.clamp(min=1e-300)
    gram = torch.stack([(-squared / (2 * factor**2)).exp() for factor in factors]).mean(dim=0)
    return gram.fill_diagonal_(0)


def _mmd2(gram: Tensor, first: Tensor) -> Tensor:
    """MMD² of each division; `first` (N + M, K) is 1 for points of the first set, else 0."""
    count = first[:, 0].sum()
    rest = len(gram) - count
    within = (first * (gram @ first)).sum(dim=0)
    across = gram.sum(dim=0) @ first - within
    others = gram.sum() - within - 2 * across
    return within / (count * (count - 1)) + others / (rest * (rest - 1)) - 2 * across / count / rest
