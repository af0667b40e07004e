"""Drawing samples from a trained model, and storing them as they will be scored."""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.processes.group import current_group
from vct.lab.settings.sample import SampleSettings
from vct.misfit import Misfit
from vct.preconditioning import ConsistencyFunction
from vct.samplers.base import Sampler


@dataclass(frozen=True)
class Drawing:
    """Draws samples with noise that depends on the sampling seed alone.

    So all runs of an experiment start from the same noise, image by image.

    Args:
        f: what is sampled.
        coupling: pairs samples that are noised again.
        sampler: from noise to samples.
        data: what the samples should look like.
        sample: number of samples, seed, noise.
        classes: number of classes K of a conditional model, else 0.
        device: where it is done.
    """

    f: ConsistencyFunction
    coupling: Coupling
    sampler: Sampler
    data: Dataset
    sample: SampleSettings
    classes: int
    device: torch.device

    def all_results(self) -> dict[str, np.ndarray]:
        """The samples as they are scored, by result of the sampler: `steps1`, `steps2`, ..."""
        return self._drawn(list(self.sampler.schedules), self.sample.num_samples)

    def first_result(self, count: int) -> np.ndarray:
        """`count` samples of the fewest steps."""
        (samples,) = self._drawn([next(iter(self.sampler.schedules))], count).values()
        return samples

    @torch.no_grad()
    def _drawn(self, keys: Sequence[str], count: int) -> dict[str, np.ndarray]:
        """Several processes draw whole batches each, and the main one gets them all."""
        width, group = self.sample.batch_size, current_group()
        starts = range(0, count, width)[group.share(math.ceil(count / width))]
        none = np.zeros((0, *self.data.shape), np.float32 if self.data.is_points else np.uint8)
        parts: list[list[np.ndarray]] = [[none] for _ in keys]
        for start in starts:
            stop = min(start + width, count)
            found = list(islice(self._batch(count, start, stop), len(keys)))
            if len(found) < len(keys):
                kind = type(self.sampler).__name__
                raise Misfit(f"{kind} gives {len(found)} results of {len(self.sampler.schedules)}")
            for part, x in zip(parts, found, strict=True):
                part.append(self._stored(x))
            print(f"{stop}/{count} samples", file=sys.stderr, flush=True)
        mine = [np.concatenate(part) for part in parts]
        return {key: group.collect(x) for key, x in zip(keys, mine, strict=True)}

    def _batch(self, count: int, start: int, stop: int) -> Iterator[Tensor]:
        noise = [self._noise(count, step, start, stop) for step in range(self.sampler.noises)]
        return self.sampler(self.f, self.coupling, noise, self._labels(start, stop - start))

    def start_noise(self) -> np.ndarray:
        """Base noise (N, C, H, W) that the samples start from."""
        count, width = self.sample.num_samples, self.sample.batch_size
        starts = range(0, count, width)
        parts = [self._noise(count, 0, start, min(start + width, count)) for start in starts]
        return torch.cat(parts).cpu().numpy()

    def _noise(self, count: int, step: int, start: int, stop: int) -> Tensor:
        """Base noise (stop - start, C, H, W) of one of the batches of a sampling step."""
        seed = self.sample.seed
        if self.sample.noise == "sobol":
            points = rng.sobol_normal((count, *self.data.shape), seed, "sample", step)
            # Two scrambles of one sequence agree point by point; a shuffle makes steps independent.
            shuffle = rng.generator(seed, step, "sample order")
            return points[torch.randperm(count, generator=shuffle)[start:stop]].to(self.device)
        shape = (stop - start, *self.data.shape)
        return rng.normal(shape, seed, start, f"sample step {step}", device=self.device)

    def _labels(self, start: int, count: int) -> Tensor | None:
        """Classes in turn, so that each is drawn equally often."""
        if not self.classes:
            return None
        index = torch.arange(start, start + count, device=self.device) % self.classes
        return torch.nn.functional.one_hot(index, self.classes).float()

    def _stored(self, x: Tensor) -> np.ndarray:
        """Images rounded to 8 bits; points as they are."""
        return (x.float() if self.data.is_points else to_uint8(x)).cpu().numpy()

    @torch.no_grad()
    def pairs(self, batch_size: int) -> dict[str, np.ndarray]:
        """One training batch as the trained coupling pairs it, for the paper's figure 1."""
        batch = Batches(self.data, batch_size, 0, self.device).at(0)
        eps = rng.normal(tuple(batch.x.shape), 0, "figure", device=self.device)
        z = self.coupling.couple(batch.x, eps)
        return {"pair_x": batch.x.cpu().numpy(), "pair_z": z.cpu().numpy()}


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] (values beyond are clipped) to 0..255, rounded."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
