"""Noise of the gradients of minibatches, as the coupling makes it."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from vct import rng
from vct.couplings.base import Pair
from vct.diagnostics.gradient_noise import GradientRows
from vct.lab.diagnosis.findings import Findings
from vct.lab.diagnosis.subject import Subject
from vct.lab.model import Model
from vct.lab.processes.group import current_group
from vct.lab.processes.progress import counted
from vct.lab.training.step import BatchLoss
from vct.objectives.base import Levels, LossRecord, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


def gradients(subject: Subject, common: Model | None) -> Findings:
    """Numbers `gradient_noise` of network and encoder at the run's own weights, the first with its
    interval; of the network at common weights; and a curve by the level of noise.

    Args:
        common: the network of another run of the experiment, with this run's coupling.
    """
    found = Findings()
    objective, train = subject.objective, subject.train
    late = _Late(objective, train.steps)
    own = _rows(subject, subject.model, late, subject.settings.batches).noise()
    shared = own
    if common is not None:
        shared = _rows(subject, common, late, subject.settings.batches).noise()
    network = own["network"]
    found.numbers |= {
        "gradient_noise": network.ratio,
        "gradient_noise_low": network.lower,
        "gradient_noise_high": network.upper,
        "gradient_trace": network.trace,
        "gradient_noise_common": shared["network"].ratio,
        "gradient_trace_common": shared["network"].trace,
    }
    if "encoder" in own:
        found.numbers["gradient_noise_encoder"] = own["encoder"].ratio
    for at, levels in _levels(subject):
        fixed = _Late(objective, train.steps, levels)
        rows = _rows(subject, subject.model, fixed, max(subject.settings.batches // 2, 8))
        found.point("gradient_noise", at, rows.noise()["network"].ratio)
    return found


class _Late(Objective):
    """An objective as at the end of a training of `steps`, or with `given` levels of noise."""

    def __init__(self, whole: Objective, steps: int, given: Levels | None = None) -> None:
        self.whole, self.steps, self.given = whole, steps, given
        self.t_min, self.train_t_min = whole.t_min, whole.train_t_min
        self.two_times = whole.two_times

    def levels(self, step: int, total: int, batch: int, generator: torch.Generator) -> Levels:
        if self.given is not None:
            return self.given
        return self.whole.levels(self.steps - 1, self.steps, batch, generator)

    def distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.whole.distance(student, teacher)

    def loss(
        self,
        f: ConsistencyFunction,
        pair: Pair,
        levels: Levels,
        labels: Tensor | None,
        kl_weight: float,
        draw: Draw,
    ) -> LossRecord:
        # What an objective makes of the step is that of the last one.
        last = replace(draw, step=self.steps - 1)
        return self.whole.loss(f, pair, levels, labels, kl_weight, last)


def _levels(subject: Subject) -> Iterator[tuple[float, Levels]]:
    """As many levels of the last step as curves have points, each for a whole batch: the levels of
    training in equal parts, by t, and the middle one of each part."""
    train, parts = subject.train, subject.settings.levels
    times = rng.generator(subject.seed, "levels", device=subject.device)
    many = subject.objective.levels(train.steps - 1, train.steps, 64 * parts, times)
    order = many.t.argsort()
    for part in range(parts):
        middle = order[64 * part + 32].expand(train.batch_size)
        levels = replace(many, t=many.t[middle], r=many.r[middle], weight=many.weight[middle])
        yield float(levels.t[0]), levels


def _rows(subject: Subject, model: Model, objective: Objective, count: int) -> GradientRows:
    """Gradients of minibatches, all at the same weights, of a copy: EDM2 normalises its weights
    whenever it is asked in training mode.

    Each is the first of a training of its own, so that they are independent: those of one epoch
    share no data point, and those of one pool may share noise.
    """
    rows, model = GradientRows(), deepcopy(model).train().requires_grad_(True)
    for index in counted(range(count), count, "batches of gradients"):
        seed = rng.key(subject.seed, index, "minibatch")
        batches = subject.batches(seed)
        loss = BatchLoss(
            subject.train,
            seed,
            model,
            subject.model,
            objective,
            subject.kernel,
            current_group(),
            subject.micro_batch,
            batches.at,
        )
        model.zero_grad()
        loss.backward(0, batches.at(0))
        parts = {"network": model.network, "encoder": model.coupling}
        rows.add(
            **{
                name: [one.grad for one in part.parameters() if one.grad is not None]
                for name, part in parts.items()
                if next(part.parameters(), None) is not None
            }
        )
    return rows
