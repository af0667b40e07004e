"""Transport that looks out of the minibatch (LOOM-CFM, arXiv 2603.15279)."""

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, Pair, PairingContext
from vct.couplings.minibatch_ot import MinibatchOT, assignment
from vct.misfit import Misfit


class Loom(Coupling):
    """Each data point keeps a few noises, and swaps them with others of its batch.

    A step pairs its data points with one of their noises each, chosen at random, and permutes them
    so that sum |x_i - T eps_i|^2 is least; the points keep what they got. So the cost of all pairs
    never rises, as far as x is the same each time, and what one batch has found the next goes on
    from. There is no more noise than `kept` for each point: data keep their distribution, and noise
    that of a fixed sample of N(0, I).

    Which noise is whose is a table of numbers of noises, which checkpoints and weights hold; a
    noise is drawn again from its number, on the CPU. The host waits for the table at each step.

    Args:
        count: training points.
        kept: noises of each, 4 in that paper's CIFAR-10.
    """

    numbers: Tensor

    def __init__(self, count: int, kept: int = 4) -> None:
        super().__init__()
        self.kept = kept
        self.register_buffer("numbers", torch.arange(count * kept).reshape(count, kept))

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """As in minibatch transport: the sampler's x keep no noise."""
        return MinibatchOT().couple(x, eps)

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        if context.indices is None:
            raise Misfit("Loom needs the places of the data points, PairingContext.indices")
        level = context.draw.uniform("loom", x)
        columns = (level * self.kept).long().clamp(max=self.kept - 1)
        cells = context.gather(context.indices * self.kept + columns)

        def couple(x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
            return self._swapped(x, cells, context.draw.seed)

        return Pair(x, context.whole(couple, x, eps, context.labels), x.new_zeros(len(x)))

    def _swapped(self, x: Tensor, cells: Tensor, seed: int) -> Tensor:
        """z (B, ...) of x, whose noises stand in these cells (B,) of the table; swap them there."""
        # A batch that runs across epochs may have a cell twice: its noise is swapped once.
        once: dict[int, int] = {}
        for place, cell in enumerate(cells.tolist()):
            once.setdefault(cell, place)
        first = torch.tensor(list(once.values()), device=x.device)
        table = self.numbers.view(-1)
        numbers = table[cells[first]]
        noise = torch.stack([_noise(x, seed, number) for number in numbers.tolist()])
        noise = noise.to(x.device, x.dtype)
        plan = assignment(x[first], noise)
        if plan is None:
            return torch.full_like(x, torch.nan)
        if self.training:
            table[cells[first]] = numbers[plan]
        at = {cell: index for index, cell in enumerate(once)}
        return noise[plan][[at[cell] for cell in cells.tolist()]]


def _noise(like: Tensor, seed: int, number: int) -> Tensor:
    """Noise of that number, of the shape of a sample of `like`."""
    return rng.normal(tuple(like.shape[1:]), seed, "loom", number, device=torch.device("cpu"))
