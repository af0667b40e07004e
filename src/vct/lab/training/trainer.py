"""The order of things in a training step, and what survives between steps."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from vct.averages.post_hoc import TrackedAverages
from vct.lab import build
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.tensors import save_tensors
from vct.lab.model import Model
from vct.lab.processes import precision
from vct.lab.processes.group import current_group
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.train import TrainSettings
from vct.lab.training import checkpoint, initial
from vct.lab.training.divergence import Diverged, Watch, all_finite
from vct.lab.training.log import Interval, RowFile, say
from vct.lab.training.parts import Parts
from vct.lab.training.step import BatchLoss
from vct.schedules import learning_rate_factor


class Interrupted(Exception):
    """The run was asked to stop; its state is saved. Carries the signal's number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.number, self.step = number, step


@dataclass
class Finished:
    """A finished training: the averaged model and how often a gradient was mended."""

    model: Model
    nonfinite_steps: int
    clipped_steps: int


class Trainer:
    """Trains one run.

    Args:
        settings: of the run.
        seed: of the run; all randomness derives from it.
        dataset: the training data.
        runtime: device, threads, how often to save.
        state: folder for checkpoints, snapshots and the log.
    """

    def __init__(
        self,
        settings: RunSettings,
        seed: int,
        dataset: Dataset,
        runtime: RuntimeSettings,
        state: Path,
        identity: checkpoint.Identity,
    ) -> None:
        torch.set_num_threads(runtime.threads)
        train = settings.train
        self.train, self.seed, self.runtime = train, seed, runtime
        self.clip_grad_norm = settings.clip_grad_norm
        self.state, self.identity = state, identity
        self.group = current_group()
        self.device = build.device(runtime)
        precision.set_float32(train.precision)
        self.model = build.model(settings, dataset, seed).to(self.device).train()
        initial.load(train, self.model.network)
        self.parameters = list(self.model.parameters())
        self.optimizer = build.optimizer(train.optimizer, self.parameters)
        self.ema = build.average(train.ema, self.model)
        for module in (self.model, self.ema.module):
            build.prepare(module, train, self.device)
        self.loss = BatchLoss(
            train,
            seed,
            self.model,
            self.ema.module,
            build.objective(train),
            build.kernel(train),
            self.group,
            runtime.micro_batch,
        )
        self.batches = Batches(
            dataset,
            train.batch_size,
            seed,
            self.device,
            train.flip,
            train.conditional,
            self.group.share(train.batch_size),
            runtime.prefetch,
        )
        self.interval = Interval(self.device)
        self.watch = Watch(self.device, runtime.stop_after_nonfinite)
        self.rows = RowFile(state / "log.jsonl")
        self.parts = Parts()
        self.step = self.grid_points = 0

    def resume(self) -> int:
        """Go on from the newest checkpoint, if any; return the step.

        Raises:
            UserError: if there are checkpoints and none fits, or if processes do not see the same.
        """
        found = checkpoint.latest(self.state, self.identity, self.device)
        rows = ""
        if found is not None:
            self.step, state = found
            try:
                self._load(state)
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                reason = str(error).split("\n")[0]
                raise UserError(
                    f"the checkpoint of step {self.step} in {self.state} does not fit this network "
                    f"({reason}); if its class was edited, start again with --fresh."
                ) from error
            rows = state["rows"]
        if len(set(self.group.gather(torch.tensor([self.step])).tolist())) > 1:
            raise UserError(
                f"the processes of this run find different checkpoints in {self.state}; keep the "
                "project on a file system that all of them share."
            )
        if self.group.main:
            # Now, and not after days, when the outputs are put together.
            self.parts.check(self.state)
            # Not from the file: what a kill or a fault left there may end too early or too late.
            self.rows.restore(rows)
        return self.step

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.interval.load(state["interval"])
        self.parts.hashes = dict(state["parts"])

    def run(self) -> Finished:
        """Train to the end.

        Raises:
            Interrupted: on SIGTERM or Ctrl-C, with the state saved.
            Diverged: if losses or gradients were not finite too often in a row, or weights are not
                finite at the end.
        """
        progress = Progress(self.step, self.train.steps, self.train.batch_size)
        with _signals() as received:
            while self.step < self.train.steps:
                self._step(self.step)
                self.step += 1
                self._after_step(progress)
                if self.group.any(bool(received)):
                    self.save()
                    raise Interrupted(received[0] if received else signal.SIGTERM, self.step)
        if not all_finite(self.ema.module):
            raise self._diverged("the averaged weights are not finite at the end")
        nonfinite, clipped = (int(total) for total in self.interval.totals.tolist())
        return Finished(self.ema.module, nonfinite, clipped)

    def _step(self, step: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss, levels = self.loss.backward(step, self.batches.at(step))
        self.grid_points = levels.grid_points
        norm, clipped = self._mend_gradients()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        self.ema.update(step)
        nonfinite = self.watch.add(step, loss, norm, levels.t)
        self.interval.add([loss.total, loss.consistency, loss.kl, norm, nonfinite, clipped])

    def _mend_gradients(self) -> tuple[Tensor, Tensor]:
        """Zero non-finite entries and clip; return the norm before, and whether it was cut."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        for gradient in gradients:
            torch.nan_to_num_(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        limit = self.clip_grad_norm
        if limit is None:
            return norm, torch.zeros_like(norm)
        mended = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (limit / (mended + 1e-6)).clamp(max=1.0))
        return norm, mended > limit

    def learning_rate(self, step: int) -> float:
        """Learning rate of `step`."""
        settings = self.train.optimizer
        factor = learning_rate_factor(
            step,
            self.train.steps,
            settings.schedule,
            settings.decay_start,
            settings.final_fraction,
            settings.reference_step,
        )
        return settings.learning_rate * factor

    def _after_step(self, progress: "Progress") -> None:
        train, done = self.train, self.step
        if self.group.main:
            self._keep(done)
        saves = done % self.runtime.checkpoint_every == 0 and done < train.steps
        logs = done % train.log_every == 0 or done == train.steps
        if logs or (saves and self.watch.exceeded()):
            self._log(done, progress)
        if saves:
            self.save()

    def _keep(self, done: int) -> None:
        """The averaged network, and averages from which those of other widths can be rebuilt."""
        if done in snapshot_steps(self.train.steps, self.train.snapshots):
            self._put_aside(snapshot_file(self.state, done), self.ema.module.network)
        if isinstance(self.ema, TrackedAverages) and done in kept_steps(self.train):
            for width, average in self.ema.averages.items():
                self._put_aside(average_file(self.state, done, width), average)

    def _put_aside(self, path: Path, module: Any) -> None:
        """Write a part of an output, of what has a state_dict."""
        save_tensors(path, module.state_dict())
        self.parts.add(path)

    def _log(self, done: int, progress: "Progress") -> None:
        means = self.interval.take()
        row = {
            "step": done,
            "loss": means["loss"],
            "consistency_loss": means["consistency_loss"],
            "kl": means["kl"],
            "grad_norm": means["grad_norm"],
            "learning_rate": self.learning_rate(done - 1),
            "grid_points": self.grid_points,
            "nonfinite_fraction": means["nonfinite"],
            "clipped_fraction": means["clipped"],
            "loss_max": means["loss_max"],
            "grad_norm_max": means["grad_norm_max"],
        }
        if self.group.main:
            self.rows.append({**row, "samples_per_s": progress.rate(done)})
            progress.show(done, means["loss"])
        if means["nonfinite"] and self.group.main:
            share = f"{means['nonfinite']:.2%} of the steps up to step {done}"
            say(f"warning: loss or gradient was not finite in {share}.")
        self._stop_if_diverged()

    def _stop_if_diverged(self) -> None:
        if self.watch.exceeded():
            raise self._diverged(f"{self.watch.account()}, {self.watch.limit} steps in a row")

    def _diverged(self, what: str) -> Diverged:
        good = checkpoint.newest(self.state)
        return Diverged(
            f"the training diverged: {what}; the last good checkpoint is {good or 'none'}. "
            "Lower train.optimizer.learning_rate or set train.optimizer.clip_grad_norm, and start "
            "again with --fresh; runtime.stop_after_nonfinite says how many such steps are borne."
        )

    def save(self) -> None:
        """Write a checkpoint, unless the state is not finite: the last good one then stays.

        Raises:
            Diverged: if losses or gradients were not finite too often in a row.
        """
        self._stop_if_diverged()
        if self.watch.in_streak() or not all_finite(self.model, self.ema.module):
            say(f"warning: step {self.step} is not finite and is not saved.")
            return
        if not self.group.main:
            return
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "interval": self.interval.state(),
            "rows": self.rows.text(),
            "parts": self.parts.hashes,
        }
        checkpoint.save(self.state, self.step, self.identity, state)


def snapshot_steps(steps: int, snapshots: int) -> list[int]:
    """After which steps the averaged network is kept: evenly spaced, the last one at the end."""
    return [round(steps * index / snapshots) for index in range(1, snapshots + 1)]


def snapshot_file(state: Path, step: int) -> Path:
    """Where the snapshot of `step` waits for the end of the training."""
    return state / f"snapshot-{step:09d}.safetensors"


def kept_steps(train: TrainSettings) -> list[int]:
    """After which steps all tracked averages are kept; none where nothing is to be rebuilt."""
    return (
        snapshot_steps(train.steps, train.ema.kept)
        if isinstance(train.ema, PostHocSettings)
        else []
    )


def average_file(state: Path, step: int, width: float) -> Path:
    """Where the average of one width at `step` waits for the end of the training."""
    return state / f"average-{step:09d}-{width!r}.safetensors"


class Progress:
    """Speed since the last row, and a line on stderr every ten seconds."""

    def __init__(self, step: int, steps: int, batch_size: int) -> None:
        self.steps, self.batch_size = steps, batch_size
        self.last_step, self.last_time, self.shown = step, time.monotonic(), 0.0

    def rate(self, step: int) -> float:
        """Samples per second since the last call."""
        now = time.monotonic()
        rate = (step - self.last_step) * self.batch_size / max(now - self.last_time, 1e-9)
        self.last_step, self.last_time = step, now
        return rate

    def show(self, step: int, loss: float) -> None:
        """Print where the training is."""
        now = time.monotonic()
        if now - self.shown >= 10 or step == self.steps:
            self.shown = now
            say(f"step {step}/{self.steps}  loss {loss:.4g}")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C; the loop looks after each step, so a step is never torn."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    try:
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        # Not in the main thread: the caller's signals stay its own.
        old = {}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
