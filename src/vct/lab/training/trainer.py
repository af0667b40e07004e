"""The order of things in a training step, and what survives between steps."""

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vct import rng
from vct.couplings import preparation
from vct.lab import build
from vct.lab.data.batches import Batches
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.processes import precision
from vct.lab.processes.group import current_group
from vct.lab.processes.progress import Progress
from vct.lab.processes.streams import say
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training import checkpoint, gradients, initial, teacher
from vct.lab.training.divergence import Diverged, DivergenceWatch, all_finite, answers_finite
from vct.lab.training.log import LogFile, MetricAccumulator, Speed
from vct.lab.training.outputs import PendingFiles, TrainingResult
from vct.lab.training.signals import Interrupted, collected
from vct.lab.training.step import BatchLoss
from vct.schedules import learning_rate_factor


class Trainer:
    """Trains one run.

    Args:
        settings: of the run.
        seed: of the run; all randomness derives from it.
        dataset: the training data.
        runtime: device, threads, how often to save.
        state: folder for checkpoints, snapshots and the log.
        identity: what checkpoints belong to.
        prepared: what the coupling made before, by place and name; None has it made now.
    """

    def __init__(
        self,
        settings: RunSettings,
        seed: int,
        dataset: Dataset,
        runtime: RuntimeSettings,
        state: Path,
        identity: checkpoint.Identity,
        prepared: Mapping[str, Tensor] | None = None,
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
        if prepared is None:
            teacher.teach(self.model.coupling, settings.coupling, seed, dataset)
        else:
            preparation.accept(self.model.coupling, prepared)
        initial.load(train, self.model.network)
        self.parameters = list(self.model.parameters())
        self.optimizer = build.optimizer(train.optimizer, self.parameters)
        self.ema = build.average(train.ema, self.model)
        for module in (self.model, self.ema.module):
            build.prepare(module, train, self.device)
        batches = partial(
            Batches, dataset, train.batch_size, seed, self.device, train.flip, train.conditional
        )
        self.batches = batches(self.group.share(train.batch_size), runtime.prefetch)
        self.loss = BatchLoss(
            train,
            seed,
            self.model,
            self.ema.module,
            build.objective(train),
            build.kernel(train),
            self.group,
            runtime.micro_batch,
            batches().at,
            runtime.prefetch,
        )
        self.metrics = MetricAccumulator(self.device)
        self.watch = DivergenceWatch(self.device, runtime.stop_after_nonfinite, state)
        self.log = LogFile(state / "log.jsonl")
        self.pending = PendingFiles(state, train)
        self.step = self.grid_points = 0

    def run(self) -> TrainingResult:
        """Train to the end.

        Raises:
            Interrupted: on SIGTERM or Ctrl-C, with the state saved.
            Diverged: if losses or gradients were not finite too often in a row, or if those of the
                last steps, the weights, or what the averaged model answers are not finite.
        """
        for caution in self.train.cautions() if self.group.main else ():
            say(f"warning: train.{caution}")
        self.speed = Speed(self.step, self.train.batch_size)
        self.progress = Progress(self.train.steps, "steps", self.step, summary=True)
        with self.closing(), collected() as received, self.progress:
            while self.step < self.train.steps:
                self._step(self.step)
                self.step += 1
                self._after_step()
                self.progress.to(self.step)
                if self.group.any(bool(received)):
                    self.save()
                    raise Interrupted(received[0] if received else signal.SIGTERM, self.step)
            self._check_end()
        nonfinite, clipped = (int(total) for total in self.metrics.totals.tolist())
        return TrainingResult(self.ema.module, self.pending, self.log, nonfinite, clipped)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """What is made ahead is left where it is, however the training ends."""
        try:
            yield
        finally:
            self.batches.close()
            self.loss.close()

    def _check_end(self) -> None:
        self.watch.stop_if_in_streak()
        for name, module in (("trained", self.model), ("averaged", self.ema.module)):
            if not all_finite(module):
                raise Diverged(f"the {name} weights are not finite at the end", self.state)
        if self.group.any(not self._answers()):
            raise Diverged("the averaged model's answers are not finite at the end", self.state)

    def _answers(self) -> bool:
        """Whether the averaged model's answers to a batch, at times from T down, are finite."""
        batch = self.batches.at(self.train.steps - 1).part(slice(self.runtime.micro_batch))
        f = build.consistency_function(self.train, self.ema.module.network)
        high = self.train.t_max
        low = max(f.t_min or 0.0, 1e-4 * high)
        t = torch.logspace(math.log10(high), math.log10(low), len(batch.x), device=self.device)
        return answers_finite(f, batch, t.clamp(max=high))

    def _step(self, step: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        # A class of the user's may draw from torch's default generators.
        with rng.defaults(self.loss.seed, step):
            loss, levels = self.loss.backward(step, self.batches.at(step))
        self.model.coupling.settle(self.group.add)
        self.grid_points = levels.grid_points
        norm, clipped = gradients.mend(self.parameters, self.clip_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        self.ema.update(step)
        nonfinite = self.watch.add(step, loss, norm, levels.t)
        self.metrics.add([loss.total, loss.consistency, loss.kl, norm, nonfinite, clipped])

    def learning_rate(self, step: int) -> float:
        """Learning rate of `step`."""
        own = self.train.optimizer
        return own.learning_rate * learning_rate_factor(
            step,
            self.train.steps,
            own.schedule,
            own.decay_start,
            own.final_fraction,
            own.reference_step,
        )

    def _after_step(self) -> None:
        train, done = self.train, self.step
        if self.group.main:
            self.pending.put_aside(done, self.ema)
        saves = done % self.runtime.checkpoint_every == 0 and done < train.steps
        logs = done % train.log_every == 0 or done == train.steps
        if logs or (saves and self.watch.exceeded()):
            self._log(done)
        if saves:
            self.save()

    def _log(self, done: int) -> None:
        means = self.metrics.take()
        if self.group.main:
            self.log.append(
                step=done,
                learning_rate=self.learning_rate(done - 1),
                grid_points=self.grid_points,
                samples_per_s=self.speed.rate(done),
                **means,
            )
            self.progress.note = f"loss {means['loss']:.4g}"
            if means["nonfinite_fraction"]:
                share = f"{means['nonfinite_fraction']:.2%} of the steps up to step {done}"
                say(f"warning: loss or gradient was not finite in {share}.")
        self.watch.stop_if_exceeded()

    def save(self) -> None:
        """Write a checkpoint, unless the state is not finite: the last good one then stays.

        Raises:
            Diverged: if losses or gradients were not finite too often in a row.
        """
        self.watch.stop_if_exceeded()
        if self.watch.forbids_saving() or not all_finite(self.model, self.ema.module):
            say(f"warning: step {self.step} is not finite and is not saved.")
        elif self.group.main:
            checkpoint.save(self.state, self.step, self.identity, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "interval": self.metrics.state(),
            "watch": self.watch.state_dict(),
            "rows": self.log.text(),
            "parts": self.pending.hashes,
            "pooled": self.loss.state(self.step),
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.metrics.load(state["interval"])
        if "watch" in state:  # older checkpoints lack it, and were written outside a streak
            self.watch.load_state_dict(state["watch"])
        self.pending.hashes = dict(state["parts"])
        self.loss.pooled.update(state.get("pooled", {}))  # older checkpoints lack it

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
            self.pending.check()
            # Not from the file: what a kill or a fault left there may end too early or too late.
            self.log.restore(rows)
        return self.step
