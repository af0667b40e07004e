"""EDM's deterministic sampler (arXiv 2206.00364, Algorithm 1): Heun's method on the flow's ODE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.preconditioning import ConsistencyFunction


def heun(
    denoiser: ConsistencyFunction,
    times: Sequence[float],
    noise: Tensor,
    labels: Tensor | None = None,
) -> Tensor:
    """Samples (B, C, H, W) in double precision, from x = t_0 noise along dx/dt = (x - D(x, t))/t.

    The ODE is the same for both kernels: with x_t = s x + t z and s = 1 - t/T, the expected
    velocity E[z - x/T | x_t] is (x_t - D)/t too. Each step is corrected by the slope at its end,
    but for a last one to t = 0, which is D itself; so n + 1 times with 0 take 2n - 1 calls.

    Args:
        denoiser: D(x_t, t, labels).
        times: t_0 > t_1 > ... >= 0.
        noise: base noise (B, C, H, W).
    """
    x = times[0] * noise.double()
    for i in range(len(times) - 1):
        t, end = times[i], times[i + 1]
        slope = _slope(denoiser, x, t, labels)
        moved = x + (end - t) * slope
        if end > 0:
            moved = x + (end - t) * (slope + _slope(denoiser, moved, end, labels)) / 2
        x = moved
    return x


def _slope(denoiser: ConsistencyFunction, x: Tensor, t: float, labels: Tensor | None) -> Tensor:
    each = x.new_full((len(x),), t)
    return (x - denoiser(x, each, labels)) / t


def heun_times(steps: int, t_max: float, t_min: float, rho: float) -> list[float]:
    """T = t_0 > ... > t_{steps-1} = t_min > t_steps = 0 (EDM, arXiv 2206.00364, eq. 5).

    `steps` is at least 2.
    """
    high, low = t_max ** (1 / rho), t_min ** (1 / rho)
    inner = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(1, steps - 1)]
    return [t_max, *inner, t_min, 0.0]
