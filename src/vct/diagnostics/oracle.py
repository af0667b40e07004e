"""The oracle: what a perfect model answers where everything is a mixture of Gaussians.

A component i of share p_i has x ~ N(x_i, spread_i^2) and z ~ N(mu_i, std_i^2), independent of each
other and with independent dimensions. So x_t = s(t) x + t z is Gaussian too, of mean
m_i = s x_i + t mu_i and variance v_i = s^2 spread_i^2 + t^2 std_i^2, and all that training
regresses on has a closed form. Finite data are components without spread. With the independent
coupling (mu = 0, std = 1) and VE, -t^2 log p(x_t) is, up to a constant, the energy of a modern
Hopfield network that stores the x_i at inverse temperature 1/t^2 (arXiv 2309.17290).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vct import tangents
from vct.diagnostics.times import one_time
from vct.kernels import Kernel

ENTRIES = 2**22
"""Numbers of the largest table that is made at once, samples by components."""


@dataclass(frozen=True)
class Oracle:
    """Exact answers at x_t (B, ...), in double precision and in blocks; see `finite`, `mixture`.

    Answers are differentiable in x_t. t is a number or (B,) equal numbers, in (0, T]; it may be 0
    where every component has a spread.

    Args:
        kernel: makes x_t.
        x: middles of the components (N, D).
        mu, std, spread: of a shape that broadcasts to (N, D), with two dimensions.
        shares: p_i (N,), which sum to 1.
    """

    kernel: Kernel
    x: Tensor
    mu: Tensor
    std: Tensor
    spread: Tensor
    shares: Tensor

    def posterior(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """p(i | x_t), (B, N)."""
        _, mean, variance = self._at(t)
        return torch.cat([self._joint(x, mean, variance).softmax(1) for x in self._blocks(x_t)])

    def log_density(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """log p(x_t) at time t, (B,)."""
        _, mean, variance = self._at(t)
        return torch.cat([self._joint(x, mean, variance).logsumexp(1) for x in self._blocks(x_t)])

    def score(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """The gradient of log p(x_t), of the shape of x_t."""
        _, _, variance = self._at(t)
        return self._mean(x_t, t, torch.zeros_like(self.mu), -1 / variance)

    def denoise(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """E[x | x_t], of the shape of x_t."""
        s, _, variance = self._at(t)
        return self._mean(x_t, t, self.x, s * self.spread**2 / variance)

    def noise(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """E[z | x_t], of the shape of x_t."""
        _, _, variance = self._at(t)
        return self._mean(x_t, t, self.mu, one_time(t).to(self.x) * self.std**2 / variance)

    def velocity(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """E[dx_t/dt | x_t] = E[z | x_t] + s'(t) E[x | x_t]: the flow that keeps p(x_t), in the
        shape of x_t (flow matching, arXiv 2210.02747; s' is 0 for VE and -1/T for LI)."""
        time = one_time(t).to(self.x)
        _, slope = tangents.derivative(self.kernel.data_scale, (time,), (torch.ones_like(time),))
        s, _, variance = self._at(t)
        gain = (time * self.std**2 + slope * s * self.spread**2) / variance
        return self._mean(x_t, t, self.mu + slope * self.x, gain)

    def _at(self, t: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """s (), m (N, D), and v, which broadcasts to (N, D)."""
        time = one_time(t).to(self.x)
        s = self.kernel.data_scale(time)
        return s, s * self.x + time * self.mu, (s * self.spread) ** 2 + (time * self.std) ** 2

    def _blocks(self, x_t: Tensor) -> Iterator[Tensor]:
        yield from x_t.flatten(1).to(self.x).split(max(1, ENTRIES // max(self.x.shape)))

    def _joint(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """log p_i + log N(x; m_i, v_i), (B, N), for x (B, D)."""
        # The square is expanded, to be a product of matrices; around a middle it loses few digits.
        middle = mean.mean(dim=0)
        x, mean, precision = x - middle, mean - middle, 1 / variance
        squares = x.square()
        if precision.shape[1] == 1:
            squares = squares.sum(dim=1, keepdim=True)
        distance = squares @ precision.T - 2 * x @ (mean * precision).T
        distance = distance + (mean.square() * precision).sum(dim=1)
        volume = (2 * math.pi * variance).log().expand(-1, x.shape[1]).sum(dim=1)
        return self.shares.log() - (distance + volume) / 2

    def _mean(self, x_t: Tensor, t: float | Tensor, offset: Tensor, gain: Tensor) -> Tensor:
        """sum_i p(i | x_t) (offset_i + gain_i (x_t - m_i)), of the shape of x_t."""
        _, mean, variance = self._at(t)
        constant, gain = offset - gain * mean, gain.expand(len(self.x), -1)
        parts = []
        for x in self._blocks(x_t):
            weights = self._joint(x, mean, variance).softmax(dim=1)
            parts.append(weights @ constant + weights @ gain * x)
        return torch.cat(parts).reshape(x_t.shape)


def finite(
    kernel: Kernel, x: Tensor, mu: Tensor | None = None, std: Tensor | None = None
) -> Oracle:
    """The oracle of data x (N, ...) of equal shares, whose noise has mean `mu` and standard
    deviation `std`, of the shape of x (`Coupling.posterior`); None is the independent coupling."""
    points = x.flatten(1).double()
    one = points.new_ones(1, 1)
    mu = one * 0 if mu is None else mu.flatten(1).to(points)
    std = one if std is None else std.flatten(1).to(points)
    return Oracle(kernel, points, mu, std, one * 0, points.new_full((len(x),), 1 / len(x)))


def mixture(kernel: Kernel, means: Tensor, std: float, shares: Tensor | None = None) -> Oracle:
    """The oracle of a mixture of Gaussians N(means_i, std^2 I), means (N, D), under the independent
    coupling; equal shares unless `shares` (N,) are given."""
    points, count = means.double(), len(means)
    one = points.new_ones(1, 1)
    shares = points.new_full((count,), 1 / count) if shares is None else shares.to(points)
    return Oracle(kernel, points, one * 0, one, one * std, shares)
