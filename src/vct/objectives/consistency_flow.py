"""Consistency flow matching: velocities that agree along a path (arXiv 2407.02398)."""

import torch
from torch import Tensor

from vct.couplings.base import Pair
from vct.kernels import expand
from vct.objectives.base import Levels, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


class ConsistencyFlow(Objective):
    """f agrees at two near times, and so does the velocity that follows from it.

    The loss is E |f_t - f_r|^2 + alpha |v_t - v_r|^2, where v = T (x_t - f)/t is the velocity in
    time t/T. t is uniform, r = t - gap T; where r is nearer to the data than `near` T, f_t is
    compared with x alone. It is that paper's loss with one segment, which trains a consistency
    function; its segments, at whose ends a path may bend, are not here.

    Args:
        t_max: T.
        gap: distance of the two times, as a share of T.
        near: share of T below which the target is the data; the published code has 0.1.
        alpha: weight of the velocities.
    """

    def __init__(
        self, t_max: float, gap: float = 1e-3, near: float = 0.1, alpha: float = 1e-5
    ) -> None:
        self.t_max, self.gap, self.near, self.alpha = t_max, gap, near, alpha

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        s = torch.rand(batch, generator=generator, device=generator.device)
        t = self.t_max * (self.gap + (1 - self.gap) * s)
        r = t - self.gap * self.t_max
        r = torch.where(r > self.near * self.t_max, r, torch.zeros_like(r))
        return Levels(t, r, torch.ones_like(t), 1.0, 0)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """|f_t - f_r|^2, summed over all elements."""
        return (student - teacher).square().flatten(1).sum(dim=1)

    def compared(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        student = self.student(f, pair, levels, labels, draw)
        teacher = self.target(f, pair, levels, labels, draw)
        # Along a path dx_t/dt is constant, so that v_t - v_r is what both answers are off by.
        off = self._pull(pair.x - student, levels.t) - self._pull(pair.x - teacher, levels.r)
        apart = torch.where(levels.r > 0, off.square().flatten(1).sum(dim=1), 0.0)
        return self.distance(student, teacher) + self.alpha * apart

    def _pull(self, off: Tensor, t: Tensor) -> Tensor:
        """T (x - f)/t, and a number where t is 0."""
        return self.t_max * off / expand(torch.where(t > 0, t, 1.0), off)
