"""EDM's deterministic sampler (arXiv 2206.00364, Algorithm 1): Heun's method on the flow's ODE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vct.samplers.base import Sampler

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.couplings.base import Coupling
    from vct.preconditioning import ConsistencyFunction


class Heun(Sampler):
    """Samples in double precision, from x = T noise along dx/dt = (x - c D(x, t))/t.

    With x_t = s x + t z the expected velocity E[s' x + z | x_t] is (x_t - c D)/t, c = s - t s'
    (`Kernel.origin_scale`), which is one of both kernels of the paper: theirs is EDM's ODE. Each
    step is corrected by the slope at its end, but for the last one to t = 0, which is c D itself;
    so n steps take 2n - 1 calls.

    Args:
        t_max: T.
        steps: n, at least 2.
        t_min: the last time before 0.
        rho: exponent of the times, see `heun_times`.
    """

    def __init__(
        self, t_max: float, steps: int = 18, t_min: float = 0.002, rho: float = 7.0
    ) -> None:
        self.times = heun_times(steps, t_max, t_min, rho)
        self.schedules = {f"heun{steps}": self.times[:-1]}

    def calls(self, key: str) -> int:
        """2n - 1: twice at each time but the last, where the correction would be at 0."""
        return 2 * len(self.schedules[key]) - 1

    def __call__(
        self,
        f: ConsistencyFunction,
        coupling: Coupling,
        noise: Sequence[Tensor],
        labels: Tensor | None = None,
    ) -> Iterator[Tensor]:
        yield heun(f, self.times, noise[0], labels)


def heun(
    denoiser: ConsistencyFunction,
    times: Sequence[float],
    noise: Tensor,
    labels: Tensor | None = None,
) -> Tensor:
    """Samples (B, C, H, W) along times t_0 > t_1 > ... >= 0 from x = t_0 noise; see `Heun`.

    Args:
        denoiser: D(x_t, t, labels).
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
    return (x - origin(denoiser, x, t, labels)) / t


def origin(f: ConsistencyFunction, x: Tensor, t: float, labels: Tensor | None) -> Tensor:
    """c D(x, t) (B, C, H, W): where the tangent of the flow at x comes from at time 0."""
    times = x.new_full((len(x),), t)
    return f.kernel.origin_scale(x.new_full((), t)) * f(x, times, labels)


def heun_times(steps: int, t_max: float, t_min: float, rho: float) -> list[float]:
    """T = t_0 > ... > t_{steps-1} = t_min > t_steps = 0 (EDM, arXiv 2206.00364, eq. 5).

    `steps` is at least 2.
    """
    high, low = t_max ** (1 / rho), t_min ** (1 / rho)
    inner = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(1, steps - 1)]
    return [t_max, *inner, t_min, 0.0]
