"""Flow matching: a velocity is learned, whatever couples noise and data (arXiv 2210.02747)."""

from typing import Literal

import torch
from torch import Tensor

from vct.misfit import one_of
from vct.objectives.base import Levels
from vct.objectives.edm import EDM


class Flow(EDM):
    """f learns E[x | x_t], judged by the velocity that follows from it.

    The loss is E |u(x_t, t) - dx_t/ds|^2 in time s = t/T, with u = T (x_t - f)/t; where paths
    are straight x_t - x = t dx_t/dt, so it is E (T/t)^2 |f - x|^2, which other kernels have too.
    It is sampled by an ODE solver
    (`vct.samplers.euler`, `vct.samplers.heun`), and is what other couplings straighten.

    Args:
        t_max: T.
        t_min: the least t that is drawn.
        times: "uniform" draws t evenly in [t_min, T]; "logit-normal" draws s with
            logit(s) = P_std n + P_mean, n ~ N(0, 1) (arXiv 2403.03206, Section 3.1).
        p_mean, p_std: mean and standard deviation of logit(s).
    """

    def __init__(
        self,
        t_max: float,
        t_min: float = 0.002,
        times: Literal["uniform", "logit-normal"] = "uniform",
        p_mean: float = 0.0,
        p_std: float = 1.0,
    ) -> None:
        one_of("Flow.times", times, ("uniform", "logit-normal"))
        super().__init__(t_max, p_mean=p_mean, p_std=p_std, clip=True)
        self.least, self.times = t_min, times

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        device = generator.device
        if self.times == "uniform":
            s = torch.rand(batch, generator=generator, device=device)
        else:
            n = torch.randn(batch, generator=generator, device=device)
            s = torch.sigmoid(self.p_std * n + self.p_mean)
        t = self.least + (self.t_max - self.least) * s
        return Levels(t, torch.zeros_like(t), self._weight(t), 1.0, 0)

    def _weight(self, t: Tensor) -> Tensor:
        return (self.t_max / t) ** 2
