"""A coupling of one's own: noise by rank along the first principal direction of the batch.

In a training loop it is used like any other. In the workflow it is one file beside params.yaml,
named by its dotted path in an experiment:

    variants: [independent, ot, ranked]
    couplings: {ranked: {kind: ranked.Ranked, options: {fraction: 0.5}}}
"""

import torch

import vct


class Ranked(vct.Coupling):
    """Sorts noise and data along the direction in which the data vary most.

    In one dimension that is optimal transport; in more, it keeps its first component alone, for the
    price of a sort.

    Args:
        fraction: share of the batch that is paired so; the rest stays independent.
    """

    scope = "batch"  # z of a sample depends on the whole batch

    def __init__(self, fraction=1.0):
        super().__init__()
        self.fraction = fraction

    def couple(self, x, eps, labels=None):
        paired = eps.clone()
        count = round(self.fraction * len(x))
        flat = x[:count].flatten(1)
        direction = torch.linalg.eigh(flat.T.cov())[1][:, -1]
        order = (flat @ direction).argsort()
        noise = (eps[:count].flatten(1) @ direction).argsort()
        paired[order] = eps[noise]
        return paired


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, 1, 1, generator=generator) * torch.tensor([3.0, 0.3])[:, None, None]
    eps = torch.randn(x.shape, generator=generator)

    def cost(coupling):
        return ((x - coupling.couple(x, eps)) ** 2).flatten(1).sum(dim=1).mean().item()

    for coupling in (vct.Independent(), Ranked(0.5), Ranked(), vct.MinibatchOT()):
        print(f"{type(coupling).__name__:12} mean |x - z|^2 = {cost(coupling):.2f}")
