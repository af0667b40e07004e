"""Diffusion pretraining: denoising score matching as EDM does it (arXiv 2206.00364, Table 1)."""

import torch
from torch import Tensor

from vct.couplings.base import Pair
from vct.objectives.base import Levels, Objective
from vct.objectives.ecm import edm_weight
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


class EDM(Objective):
    """f learns the denoiser D(x_t, t) = E[x | x_t]: E w(t) |f(x_t, t) - x|^2, with EDM's scalings.

    t = exp(P_std n + P_mean) with n ~ N(0, 1), and w(t) = (t^2 + sd^2)/(t sd)^2. The result is no
    consistency function: it is sampled by an ODE solver (`vct.samplers.heun`), and ECM can start
    from it.

    Args:
        t_max: T.
        sigma_data: standard deviation of the data.
        p_mean, p_std: mean and standard deviation of ln t.
        clip: whether t is clipped at T, as the linear kernel needs it.
    """

    train_t_min = None

    def __init__(
        self,
        t_max: float,
        sigma_data: float = 0.5,
        p_mean: float = -1.2,
        p_std: float = 1.2,
        clip: bool = False,
    ) -> None:
        self.t_max, self.sigma_data, self.clip = t_max, sigma_data, clip
        self.p_mean, self.p_std = p_mean, p_std

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        n = torch.randn(batch, generator=generator, device=generator.device)
        t = torch.exp(self.p_std * n + self.p_mean)
        if self.clip:
            t = t.clamp(max=self.t_max)
        # No grid and no stages: the objective is the same from first to last step.
        return Levels(t, torch.zeros_like(t), edm_weight(t, self.sigma_data), 1.0, 0)

    def target(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        draw: Draw,
    ) -> Tensor:
        """The data: no teacher is asked."""
        return pair.x

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        """|f - x|^2, summed over all elements."""
        return ((student - teacher) ** 2).flatten(1).sum(dim=1)
