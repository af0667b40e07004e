"""Improved consistency training (iCT, arXiv 2310.14189)."""

import math

import torch
from torch import Tensor

from vct.objectives.base import Levels, Objective
from vct.schedules import grid_points, interval_probabilities, karras_grid


class ICT(Objective):
    """Neighbouring points of a time grid that grows finer as training goes on.

    Args:
        t_max: T, the last point of the grid.
        s0, s1: first and last number of intervals.
        rho: exponent of the grid.
        t_min: first point of the grid.
        p_mean, p_std: mean and standard deviation of ln t of the lognormal over the intervals.
        huber_c: c of the pseudo-Huber distance is huber_c sqrt(D), D the dimension of the data.
        distance: "per-element" sums sqrt(d^2 + c^2) - c over the elements, as the published VCT
            code does; "norm" applies it to the vector norm, as the iCT paper does (eq. 8).
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
        distance: str = "per-element",
    ) -> None:
        self.t_max, self.s0, self.s1, self.rho = t_max, s0, s1, rho
        self.p_mean, self.p_std = p_mean, p_std
        self.huber_c, self.per_element = huber_c, distance == "per-element"
        self.t_min = t_min
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

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Pseudo-Huber distance with c = huber_c sqrt(D) (iCT, eq. 8)."""
        difference = (student - teacher).flatten(1)
        c = self.huber_c * math.sqrt(difference.shape[1])
        if self.per_element:
            return (torch.sqrt(difference**2 + c**2) - c).sum(dim=1)
        return torch.sqrt((difference**2).sum(dim=1) + c**2) - c
