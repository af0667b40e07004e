"""Exponential moving averages of parameters and buffers."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from vct.misfit import Misfit

M = TypeVar("M", bound=nn.Module)


@lru_cache
def power_exponent(width: float) -> float:
    """gamma of the power-function average of relative width w (EDM2, arXiv 2312.02696, eq. 126).

    The largest real root of g^3 + 7 g^2 + (16 - w^-2) g + (12 - w^-2) = 0.
    """
    inverse = width**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(roots[np.abs(roots.imag) < 1e-9].real.max())


def power_decay(step: int, exponent: float) -> float:
    """beta_k = (1 - 1/(k+1))^(gamma+1) at step k (EDM2, eq. 127); 0 at k = 0."""
    return (1 - 1 / (step + 1)) ** (exponent + 1)


def ramped_decay(step: int, decay: float, warm_up: float) -> float:
    """Decay at step k of a constant average whose half-life never exceeds warm_up k; 0 at k = 0.

    EDM's ramp-up (arXiv 2206.00364, Appendix F): early on, the average forgets the start.
    """
    return min(decay, 0.5 ** (1 / (warm_up * step))) if step else 0.0


class Average(ABC, Generic[M]):
    """A module that follows another one.

    Args:
        trained: the module to follow; `module` begins as its copy.
    """

    module: M

    @abstractmethod
    def update(self, step: int) -> None:
        """Move towards the trained module after step k = `step`."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""


def copied(module: nn.Module) -> set[str]:
    """Names of the tensors that averages take over as they are: those of whole numbers, and the
    buffers that a part of the module names in its attribute `unaveraged`."""
    named = [*module.named_parameters(), *module.named_buffers()]
    found = {name for name, tensor in named if not tensor.is_floating_point()}
    for prefix, part in module.named_modules():
        names, kept = getattr(part, "unaveraged", ()), dict(part.named_buffers(recurse=False))
        if isinstance(names, str) or not set(names) <= kept.keys():
            raise Misfit(f"{type(part).__name__}.unaveraged is {names!r}, not names of its buffers")
        found |= {f"{prefix}.{name}".lstrip(".") for name in names}
    return found


class EMA(Average[M]):
    """An exponential average: module <- beta_k module + (1 - beta_k) trained; see `copied`."""

    def __init__(self, trained: M) -> None:
        self.module = copy.deepcopy(trained).eval().requires_grad_(False)
        # Walking through the modules at every step would cost more than a small average.
        mine, theirs, others = _places(self.module), _places(trained), copied(trained)
        pairs = {name: (place(), theirs[name]) for name, place in mine.items()}
        self._floats = [pair for name, pair in pairs.items() if name not in others]
        self._others = [pair for name, pair in pairs.items() if name in others]

    @abstractmethod
    def decay_at(self, step: int) -> float:
        """beta_k of step k = `step`."""

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = self.decay_at(step)
        averages, places = zip(*self._floats, strict=True)
        torch._foreach_lerp_(list(averages), [place() for place in places], 1 - decay)
        for average, place in self._others:
            average.copy_(place())

    def state_dict(self) -> dict[str, Any]:
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state)


class ConstantAverage(EMA[M]):
    """The exponential average of constant decay.

    Args:
        trained: the module to follow.
        decay: beta, in [0, 1).
        warm_up: see `ramped_decay`; None starts with the full decay, which leaves decay^n of the
            initial weights in the average after n steps.
    """

    def __init__(self, trained: M, decay: float, warm_up: float | None = None) -> None:
        super().__init__(trained)
        self.decay, self.warm_up = decay, warm_up

    def decay_at(self, step: int) -> float:
        return self.decay if self.warm_up is None else ramped_decay(step, self.decay, self.warm_up)


class PowerAverage(EMA[M]):
    """EDM2's power-function average (arXiv 2312.02696, Section 3).

    Args:
        trained: the module to follow.
        width: relative width w.
    """

    def __init__(self, trained: M, width: float = 0.1) -> None:
        super().__init__(trained)
        self.exponent = power_exponent(width)

    def decay_at(self, step: int) -> float:
        return power_decay(step, self.exponent)


def _places(module: nn.Module) -> dict[str, Callable[[], torch.Tensor]]:
    """How to look up each tensor by its name: a module may put another one in the place of a
    buffer, `self.mean = 0.9 * self.mean + ...`."""
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for name, _ in (*module.named_parameters(), *module.named_buffers()):
        part, _, last = name.rpartition(".")
        found[name] = partial(getattr, module.get_submodule(part), last)
    return found
