"""Entropic minibatch optimal transport coupling (Sinkhorn plans, arXiv 1306.0895)."""

import hashlib
import math
from typing import Literal

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling
from vct.misfit import one_of


class Sinkhorn(Coupling):
    """Draws the noise of each data point from an entropic transport plan of the batch.

    The plan P minimises <P, |x_i - T eps_j|^2> + lambda sum P ln P with uniform marginals; each
    x_i gets one eps_j, drawn with probability B P_ij (Multisample flow matching, arXiv 2304.14772,
    which draws its pairs in the same way). A noise may so go to two data points and another to
    none, but each goes to one on average: the pairs have the marginals of data and noise. The
    smaller lambda is, the nearer the plan is to the exact one; for a large one, the pairs are
    independent.

    Args:
        entropy: lambda, in units of the standard deviation of the cost over the pairs of the
            batch, without the parts that depend on x_i or eps_j alone: so it means the same for
            every T, dimension and scale of the data.
        iterations: most iterations of Sinkhorn's algorithm. The marginals are right after any
            number of them (`feasible`).
        over, pool: see `vct.couplings.minibatch_ot.MinibatchOT`.
    """

    plans_ahead = True

    def __init__(
        self,
        entropy: float = 0.1,
        iterations: int = 100,
        over: Literal["batch", "device"] = "batch",
        pool: int = 1,
    ) -> None:
        super().__init__()
        one_of("Sinkhorn.over", over, ("batch", "device"))
        self.entropy, self.iterations = entropy, iterations
        self.scope, self.pool = over, pool

    @torch.no_grad()
    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """eps (B, C, H, W), drawn from the plan; a function of x and eps alone.

        The draw's seed is a hash of eps, since the sampler has no other key; a cryptographic hash
        says nothing of the size or place of what it hashes. NaN if some <x_i, eps_j> is not finite,
        as in a model that diverged: there is no plan then.
        """
        found = transport_plan(x.flatten(1), eps.flatten(1), self.entropy, self.iterations).cpu()
        if not found.isfinite().all():
            return torch.full_like(eps, torch.nan)
        content = eps.float().contiguous().cpu().numpy().tobytes()
        key = hashlib.blake2b(content, digest_size=16).hexdigest()
        columns = torch.multinomial(found, 1, generator=rng.generator(key, "sinkhorn"))
        return eps[columns[:, 0].to(eps.device)]


def transport_plan(
    x: Tensor, eps: Tensor, entropy: float, iterations: int, tolerance: float = 1e-3
) -> Tensor:
    """P (B, B) >= 0 between x and eps (B, D): rows and columns sum to 1/B; float64.

    Squared norms and T do not change the plan at a given `entropy`, so the cost is -<x_i, eps_j>,
    without its means over rows and columns. The iterations stop early where the marginals are off
    by `tolerance` of their size, root mean square; the rest is mended by `feasible`. All of P is
    NaN if some <x_i, eps_j> is not finite.
    """
    cost = centred(-(x.double() @ eps.double().T))
    spread = cost.std(correction=0)
    if spread == 0:
        return torch.full_like(cost, 1 / len(cost) ** 2)
    return feasible(_scaled(-cost / (spread * entropy), iterations, tolerance))


def centred(cost: Tensor) -> Tensor:
    """Cost (B, B) without the parts that depend on the row or the column alone."""
    cost = cost - cost.mean(dim=0)
    return cost - cost.mean(dim=1, keepdim=True)


CHECKED_EVERY = 10
"""Iterations between looks at the marginals, which a GPU must be waited for."""


def _scaled(gain: Tensor, iterations: int, tolerance: float) -> Tensor:
    """diag(u) exp(gain) diag(v), whose columns, and nearly its rows, sum to 1/B.

    Rows and columns are scaled in turn, as logarithms: exp(gain) itself would overflow.
    """
    share = -math.log(len(gain))
    scaled = gain
    for iteration in range(iterations):
        scaled = scaled + (share - scaled.logsumexp(dim=1, keepdim=True))
        scaled = scaled + (share - scaled.logsumexp(dim=0))
        if iteration % CHECKED_EVERY == 0:
            off = scaled.logsumexp(dim=1).exp() * len(gain) - 1
            if off.square().mean().sqrt() < tolerance:
                break
    return scaled.exp()


def feasible(matrix: Tensor) -> Tensor:
    """The nearby matrix (B, B) whose rows and columns sum to 1/B (arXiv 1705.09634, Algorithm 2).

    Rows, then columns, that are too heavy are scaled down; what they lost is spread in proportion
    to what is missing.
    """
    share = 1 / len(matrix)
    matrix = matrix * (share / matrix.sum(dim=1, keepdim=True).clamp(min=share))
    matrix = matrix * (share / matrix.sum(dim=0).clamp(min=share))
    row_missing = (share - matrix.sum(dim=1)).clamp(min=0)
    column_missing = (share - matrix.sum(dim=0)).clamp(min=0)
    total = row_missing.sum()
    return matrix + torch.outer(row_missing, column_missing) / total if total > 0 else matrix
