"""Running moments of the noise that a coupling gives, and the divergence from a Gaussian of them.

E_x KL(q(z|x) || N(m, C)) with m and C the moments of the aggregate posterior q(z) = E_x q(z|x) is
the information that z tells about x, plus what q is from being Gaussian. Neither depends on the
scale of z, or on that of any direction: noise could vanish wherever data vary, and consistency
would cost nothing. So the Gaussian is that of a mixture of q and the standard normal law, with
share a ("anchor") of the latter:

    m_a = (1 - a) m,    C_a = (1 - a) C + a I + a (1 - a) m m^T.

It is the nearest one to that mixture, and N(0, I) for a = 1. Where m = 0, the divergence pulls the
variance s of a principal direction towards 1 with derivative (1/c - 1/s) / 2 = a (s - 1) / (2 s c),
c = (1 - a) s + a: a / c times as hard as N(0, I) does. Correlations are held as loosely.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

FULL = 1024
"""Most dimensions D for which the whole covariance is kept, whose inverse takes D^3 operations a
step; beyond, its diagonal."""
RATE = 0.01
"""Weight of the newest batch."""


class RunningMoments(nn.Module):
    """Mean and covariance of z ~ q(z), averaged over the past; they begin as those of N(0, I).

    Args:
        size: number of dimensions D.
        anchor: a, in (0, 1].
        rate: weight of the newest batch, in (0, 1].
        full: up to so many dimensions the covariance is whole, beyond it is diagonal.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(
        self, size: int, anchor: float = 0.1, rate: float = RATE, full: int = FULL
    ) -> None:
        super().__init__()
        self.anchor, self.rate, self.whole = anchor, rate, size <= full
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("covariance", torch.eye(size) if self.whole else torch.ones(size))

    def gaussian(self) -> tuple[Tensor, Tensor]:
        """m_a (D,) and C_a, (D, D) or its diagonal (D,), in double precision."""
        kept, mean = 1 - self.anchor, self.mean.double()
        shift = torch.outer(mean, mean) if self.whole else mean.square()
        one = torch.ones_like(mean)
        one = one.diag() if self.whole else one
        covariance = kept * (self.covariance.double() + self.anchor * shift) + self.anchor * one
        return kept * mean, covariance

    def divergence(self, mean: Tensor, std: Tensor) -> Tensor:
        """KL(N(mean, std^2) || N(m_a, C_a)) (B,) in nats, for mean and std (B, ...)."""
        centre, covariance = self.gaussian()
        if self.whole:
            # Without a look at values, which a GPU would be waited for: C_a >= a I.
            factor = torch.linalg.cholesky_ex(covariance).L
            inverse = torch.cholesky_inverse(factor).to(mean)
            size, diagonal = 2 * factor.diagonal().log().sum(), inverse.diagonal()
        else:
            inverse = diagonal = covariance.reciprocal().to(mean)
            size = covariance.log().sum()
        off, std = mean.flatten(1) - centre.to(mean), std.flatten(1)
        spread = off @ inverse if self.whole else off * inverse
        each = 0.5 * (off * spread + std**2 * diagonal - 1) - torch.log(std)
        return each.sum(dim=1) + 0.5 * size.to(mean)

    @torch.no_grad()
    def update(self, mean: Tensor, std: Tensor, add: Callable[[Tensor], None]) -> None:
        """Take in the posteriors N(mean, std^2) of a batch; not if some number is not finite.

        Args:
            mean, std: (B, ...), of this process's share of the batch.
            add: replaces a tensor by its sum over the processes, which then hold the same moments.
        """
        off = mean.flatten(1).double() - self.mean
        noise = std.flatten(1).double().square().sum(dim=0)
        second = off.T @ off + noise.diag() if self.whole else off.square().sum(dim=0) + noise
        sums = torch.cat([off.sum(dim=0), second.flatten(), off.new_tensor([len(off)])])
        add(sums)
        shift, second = (sums[:-1] / sums[-1]).split([len(self.mean), second.numel()])
        # Of the mixture of the past and the batch, about the new mean.
        moved = torch.outer(shift, shift) if self.whole else shift.square()
        change = second.view_as(moved) - self.covariance - self.rate * moved
        finite = sums.isfinite().all()
        for kept, step in ((self.mean, shift), (self.covariance, change)):
            kept.copy_(torch.where(finite, kept + self.rate * step, kept))
