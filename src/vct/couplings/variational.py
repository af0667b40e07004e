"""Variational noise coupling (VC): an encoder learns the noise of each image (VCT, Section 4)."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vct.couplings.base import Coupling, Pair, PairingContext, Scope, alone
from vct.misfit import Misfit, check, one_of
from vct.moments import RunningMoments

MIN_STD = 1e-6
"""Below it softplus would underflow, and KL be infinite."""


class Variational(Coupling):
    """z = mu(x) + std(x) eps with q(z|x) = N(mu, std^2) from an encoder, trained jointly with F.

    Over a base, eps is the noise that the base gives x, such as that of minibatch transport; the KL
    term stays that of N(mu, std^2), which is then no law of z.

    Args:
        encoder: network G(x, c_noise, labels) with 2C output channels; its time input is 0, and
            in a conditional training it sees the labels, as the published one does.
        kl_weight: weight of the divergence from the prior, before the objective's schedule.
        sigma_data: the encoder sees x / sigma_data.
        initial_std: std(x) of an encoder whose output is zero. The published encoder has
            softplus(0) = ln 2; 1 starts at the prior, with a KL near zero.
        prior: what q(z|x) is held near to: "standard" is N(0, I), the published choice; "moments"
            a Gaussian with the running moments of z (`vct.moments`), in training one for all
            classes. Sampling should then start from the fitted prior (`vct.priors`).
        anchor: share of N(0, I) in the latter, in (0, 1].
        shape: (C, H, W) of the data, which "moments" needs.
        base: gives eps, a coupling that learns nothing; None is independent noise.
    """

    scope: Scope = "sample"
    learns_apart = True

    def __init__(
        self,
        encoder: nn.Module,
        kl_weight: float,
        sigma_data: float = 0.5,
        initial_std: float = 1.0,
        prior: Literal["standard", "moments"] = "standard",
        anchor: float = 0.1,
        shape: tuple[int, int, int] | None = None,
        base: Coupling | None = None,
    ) -> None:
        super().__init__(shape, sigma_data)
        self.base = base
        if base is not None:
            learns = next(base.parameters(), None) is not None or base.kl_weight
            if learns or base.scope == "device" or base.from_data or prior != "standard":
                raise Misfit(
                    "a base of Variational must learn nothing, pair the whole batch or each sample "
                    "alone, and start from noise; moments go with none"
                )
            self.scope, self.pool, self.keeps_data = base.scope, base.pool, base.keeps_data
        self.encoder = encoder
        self.kl_weight = kl_weight
        one_of("Variational.prior", prior, ("standard", "moments"))
        self.shift = math.log(math.expm1(initial_std))
        self.moments = self._moments(anchor) if prior == "moments" else None
        self._shown: dict[int, tuple[Tensor, Tensor]] = {}

    def _moments(self, anchor: float) -> RunningMoments:
        if self.shape is None:
            raise Misfit('Variational needs the shape of the data for prior "moments"')
        return RunningMoments(math.prod(self.shape), anchor)

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """mu(x), std(x) >= MIN_STD of q(z|x), each of the shape of x; None over a base, whose noise
        depends on x too."""
        return self.encoded(x, labels) if self.base is None else None

    def encoded(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """mu(x), std(x) >= MIN_STD, each of the shape of x."""
        time = torch.zeros(len(x), device=x.device)
        raw = self.encoder((x / self.sigma_data).float(), time, labels)
        both = len(x), 2 * x.shape[1], *x.shape[2:]
        check(f"the answer of {type(self.encoder).__name__}, an encoder,", raw, both)
        mean, raw_std = raw.to(x.dtype).chunk(2, dim=1)
        return mean, functional.softplus(raw_std + self.shift).clamp(min=MIN_STD)

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        mean, std = self.encoded(x, labels)
        return mean + std * (eps if self.base is None else self.base.couple(x, eps, labels))

    def start(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        return eps if self.base is None else self.base.start(eps, labels)

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        weight = None
        if self.base is not None:
            under = self.base.pair(x, eps, context)
            x, eps, weight = under.x, under.z, under.weight
        with context.draw.dropout("encoder"):
            mean, std = self.encoded(x, context.labels)
        if self.moments is None:
            return Pair(x, mean + std * eps, gaussian_kl(mean, std), weight)
        # By place in the batch: samples that are paired anew replace themselves.
        self._shown[context.draw.start] = mean.detach(), std.detach()
        return Pair(x, mean + std * eps, self.moments.divergence(mean, std))

    def settle(self, add: Callable[[Tensor], None] = alone) -> None:
        """Take the posteriors of the step into the running moments, in the order of the batch."""
        if self.base is not None:
            self.base.settle(add)
        if self.moments is not None and self._shown:
            parts = [self._shown[start] for start in sorted(self._shown)]
            mean, std = (torch.cat(each) for each in zip(*parts, strict=True))
            self.moments.update(mean, std, add)
            self._shown.clear()

    @torch.no_grad()
    def summary(self, x: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Mean over dimensions of the variance of the aggregate posterior E_x q(z|x), as if the
        noise of a base did not depend on x.

        Sampling starts from N(0, I): far from 1, the model is asked for what it was not trained on.
        """
        places = [slice(start, start + 500) for start in range(0, len(x), 500)]
        parts = [self.encoded(x[at], None if labels is None else labels[at]) for at in places]
        mean = torch.cat([part[0] for part in parts]).double()
        std = torch.cat([part[1] for part in parts]).double()
        variance = mean.var(dim=0, correction=0) + (std**2).mean(dim=0)
        return {"aggregate_variance": float(variance.mean())}


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, I)) (B,) in nats, summed over all but the first dimension."""
    each = 0.5 * (mean**2 + std**2 - 1) - torch.log(std)
    return each.flatten(1).sum(dim=1)
