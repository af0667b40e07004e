"""The nearest of several noises (improved immiscible diffusion, arXiv 2505.18521)."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, Pair, PairingContext


class NearestNoise(Coupling):
    """Gives each data point the nearest of k noises that were drawn for it alone.

    z_i is that of eps_i and k - 1 others of N(0, I) for which |x_i / sigma_data - z|^2 is least:
    towards the data as in transport, at a cost of O(B k) for a batch of any size. But the marginal
    of z drifts: it becomes shorter and leans towards the data, since nothing uses the noise that
    lies elsewhere; sampling starts from N(0, I) all the same. `vct.diagnostics.marginal` measures
    that drift.

    Args:
        sigma_data: standard deviation of the data.
        k: number of noises, at least 1; 1 is independent noise.
    """

    scope = "sample"

    def __init__(self, sigma_data: float = 0.5, k: int = 4) -> None:
        super().__init__(sigma_data=sigma_data)
        self.k = k

    @torch.no_grad()
    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The chosen noise (B, ...): a function of x and eps of each sample alone, since a sampler
        has no other key; the seed of the others is a hash of eps."""
        rows = eps.float().contiguous().cpu()
        keys = [hashlib.blake2b(row.numpy().tobytes(), digest_size=16).hexdigest() for row in rows]
        draws = [rng.generator(key, "nearest noise") for key in keys]

        def others() -> Iterable[Tensor]:
            for _ in range(self.k - 1):
                noise = [torch.randn(eps.shape[1:], generator=draw) for draw in draws]
                yield torch.stack(noise).to(eps)

        return nearest(x / self.sigma_data, eps, others())

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        others = (context.draw.normal(f"nearest noise {j}", eps) for j in range(1, self.k))
        return Pair(x, nearest(x / self.sigma_data, eps, others), x.new_zeros(len(x)))


def nearest(x: Tensor, eps: Tensor, others: Iterable[Tensor]) -> Tensor:
    """Of eps and others (B, ...), sample by sample, the one that is nearest to x; the first of
    several."""
    z, least = eps, _squares(x, eps)
    for other in others:
        squares = _squares(x, other)
        nearer = squares < least
        z = torch.where(nearer.reshape(-1, *[1] * (x.dim() - 1)), other, z)
        least = torch.where(nearer, squares, least)
    return z


def _squares(x: Tensor, z: Tensor) -> Tensor:
    return (x.double() - z.double()).square().flatten(1).sum(dim=1)
