"""Transition kernels: how a data point x and its noise z become x_t.

`ve` is the variance exploding kernel of EDM, `li` the linear interpolation of flow matching
(VCT, Section 3 and Appendix A). Times lie in [t_min, t_max], t_max = T.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vct import tangents


def expand(t: Tensor, like: Tensor) -> Tensor:
    """t (B,) shaped to multiply `like` (B, ...)."""
    return t.reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Kernel(ABC):
    """x_t = s(t) x + t z, with the data scale s(t).

    Args:
        t_max: T, the time at which x_t is (nearly) noise.
    """

    t_max: float = 80.0

    bounded: ClassVar[bool] = False
    """Whether times beyond T have no meaning."""

    @abstractmethod
    def data_scale(self, t: Tensor) -> Tensor:
        """s(t), the factor of x, for t of any shape."""

    @abstractmethod
    def boundary_scale(self, t: Tensor, t_min: float) -> Tensor:
        """s_b(t), s moved so that it is one at t_min: used by the boundary scalings."""

    def origin_scale(self, t: Tensor) -> Tensor:
        """s(t) - t s'(t): the tangent of a path at t comes from this times x at time 0, so that
        t dx_t/dt = x_t - (s - t s') x. It is one where paths are straight lines."""
        s, slope = tangents.derivative(self.data_scale, (t,), (torch.ones_like(t),))
        return s - t * slope

    def __call__(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """x_t (B, ...) from data x (B, ...), noise z (B, ...) and times t (B,)."""
        return expand(self.data_scale(t), x) * x + expand(t, z) * z


class Straight(Kernel):
    """A kernel whose paths are straight lines from x."""

    def origin_scale(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)  # without rounding


class VarianceExploding(Straight):
    """x_t = x + t z (EDM, arXiv 2206.00364)."""

    def data_scale(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def boundary_scale(self, t: Tensor, t_min: float) -> Tensor:
        return torch.ones_like(t)


class LinearInterpolation(Straight):
    """x_t = (1 - t/T) x + t z (flow matching with time t/T and noise T z)."""

    bounded = True

    def data_scale(self, t: Tensor) -> Tensor:
        return 1 - t / self.t_max

    def boundary_scale(self, t: Tensor, t_min: float) -> Tensor:
        return 1 - (t - t_min) / (self.t_max - t_min)
