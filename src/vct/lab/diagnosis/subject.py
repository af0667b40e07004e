"""The subject of a diagnosis: a trained run with all that trained it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vct import rng
from vct.kernels import Kernel
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.model import Model
from vct.lab.sampling.pairing import Pairing
from vct.lab.settings.diagnostics import DiagnosticsSettings
from vct.lab.settings.train import TrainSettings
from vct.objectives.base import Objective
from vct.preconditioning import ConsistencyFunction

DRAWN = 16
"""So many times as many pairs as are asked for are looked at for distinct ones."""


@dataclass(frozen=True)
class Subject:
    """A trained run.

    Args:
        train, settings: of the experiment.
        model: the weights that are sampled from, in evaluation mode, on `device`.
        f: the consistency function of its network, as sampling has it.
        seed: of all that is drawn here; of no training.
        micro_batch: most samples at a time for gradients; None takes a batch at once.
    """

    train: TrainSettings
    settings: DiagnosticsSettings
    model: Model
    f: ConsistencyFunction
    kernel: Kernel
    objective: Objective
    data: Dataset
    device: torch.device
    seed: int
    micro_batch: int | None

    def batches(self, seed: int | None = None) -> Batches:
        """Batches as the training had them, in an order of our own, or of `seed`."""
        train, seed = self.train, self.seed if seed is None else seed
        return Batches(
            self.data, train.batch_size, seed, self.device, train.flip, train.conditional
        )

    def pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """x and z (count, C, H, W) of the coupling, paired in batches as in training, or in pools
        of them."""
        batches = -(-count // self.train.batch_size)
        pools = itertools.islice(self._pools(), -(-batches // self.model.coupling.pool))
        x, z = (torch.cat(parts)[:count] for parts in zip(*pools, strict=True))
        return x, z

    def distinct_pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Pairs of which no x and no z is there twice, those of `pairs` where none of its are.

        A coupling that draws x itself, or uses noise again, is asked for more pairs than `count`;
        there are fewer if its first DRAWN times as many hold no more.
        """
        found: list[tuple[Tensor, Tensor]] = []
        seen, drawn = (set[bytes](), set[bytes]()), 0
        for pool in self._pools():
            for x, z in zip(*(part.cpu() for part in pool), strict=True):
                here = x.numpy().tobytes(), z.numpy().tobytes()
                if here[0] not in seen[0] and here[1] not in seen[1]:
                    found.append((x, z))
                    seen[0].add(here[0])
                    seen[1].add(here[1])
            drawn += len(pool[0])
            if len(found) >= count or drawn >= DRAWN * count:
                break
        x, z = (torch.stack(parts[:count]).to(self.device) for parts in zip(*found, strict=True))
        return x, z

    def _pools(self) -> Iterator[tuple[Tensor, Tensor]]:
        """x and z of one pool of batches after another, without end."""
        size, pool = self.train.batch_size, self.model.coupling.pool
        pairing = Pairing(
            self.model.coupling,
            self.f,
            self.kernel,
            self.objective,
            self.batches(),
            self.micro_batch or size,
        )
        shape = (pool * size, *self.data.shape)
        for first in itertools.count(step=pool):
            eps = rng.normal(shape, self.seed, first, "noise", device=self.device)
            yield pairing.of_pool(first, self.train.steps, self.seed, eps)

    def times(self) -> list[float]:
        """Levels of noise at which curves are taken, rising, evenly in ln t, up to T."""
        low, high = max(self.objective.t_min, self.train.sigma_data / 20), self.train.t_max
        place = torch.linspace(0, 1, self.settings.levels, dtype=torch.float64)
        return (low * (high / low) ** place).tolist()

    def plain(self, x_t: Tensor, t: Tensor) -> Tensor:
        """f(x_t, t) of a model without labels."""
        return self.f(x_t.float(), t.float())
