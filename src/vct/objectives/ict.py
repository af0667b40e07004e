"""Improved consistency training (iCT, arXiv 2310.14189)."""

import math
from typing import Literal

import torch
from torch import Tensor

from vct.couplings.base import Pair
from vct.misfit import one_of
from vct.objectives.base import Levels, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw
from vct.schedules import grid_points, interval_probabilities, karras_grid


class ICT(Objective):
    """Neighbouring points of a time grid that grows finer as training goes on.

    Args:
        t_max: T, the last point of the grid.
        s0, s1: first and last number of intervals.
        rho: exponent of the grid.
        t_min: first point of the grid.
        p_mean, p_std: mean and standard deviation of ln t of the lognormal over the intervals.
        huber_c: c of the distance is huber_c sqrt(D), D the dimension of the data.
        distance: "per-element" sums the pseudo-Huber sqrt(d^2 + c^2) - c over the elements, as the
            published VCT code does; "norm" applies it to the vector norm, as the iCT paper does
            (eq. 8); "cauchy" is log(1 + |d|^2 / 2 c^2), on which outliers pull the less the
            farther they are (arXiv 2502.01441).
        c_power: c falls with the number of intervals, as (s0 / (N-1))^c_power: neighbours of a
            finer grid differ less, in proportion for 1 (that paper's adaptive c, by a power of
            ours).
        diffusion: weight of |f - x|^2, which is added at the times next to the data (that paper's
            early diffusion loss).
        early: share of the intervals where it is added.
    """

    def __init__(
        self,
        t_max: float,
        s0: int = 10,
        s1: int = 1280,
        rho: float = 7.0,
        t_min: float = 0.002,
        p_mean: float = -1.1,
        p_std: float = 2.0,
        huber_c: float = 0.00054,
        distance: Literal["per-element", "norm", "cauchy"] = "per-element",
        c_power: float = 0.0,
        diffusion: float = 0.0,
        early: float = 0.25,
    ) -> None:
        one_of("ICT.distance", distance, ("per-element", "norm", "cauchy"))
        self.t_max, self.s0, self.s1, self.rho = t_max, s0, s1, rho
        self.p_mean, self.p_std = p_mean, p_std
        self.huber_c, self.kind, self.c_power = huber_c, distance, c_power
        self.t_min, self.diffusion, self.early = t_min, diffusion, early
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self._last: dict[int, float] = {}

    def grid(self, n: int) -> Tensor:
        """The time grid (n,) from t_min to T."""
        return karras_grid(n, self.t_min, self.t_max, self.rho)

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        n = grid_points(step, total, self.s0, self.s1)
        grid, probabilities = self._tables(n, generator.device)
        index = torch.multinomial(probabilities, batch, replacement=True, generator=generator)
        return self.levels_at(grid, index)

    def _tables(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Grid and probabilities of its intervals; N(k) changes a few times in a training."""
        if n not in self._cache:
            grid = self.grid(n)
            probabilities = interval_probabilities(grid, self.p_mean, self.p_std)
            self._cache = {n: (grid.to(device), probabilities.to(device))}
        return self._cache[n]

    def levels_at(self, grid: Tensor, index: Tensor) -> Levels:
        """Levels of the intervals [t_i, t_{i+1}] with i = `index` (B,) of `grid` (N,)."""
        t, r = grid[index + 1], grid[index]
        return Levels(t, r, 1 / (t - r), 1 / self._last_interval(len(grid)), len(grid))

    def _last_interval(self, n: int) -> float:
        """t_{N-1} - t_{N-2}, from the CPU so as not to wait for the GPU."""
        if n not in self._last:
            grid = self.grid(n)
            self._last = {n: float(grid[-1] - grid[-2])}
        return self._last[n]

    def compared(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        student = self.student(f, pair, levels, labels, draw)
        target = self.target(f, pair, levels, labels, draw)
        shrunk = {}
        if self.c_power:  # a distance of one's own, and levels without a grid, need not know of it
            shrunk["finer"] = (self.s0 / (levels.grid_points - 1)) ** self.c_power
        distance = self.distance(student, target, **shrunk)
        if self.diffusion:
            # Times t - r, since the distance is divided by it.
            gap = torch.where(levels.t <= self.latest, levels.t - levels.r, 0)
            off = (student - pair.x).square().flatten(1).sum(dim=1)
            distance = distance + self.diffusion * gap * off
        return distance

    @property
    def latest(self) -> float:
        """Time up to which the diffusion loss is added: the share `early` of any grid."""
        low, high = (time ** (1 / self.rho) for time in (self.t_min, self.t_max))
        return float((low + self.early * (high - low)) ** self.rho) * (1 + 1e-6)

    def distance(self, student: Tensor, teacher: Tensor, finer: float = 1.0) -> Tensor:
        """Pseudo-Huber (iCT, eq. 8) or Cauchy distance with c = huber_c sqrt(D) `finer`."""
        difference = (student - teacher).flatten(1)
        c = self.huber_c * math.sqrt(difference.shape[1]) * finer
        if self.kind == "per-element":
            return (torch.sqrt(difference**2 + c**2) - c).sum(dim=1)
        squared = (difference**2).sum(dim=1)
        if self.kind == "cauchy":
            return torch.log1p(squared / (2 * c**2))
        return torch.sqrt(squared + c**2) - c
