"""Semidiscrete optimal transport, from N(0, I) to the whole training set at once (Flow matching
with semidiscrete couplings, arXiv 2509.25519)."""

from collections.abc import Callable

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, Pair, PairingContext
from vct.couplings.minibatch_ot import MinibatchOT

Points = Callable[[], tuple[Tensor, Tensor | None]]
"""Gives all training data x (N, C, H, W) in [-1, 1] and their labels (N,), or None."""


class Semidiscrete(Coupling):
    """Each noise keeps itself and gets the data point that the exact plan sends it to.

    The plan that minimises E |x - T eps|^2 from N(0, I) to N points of equal weight cuts the space
    of noise into cells, of mass 1/N each: eps goes to argmax_i <x_i, eps> + g_i. It is what
    minibatch plans come near to as the batch grows, for the cost of one product of B x N; noise and
    data keep their distributions. With labels, each class has cells of its own.

    The potentials g are solved for once, before the first pair, by averaged stochastic gradient
    ascent of the dual: cells that are hit too often are lowered.

    Args:
        points: the data; asked once, in training alone.
        classes: number of classes K of a conditional training, else 0.
        iterations, draws: steps of the ascent, and noises of each.
    """

    def __init__(
        self, points: Points, classes: int = 0, iterations: int = 1000, draws: int = 2048
    ) -> None:
        super().__init__()
        self.classes = max(classes, 1)
        self._cells = _Cells(points, self.classes, iterations, draws)

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The noises, permuted as in minibatch transport: the sampler's x are no training data."""
        return MinibatchOT().couple(x, eps)

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        labels = context.labels
        which = x.new_zeros(len(x), dtype=torch.int64) if labels is None else labels.argmax(dim=1)
        found = torch.empty_like(x)
        for label in range(self.classes):
            mine = which == label
            data, g = self._cells.of(label, x.device)
            hit = (eps[mine].flatten(1) @ data.T + g).argmax(dim=1)
            found[mine] = data[hit].reshape(-1, *x.shape[1:]).to(x.dtype)
        return Pair(found, eps, x.new_zeros(len(x)))


class _Cells:
    """Points and potentials of each class, made when they are first asked for.

    Copies of a coupling share them, and checkpoints leave them out: they depend on the data alone.
    """

    def __init__(self, points: Points, classes: int, iterations: int, draws: int) -> None:
        self.points, self.classes, self.iterations, self.draws = points, classes, iterations, draws
        self.made: list[tuple[Tensor, Tensor]] = []

    def __deepcopy__(self, memo: object) -> "_Cells":
        return self

    def of(self, label: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """x (N, D) and g (N,) of a class."""
        if not self.made:
            x, labels = self.points()
            labels = torch.zeros(len(x), dtype=torch.int64) if labels is None else labels
            for each in range(self.classes):
                mine = x[labels == each].flatten(1).to(device)
                self.made.append((mine, potentials(mine, self.iterations, self.draws)))
        return self.made[label]


@torch.no_grad()
def potentials(x: Tensor, iterations: int, draws: int) -> Tensor:
    """g (N,) of the points x (N, D), by averaged stochastic ascent; the mean of g is 0."""
    count, device = len(x), x.device
    generator = rng.generator(0, "semidiscrete", device=device)
    # In units of <x, eps>, whose deviation over eps is |x|.
    rate = 0.5 * count**0.5 * x.square().sum(dim=1).mean().sqrt()
    g, mean = torch.zeros(count, device=device), torch.zeros(count, device=device)
    for k in range(iterations):
        eps = torch.randn(draws, x.shape[1], generator=generator, device=device)
        hits = torch.bincount((eps @ x.T + g).argmax(dim=1), minlength=count)
        g += rate / (1 + k / 50) ** 0.5 * (1 / count - hits / draws)
        if 2 * k >= iterations:
            mean += g
    mean /= iterations - (iterations + 1) // 2
    return mean - mean.mean()
