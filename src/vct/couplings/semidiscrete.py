"""Semidiscrete optimal transport, from N(0, I) to the whole training set at once (Flow matching
with semidiscrete couplings, arXiv 2509.25519)."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, Pair, PairingContext, PreparingContext
from vct.couplings.minibatch_ot import MinibatchOT, by_class
from vct.couplings.sinkhorn import Sinkhorn
from vct.misfit import check

Points = Callable[[], tuple[Tensor, Tensor | None]]
"""Gives all training data x (N, C, H, W) in [-1, 1] and their labels (N,), or None."""
Watched = Callable[[range], Iterable[int]]
"""Goes through steps that may take minutes, and may tell of them."""


class Semidiscrete(Coupling):
    """Each noise keeps itself and gets the data point that the exact plan sends it to.

    The plan that minimises E |x - T eps|^2 from N(0, I) to N points of equal weight cuts the space
    of noise into cells, of mass 1/N each: eps goes to argmax_i <x_i, eps> + g_i. It is what
    minibatch plans come near to as the batch grows, for the cost of one product of B x N; noise and
    data keep their distributions. With labels, each class has cells of its own.

    The potentials g are solved for once, by `prepare` or before the first pair, by averaged
    stochastic gradient ascent of the dual: cells that are hit too often are lowered.

    Args:
        points: the data; asked once, in training alone.
        classes: number of classes K of a conditional training, else 0.
        iterations, draws: steps of the ascent, and noises of each.
        entropy: lambda >= 0 of the entropic plan, in the unit of `vct.couplings.sinkhorn.Sinkhorn`:
            eps then goes to x_i with a probability that is in proportion to
            exp((<x_i, eps> + g_i) / lambda), and the cells have soft walls. 0 is the exact plan; a
            large one leaves pairs independent. Many points want more `iterations` for a small one.
        watched: hands on the steps of the ascent.
    """

    def __init__(
        self,
        points: Points,
        classes: int = 0,
        iterations: int = 1000,
        draws: int = 2048,
        entropy: float = 0.0,
        watched: Watched = iter,
    ) -> None:
        super().__init__()
        self.classes = max(classes, 1)
        self.entropy = entropy
        self._cells = _Cells(points, self.classes, iterations, draws, entropy, watched)

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """The noises, from plans of a batch within each class: the sampler's x are no training
        data."""
        batch = Sinkhorn(self.entropy) if self.entropy else MinibatchOT()
        return by_class(batch, x, eps, labels)

    @torch.no_grad()
    def prepare(self, context: PreparingContext) -> dict[str, Tensor]:
        """`potentials` g (N,) of all points, in their order."""
        return {"potentials": self._cells.potentials(context.like.device)}

    def accept(self, prepared: Mapping[str, Tensor]) -> None:
        self._cells.accept(prepared["potentials"])

    def unevenness(self, device: torch.device) -> float:
        """The deviation of N times the mass of a cell, which is 1 in an exact plan; of the class
        where it is largest. So much more or less often is a data point trained on."""
        cells = (self._cells.of(label, device) for label in range(self.classes))
        return max(unevenness(*cell, self._cells.draws) for cell in cells if len(cell[0]))

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        labels = context.labels
        which = x.new_zeros(len(x), dtype=torch.int64) if labels is None else labels.argmax(dim=1)
        found, level = torch.empty_like(x), context.draw.uniform("semidiscrete", x)
        for label in range(self.classes):
            mine = which == label
            data, g, scale = self._cells.of(label, x.device)
            hit = drawn(eps[mine].flatten(1).to(data) @ data.T + g, scale, level[mine])
            found[mine] = data[hit].reshape(-1, *x.shape[1:]).to(x.dtype)
        return Pair(found, eps, x.new_zeros(len(x)))


class _Cells:
    """Points and potentials of each class, made when they are first asked for.

    Copies of a coupling share them, and checkpoints leave them out: they depend on the data alone.
    """

    def __init__(
        self,
        points: Points,
        classes: int,
        iterations: int,
        draws: int,
        entropy: float,
        watched: Watched,
    ) -> None:
        self.points, self.classes, self.watched = points, classes, watched
        self.iterations, self.draws, self.entropy = iterations, draws, entropy
        self.made: list[tuple[Tensor, Tensor, float]] = []
        self.solved: Tensor | None = None

    def __deepcopy__(self, memo: object) -> "_Cells":
        return self

    def accept(self, solved: Tensor) -> None:
        """Take the potentials (N,) of all points, in place of solving for them."""
        self.solved = solved
        self.made.clear()

    def potentials(self, device: torch.device) -> Tensor:
        """Potentials (N,) of all points; points of no class have none, and so zero."""
        if self.solved is None:
            self.of(0, device)
        assert self.solved is not None
        return self.solved

    def of(self, label: int, device: torch.device) -> tuple[Tensor, Tensor, float]:
        """x (N, D) and g (N,) of a class, and what its gains are divided by."""
        if not self.made:
            self._make(device)
        return self.made[label]

    def _make(self, device: torch.device) -> None:
        x, labels = self.points()
        labels = torch.zeros(len(x), dtype=torch.int64) if labels is None else labels
        known, solved = self.solved, torch.zeros(len(x))
        if known is not None:
            check("Semidiscrete.potentials", known, (len(x),))
        for each in range(self.classes):
            places = labels == each
            mine = x[places].flatten(1).to(device)
            scale = self.entropy * spread(mine)
            if known is None:
                g = potentials(mine, self.iterations, self.draws, scale, self.watched)
                solved[places] = g.cpu()
            else:
                g = known[places].to(device)
            self.made.append((mine, g, scale))
        self.solved = solved if known is None else known


def spread(x: Tensor) -> float:
    """The deviation of <x_i, eps> over the points x (N, D) and eps, without what depends on eps
    alone."""
    return float((x - x.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def drawn(gain: Tensor, scale: float, level: Tensor) -> Tensor:
    """i (B,), drawn in proportion to exp(gain_i / scale) from gain (B, N); the largest at scale 0.

    Args:
        level: uniform numbers (B,) in [0, 1): the same one gives the same i.
    """
    if scale == 0:
        return gain.argmax(dim=1)
    below = (gain / scale).softmax(dim=1).double().cumsum(dim=1)
    # Sums end beside 1 by rounding.
    return torch.searchsorted(below, (level.double() * below[:, -1])[:, None], right=True)[:, 0]


@torch.no_grad()
def unevenness(x: Tensor, g: Tensor, scale: float, block: int = 2048) -> float:
    """Deviation of N times the masses of the cells of x (N, D) with potentials g (N,).

    How many fresh noises meet in a cell tells it without the chance of their number; the square
    deviates by 0.005, whatever N is.

    Args:
        block: noises at a time.
    """
    draws = max(2**13, round(200 * (2 * len(x)) ** 0.5))
    generator = rng.generator(1, "semidiscrete", device=x.device)
    hits = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for some in torch.arange(draws).split(block):
        eps = torch.randn(len(some), x.shape[1], generator=generator, device=x.device)
        level = torch.rand(len(some), generator=generator, device=x.device)
        hits += torch.bincount(drawn(eps @ x.T + g, scale, level), minlength=len(x))
    meetings = float((hits * (hits - 1)).sum()) / (draws * (draws - 1))
    return max(len(x) * meetings - 1, 0.0) ** 0.5


@torch.no_grad()
def potentials(
    x: Tensor, iterations: int, draws: int, scale: float = 0.0, watched: Watched = iter
) -> Tensor:
    """g (N,) of the points x (N, D), by averaged stochastic ascent; the mean of g is 0.

    Args:
        scale: lambda of the entropic plan in the unit of <x, eps>; 0 is the exact plan.
        watched: hands on the steps.
    """
    count, device = len(x), x.device
    generator = rng.generator(0, "semidiscrete", device=device)
    # In units of <x, eps>, whose deviation over eps is |x|.
    rate = 0.5 * count**0.5 * x.square().sum(dim=1).mean().sqrt()
    g, mean = torch.zeros(count, device=device), torch.zeros(count, device=device)
    # A new one each time would cost more than the product.
    gain = torch.empty(draws, count, device=device)
    for k in watched(range(iterations)):
        eps = torch.randn(draws, x.shape[1], generator=generator, device=device)
        torch.mm(eps, x.T, out=gain).add_(g)
        if scale == 0:
            mass = torch.bincount(gain.argmax(dim=1), minlength=count) / draws
        else:
            mass = (gain / scale).softmax(dim=1).mean(dim=0)
        g += rate / (1 + k / 50) ** 0.5 * (1 / count - mass)
        if 2 * k >= iterations - 1:
            mean += g
    mean /= iterations - iterations // 2
    return mean - mean.mean()
