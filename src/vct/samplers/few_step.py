"""The few-step sampler (VCT, Algorithm 2; consistency models, arXiv 2303.01469, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vct.samplers.base import Sampler

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.couplings.base import Coupling
    from vct.preconditioning import ConsistencyFunction


class FewStep(Sampler):
    """Yields the samples after each step.

    The first step is x = f(T z, T). Each later one pairs fresh noise with the current x the way
    training did, re-noises x with the kernel, and applies f.

    Args:
        times: T = t_1 > t_2 > ..., all above t_min.
    """

    def __init__(self, times: Sequence[float]) -> None:
        self.times, self.noises = list(times), len(times)
        self.schedules = {f"steps{n}": self.times[:n] for n in range(1, self.noises + 1)}

    def __call__(
        self,
        f: ConsistencyFunction,
        coupling: Coupling,
        noise: Sequence[Tensor],
        labels: Tensor | None = None,
    ) -> Iterator[Tensor]:
        x = None
        for time, eps in zip(self.times, noise, strict=True):
            t = eps.new_full((len(eps),), time)
            x_t = time * eps if x is None else f.kernel(x, coupling.couple(x, eps), t)
            x = f(x_t, t, labels)
            yield x
