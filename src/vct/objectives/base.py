"""What all objectives share: two noise levels, a student, a teacher, and a distance."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from vct.couplings.base import Pair
from vct.kernels import expand
from vct.misfit import Misfit, check
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


@dataclass(frozen=True)
class Levels:
    """Noise levels of one batch.

    Args:
        t: upper times (B,), the student's.
        r: lower times (B,), the teacher's, 0 <= r < t; where r = 0 the target is x itself. Of an
            objective of two times, where its mean velocity ends, 0 <= r <= t.
        weight: weight of each sample's distance (B,).
        kl_scale: factor of the coupling's kl_weight, so that KL and distance keep their balance
            as the levels close in (VCT, Section 4.3).
        grid_points: N(k) of iCT; the stage a of ECM; 0 where there is neither.
    """

    t: Tensor
    r: Tensor
    weight: Tensor
    kl_scale: float
    grid_points: int

    def __post_init__(self) -> None:
        shape = getattr(self.t, "shape", ())
        check("Levels.t", self.t, shape[:1])
        check("Levels.r", self.r, shape)
        check("Levels.weight", self.weight, shape)

    def part(self, part: slice) -> "Levels":
        """Those of some samples of the batch."""
        return replace(self, t=self.t[part], r=self.r[part], weight=self.weight[part])


@dataclass(frozen=True)
class LossRecord:
    """Loss of one batch.

    Args:
        total: scalar to differentiate: mean of weight * distance + beta KL.
        consistency: mean distance before weighting, detached.
        kl: mean KL in nats, detached.
        each: weight * distance of each sample (B,), detached: it tells which are not finite.
    """

    total: Tensor
    consistency: Tensor
    kl: Tensor
    each: Tensor


class Objective(ABC):
    """A way to train f: where to compare it with itself, and how."""

    t_min: float = 0.0
    """Smallest time; f of the sampler is the identity there."""

    two_times: bool = False
    """Whether f is asked where to go from t to r, which the network then takes as a second time;
    r may be t."""

    clip: bool = True
    """Whether its times stay within T, beyond which a bounded kernel has no meaning."""

    @cached_property
    def train_t_min(self) -> float | None:
        """`t_min` of the scalings in training; None trains with the plain ones. May be set."""
        return self.t_min

    @abstractmethod
    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        """Draw the noise levels of a batch at step k = `step` of K = `total`."""

    @abstractmethod
    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """d (B,) >= 0 between two batches of data points (B, C, H, W)."""

    def loss(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        kl_weight: float,
        draw: Draw,
    ) -> LossRecord:
        """Compare f at both levels of each pair, and weigh what is found.

        Raises:
            Misfit: if the kernel does not have all times that the objective draws.
        """
        if f.kernel.bounded and not self.clip:
            mine, other = type(self).__name__, type(f.kernel).__name__
            raise Misfit(f"{mine} draws times beyond T, where {other} ends; clip them")
        distance = self.compared(f, pair, levels, labels, draw)
        check(f"{type(self).__name__}.distance", distance, levels.t.shape)
        each = self.weighted(distance, levels)
        if pair.weight is not None:
            each = pair.weight * each
        kl = pair.kl.mean()
        total = each.mean() + kl_weight * levels.kl_scale * kl
        return LossRecord(total, distance.mean().detach(), kl.detach(), each.detach())

    def weighted(self, distance: Tensor, levels: Levels) -> Tensor:
        """What each distance (B,) adds to the loss."""
        return levels.weight * distance

    def compared(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        """Distance (B,) of the student from its target.

        Student and teacher use the same weights, the same (x, z) and the same dropout mask, which
        is of `draw`; the teacher runs without gradient.
        """
        student = self.student(f, pair, levels, labels, draw)
        return self.distance(student, self.target(f, pair, levels, labels, draw))

    def student(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        """The answer (B, C, H, W) at the upper level, which is trained."""
        second = {"r": levels.r} if self.two_times else {}
        with draw.dropout("network"):
            return f(f.kernel(pair.x, pair.z, levels.t), levels.t, labels, **second)

    def target(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        """What the student is compared with (B, C, H, W): the teacher's answer, and x at r = 0."""
        x, z = pair.x, pair.z
        with torch.no_grad(), draw.dropout("network"):
            # ln(0) would spoil the batch where r = 0; there the teacher's answer is not used.
            safe = torch.where(levels.r > 0, levels.r, levels.t)
            teacher = f(f.kernel(x, z, safe), safe, labels)
            return torch.where(expand(levels.r > 0, x), teacher, x)
