"""The subject of a diagnosis: a trained run with all that trained it."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import PairingContext, in_parts
from vct.kernels import Kernel
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.model import Model
from vct.lab.settings.diagnostics import DiagnosticsSettings
from vct.lab.settings.train import TrainSettings
from vct.objectives.base import Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


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

    def batches(self) -> Batches:
        """Batches as the training had them, in an order of our own."""
        train = self.train
        return Batches(
            self.data, train.batch_size, self.seed, self.device, train.flip, train.conditional
        )

    @torch.no_grad()
    def pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """x and z (count, C, H, W) of the coupling, paired in batches as in training, or in pools
        of them."""
        batches, found = self.batches(), []
        pool, last = self.model.coupling.pool, self.train.steps - 1
        size = pool * self.train.batch_size
        for first in range(0, -(-count // self.train.batch_size), pool):
            parts = [batches.at(step) for step in range(first, first + pool)]
            x = torch.cat([part.x for part in parts])
            shown = [part.labels for part in parts if part.labels is not None]
            times = rng.generator(self.seed, first, "times", device=self.device)
            levels = self.objective.levels(last, last + 1, size, times)
            eps = rng.normal(tuple(x.shape), self.seed, first, "noise", device=self.device)
            context = PairingContext(
                levels.t,
                levels.r,
                self.kernel,
                self.f,
                Draw(self.seed, first),
                torch.cat(shown) if shown else None,
                divided=partial(in_parts, self.micro_batch or self.train.batch_size),
                indices=torch.cat([part.indices for part in parts]),
            )
            pair = self.model.coupling.pair(x, eps, context)
            z = pair.z
            if pair.weight is not None:  # noise of the law that weighted pairs come to
                z = self.model.coupling.couple(pair.x, eps, context.labels)
            found.append((pair.x, z))
        x, z = (torch.cat(parts)[:count] for parts in zip(*found, strict=True))
        return x, z

    def times(self) -> list[float]:
        """Levels of noise at which curves are taken, rising, evenly in ln t, up to T."""
        low, high = max(self.objective.t_min, self.train.sigma_data / 20), self.train.t_max
        place = torch.linspace(0, 1, self.settings.levels, dtype=torch.float64)
        return (low * (high / low) ** place).tolist()

    def plain(self, x_t: Tensor, t: Tensor) -> Tensor:
        """f(x_t, t) of a model without labels."""
        return self.f(x_t.float(), t.float())
