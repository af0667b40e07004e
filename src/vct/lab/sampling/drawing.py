"""Drawing samples from a trained model, and storing them as they will be scored."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from vct import rng
from vct.couplings.base import Coupling
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.processes.group import current_group
from vct.lab.processes.progress import counted
from vct.lab.runs import samples, weights
from vct.lab.sampling.classes import in_shares
from vct.lab.settings.sample import SampleSettings
from vct.misfit import Misfit, check
from vct.preconditioning import ConsistencyFunction
from vct.samplers.base import Sampler
from vct.samplers.few_step import Bounds

Start = Callable[[Tensor, int, Tensor | None], Tensor]
"""Makes what sampling starts from (B, C, H, W) of base noise of that shape, given the place of the
first sample and one-hot labels (B, K)."""


def prior_of(coupling: Coupling) -> Start:
    """The prior of a coupling: N(0, I), unless it has its own."""
    return lambda noise, first, labels: coupling.start(noise, labels)


@dataclass(frozen=True)
class Drawing:
    """Draws samples with noise that depends on the sampling seed alone.

    So all runs of an experiment start from the same noise, image by image, however many images are
    drawn at a time. Only a coupling that pairs within a batch needs to know which samples belong
    together: those of a pool, whose size is a part of the protocol.

    Args:
        f: what is sampled.
        coupling: pairs samples that are noised again.
        sampler: from noise to samples.
        data: what the samples should look like.
        sample: number of samples, seed, noise, samples at a time.
        pool: number of samples that are paired together.
        starts: what sampling starts from, by the name of the prior.
        classes: number of classes K of a conditional model, else 0.
        device: where it is done.
        samplers: samplers of priors that have their own.
        labels: class (N,) of each sample; as `sample.classes` says where they are not given.
    """

    f: ConsistencyFunction
    coupling: Coupling
    sampler: Sampler
    data: Dataset
    sample: SampleSettings
    pool: int
    starts: Mapping[str, Start]
    classes: int
    device: torch.device
    samplers: Mapping[str, Sampler] = field(default_factory=dict)
    labels: Tensor | None = None

    def all_results(self) -> dict[str, np.ndarray]:
        """The samples as they are scored, by prior and result of the sampler: `steps1`, ..."""
        keys, count = list(self.sampler.schedules), self.sample.num_samples
        return {
            samples.key_of(prior, key): x
            for prior, start in self.starts.items()
            for key, x in self._of(prior)._drawn(start, keys, count).items()
        }

    def _of(self, prior: str) -> "Drawing":
        """The same with the sampler of a prior."""
        return replace(self, sampler=self.samplers.get(prior, self.sampler))

    def first_result(self, count: int) -> np.ndarray:
        """`count` samples of the fewest steps, from the coupling's prior or data to restore."""
        (x,) = self._drawn(self._begin, [next(iter(self.sampler.schedules))], count).values()
        return x

    @torch.no_grad()
    def some_results(self, prior: str, key: str, count: int) -> Iterator[Tensor]:
        """`count` samples of one result of the sampler, as many at a time as go through it
        together; float, on the device."""
        drawing, width = self._of(prior), self._together
        place = list(drawing.sampler.schedules).index(key)
        for start in range(0, count, width):
            stop = min(start + width, count)
            # Stratified noise is that of all samples of the protocol.
            total = max(count, self.sample.num_samples)
            for each in islice(drawing._some(self.starts[prior], total, start, stop), place, None):
                yield each.float()
                break

    @torch.no_grad()
    def _drawn(self, begin: Start, keys: Sequence[str], count: int) -> dict[str, np.ndarray]:
        """Several processes draw whole batches each, and the main one gets them all."""
        width, group = self._together, current_group()
        starts = range(0, count, width)[group.share(math.ceil(count / width))]
        none = np.zeros((0, *self.data.shape), np.float32 if self.data.is_points else np.uint8)
        parts: dict[str, list[np.ndarray]] = {key: [none] for key in keys}
        for start in counted(starts, len(starts), f"batches of {width} samples"):
            stop = min(start + width, count)
            found, results = 0, self._some(begin, count, start, stop)
            # Each is looked at before the next step is made of it.
            for key, x in zip(keys, results, strict=False):
                parts[key].append(self._stored(key, x))
                found += 1
            every = len(self.sampler.schedules)
            if len(keys) == every:
                found += sum(1 for _ in results)
            if found < len(keys) or found > every:
                kind = type(self.sampler).__name__
                raise Misfit(f"{kind} gives {found} results of {every}")
        return {key: group.collect(np.concatenate(part)) for key, part in parts.items()}

    @property
    def _begin(self) -> Start:
        """What samples of no other prior start from."""
        return self.starts.get(samples.STANDARD, prior_of(self.coupling))

    @property
    def _together(self) -> int:
        """How many samples go through the sampler together."""
        return self.sample.batch_size if self.coupling.scope == "sample" else self.pool

    def _some(self, begin: Start, count: int, start: int, stop: int) -> Iterator[Tensor]:
        noise = [self._noise(count, step, start, stop) for step in range(self.sampler.noises)]
        labels = self._labels(start, stop - start)
        noise[0] = begin(noise[0], start, labels)
        f = replace(self.f, network=_InParts(self.f.network, self.sample.batch_size))
        for x in self.sampler(f, self.coupling, noise, labels):
            check(f"a result of {type(self.sampler).__name__}", x, noise[0].shape)
            yield x

    def start_noise(self) -> np.ndarray:
        """Noise (N, C, H, W) that the samples start from."""
        count = self.sample.num_samples
        noise = self._noise(count, 0, 0, count)
        return self._begin(noise, 0, self._labels(0, count)).cpu().numpy()

    def _noise(self, count: int, step: int, start: int, stop: int) -> Tensor:
        """Base noise (stop - start, C, H, W) of some samples in a sampling step."""
        seed = self.sample.seed
        if self.sample.noise == "sobol":
            points = rng.sobol_normal((count, *self.data.shape), seed, "sample", step)
            # Two scrambles of one sequence agree point by point; a shuffle makes steps independent.
            shuffle = rng.generator(seed, step, "sample order")
            return points[torch.randperm(count, generator=shuffle)[start:stop]].to(self.device)
        shape = (stop - start, *self.data.shape)
        return rng.normal_rows(shape, start, seed, f"sample step {step}", device=self.device)

    def _labels(self, start: int, count: int) -> Tensor | None:
        if not self.classes:
            return None
        index = torch.arange(start, start + count) % self.classes
        if self.labels is not None:
            index = self.labels[start : start + count]
        elif self.sample.classes == "as_data":
            index = self._shared[start : start + count]
        return torch.nn.functional.one_hot(index.to(self.device), self.classes).float()

    @cached_property
    def _shared(self) -> Tensor:
        """Classes in the shares of the data, of all samples that may be asked for."""
        counts = np.bincount(self.data.train.labels, minlength=self.classes)
        most = max(self.sample.num_samples, self.sample.snapshot_samples)
        return torch.from_numpy(in_shares(counts, most))

    def _stored(self, key: str, x: Tensor) -> np.ndarray:
        """Images rounded to 8 bits; points as they are.

        Raises:
            UserError: if some are not finite: such a model has diverged, and has no score.
        """
        x = x.float()
        bad = int((~x.isfinite()).flatten(1).any(dim=1).sum())
        if bad:
            raise UserError(
                f"{bad} of {len(x)} samples ({key}) are not finite, so this model has diverged and "
                "has no samples; train it again with a lower learning rate or with clip_grad_norm."
            )
        return (x if self.data.is_points else to_uint8(x)).cpu().numpy()


def along_training(run: RunId, drawing: Drawing) -> dict[str, np.ndarray]:
    """Samples of the averaged network at the snapshots of a run, with the fewest steps; the network
    is what it was afterwards."""
    path, network = run.directory / "snapshots.safetensors", drawing.f.network
    arrays, final = {}, deepcopy(network.state_dict())
    for step, tensors in sorted(weights.read_snapshots(path).items()):
        weights.fill(network, tensors, path)
        arrays[f"snapshot{step}"] = drawing.first_result(drawing.sample.snapshot_samples)
    network.load_state_dict(final)
    return arrays


class _InParts(nn.Module):
    """A network that is given so many samples at a time."""

    def __init__(self, network: nn.Module, batch_size: int) -> None:
        super().__init__()
        self.network, self.batch_size = network, batch_size

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """The network's answer for x, c_noise, labels and perhaps a second time."""
        width, found = self.batch_size, []
        for start in range(0, len(x), width):
            some = slice(start, start + width)
            found.append(self.network(x[some], *(None if o is None else o[some] for o in others)))
        return torch.cat(found)


def bounds(data: Dataset, device: torch.device) -> Bounds:
    """Ends of the range of the data: of images -1 and 1, of points those of the training set."""
    if not data.is_points:
        return -1.0, 1.0
    x = torch.from_numpy(np.array(data.train.x))
    return x.amin(dim=0).to(device), x.amax(dim=0).to(device)


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] (values beyond are clipped) to 0..255, rounded."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
