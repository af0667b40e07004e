"""Independent pairs of which each counts as a Gibbs factor says (weighted conditional flow
matching, arXiv 2507.22270)."""

import math

import torch
from torch import Tensor

from vct.couplings.base import Coupling, Pair, PairingContext


class Weighted(Coupling):
    """Leaves the noise as it is, and lets pairs count the more, the less their transport costs.

    The loss of (x, z) is multiplied by w = exp(<x, z>/tau - |x|^2/2 tau^2), tau = entropy
    sigma_data sqrt(D), which is the factor exp(-|x - z|^2/2 tau) of an entropic plan without what
    depends on z alone, divided by its mean over z: E[w | x] = 1. So each x counts equally, and
    training is, in the mean, that with z ~ N(x / tau, I): the marginal of z is tilted towards the
    data, as `vct.diagnostics.marginal` shows, and sampling starts from N(0, I) all the same. Of the
    effective pairs of a batch a share of E[w^2 | x]^-1 = exp(-|x|^2 / tau^2) is left.

    Args:
        shape: (C, H, W) of the data, whose product is D.
        sigma_data: standard deviation of the data.
        entropy: > 0; a large one is independent noise. Where it is 1, data of that deviation keep
            exp(-1) = 37 % of the pairs, in any dimension.
    """

    scope = "sample"

    def __init__(
        self, shape: tuple[int, int, int], sigma_data: float = 0.5, entropy: float = 1.0
    ) -> None:
        super().__init__(shape, sigma_data)
        self.tau = entropy * sigma_data * math.sqrt(math.prod(shape))

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """z = x / tau + eps, of the law that training has in the mean: a sampler cannot weigh."""
        return x / self.tau + eps

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of that law, with which a prior can be fitted."""
        return x / self.tau, torch.ones_like(x)

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        near = (x * eps).flatten(1).sum(dim=1) / self.tau
        weight = (near - x.flatten(1).square().sum(dim=1) / (2 * self.tau**2)).exp()
        return Pair(x, eps, x.new_zeros(len(x)), weight)
