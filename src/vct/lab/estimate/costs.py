"""Memory, disk and time of a run, from what was counted and the settings."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from vct.lab import build
from vct.lab.estimate.counting import Counts, without_transport
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.couplings import CouplingSettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.optimizer import OptimizerSettings
from vct.lab.settings.sample import SampleSettings
from vct.lab.settings.train import TrainSettings
from vct.lab.training.checkpoint import KEEP

FLOAT = 4
"""Bytes of a number: weights, gradients and what is derived from them stay float32."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a device holds at the end of a step's forward pass.

    Args:
        weights: parameters and buffers.
        gradients: of all parameters.
        optimizer: its state.
        averages: copies of the model that follow it.
        activations: kept for the backward pass of one micro-batch.
    """

    weights: int
    gradients: int
    optimizer: int
    averages: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.fixed + self.activations

    @property
    def fixed(self) -> int:
        """What does not depend on the batch."""
        return self.weights + self.gradients + self.optimizer + self.averages

    @property
    def checkpoint(self) -> int:
        """Tensors of a checkpoint: model, averages and optimizer."""
        return self.weights + self.averages + self.optimizer


@dataclass(frozen=True)
class Disk:
    """Bytes of one run.

    Args:
        results: what was prepared, final weights, snapshots, averages and samples, in results/.
        checkpoints: in state/ while it trains.
    """

    results: int
    checkpoints: int


def memory(train: TrainSettings, counts: Counts) -> Memory:
    """What a device holds in a training step."""
    return Memory(
        weights=counts.model_bytes,
        gradients=FLOAT * (counts.network + counts.coupling),
        optimizer=optimizer_bytes(train.optimizer, counts),
        averages=_copies(train) * counts.model_bytes,
        activations=counts.activations,
    )


def optimizer_bytes(settings: OptimizerSettings, counts: Counts) -> int:
    """State of the optimizer, as it treats a parameter of eight numbers."""
    parameter = nn.Parameter(torch.zeros(8))
    parameter.grad = torch.zeros(8)
    optimizer = build.optimizer(settings, [parameter])
    optimizer.step()
    state = [each for each in optimizer.state[parameter].values() if torch.is_tensor(each)]
    alike = sum(each.nbytes for each in state if each.shape == parameter.shape)
    others = sum(each.nbytes for each in state if each.shape != parameter.shape)
    return alike // 8 * (counts.network + counts.coupling) + others * counts.tensors


def _copies(train: TrainSettings) -> int:
    """Averages that follow the model."""
    return len(train.ema.widths) if isinstance(train.ema, PostHocSettings) else 1


def disk(
    experiment: ExperimentSettings,
    coupling: CouplingSettings,
    counts: Counts,
    shape: tuple[int, int, int],
    held: Memory,
) -> Disk:
    """Tensors and samples that a run writes; headers, logs and previews are small."""
    train = experiment.train
    kept = train.ema.kept * _copies(train) if isinstance(train.ema, PostHocSettings) else 0
    weights = counts.model_bytes * (1 + kept) + counts.network_bytes * train.snapshots
    size = math.prod(shape)
    prepared = FLOAT * sum(part.prepared_numbers(size) for part in coupling.parts())
    samples = _sample_bytes(experiment, starts(experiment.sample, coupling, counts), shape)
    written = prepared + weights + samples
    return Disk(results=written, checkpoints=KEEP * held.checkpoint)


def starts(sample: SampleSettings, coupling: CouplingSettings, counts: Counts) -> int:
    """From how many priors samples are drawn: all, where noise is Gaussian given an image; late,
    also where it is independent; and from the coupling's own."""
    if counts.posterior:
        return len(sample.priors)
    independent = counts.independent and coupling == without_transport(coupling)
    return 1 + (independent and "late" in sample.priors)


def _sample_bytes(experiment: ExperimentSettings, starts: int, shape: tuple[int, int, int]) -> int:
    sample, train = experiment.sample, experiment.train
    results = starts * len(build.sampler(sample, train.t_max).schedules)
    count = results * sample.num_samples + train.snapshots * sample.snapshot_samples
    if experiment.score.form != "points":
        return count * math.prod(shape)
    # Points come with their noise, and with one coupled batch of training.
    return FLOAT * (count + sample.num_samples + 2 * train.batch_size) * math.prod(shape)


def training_flop(train: TrainSettings, counts: Counts) -> float:
    """FLOP of a whole training."""
    return train.steps * train.batch_size * counts.step


def sampling_flop(
    experiment: ExperimentSettings, coupling: CouplingSettings, counts: Counts
) -> float:
    """FLOP of the samples that are scored, of the final weights and of the snapshots.

    The results of a sampler lie on one way, so the longest of them counts; it couples before each
    new noise but the first. Of snapshots it takes the shortest alone. Fitting a prior is little
    beside it.
    """
    train, sample = experiment.train, experiment.sample
    sampler = build.sampler(sample, train.t_max)
    calls = [sampler.calls(key) for key in sampler.schedules]
    each = max(calls) * counts.forward + (sampler.noises - 1) * counts.couple
    snapshots = train.snapshots * sample.snapshot_samples
    scored = starts(sample, coupling, counts) * sample.num_samples
    return scored * each + snapshots * min(calls) * counts.forward


@dataclass(frozen=True)
class Device:
    """What a device gets done.

    Args:
        tflops: peak in TFLOP/s for every precision; None takes `PEAKS`.
        utilisation: share of the peak that a training reaches, in (0, 1].
    """

    tflops: float | None
    utilisation: float

    def hours(self, flop: float, precision: str) -> float:
        """Hours for `flop` operations."""
        peak = self.tflops or PEAKS[precision]
        return flop / (peak * 1e12 * self.utilisation) / 3600


PEAKS = {"float32": 19.5, "tf32": 156.0, "bfloat16": 312.0}
"""TFLOP/s of an NVIDIA A100 by its data sheet: float32 without tensor cores, the others dense."""
UTILISATION = 0.35
"""An assumption; it was not measured."""
