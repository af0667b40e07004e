"""Noise of the gradients of minibatches, as the coupling makes it."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from vct import rng
from vct.diagnostics.gradient_noise import GradientRows
from vct.lab.diagnosis.findings import Findings
from vct.lab.diagnosis.subject import Subject
from vct.lab.model import Model
from vct.lab.processes.group import current_group
from vct.lab.training.step import BatchLoss
from vct.objectives.base import Levels, Objective


def gradients(subject: Subject, common: Model | None) -> Findings:
    """Numbers `gradient_noise` of network and encoder at the run's own weights, the first with its
    interval; of the network at common weights; and a curve by the level of noise.

    Args:
        common: the network of another run of the experiment, with this run's coupling.
    """
    found = Findings()
    whole, last = subject.objective, subject.train.steps - 1
    own = _rows(subject, subject.model, whole, range(subject.settings.batches)).noise()
    network = own["network"]
    found.numbers |= {
        "gradient_noise": network.ratio,
        "gradient_noise_low": network.lower,
        "gradient_noise_high": network.upper,
        "gradient_trace": network.trace,
    }
    if "encoder" in own:
        found.numbers["gradient_noise_encoder"] = own["encoder"].ratio
    if common is not None:
        theirs = _rows(subject, common, whole, range(subject.settings.batches)).noise()
        found.numbers["gradient_noise_common"] = theirs["network"].ratio
        found.numbers["gradient_trace_common"] = theirs["network"].trace
    for at, levels in _levels(subject, last):
        steps = range(max(subject.settings.batches // 2, 8))
        rows = _rows(subject, subject.model, _Fixed(whole, levels), steps).noise()
        found.point("gradient_noise", at, rows["network"].ratio)
    return found


class _Fixed(Objective):
    """An objective at given levels of noise."""

    def __init__(self, whole: Objective, levels: Levels) -> None:
        self.whole, self.given = whole, levels
        self.t_min, self.train_t_min = whole.t_min, whole.train_t_min

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        return self.given

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.whole.distance(student, teacher)


def _levels(subject: Subject, step: int) -> Iterator[tuple[float, Levels]]:
    """As many levels of a late step as there are curves' points, each for a whole batch: the levels
    of training in equal parts, by t, and the middle one of each part."""
    train, parts = subject.train, subject.settings.levels
    times = rng.generator(subject.seed, "levels", device=subject.device)
    many = subject.objective.levels(step, train.steps, 64 * parts, times)
    order = many.t.argsort()
    for part in range(parts):
        middle = order[64 * part + 32].expand(train.batch_size)
        levels = replace(many, t=many.t[middle], r=many.r[middle], weight=many.weight[middle])
        yield float(levels.t[0]), levels


def _rows(subject: Subject, model: Model, objective: Objective, steps: range) -> GradientRows:
    """Gradients of minibatches, all at the same weights; which are as they were afterwards."""
    rows, batches = GradientRows(), subject.batches()
    averaged = deepcopy(subject.model)  # which stays in evaluation mode
    model.train().requires_grad_(True)
    loss = BatchLoss(
        subject.train,
        subject.seed,
        model,
        averaged,
        objective,
        subject.kernel,
        current_group(),
        None,
        batches.at,
    )
    for step in steps:
        model.zero_grad()
        # Data, noise and levels are those of (seed, step), on the finest grid of the training.
        loss.backward(subject.train.steps - 1 - step, batches.at(step))
        parts = {"network": model.network, "encoder": model.coupling}
        rows.add(
            **{
                name: [one.grad for one in part.parameters() if one.grad is not None]
                for name, part in parts.items()
                if next(part.parameters(), None) is not None
            }
        )
    model.zero_grad()
    model.eval().requires_grad_(False)
    return rows
