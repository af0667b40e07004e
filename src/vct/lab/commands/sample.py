"""`vct sample RUN`: draw samples from a trained run and keep them as they will be scored."""

import math
import sys
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Coupling
from vct.lab import build
from vct.lab.data import dataset
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import atomic
from vct.lab.processes.group import current_group
from vct.lab.report.preview import preview
from vct.lab.runs import results, weights
from vct.lab.sampling import to_uint8
from vct.lab.settings.params import Params
from vct.lab.settings.sample import SampleSettings
from vct.lab.training import outputs
from vct.preconditioning import ConsistencyFunction
from vct.samplers.few_step import sample_steps
from vct.samplers.heun import heun, heun_times


def sample(params: Params, name: str) -> None:
    """Write `samples.npz` and `preview.png` of a run."""
    run_id = RunId.parse(name)
    settings, record = results.checked_record(params, run_id)
    sample = params.experiment(run_id.experiment).sample
    data = dataset.load(settings.train.dataset)
    if record["data_sha256"] != data.sha256:
        raise UserError(
            f"{run_id.directory} was trained on other data than data/{data.name} holds; train it "
            f"again: vct train {run_id}"
        )
    files = results.checked_weights(run_id, sample, record)
    torch.set_num_threads(params.runtime.threads)
    device = build.device(params.runtime)
    model = weights.load(run_id, settings, data, device, sample.ema_width)
    f = weights.function(settings, model)
    draw = Draw(data, sample, settings.train.t_max, settings.train.conditional, device)
    arrays = draw.all_steps(f, model.coupling, sample.num_samples)
    if sample.snapshot_samples:
        arrays |= _snapshots(run_id, draw, f, model, sample.snapshot_samples)
    if not current_group().main:
        return
    if data.is_points:
        arrays |= _pairs(settings.train.batch_size, model, data, device)
        arrays["noise"] = draw.noise(sample.num_samples, 0).cpu().numpy()
    arrays["record"] = results.sample_record(sample, data.sha256, files)
    with atomic(run_id.directory / "samples.npz") as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
    real = np.asarray(data.train.x[: sample.num_samples])
    preview(run_id.directory / "preview.png", results.scored(arrays), real)
    outputs.forget(run_id)


class Draw:
    """Draws samples with noise that depends on the sampling seed alone.

    So all runs of an experiment start from the same noise, image by image.
    """

    def __init__(
        self,
        data: Dataset,
        sample: SampleSettings,
        t_max: float,
        conditional: bool,
        device: torch.device,
    ) -> None:
        self.data, self.sample, self.device = data, sample, device
        self.times = [t_max, *sample.mid_times]
        self.keys = results.sample_keys(sample)
        self.classes = data.meta["classes"] if conditional else 0

    def one_step(self) -> "Draw":
        """The same, with the first step alone; Heun's steps are all needed."""
        sample = self.sample.model_copy(update={"mid_times": []})
        return Draw(self.data, sample, self.times[0], self.classes > 0, self.device)

    def noise(self, count: int, step: int) -> Tensor:
        """Base noise (count, C, H, W) of a sampling step."""
        width = self.sample.batch_size
        starts = range(0, count, width)
        return torch.cat([self._noise(count, step, s, min(s + width, count)) for s in starts])

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

    @torch.no_grad()
    def all_steps(
        self, f: ConsistencyFunction, coupling: Coupling, count: int
    ) -> dict[str, np.ndarray]:
        """The samples as they are scored: `steps1`, `steps2`, ..., after each step, or `heun18`.

        Several processes draw whole batches each, and the main one gets them all.
        """
        width, group = self.sample.batch_size, current_group()
        starts = range(0, count, width)[group.share(math.ceil(count / width))]
        none = np.zeros((0, *self.data.shape), np.float32 if self.data.is_points else np.uint8)
        parts: list[list[np.ndarray]] = [[none] for _ in self.keys]
        for start in starts:
            stop = min(start + width, count)
            chunk = [self._noise(count, step, start, stop) for step in range(len(self.times))]
            labels = self._labels(start, stop - start)
            for part, x in zip(parts, self._samples(f, coupling, chunk, labels), strict=True):
                part.append(self.stored(x))
            print(f"{stop}/{count} samples", file=sys.stderr, flush=True)
        mine = [np.concatenate(part) for part in parts]
        return {key: group.collect(x) for key, x in zip(self.keys, mine, strict=True)}

    def _samples(
        self, f: ConsistencyFunction, coupling: Coupling, noise: list[Tensor], labels: Tensor | None
    ) -> Iterable[Tensor]:
        """One batch of samples for each of `keys`."""
        sampler = self.sample.sampler
        if sampler is None:
            return sample_steps(f, coupling, self.times, noise, labels)
        times = heun_times(sampler.steps, self.times[0], sampler.t_min, sampler.rho)
        return [heun(f, times, noise[0], labels)]

    def stored(self, x: Tensor) -> np.ndarray:
        """Images rounded to 8 bits; points as they are."""
        return (x.float() if self.data.is_points else to_uint8(x)).cpu().numpy()

    def _labels(self, start: int, count: int) -> Tensor | None:
        """Classes in turn, so that each is drawn equally often."""
        if not self.classes:
            return None
        index = torch.arange(start, start + count, device=self.device) % self.classes
        return torch.nn.functional.one_hot(index, self.classes).float()


def _snapshots(
    run: RunId,
    draw: Draw,
    f: ConsistencyFunction,
    model: build.Model,
    count: int,
) -> dict[str, np.ndarray]:
    """Samples of the averaged network along training, with the fewest steps."""
    path = run.directory / "snapshots.safetensors"
    by_step = weights.read_snapshots(path)
    arrays = {}
    final = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    first_step = draw.one_step()
    for trained in sorted(by_step):
        weights.fill(model.network, by_step[trained], path)
        samples = first_step.all_steps(f, model.coupling, count)
        (arrays[f"snapshot{trained}"],) = samples.values()
    model.network.load_state_dict(final)
    return arrays


@torch.no_grad()
def _pairs(
    batch_size: int, model: build.Model, data: Dataset, device: torch.device
) -> dict[str, np.ndarray]:
    """One training batch as the trained coupling pairs it, for the paper's figure 1."""
    batch = Batches(data, batch_size, 0, device).at(0)
    eps = rng.normal(tuple(batch.x.shape), 0, "figure", device=device)
    z = model.coupling.couple(batch.x, eps)
    return {"pair_x": batch.x.cpu().numpy(), "pair_z": z.cpu().numpy()}
