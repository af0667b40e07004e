"""Entropic minibatch optimal transport coupling (Sinkhorn plans, arXiv 1306.0895)."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling

Matrix = NDArray[np.float64]


class Sinkhorn(Coupling):
    """Draws the noise of each data point from an entropic transport plan of the batch.

    The plan P minimises <P, |x_i - T eps_j|^2> + lambda sum P ln P with uniform marginals; each
    x_i gets one eps_j, drawn with probability B P_ij (Multisample flow matching, arXiv 2304.14772,
    which draws its pairs in the same way). A noise may so go to two data points and another to
    none, but each goes to one on average: the pairs have the marginals of data and noise. The
    smaller lambda is, the nearer the plan is to the exact one; for a large one, the pairs are
    independent.

    Args:
        shape: (C, H, W) of the data.
        sigma_data: standard deviation of the data.
        entropy: lambda, in units of the standard deviation of the cost over the pairs of the
            batch, without the parts that depend on x_i or eps_j alone: so it means the same for
            every T, dimension and scale of the data.
        iterations: most iterations of Sinkhorn's algorithm. The marginals are right after any
            number of them (`feasible`).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        sigma_data: float,
        entropy: float = 0.1,
        iterations: int = 500,
    ) -> None:
        super().__init__(shape, sigma_data)
        self.entropy, self.iterations = entropy, iterations

    @torch.no_grad()
    def couple(self, x: Tensor, eps: Tensor) -> Tensor:
        """eps (B, C, H, W), drawn from the plan; a function of x and eps alone.

        The draw's seed is a hash of eps, since the sampler has no other key; a cryptographic hash
        says nothing of the size or place of what it hashes.
        """
        noise = eps.flatten(1).cpu()
        probabilities = len(x) * plan(x.flatten(1).cpu(), noise, self.entropy, self.iterations)
        key = hashlib.blake2b(noise.numpy().tobytes(), digest_size=16).hexdigest()
        generator = rng.generator(key, "sinkhorn")
        columns = torch.multinomial(torch.from_numpy(probabilities), 1, generator=generator)
        return eps[columns[:, 0].to(eps.device)]


def plan(x: Tensor, eps: Tensor, entropy: float, iterations: int) -> Matrix:
    """P (B, B) >= 0 between x and eps (B, D): rows and columns sum to 1/B; float64, on the CPU.

    Squared norms and T do not change the plan at a given `entropy`, so the cost is -<x_i, eps_j>,
    without its means over rows and columns.
    """
    from ot.bregman import sinkhorn_log

    cost = -(x.double() @ eps.double().T).numpy()
    cost -= cost.mean(axis=0)
    cost -= cost.mean(axis=1, keepdims=True)
    count, spread = len(cost), cost.std()
    if spread == 0:
        return np.full((count, count), 1 / count**2)
    uniform = np.full(count, 1 / count)
    found = sinkhorn_log(
        uniform, uniform, cost / spread, entropy, numItermax=iterations, warn=False
    )
    return feasible(np.asarray(found))


def feasible(matrix: Matrix) -> Matrix:
    """The nearby matrix (B, B) whose rows and columns sum to 1/B (arXiv 1705.09634, Algorithm 2).

    Rows, then columns, that are too heavy are scaled down; what they lost is spread in proportion
    to what is missing.
    """
    share = 1 / len(matrix)
    matrix = matrix * (share / np.maximum(matrix.sum(axis=1, keepdims=True), share))
    matrix = matrix * (share / np.maximum(matrix.sum(axis=0), share))
    row_missing = np.maximum(share - matrix.sum(axis=1), 0)
    column_missing = np.maximum(share - matrix.sum(axis=0), 0)
    total = row_missing.sum()
    return matrix + np.outer(row_missing, column_missing) / total if total > 0 else matrix
