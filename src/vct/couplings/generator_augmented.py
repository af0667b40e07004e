"""Generator-augmented coupling (GC, "Improving Consistency Models with Generator-Augmented Flows",
arXiv 2406.09570)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from vct.couplings.base import Coupling, Pair, PairingContext, alone
from vct.kernels import expand
from vct.misfit import Misfit, one_of


class GeneratorAugmented(Coupling):
    """Replaces some data points by what the averaged model makes of their lower point.

    With probability mu, independently for each sample, x becomes xhat = f_ema(x_r, r), where x_r
    is the lower point of the pair (x, z) of the base coupling; both points of the pair are then
    rebuilt from xhat. Where r = 0 the lower point is x, and so is xhat.

    Args:
        base: gives the noise, any other coupling. Its parameters are trained as without GC.
        mu: probability of a replacement, in [0, 1].
        noise: which z goes with xhat. "keep": the one that the base gave x, the published choice;
            the KL term is that of x. "recouple": the base pairs the batch of x and xhat anew with
            the same eps, so a variational base encodes xhat, whose KL term then counts, and a plan
            of transport may change the noise of every sample. The base pairs within a batch, and
            leaves it its points.
    """

    keeps_data = False

    def __init__(
        self,
        base: Coupling,
        mu: float = 0.5,
        noise: Literal["keep", "recouple"] = "keep",
    ) -> None:
        super().__init__()
        one_of("GeneratorAugmented.noise", noise, ("keep", "recouple"))
        if noise == "recouple" and base.pool > 1:
            raise Misfit(
                "noise: replaced points cannot be paired anew over several batches; choose 'keep'"
            )
        self.base, self.mu, self.recouple = base, mu, noise == "recouple"
        self.kl_weight, self.scope = base.kl_weight, base.scope
        self.independent, self.pool = base.independent, base.pool
        self.learns_apart, self.from_data = base.learns_apart, base.from_data

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The base's noise: what the sampler re-noises is generated already."""
        return self.base.couple(x, eps, labels)

    def start(self, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.base.start(eps, labels)

    def begin(self, y: Tensor, eps: Tensor) -> Tensor:
        return self.base.begin(y, eps)

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        pair = self.base.pair(x, eps, context)
        mixed = torch.where(
            expand(context.draw.uniform("generator-augmented", x) < self.mu, x),
            _generate(pair, context),
            pair.x,
        )
        if self.recouple:
            again = self.base.pair(mixed, eps, context)
            if again.x is not mixed:
                raise Misfit(
                    f"noise: {type(self.base).__name__} chooses the data points, and would undo "
                    "the replacement; choose 'keep'"
                )
            return again
        return replace(pair, x=mixed)

    def settle(self, add: Callable[[Tensor], None] = alone) -> None:
        self.base.settle(add)

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """The base's: its noise is kept where x is replaced."""
        return self.base.posterior(x, labels)

    def summary(self, x: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        return self.base.summary(x, labels)


@torch.no_grad()
def _generate(pair: Pair, context: PairingContext) -> Tensor:
    """f_ema(x_r, r) (B, C, H, W), and x where r = 0; no gradient reaches the coupling."""
    # ln(0) would spoil the batch where r = 0; there the model's answer is not used.
    r = torch.where(context.r > 0, context.r, context.t)
    made = context.averaged(context.kernel(pair.x, pair.z, r), r, context.labels)
    return torch.where(expand(context.r > 0, pair.x), made, pair.x)
