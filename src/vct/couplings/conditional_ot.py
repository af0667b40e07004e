"""Minibatch transport that keeps classes apart (C²OT, arXiv 2503.10636)."""

from typing import Literal

import torch
from torch import Tensor

from vct.couplings.base import Coupling
from vct.couplings.minibatch_ot import best_permutation
from vct.couplings.sinkhorn import centred


class ConditionalOT(Coupling):
    """Permutes the noise of a batch as transport does that pays for noise which changes its class.

    Each noise has the class of the data point that it was drawn for, and
    sum |x_i - T eps_pi(i)|^2 / 2T + w s #{i: the class of eps_pi(i) is not that of x_i} is least,
    where s is the spread of <x_i, eps_j>. Plain transport pairs a class with the noise that lies
    towards it, so that p(z | class) is not N(0, I) any more, from which a conditional model is
    sampled all the same; here the price w of such pairs is chosen. Without labels it is
    `vct.couplings.minibatch_ot.MinibatchOT`.

    Args:
        weight: w >= 0, in the unit of `vct.couplings.sinkhorn.Sinkhorn`, so that it means the same
            for every dimension and scale of the data. 0 is plain transport, a large one transport
            within each class.
        over, pool: see `vct.couplings.minibatch_ot.MinibatchOT`.
    """

    plans_ahead = True

    def __init__(
        self, weight: float = 1.0, over: Literal["batch", "device"] = "batch", pool: int = 1
    ) -> None:
        super().__init__()
        self.weight, self.scope, self.pool = weight, over, pool

    @torch.no_grad()
    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The permuted eps; NaN if some <x_i, eps_j> is not finite, as then none is best."""
        gain = (x.flatten(1) @ eps.flatten(1).T).double()
        if labels is not None:
            which = labels.argmax(dim=1)
            spread = centred(gain).std(correction=0)
            gain = gain - self.weight * spread * (which[:, None] != which)
        plan = best_permutation(gain)
        return torch.full_like(eps, torch.nan) if plan is None else eps[plan]
