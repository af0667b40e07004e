"""Where the flow's fixed point loses its stability: the time at which data begin to be decided.

The drift (x - D(x, t))/t, of either kernel, rests where x = D(x, t); backwards in time it is stable
there while every eigenvalue of dD/dx has a real part below 1. At late times the only such point is
near the mean of the data. The time at which it becomes unstable is that of the spontaneous
breaking of symmetry (arXiv 2305.19693).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigs
from torch import Tensor

from vct.diagnostics.linearisation import Function, Linearisation

EXACT = 400
"""Up to so many dimensions the whole Jacobian is computed."""


@torch.no_grad()
def fixed_point(
    denoiser: Function, start: Tensor, t: float, tolerance: float = 1e-6, iterations: int = 10_000
) -> Tensor:
    """x = D(x, t) of the shape of `start` (...), by x <- D(x, t), once a step is at most
    `tolerance` in every dimension.

    Raises:
        ArithmeticError: where the steps are longer after `iterations`.
    """
    x, step = start, float("inf")
    for _ in range(iterations):
        following = denoiser(x[None], x.new_full((1,), t))[0].to(x)
        step = float((following - x).abs().max())
        if step <= tolerance:
            return x
        x = following
    raise ArithmeticError(
        f"the fixed point at t = {t:g} still moves by {step:.1g} after {iterations} iterations; "
        "allow more, or a larger tolerance"
    )


def leading_eigenvalue(
    denoiser: Function, x: Tensor, t: float, generator: np.random.Generator
) -> float:
    """The largest real part of the eigenvalues of dD/dx at a point x (...).

    From the whole matrix up to `EXACT` dimensions, else by Arnoldi's method (ARPACK) on products
    with the Jacobian, from a random direction of `generator`.
    """
    jacobian, size = Linearisation(denoiser, x.detach(), t), x.numel()
    if size <= EXACT:
        matrix = jacobian.matrix()
        # Below t where data are decided it is next to nothing, as 1e-92, and LAPACK fails on it.
        peak = matrix.abs().max().clamp(min=torch.finfo(matrix.dtype).tiny)
        return float(torch.linalg.eigvals(matrix / peak).real.max() * peak)

    def product(direction: np.ndarray) -> np.ndarray:
        row = torch.from_numpy(direction.reshape(1, size)).to(x)
        return jacobian.jvp(row)[0].double().cpu().numpy()

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    begin = generator.standard_normal(size)
    values = eigs(operator, k=1, which="LR", v0=begin, tol=1e-6, return_eigenvectors=False)
    return float(values.real.max())


@dataclass(frozen=True)
class Rest:
    """A fixed point x (...) at time t, and the leading eigenvalue of dD/dx there."""

    t: float
    x: Tensor
    eigenvalue: float


def rests(
    denoiser: Function, start: Tensor, times: Sequence[float], generator: np.random.Generator
) -> Iterator[Rest]:
    """The fixed point followed along falling times, from `start` (...), the mean of the data."""
    x = start
    for t in times:
        x = fixed_point(denoiser, x, t)
        yield Rest(t, x, leading_eigenvalue(denoiser, x, t, generator))


def critical_time(
    denoiser: Function,
    start: Tensor,
    times: Sequence[float],
    generator: np.random.Generator,
    precision: float = 1e-4,
) -> float | None:
    """The largest t at which the fixed point has an eigenvalue of 1, to a relative `precision`.

    None where that never happens at `times`. Data that no symmetry holds together often decide
    without a loss of stability: the point moves into one of them, and its largest eigenvalue, which
    `rests` shows, comes near 1 and falls again.

    Args:
        denoiser: D(x, t) = E[x | x_t], such as `Oracle.denoise`.
        start: the mean of the data (...), in double precision.
        times: falling, closely spaced; bisection goes on between two of them.
        generator: for `leading_eigenvalue`.

    Raises:
        ValueError: where the first time is below the critical one.
    """
    above = None
    for rest in rests(denoiser, start, times, generator):
        if rest.eigenvalue >= 1:
            break
        above = rest
    else:
        return None
    if above is None:
        raise ValueError(f"no stability at t = {times[0]:g}, the first of times; begin later")
    below = rest
    while above.t - below.t > precision * above.t:
        (middle,) = rests(denoiser, above.x, [(above.t + below.t) / 2], generator)
        above, below = (middle, below) if middle.eigenvalue < 1 else (above, middle)
    return (above.t + below.t) / 2
