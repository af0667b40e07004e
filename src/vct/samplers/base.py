"""The interface of a sampler."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # scoring asks for the times, and does without torch
    from torch import Tensor

    from vct.couplings.base import Coupling
    from vct.preconditioning import ConsistencyFunction


_KEY = re.compile(r"(?!snapshot)([A-Za-z]+)([1-9]\d*)")


def parse_key(key: object) -> tuple[str, int] | None:
    """The word and the number of steps of a sampler's result, ("heun", 18); None for others."""
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    return (found[1], int(found[2])) if found else None


class Sampler(ABC):
    """A way from noise to data."""

    schedules: dict[str, list[float]]
    """Times at which the network is asked, for each of the results: a word and a number of steps,
    such as `steps2`."""

    noises: int = 1
    """Base noises that a batch of samples takes."""

    def calls(self, key: str) -> int:
        """How often the network is asked for the result `key` of `schedules`."""
        return len(self.schedules[key])

    @abstractmethod
    def __call__(
        self,
        f: ConsistencyFunction,
        coupling: Coupling,
        noise: Sequence[Tensor],
        labels: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Yield samples (B, C, H, W) for each of `schedules`; who needs the first stops there.

        Args:
            f: f(x_t, t, labels); after training a denoiser, D.
            coupling: pairs samples that are noised again with their noise.
            noise: `noises` tensors (B, C, H, W), in the precision to compute in.
            labels: one-hot (B, K).
        """
