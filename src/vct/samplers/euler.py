"""Euler's method on the flow's ODE: the sampler of flow matching (arXiv 2210.02747)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vct.samplers.base import Sampler
from vct.samplers.heun import origin

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.couplings.base import Coupling
    from vct.preconditioning import ConsistencyFunction


class Euler(Sampler):
    """Samples in double precision, from x = T noise along dx/dt = (x - c D(x, t))/t, to t = 0.

    For c see `vct.samplers.heun.Heun`. n steps take n calls; along paths that are straight any n
    gives the same.

    Args:
        t_max: T.
        steps: n, at least 1.
        rho: times are T (1 - i/n)^rho: even for 1, the denser near 0 the larger it is.
    """

    def __init__(self, t_max: float, steps: int = 100, rho: float = 1.0) -> None:
        self.times = [t_max * (1 - i / steps) ** rho for i in range(steps)] + [0.0]
        self.schedules = {f"euler{steps}": self.times[:-1]}

    def __call__(
        self,
        f: ConsistencyFunction,
        coupling: Coupling,
        noise: Sequence[Tensor],
        labels: Tensor | None = None,
    ) -> Iterator[Tensor]:
        x = self.times[0] * noise[0].double()
        for t, end in zip(self.times, self.times[1:], strict=False):
            # x + (end - t) (x - c D)/t, without a loss of digits where end is 0.
            x = origin(f, x, t, labels) * (1 - end / t) + x * (end / t)
        yield x
