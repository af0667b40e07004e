"""Pairs as training makes them, outside of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling, PairingContext, in_parts
from vct.couplings.preparation import accept
from vct.kernels import Kernel
from vct.lab import build
from vct.lab.data.batches import Batches
from vct.lab.sampling.drawing import Drawing
from vct.lab.settings.train import TrainSettings
from vct.objectives.base import Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


@dataclass(frozen=True)
class Pairing:
    """Pairs of a trained coupling, with levels of noise as at the end of its training.

    Args:
        coupling: the trained one.
        f: what is sampled from, for couplings that pair with generated points; it is asked with the
            scalings of training.
        kernel, objective: of the training.
        batches: what is paired.
        width: samples that the network is given at a time.
    """

    coupling: Coupling
    f: ConsistencyFunction
    kernel: Kernel
    objective: Objective
    batches: Batches
    width: int

    @torch.no_grad()
    def of_pool(self, first: int, steps: int, seed: int, eps: Tensor) -> tuple[Tensor, Tensor]:
        """x and z (B, C, H, W) of the pool of batches that begins with batch `first`.

        Args:
            steps: of the training.
            seed: of what is drawn here.
            eps: base noise (B, C, H, W), of a batch for each of the pool.
        """
        parts = [self.batches.at(step) for step in range(first, first + self.coupling.pool)]
        x = torch.cat([part.x for part in parts])
        shown = [part.labels for part in parts if part.labels is not None]
        times = rng.generator(seed, first, "times", device=x.device)
        levels = self.objective.levels(steps - 1, steps, len(x), times)
        context = PairingContext(
            levels.t,
            levels.r,
            self.kernel,
            replace(self.f, t_min=self.objective.train_t_min),
            Draw(seed, first),
            torch.cat(shown) if shown else None,
            divided=partial(in_parts, self.width),
            indices=torch.cat([part.indices for part in parts]),
        )
        pair = self.coupling.pair(x, eps, context)
        if pair.weight is None:
            return pair.x, pair.z
        # Noise of the law that weighted pairs come to.
        return pair.x, self.coupling.couple(pair.x, eps, context.labels)


def first_pairs(
    drawing: Drawing, train: TrainSettings, prepared: Mapping[str, Tensor] | None
) -> dict[str, np.ndarray]:
    """One training batch as the trained coupling pairs it, for the paper's figure 1.

    Args:
        drawing: has the trained coupling.
        train: how it was trained.
        prepared: what the coupling had made before.
    """
    data, device, size = drawing.data, drawing.device, train.batch_size
    coupling = drawing.coupling
    if prepared is not None:
        accept(coupling, prepared)
    pairing = Pairing(
        coupling,
        drawing.f,
        build.kernel(train),
        build.objective(train),
        Batches(data, size, 0, device, conditional=train.conditional),
        drawing.sample.batch_size,
    )
    eps = rng.normal((coupling.pool * size, *data.shape), 0, "figure", device=device)
    x, z = pairing.of_pool(0, train.steps, 0, eps)
    return {"pair_x": x[:size].cpu().numpy(), "pair_z": z[:size].cpu().numpy()}
