"""Transport that looks out of the minibatch (LOOM-CFM, arXiv 2603.15279)."""

from collections.abc import Callable

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, Pair, PairingContext, alone
from vct.couplings.minibatch_ot import MinibatchOT, assignment, by_class, places_by_class
from vct.misfit import Misfit


class Loom(Coupling):
    """Each data point keeps a few noises, and swaps them with others of its batch.

    A step pairs its data points with one of their noises each, chosen at random, and permutes them
    so that sum |x_i - T eps_i|^2 is least, within each class where there are labels; the points
    keep what they got. So the cost of all pairs never rises, as far as x is the same each time, and
    what one batch has found the next goes on from. There is no more noise than `kept` for each
    point: data keep their distribution, and noise that of a fixed sample of N(0, I).

    Which noise is whose is a table of numbers of noises, which checkpoints and weights hold; a
    noise is drawn again from its number, on the CPU. The host waits for the table at each step.

    Args:
        count: training points.
        kept: noises of each, 4 in that paper's CIFAR-10.
        noise_seed: of the noises.
    """

    numbers: Tensor

    def __init__(self, count: int, kept: int = 4, noise_seed: int = 0) -> None:
        super().__init__()
        self.kept, self.noise_seed = kept, noise_seed
        self.register_buffer("numbers", torch.arange(count * kept).reshape(count, kept))
        self._swapped: list[tuple[Tensor, Tensor]] = []

    def couple(self, x: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
        """As in minibatch transport, within each class: the sampler's x keep no noise."""
        return by_class(MinibatchOT(), x, eps, labels)

    @torch.no_grad()
    def pair(self, x: Tensor, eps: Tensor, context: PairingContext) -> Pair:
        if context.indices is None:
            raise Misfit("Loom needs the places of the data points, PairingContext.indices")
        level = context.draw.uniform("loom", x)
        columns = (level * self.kept).long().clamp(max=self.kept - 1)
        cells = context.gather(context.indices * self.kept + columns)
        self._swapped.clear()

        def couple(x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
            z = torch.empty_like(x)
            for mine in places_by_class(x, labels):
                z[mine] = self._swap(x[mine], cells[mine])
            return z

        return Pair(x, context.whole(couple, x, eps, context.labels), x.new_zeros(len(x)))

    def settle(self, add: Callable[[Tensor], None] = alone) -> None:
        """Have the points of the step keep what they got."""
        for cells, numbers in self._swapped:
            self.numbers.view(-1)[cells] = numbers
        self._swapped.clear()

    def _swap(self, x: Tensor, cells: Tensor) -> Tensor:
        """z (B, ...) of x, whose noises stand in these cells (B,) of the table."""
        # A batch that runs across epochs may have a cell twice: its noise is swapped once.
        once: dict[int, int] = {}
        for place, cell in enumerate(cells.tolist()):
            once.setdefault(cell, place)
        first = torch.tensor(list(once.values()), device=x.device)
        numbers = self.numbers.view(-1)[cells[first]]
        noise = torch.stack([self._noise(x, number) for number in numbers.tolist()])
        noise = noise.to(x.device, x.dtype)
        plan = assignment(x[first], noise)
        if plan is None:
            return torch.full_like(x, torch.nan)
        self._swapped.append((cells[first], numbers[plan]))
        at = {cell: index for index, cell in enumerate(once)}
        return noise[plan][[at[cell] for cell in cells.tolist()]]

    def _noise(self, like: Tensor, number: int) -> Tensor:
        """Noise of that number, of the shape of a sample of `like`."""
        shape, cpu = tuple(like.shape[1:]), torch.device("cpu")
        return rng.normal(shape, self.noise_seed, "loom", number, device=cpu)
