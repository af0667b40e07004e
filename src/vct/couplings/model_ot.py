"""Transport between data and what the model makes of noise."""

import torch
from torch import Tensor

from vct.couplings.base import Coupling, Pair, PairingContext
from vct.couplings.minibatch_ot import MinibatchOT, assignment, by_class, places_by_class


class ModelOT(Coupling):
    """Gives each data point the noise of which the averaged model already makes something like it.

    The noise of a pool is permuted so that sum |x_i - f_ema(T eps_pi(i), T)|^2 is least. With the
    VE kernel an f whose network answers next to nothing is in proportion to eps, so the first plan
    is that of minibatch optimal transport; later ones follow what the network finds easy to make of
    noise, in place of a straight line. Data and noise keep their distributions, since each is used
    once; with labels, noise is permuted within each class, so they do so in each class too.

    It costs one call of the network without gradients for each noise; a plan of n pairs costs
    O(n^3), half a minute for 8,192. Noise that is used several times shares both among as many
    images: it meets another one, at another t, each time.

    Args:
        t_max: T.
        pool: number of batches that are paired with the model as it is at the first.
        uses: how often a pool uses each of its noises: the noise of the first of `uses` equal parts
            is permuted anew for each part. Where it divides `pool`, no batch has a noise twice, but
            in a last pool that is not full, and with labels.
    """

    def __init__(self, t_max: float, pool: int = 16, uses: int = 1) -> None:
        super().__init__()
        self.t_max, self.pool, self.uses = t_max, pool, uses

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """As in minibatch transport within each class: a call of the network would make the
        sampler's step dearer."""
        return by_class(MinibatchOT(), x, eps, labels)

    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        def made(eps: Tensor, labels: Tensor | None) -> Tensor:
            t = eps.new_full((len(eps),), self.t_max)
            return context.averaged(context.kernel(torch.zeros_like(eps), eps, t), t, labels)

        def couple(x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
            parts = [_parts(mine, self.uses) for mine in places_by_class(eps, labels)]
            # In the order of the batch, whatever the classes are.
            used = torch.cat([noises for noises, _ in parts]).sort().values
            shown = None if labels is None else labels[used]
            answers = torch.empty_like(x)
            answers[used] = context.divided(made, eps[used], shown).to(x.dtype)
            return _permuted(x, answers, eps, parts)

        z = context.whole(couple, x, eps, context.labels)
        return Pair(x, z, x.new_zeros(len(x)))


Parts = tuple[Tensor, tuple[Tensor, ...]]
"""Places of the noises that are used, and of the images of each part: as many, or fewer at last."""


def _parts(mine: Tensor, uses: int) -> Parts:
    size = -(-len(mine) // uses)
    return mine[:size], mine.split(size)


def _permuted(x: Tensor, made: Tensor, eps: Tensor, classes: list[Parts]) -> Tensor:
    """eps (B, ...) in the order in which `made` (B, ...), which is made of it, is nearest to x in
    each part; NaN if some <x_i, made_j> is not finite."""
    z = torch.empty_like(eps)
    for noises, parts in classes:
        for part in parts:
            some = noises[: len(part)]
            # The squared norms do not depend on the permutation.
            plan = assignment(x[part], made[some])
            if plan is None:
                return torch.full_like(eps, torch.nan)
            z[part] = eps[some[plan]]
    return z
