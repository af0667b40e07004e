"""Gaussian priors: what sampling starts from, fitted to what training paired with the data.

A variational coupling trains on noise of the aggregate posterior q(z) = E_x q(z|x), and sampling
starts from N(0, I); what lies between them is lost. The Gaussian of q's own mean and covariance,

    E mu(x)  and  Cov mu(x) + diag E[std(x)^2],

is the nearest one to q in KL(q || .), and costs nothing more to draw from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vct.misfit import Misfit

Posteriors = Callable[[], Iterator[tuple[Tensor, Tensor]]]
"""Goes through the data: mu(x) and std(x) of batches, each (B, ...)."""
Labels = Callable[[], Iterator[Tensor]]
"""Their one-hot labels (B, K), in the same batches."""

FULL = 4096
"""Most dimensions D for which the whole covariance is kept: D^2 numbers, 8 D^2 bytes to fit."""
RANK = 256
"""Directions that are kept of larger covariances, beside their diagonal."""
_SPARE = 32  # directions more, so that the last ones that are kept are right


@dataclass(frozen=True)
class GaussianPrior:
    """z = mean + scale (eps + V (gain V^T eps)): noise of a given mean and covariance.

    Args:
        mean: (D,), or (K, D) of each class.
        scale: (D,).
        basis: V (D, K) with orthonormal columns, K <= D.
        gain: (K,) > -1; the covariance is scale (I + V ((1 + gain)^2 - 1) V^T) scale.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    gain: Tensor

    def __call__(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (B, ...) from base noise eps ~ N(0, I) of the same shape.

        Args:
            labels: one-hot (B, K), where there is a mean of each class.
        """
        flat = eps.flatten(1)
        mean, scale, basis, gain = (part.to(flat) for part in self.tensors().values())
        if mean.ndim == 2:
            if labels is None:
                raise Misfit("a prior with a mean of each class needs labels")
            mean = labels.to(mean) @ mean
        z = mean + scale * (flat + (flat @ basis * gain) @ basis.T)
        return z.reshape(eps.shape)

    def covariance(self) -> Tensor:
        """The covariance (D, D), of each class if there are some."""
        inner = (self.basis * ((1 + self.gain) ** 2 - 1)) @ self.basis.T
        inner = inner + torch.eye(len(self.scale)).to(inner)
        return self.scale[:, None] * inner * self.scale

    def to(self, device: torch.device) -> "GaussianPrior":
        """The same on a device."""
        return GaussianPrior(**{name: part.to(device) for name, part in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name, to be stored."""
        return {"mean": self.mean, "scale": self.scale, "basis": self.basis, "gain": self.gain}


def fit(posteriors: Posteriors, full: int = FULL, rank: int = RANK) -> GaussianPrior:
    """The Gaussian with the mean and covariance of the aggregate posterior, in float32.

    Args:
        posteriors: is gone through twice; all data, at least two points.
        full: up to so many dimensions the covariance is whole: that of mu is shrunk towards its
            diagonal where there are few data (`shrinkage`). Beyond, it is the `rank` largest
            directions, and a diagonal that keeps every variance.
        rank: at most so many directions.
    """
    count, mean, noise = _means(posteriors)
    size = len(mean)
    if size <= full:
        covariance = _whole(posteriors, count, mean)
        covariance.diagonal().add_(noise)
        scale = covariance.diagonal().clamp(min=1e-12).sqrt()
        values, basis = torch.linalg.eigh(covariance / torch.outer(scale, scale))
        gain = values.clamp(min=0).sqrt() - 1
    else:
        scale, basis, gain = _sketched(posteriors, count, mean, noise, min(rank, size))
    return GaussianPrior(*(part.float() for part in (mean, scale, basis, gain)))


def fit_classes(
    posteriors: Posteriors, labels: Labels, full: int = FULL, rank: int = RANK
) -> GaussianPrior:
    """The Gaussians with the mean of each class and the covariance within classes, pooled over all
    (as in linear discriminant analysis): classes of few data have no covariance of their own.

    Args:
        posteriors, labels: are gone through three times; all data, at least one of each class.
        full, rank: see `fit`.
    """
    count, total = torch.zeros(()), torch.zeros(())
    for (mu, _), here in zip(posteriors(), labels(), strict=True):
        count = count + here.double().sum(dim=0)
        total = total + here.double().T @ mu.flatten(1).double()
    means = total / count[:, None]

    def centred() -> Iterator[tuple[Tensor, Tensor]]:
        for (mu, std), here in zip(posteriors(), labels(), strict=True):
            yield mu.flatten(1).double() - here.double() @ means, std

    return replace(fit(centred, full, rank), mean=means.float())


def _means(posteriors: Posteriors) -> tuple[int, Tensor, Tensor]:
    """Number of data, E mu (D,) and E std^2 (D,), in double precision."""
    count, total, noise = 0, torch.zeros(()), torch.zeros(())
    for mu, std in posteriors():
        count += len(mu)
        total = total + mu.flatten(1).double().sum(dim=0)
        noise = noise + std.flatten(1).double().square().sum(dim=0)
    return count, total / count, noise / count


def _centred(posteriors: Posteriors, mean: Tensor) -> Iterator[Tensor]:
    for mu, _ in posteriors():
        yield mu.flatten(1).double() - mean


def _whole(posteriors: Posteriors, count: int, mean: Tensor) -> Tensor:
    """Cov mu (D, D), shrunk."""
    products, squares = mean.new_zeros(2, len(mean), len(mean))
    for centred in _centred(posteriors, mean):
        products.addmm_(centred.T, centred)
        squared = centred.square()
        squares.addmm_(squared.T, squared)
    covariance = products / count
    share = shrinkage(covariance, squares / count, count)
    diagonal = covariance.diagonal().clone()
    covariance.mul_(1 - share).diagonal().copy_(diagonal)
    return covariance


def shrinkage(covariance: Tensor, squares: Tensor, count: int) -> float:
    """The share in [0, 1] by which off-diagonal entries are shrunk, so that the expected squared
    error is least (Schaefer and Strimmer 2005, target D): sum Var(s_ij) / sum s_ij^2 over i != j.

    Args:
        covariance: s (D, D) of `count` points.
        squares: mean of x_i^2 x_j^2 (D, D) of the centred points.
    """
    variance = (squares - covariance.square()) / count
    off = variance.sum() - variance.diagonal().sum()
    size = covariance.square().sum() - covariance.diagonal().square().sum()
    return float((off / size).clamp(0, 1)) if size > 0 else 0.0


def _sketched(
    posteriors: Posteriors, count: int, mean: Tensor, noise: Tensor, rank: int
) -> tuple[Tensor, Tensor, Tensor]:
    """scale (D,), V (D, K), gain (K,) of diagonal plus low rank.

    C is met only in products with K random directions: C ~ Y (O^T Y)^-1 Y^T with Y = C O (Nystroem;
    Halko, Martinsson and Tropp 2011, Section 5.5).
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(
        len(mean), min(rank + _SPARE, len(mean)), generator=generator, dtype=torch.float64
    ).to(mean)
    directions = torch.linalg.qr(directions).Q
    sketch, variance = torch.zeros_like(directions), torch.zeros_like(mean)
    for centred in _centred(posteriors, mean):
        sketch.addmm_(centred.T, centred @ directions)
        variance += centred.square().sum(dim=0)
    sketch, variance = sketch / count, variance / count
    core = directions.T @ sketch
    values, vectors = torch.linalg.eigh((core + core.T) / 2)
    kept = values > values[-1] * 1e-12
    half = sketch @ (vectors[:, kept] / values[kept].sqrt())
    basis, sizes, _ = torch.linalg.svd(half, full_matrices=False)
    half = (basis * sizes)[:, :rank]
    rest = variance - half.square().sum(dim=1) + noise
    scale = rest.clamp(min=1e-12).sqrt()
    basis, sizes, _ = torch.linalg.svd(half / scale[:, None], full_matrices=False)
    return scale, basis, (1 + sizes.square()).sqrt() - 1
