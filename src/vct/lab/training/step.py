"""One training step's loss and gradients: pair the batch, compare, differentiate.

The batch may be divided over micro-batches and devices. However it is, a step draws the same
data, noise and noise levels, and couples the same pairs, up to the rounding of a model that is
asked for them; only masks of dropout differ, since each micro-batch draws its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from vct import rng
from vct.couplings.base import Call, Couple, Coupling, Pair, PairingContext, in_parts
from vct.kernels import Kernel
from vct.lab.data.batches import Batch
from vct.lab.data.prefetch import Prefetch
from vct.lab.errors import UserError
from vct.lab.model import Model
from vct.lab.processes.group import Group
from vct.lab.settings.train import TrainSettings
from vct.misfit import Misfit, check
from vct.objectives.base import Levels, LossRecord, Objective
from vct.preconditioning import ConsistencyFunction
from vct.rng import Draw


@dataclass(frozen=True)
class BatchLoss:
    """Leaves the gradients of a batch in the parameters of `model`.

    Args:
        train: settings.
        seed: of the run.
        model: what is trained.
        averaged: the averaged model, for couplings that ask it.
        objective: the loss.
        kernel: makes x_t.
        group: the processes that share the batch.
        micro_batch: most samples at a time; None takes the process's share at once.
        batches: the whole batch of a step, on every process, for couplings that pair several, or
            ahead; asked from another thread.
        ahead: so many batches, or a pool, are paired in a thread before they are asked for, by
            couplings that can.
        pooled: z of all batches of the pool that was paired last, by its first step. Training goes
            on with it, since the model that may have paired it has changed since.
    """

    train: TrainSettings
    seed: int
    model: Model
    averaged: Model
    objective: Objective
    kernel: Kernel
    group: Group
    micro_batch: int | None
    batches: Callable[[int], Batch]
    ahead: int = 0
    pooled: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def backward(self, step: int, batch: Batch) -> tuple[LossRecord, Levels]:
        """Add up the gradients; return loss and noise levels of the whole batch.

        Args:
            step: k.
            batch: this process's share.
        """
        total = self.train.batch_size
        times = rng.generator(self.seed, step, "times", device=batch.x.device)
        levels = self.objective.levels(step, self.train.steps, total, times)
        self._check(step, levels)
        eps = self._noise(step, batch.x)
        records = [
            self._backward(part, pair, levels.part(part), labels, step)
            for part, pair, labels in self._parts(step, batch, eps, levels)
        ]
        return self._whole(records), levels

    def _noise(self, step: int, like: Tensor) -> Tensor:
        """Base noise (B, C, H, W) of a step."""
        shape = (self.train.batch_size, *like.shape[1:])
        return rng.normal(shape, self.seed, step, "noise", device=like.device)

    def _check(self, step: int, levels: Any) -> None:
        """Refuse noise levels that would give a wrong loss and no error."""
        name = f"{type(self.objective).__name__}.levels"
        if not isinstance(levels, Levels):
            raise Misfit(f"{name} gives {type(levels).__name__}, not Levels")
        check(f"{name}: t", levels.t, (self.train.batch_size,))
        # Once: a look at values makes a GPU wait.
        meets = self.objective.two_times
        below = levels.r <= levels.t if meets else levels.r < levels.t
        if step:
            return
        if not ((levels.r >= 0) & below).all():
            raise Misfit(f"{name}: not everywhere is 0 <= r {'<=' if meets else '<'} t")
        if not (levels.weight >= 0).all():
            raise Misfit(f"{name}: not everywhere is weight >= 0")
        if self.kernel.bounded and not (levels.t <= self.train.t_max * (1 + 1e-6)).all():
            raise Misfit(f"{name}: not everywhere is t <= T, where the kernel ends")

    def _parts(
        self, step: int, batch: Batch, eps: Tensor, levels: Levels
    ) -> Iterator[tuple[slice, Pair, Tensor | None]]:
        """The micro-batches: their places in the global batch, and their pairs."""
        mine = self.group.share(self.train.batch_size)
        coupling = self.model.coupling
        # An encoder's graph must fit the micro-batch that it is differentiated with; pairs that
        # depend on other samples are made for all that is here.
        alone = next(coupling.parameters(), None) is not None
        paired = None if alone else self._pair(step, mine, batch, eps[mine], levels)
        width = self.micro_batch or mine.stop - mine.start
        for start in range(mine.start, mine.stop, width):
            part = slice(start, min(start + width, mine.stop))
            here = slice(part.start - mine.start, part.stop - mine.start)
            labels = None if batch.labels is None else batch.labels[here]
            if paired is None:
                yield part, self._pair(step, part, batch.part(here), eps[part], levels), labels
            else:
                yield part, paired.part(here), labels

    def _pair(self, step: int, part: slice, batch: Batch, eps: Tensor, levels: Levels) -> Pair:
        mine, here = levels.part(part), self.group.share(self.train.batch_size)
        # One batch may be gathered where all that is here is paired at once.
        one = self._plans is None and self.model.coupling.pool == 1
        context = PairingContext(
            mine.t,
            mine.r,
            self.kernel,
            averaged=self._f(self.averaged.network),
            draw=self._draw(step, part),
            labels=batch.labels,
            whole=self._gathered if one and part == here else partial(self._of_pool, step, part),
            divided=self._divided,
            indices=batch.indices,
            gather=self.group.gather,
        )
        kind, version = type(self.model.coupling).__name__, batch.x._version
        pair = self.model.coupling.pair(batch.x, eps, context)
        if not isinstance(pair, Pair):
            raise Misfit(f"{kind}.pair gives {type(pair).__name__}, not Pair")
        if batch.x._version != version:
            raise Misfit(f"{kind} changes the data x in place; let it work on a copy")
        # Of the first step, which no model has spoilt; a look at values makes a GPU wait.
        if step == 0 and not (pair.x.isfinite().all() and pair.z.isfinite().all()):
            raise UserError(
                f"{kind} gives pairs that are not finite in the first step; correct it, or the "
                "weights that the training begins with."
            )
        return pair

    def _gathered(self, couple: Couple, x: Tensor, eps: Tensor, labels: Tensor | None) -> Tensor:
        """z of this process's samples, from the samples of all devices.

        Every process couples the same whole batch, so that they need not tell each other.
        """
        gather = self.group.gather
        whole = gather(x)
        z = couple(whole, gather(eps), None if labels is None else gather(labels))
        check(f"{type(self.model.coupling).__name__}.couple", z, whole.shape)
        return z[self.group.share(len(z))]

    def _divided(self, call: Call, eps: Tensor, labels: Tensor | None) -> Tensor:
        """What `call` makes of samples (N, ...) that every process has, in parts of a micro-batch;
        the processes tell each other."""
        return divided(self.group, self.train.batch_size, self.micro_batch, call, eps, labels)

    def state(self, step: int) -> dict[int, Tensor]:
        """What a training needs to go on before `step`: the pairs of a pool that is not used up."""
        return {first: z for first, z in self.pooled.items() if step % self.model.coupling.pool}

    @cached_property
    def _plans(self) -> Prefetch[Tensor] | None:
        """z of whole pools, by their numbers, of a coupling that is not asked anything else."""
        coupling, pool = self.model.coupling, self.model.coupling.pool
        if coupling.scope != "batch" or not _foreseen(type(coupling)):
            return None
        ahead, stop = -(-self.ahead // pool), -(-self.train.steps // pool)
        return Prefetch(lambda index: self._planned(coupling.couple, index * pool), ahead, stop)

    def close(self) -> None:
        """Make no more plans."""
        if self._plans is not None:
            self._plans.close()

    def _of_pool(
        self,
        step: int,
        part: slice,
        couple: Couple,
        x: Tensor,
        eps: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """z of part of the step's batch, from the samples of all batches of the step's pool."""
        total, pool = self.train.batch_size, self.model.coupling.pool
        first = step - step % pool
        if first not in self.pooled:
            self.pooled.clear()
            plans = self._plans
            self.pooled[first] = plans.at(first // pool) if plans else self._planned(couple, first)
        start = (step - first) * total
        return self.pooled[first][start : start + total][part]

    @torch.no_grad()
    def _planned(self, couple: Couple, first: int) -> Tensor:
        """z of all samples of the pool that begins at step `first`.

        Which steps share a pool, and what they hold, depends on their numbers alone, and every
        process has all of them.
        """
        steps = range(first, min(first + self.model.coupling.pool, self.train.steps))
        batches = [self.batches(each) for each in steps]
        shown = [each.labels for each in batches if each.labels is not None]
        x = torch.cat([each.x for each in batches])
        noise = torch.cat([self._noise(each, x) for each in steps])
        z = couple(x, noise, torch.cat(shown) if shown else None)
        check(f"{type(self.model.coupling).__name__}.couple", z, x.shape)
        return z

    def _backward(
        self, part: slice, pair: Pair, levels: Levels, labels: Tensor | None, step: int
    ) -> LossRecord:
        coupling, draw = self.model.coupling, self._draw(step, part)
        f = self._f(self.model.network)
        loss = self.objective.loss(f, pair, levels, labels, coupling.kl_weight, draw)
        share = (part.stop - part.start) / self.train.batch_size
        if share < 1:
            total, consistency, kl = share * loss.total, share * loss.consistency, share * loss.kl
            loss = LossRecord(total, consistency, kl, loss.each)
        loss.total.backward()
        return replace(loss, total=loss.total.detach())

    def _whole(self, records: list[LossRecord]) -> LossRecord:
        """Sum of the parts here, and then over the group, gradients included."""
        if self.group.size == 1 and len(records) == 1:
            return records[0]
        rows = [torch.stack([one.total, one.consistency, one.kl]) for one in records]
        sums = torch.stack(rows).sum(dim=0)
        each = torch.zeros(self.train.batch_size, device=sums.device)
        each[self.group.share(len(each))] = torch.cat([one.each for one in records])
        if self.group.size > 1:
            add_gradients(self.group, self.model, [sums, each])
        return LossRecord(sums[0], sums[1], sums[2], each)

    def _f(self, network: nn.Module) -> ConsistencyFunction:
        sigma_data = self.train.sigma_data
        return ConsistencyFunction(network, self.kernel, sigma_data, self.objective.train_t_min)

    def _draw(self, step: int, part: slice) -> Draw:
        total = self.train.batch_size
        whole = part.stop - part.start == total
        return Draw(self.seed, step, part.start, None if whole else total)


def _foreseen(kind: type[Coupling]) -> bool:
    """Whether a coupling's pairs can be made ahead: the class that defines `couple` says so, and
    `pair` does no more than call it. What a class inherits may not hold for it."""
    (owner, *_) = (each for each in kind.__mro__ if "couple" in vars(each))
    return kind.pair is Coupling.pair and bool(vars(owner).get("plans_ahead", False))


def divided(
    group: Group,
    batch: int,
    micro_batch: int | None,
    call: Call,
    eps: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """What `call` makes of samples (N, ...) that every process has, as many at a time as of a batch
    of `batch`; the processes tell each other."""
    here = group.share(batch)
    width = micro_batch or here.stop - here.start
    # Shares of one size; where they do not come out even, the last ones begin anew.
    share = -(-len(eps) // group.size)
    first = torch.arange(share, device=eps.device) + group.rank * share
    mine = first % len(eps)
    made = in_parts(width, call, eps[mine], None if labels is None else labels[mine])
    return group.gather(made)[: len(eps)]


@torch.no_grad()
def add_gradients(group: Group, module: nn.Module, others: list[Tensor]) -> None:
    """Replace gradients, and the tensors `others`, by their sums over the group, in one message."""
    for parameter in module.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    tensors: list[Any] = [parameter.grad for parameter in module.parameters()] + others
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    group.add(flat)
    sums = flat.split([tensor.numel() for tensor in tensors])
    for tensor, total in zip(tensors, sums, strict=True):
        tensor.copy_(total.view_as(tensor))
