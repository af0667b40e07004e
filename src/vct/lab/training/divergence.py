"""Losses and gradients that are not finite: counted on the device, and when a training gives up.

A step with such a loss or gradient still does what it can (`gradients.mend` zeroes the entries that
are not finite), since one in a million is harmless. Many in a row are not: nothing is learnt any
more, and what is there would replace good checkpoints. The last steps of a training must be finite,
and so must what its result answers: weights may be finite where activations overflow.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vct import rng
from vct.lab.data.batches import Batch
from vct.lab.errors import UserError
from vct.lab.training import checkpoint
from vct.objectives.base import LossRecord
from vct.preconditioning import ConsistencyFunction

TERMS = ("the consistency loss", "the KL", "the weighted loss", "the gradient")


class Diverged(UserError):
    """A training that was given up; its good checkpoints, in `state`, are left as they were."""

    def __init__(self, what: str, state: Path) -> None:
        super().__init__(
            f"the training diverged: {what}; the last good checkpoint is "
            f"{checkpoint.newest(state) or 'none'}. Lower train.optimizer.learning_rate or set "
            "train.optimizer.clip_grad_norm, and start again with --fresh."
        )


class DivergenceWatch:
    """Counts steps in a row that were not finite, without waiting for the device.

    Args:
        device: where the losses are.
        limit: how many such steps in a row are too many; None bears any number.
        state: folder of the checkpoints.
    """

    def __init__(self, device: torch.device, limit: int | None, state: Path) -> None:
        self.device, self.limit, self.state = device, limit, state
        self._streak = torch.zeros((), dtype=torch.int64, device=device)
        self._longest = torch.zeros((), dtype=torch.int64, device=device)
        # Of the first step of the streak: its number, a flag for each of TERMS, how many samples
        # are concerned, their lowest and highest noise level.
        self._first = torch.zeros(4 + len(TERMS), dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(self, step: int, loss: LossRecord, gradient_norm: Tensor, t: Tensor) -> Tensor:
        """Take note of a step; return whether (bool scalar) it was not finite.

        Args:
            t: upper noise levels (B,) of the batch.
        """
        wrong = ~torch.isfinite(torch.stack([*_values(loss), gradient_norm]))
        bad = wrong.any()
        self._streak = (self._streak + 1) * bad
        if self.device.type != "cpu" or bad:  # on a CPU, looking costs nothing
            begins = (self._streak == 1) & (self._longest < (self.limit or math.inf))
            self._first = torch.where(begins, self._describe(step, wrong, loss, t), self._first)
            self._longest = torch.maximum(self._longest, self._streak)
        return bad

    def _describe(self, step: int, wrong: Tensor, loss: LossRecord, t: Tensor) -> Tensor:
        samples = ~torch.isfinite(loss.each)
        infinity = torch.full_like(t, torch.inf)
        low = torch.where(samples, t, infinity).min()
        high = torch.where(samples, t, -infinity).max()
        here = torch.stack([samples.sum().double(), low.double(), high.double()])
        number = torch.full((1,), float(step), dtype=torch.float64, device=t.device)
        return torch.cat([number, wrong.double(), here])

    def in_streak(self) -> bool:
        """Whether the last step was not finite; waits for the device."""
        return bool(self._streak > 0)

    def forbids_saving(self) -> bool:
        """Whether a checkpoint would replace a good one: inside a streak that may become too long.
        Waits for the device."""
        return self.limit is not None and self.in_streak()

    def exceeded(self) -> bool:
        """Whether there were too many in a row; waits for the device."""
        return self.limit is not None and bool(self._longest >= self.limit)

    def stop_if_exceeded(self) -> None:
        """End the training if there were too many in a row.

        Raises:
            Diverged: saying when it began and with what.
        """
        if self.exceeded():
            limit = f"{self.limit} steps in a row (runtime.stop_after_nonfinite)"
            raise Diverged(f"{self._account()}, {limit}", self.state)

    def stop_if_in_streak(self) -> None:
        """End a training whose last steps were not finite: it has not finished.

        Raises:
            Diverged: saying when it began and with what.
        """
        if self.in_streak():
            raise Diverged(f"{self._account()}, up to the end", self.state)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: where any number is borne, one may be written inside a streak."""
        return {"streak": self._streak, "longest": self._longest, "first": self._first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._streak, self._longest = state["streak"], state["longest"]
        self._first = state["first"]

    def _account(self) -> str:
        step, *rest = self._first.tolist()
        flags, (count, low, high) = rest[: len(TERMS)], rest[len(TERMS) :]
        terms = " and ".join(term for term, flag in zip(TERMS, flags, strict=True) if flag)
        where = f" ({int(count)} samples at noise levels t from {low:.3g} to {high:.3g})"
        return f"from step {int(step) + 1} on {terms} is not finite{where if count else ''}"


def _values(loss: LossRecord) -> list[Tensor]:
    """In the order of TERMS."""
    return [loss.consistency, loss.kl, loss.total]


def all_finite(*modules: nn.Module) -> bool:
    """Whether all weights and buffers are finite; waits for the device."""
    tensors = [tensor for module in modules for tensor in module.state_dict().values()]
    return bool(torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all())


@torch.no_grad()
def answers_finite(f: ConsistencyFunction, batch: Batch, t: Tensor) -> bool:
    """Whether f (that of the sampler) is finite for `batch`, noised to times t (B,); waits for the
    device."""
    eps = rng.normal(tuple(batch.x.shape), "answers", device=t.device)
    return bool(torch.isfinite(f(f.kernel(batch.x, eps, t), t, batch.labels)).all())
