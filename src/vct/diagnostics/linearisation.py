"""The Jacobian of f(., t) at a point, as a matrix or in products."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Function = Callable[[Tensor, Tensor], Tensor]
"""f(x, t) for x (B, ...) and t (B,), of the shape of x; a sample's answer depends on it alone."""

BLOCK = 64
"""Directions that are sent through f at once."""


@dataclass(frozen=True)
class Linearisation:
    """J = df/dx at a point; directions are rows of (K, D), with D = x.numel().

    Args:
        f: differentiable in x.
        x: one point (...), without a dimension for samples.
        t: its time.
    """

    f: Function
    x: Tensor
    t: float

    def matrix(self) -> Tensor:
        """J (D, D), J_ij = df_i/dx_j."""
        return self.vjp(torch.eye(self.x.numel(), dtype=self.x.dtype, device=self.x.device))

    def jvp(self, directions: Tensor) -> Tensor:
        """J v for each row v: (K, D)."""

        def block(some: Tensor) -> Tensor:
            x, like = self._copies(len(some)), some.reshape(-1, *self.x.shape)
            return torch.func.jvp(self._f, (x,), (like.to(x),))[1]

        return self._blocks(block, directions)

    def vjp(self, directions: Tensor) -> Tensor:
        """J^T u for each row u: (K, D)."""

        def block(some: Tensor) -> Tensor:
            answer, back = torch.func.vjp(self._f, self._copies(len(some)))[:2]
            return back(some.reshape(answer.shape).to(answer))[0]

        return self._blocks(block, directions)

    def _f(self, x: Tensor) -> Tensor:
        return self.f(x, x.new_full((len(x),), self.t))

    def _copies(self, count: int) -> Tensor:
        return self.x.repeat(count, *[1] * self.x.ndim)

    def _blocks(self, product: Callable[[Tensor], Tensor], directions: Tensor) -> Tensor:
        # The fused kernels of attention have no forward derivative.
        with sdpa_kernel(SDPBackend.MATH):
            parts = [product(some).detach().flatten(1) for some in directions.split(BLOCK)]
        return torch.cat(parts)
