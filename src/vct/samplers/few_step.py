"""The few-step sampler (VCT, Algorithm 2; consistency models, arXiv 2303.01469, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from vct.samplers.base import Sampler

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.couplings.base import Coupling
    from vct.preconditioning import ConsistencyFunction


Bounds: TypeAlias = "tuple[float, float] | tuple[Tensor, Tensor]"
"""Lowest and highest value: of all numbers, or of each (C, H, W)."""


class FewStep(Sampler):
    """Yields the samples after each step.

    The first step is x = f(T z, T). Each later one pairs fresh noise with the current x the way
    training did, re-noises x with the kernel, and applies f.

    Args:
        times: T = t_1 > t_2 > ..., all above t_min.
        bounds: ends of the range of the data, numbers or (C, H, W), which x is clipped to before it
            is noised again; inside of it nothing changes. Far outside, encoder and network answer
            without bound, and a bad sample would be worse after each step. None does not clip, as
            published.
    """

    def __init__(self, times: Sequence[float], bounds: Bounds | None = None) -> None:
        self.times, self.noises, self.bounds = list(times), len(times), bounds
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
            if x is None:
                x_t = time * eps
            else:
                x = x if self.bounds is None else x.clamp(*self.bounds)
                x_t = f.kernel(x, coupling.couple(x, eps, labels), t)
            x = f(x_t, t, labels)
            yield x
