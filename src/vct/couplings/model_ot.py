"""Transport between data and what the model makes of noise."""

import torch
from torch import Tensor

from vct.couplings.base import Coupling, Pair, PairingContext
from vct.couplings.minibatch_ot import MinibatchOT, assignment


class ModelOT(Coupling):
    """Gives each data point the noise of which the averaged model already makes something like it.

    The noise of a pool is permuted so that sum |x_i - f_ema(T eps_pi(i), T)|^2 is least. With the
    VE kernel an f whose network answers next to nothing is in proportion to eps, so the first plan
    is that of minibatch optimal transport; later ones follow what the network finds easy to make of
    noise, in place of a straight line. Data and noise keep their distributions, since each is used
    once; with labels, noise is permuted within each class, so they do so in each class too.

    It costs one call of the network without gradients for each sample; a plan costs O(pool^2) more
    per step, and half a minute for 8,192 pairs.

    Args:
        t_max: T.
        pool: number of batches that are solved together, with the model as it is at the first.
    """

    def __init__(self, t_max: float, pool: int = 16) -> None:
        super().__init__()
        self.t_max, self.pool = t_max, pool

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """As in minibatch transport: a call of the network would make the sampler's step dearer."""
        return MinibatchOT().couple(x, eps)

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        def made(eps: Tensor, labels: Tensor | None) -> Tensor:
            t = eps.new_full((len(eps),), self.t_max)
            return context.averaged(context.kernel(torch.zeros_like(eps), eps, t), t, labels)

        def couple(x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
            return permuted(x, context.divided(made, eps, labels), eps, labels)

        z = context.whole(couple, x, eps, context.labels)
        return Pair(x, z, x.new_zeros(len(x)))


def permuted(x: Tensor, made: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
    """eps (B, ...) in the order in which `made` (B, ...), which is made of it, is nearest to x,
    within each class of the one-hot labels (B, K); NaN if some <x_i, made_j> is not finite."""
    which = x.new_zeros(len(x), dtype=torch.int64) if labels is None else labels.argmax(dim=1)
    z = torch.full_like(eps, torch.nan)
    for label in which.unique():
        (mine,) = torch.nonzero(which == label, as_tuple=True)
        # The squared norms do not depend on the permutation.
        plan = assignment(x[mine], made[mine].to(x.dtype))
        if plan is None:
            return torch.full_like(eps, torch.nan)
        z[mine] = eps[mine[plan]]
    return z
