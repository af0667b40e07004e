"""Easy consistency models (ECM, "Consistency Models Made Easy", arXiv 2406.14548)."""

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from vct.misfit import one_of
from vct.objectives.base import Levels, Objective
from vct.schedules import ecm_lower_time, ecm_stage


class ECM(Objective):
    """Lognormal t and a lower time r(t) that closes in on t stage by stage.

    Args:
        t_max: T.
        sigma_data: standard deviation of the data, for the "edm" weight.
        q, stages, kappa, b: see `vct.schedules.ecm_lower_time`.
        c: constant of the pseudo-Huber norm; 0 is the plain L2 norm.
        t_min: where f is the identity when sampling; training uses the plain scalings.
        p_mean, p_std: mean and standard deviation of ln t.
        weight: "consistency", 1/(t - r), or "edm", (t^2 + sd^2)/(t sd)^2.
        clip: whether t is clipped at T, as the linear kernel needs it.
    """

    train_t_min = None

    def __init__(
        self,
        t_max: float,
        sigma_data: float = 0.5,
        q: float = 2.0,
        stages: int = 8,
        kappa: float = 8.0,
        b: float = 1.0,
        c: float = 0.0,
        t_min: float = 0.003,
        p_mean: float = -1.1,
        p_std: float = 2.0,
        weight: Literal["consistency", "edm"] = "consistency",
        clip: bool = False,
    ) -> None:
        one_of("ECM.weight", weight, ("consistency", "edm"))
        self.t_max, self.sigma_data = t_max, sigma_data
        self.q, self.stages, self.kappa, self.b = q, stages, kappa, b
        self.c, self.t_min = c, t_min
        self.p_mean, self.p_std = p_mean, p_std
        self.edm_weight = weight == "edm"
        self.clip = clip

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        n = torch.randn(batch, generator=generator, device=generator.device)
        return self.levels_at(step, total, n)

    def levels_at(self, step: int, total: int, n: Tensor) -> Levels:
        """Levels for standard normal n (B,): t = exp(P_std n + P_mean)."""
        t = torch.exp(self.p_std * n + self.p_mean)
        if self.clip:
            t = t.clamp(max=self.t_max)
        stage = ecm_stage(step, total, self.stages)
        r = self.lower_time(t, stage)
        if self.edm_weight:
            return Levels(t, r, edm_weight(t, self.sigma_data), 1.0, stage)
        return Levels(t, r, 1 / (t - r), self._kl_scale(stage), stage)

    @cache  # noqa: B019 (an objective lives as long as its training)
    def _kl_scale(self, stage: int) -> float:
        """1 / (T - r(T)), the weight of a distance at the highest level."""
        end = torch.tensor(self.t_max)
        return 1 / float(end - self.lower_time(end, stage))

    def lower_time(self, t: Tensor, stage: int) -> Tensor:
        """r(t) of any shape at stage a."""
        return ecm_lower_time(t, stage, self.q, self.kappa, self.b)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """sqrt(|f_t - f_r|^2 + c^2) - c over all elements."""
        squared = ((student - teacher) ** 2).flatten(1).sum(dim=1)
        if self.c == 0:
            # The norm has no derivative at zero; the tiny constant makes it zero there.
            return torch.sqrt(squared + torch.finfo(squared.dtype).tiny)
        return torch.sqrt(squared + self.c**2) - self.c


def edm_weight(t: Tensor, sigma_data: float) -> Tensor:
    """(t^2 + sd^2) / (t sd)^2 (EDM, table 1)."""
    return (t**2 + sigma_data**2) / (t * sigma_data) ** 2
