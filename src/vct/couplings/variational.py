"""Variational noise coupling (VC): an encoder learns the noise of each image (VCT, Section 4)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.couplings.base import Coupling, Pair, PairingContext

MIN_STD = 1e-6
"""Below it softplus would underflow, and KL be infinite."""


class Variational(Coupling):
    """z = mu(x) + std(x) eps with q(z|x) = N(mu, std^2) from an encoder, trained jointly with F.

    Args:
        encoder: network G(x, c_noise, labels) with 2C output channels; its time input is 0, and
            in a conditional training it sees the labels, as the published one does.
        kl_weight: weight of KL(q(z|x) || N(0, I)), before the objective's schedule.
        sigma_data: the encoder sees x / sigma_data.
        initial_std: std(x) of an encoder whose output is zero. The published encoder has
            softplus(0) = ln 2; 1 starts at the prior, with a KL near zero.
    """

    scope = "sample"

    def __init__(
        self,
        encoder: nn.Module,
        kl_weight: float,
        sigma_data: float = 0.5,
        initial_std: float = 1.0,
    ) -> None:
        super().__init__(sigma_data=sigma_data)
        self.encoder = encoder
        self.kl_weight = kl_weight
        self.shift = math.log(math.expm1(initial_std))

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu(x), std(x) >= MIN_STD of q(z|x), each of the shape of x."""
        time = torch.zeros(len(x), device=x.device)
        raw = self.encoder((x / self.sigma_data).float(), time, labels).to(x.dtype)
        mean, raw_std = raw.chunk(2, dim=1)
        return mean, functional.softplus(raw_std + self.shift).clamp(min=MIN_STD)

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        mean, std = self.posterior(x, labels)
        return mean + std * eps

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        with context.draw.dropout("encoder"):
            mean, std = self.posterior(x, context.labels)
        return Pair(x, mean + std * eps, gaussian_kl(mean, std))

    @torch.no_grad()
    def summary(self, x: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Mean over dimensions of the variance of the aggregate posterior E_x q(z|x).

        Sampling starts from N(0, I): far from 1, the model is asked for what it was not trained on.
        """
        places = [slice(start, start + 500) for start in range(0, len(x), 500)]
        parts = [self.posterior(x[at], None if labels is None else labels[at]) for at in places]
        mean = torch.cat([part[0] for part in parts]).double()
        std = torch.cat([part[1] for part in parts]).double()
        variance = mean.var(dim=0, correction=0) + (std**2).mean(dim=0)
        return {"aggregate_variance": float(variance.mean())}


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, I)) (B,) in nats, summed over all but the first dimension."""
    each = 0.5 * (mean**2 + std**2 - 1) - torch.log(std)
    return each.flatten(1).sum(dim=1)
