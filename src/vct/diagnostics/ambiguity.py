"""How far x_t leaves open which data point it came from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vct.diagnostics.oracle import finite
from vct.kernels import Kernel
from vct.misfit import check

BANDWIDTHS = (*(2.0**power for power in range(-10, 2)), math.inf)
"""Widths h of the weights, in root mean square distances between two x_t."""


@dataclass(frozen=True)
class Ambiguity:
    """E Var(x | x_t)/D at one time: the least squared error that a prediction of x can have.

    Args:
        t: the time.
        value: the estimate, or bound.
        error: its standard error.
        bandwidth: the h that was chosen, for a bound by regression.
    """

    t: float
    value: float
    error: float
    bandwidth: float | None = None


def ambiguity_bound(
    x: Tensor,
    z: Tensor,
    kernel: Kernel,
    t: Sequence[float],
    bandwidths: Sequence[float] = BANDWIDTHS,
    block: int = 512,
) -> list[Ambiguity]:
    """An upper bound of E Var(x | x_t)/D for any coupling, from pairs of x and z (N, ...).

    The squared error of a leave-one-out prediction: that of Nadaraya and Watson with Gaussian
    weights w_ij ~ exp(-|x_t,i - x_t,j|²/2h²), and a slope c for what is left of x_t,

        x̂_i = sum_j w_ij x_j + c (x_t,i - sum_j w_ij x_t,j),

    where h and c are those with the least error; c makes it right for t to 0, and for Gaussian data
    of one variance. No prediction errs less than the conditional mean, so this is a bound up to
    sampling, and up to the choice of h and c among the same N points (little: two numbers).

    In few dimensions it comes near the value as N grows. In many it does not: neighbours are far,
    weights find one point or all, and the bound tells little more than the best multiple of x_t
    does. A lower bound is then evidence of less ambiguity, an equal one of nothing.

    Args:
        t: times, in [0, T].
        block: rows of the N x N weights that are held at a time.
    """
    check("z", z, x.shape)
    x, z = x.flatten(1).double(), z.flatten(1).double()
    return [_bound(x, kernel(x, z, x.new_full((len(x),), at)), at, bandwidths, block) for at in t]


def _bound(x: Tensor, x_t: Tensor, t: float, bandwidths: Sequence[float], block: int) -> Ambiguity:
    both, size = torch.cat([x, x_t], dim=1), (2 * x_t.var(dim=0).sum()).clamp(min=1e-300)
    products = x.new_empty(len(bandwidths), len(x), 3)
    for rows in torch.arange(len(x), device=x.device).split(block):
        squared = torch.cdist(x_t[rows], x_t).square() / size
        for index, width in enumerate(bandwidths):
            weights = -squared / (2 * width**2)
            weights[torch.arange(len(rows)), rows] = -math.inf
            # softmax subtracts the largest exponent: the nearest point always counts.
            left, slope = (both[rows] - weights.softmax(dim=1) @ both).chunk(2, dim=1)
            pairs = (left, left), (left, slope), (slope, slope)
            products[index, rows] = torch.stack([(a * b).mean(dim=1) for a, b in pairs], dim=1)
    square, cross, slopes = products.unbind(dim=2)
    best = (cross.sum(dim=1) / slopes.sum(dim=1).clamp(min=1e-300))[:, None]
    errors = (square - 2 * best * cross + best**2 * slopes).clamp(min=0)
    index = int(errors.mean(dim=1).argmin())
    return _estimate(t, errors[index], bandwidths[index])


def _estimate(t: float, values: Tensor, bandwidth: float | None = None) -> Ambiguity:
    error = float(values.std()) / math.sqrt(len(values))
    return Ambiguity(t, float(values.mean()), error, bandwidth)


def posterior_ambiguity(
    x: Tensor,
    mean: Tensor,
    std: Tensor,
    kernel: Kernel,
    t: Sequence[float],
    draws: int,
    generator: torch.Generator,
    block: int = 256,
) -> list[Ambiguity]:
    """E Var(x | x_t)/D where z given x is N(mean, std²), as `Coupling.posterior` has it, and x is
    one of N points of equal weight.

    p(x = x_i | x_t) is exact in any dimension (`vct.diagnostics.oracle`); the mean over x_t alone
    is by Monte Carlo, of the same draws at all times and of every x_i equally often. The data are
    these N points: a population of which they are a sample leaves more open at small t.

    Args:
        x, mean, std: (N, ...), std > 0; 0 and 1 are the independent coupling.
        t: times, in (0, T].
        draws: number of x_t.
        block: x_t that are compared with all N points at a time.
    """
    check("mean", mean, x.shape)
    check("std", std, x.shape)
    oracle, place = finite(kernel, x, mean, std), generator.device
    which = torch.randperm(len(x), generator=generator, device=place).to(x.device)
    which = which[torch.arange(draws, device=x.device) % len(x)]
    eps = torch.randn(draws, oracle.x.shape[1], generator=generator, device=place).to(oracle.x)
    data, z = oracle.x[which], oracle.mu[which] + oracle.std[which] * eps
    found = []
    for at in t:
        x_t = kernel(data, z, data.new_full((draws,), at))
        shares = (oracle.posterior(part, at) for part in x_t.split(block))
        found.append(_estimate(at, torch.cat([_variance(part, oracle.x) for part in shares])))
    return found


def _variance(shares: Tensor, x: Tensor) -> Tensor:
    """Variance/D (M,) of points x (N, D) with the weights `shares` (M, N)."""
    x = x - x.mean(dim=0)
    square = shares @ x.square().mean(dim=1)
    return (square - (shares @ x).square().mean(dim=1)).clamp(min=0)
