"""Metrics along training: sums on the device, one row an interval, no wait in between."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vct.lab.errors import UserError
from vct.lab.files.whole import write_text
from vct.lab.records import LogRow

COLUMNS = ("step", "loss", "consistency_loss", "kl", "grad_norm", "learning_rate", "grid_points")
"""Of training.csv: what is the same on any two machines, unlike times and speed."""


class MetricAccumulator:
    """Sums of what a step reports, and the largest, kept on the device until the interval ends."""

    KEYS = ("loss", "consistency_loss", "kl", "grad_norm", "nonfinite_fraction", "clipped_fraction")
    PEAKS = ("loss", "grad_norm")

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(len(self.KEYS), dtype=torch.float64, device=device)
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)
        self.peaks = self._no_peaks()
        self.steps = 0

    def _no_peaks(self) -> Tensor:
        return torch.full_like(self.sums, -torch.inf)

    def add(self, values: list[Tensor]) -> None:
        """Add one step's values, in the order of `KEYS`; the last two are 0 or 1."""
        row = torch.stack([value.detach().double() for value in values])
        self.sums += row
        self.peaks = torch.maximum(self.peaks, row)  # NaN, once there, stays
        self.totals += row[-2:]
        self.steps += 1

    def take(self) -> dict[str, float]:
        """Means since the last call, and for PEAKS the largest, `<key>_max`; waits for the device.

        A spike of one step drowns in a mean.
        """
        means, peaks = torch.stack([self.sums / max(self.steps, 1), self.peaks]).tolist()
        self.sums.zero_()
        self.peaks, self.steps = self._no_peaks(), 0
        largest = dict(zip(self.KEYS, peaks, strict=True))
        return {
            **dict(zip(self.KEYS, means, strict=True)),
            **{f"{key}_max": largest[key] for key in self.PEAKS},
        }

    def state(self) -> dict[str, Any]:
        """For a checkpoint in the middle of an interval."""
        sums, totals = self.sums.clone(), self.totals.clone()
        return {"sums": sums, "totals": totals, "peaks": self.peaks, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.sums, self.totals, self.steps = state["sums"], state["totals"], state["steps"]
        self.peaks = state["peaks"]


class LogFile:
    """`log.jsonl` of a run: one `LogRow` a line, flushed row by row.

    The file is for others, who follow the training. It is never read here: what happens to it in
    days of training changes no result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[LogRow] = []

    def text(self) -> str:
        """All rows, for a checkpoint."""
        return "".join(row.text() + "\n" for row in self.rows)

    def restore(self, text: str) -> None:
        """Take the rows of a checkpoint, also in place of what is in the file."""
        self.rows = [LogRow.model_validate_json(line) for line in text.splitlines()]
        write_text(self.path, text)

    def append(self, **values: Any) -> None:
        """Add a row of these values, with the time.

        Raises:
            UserError: if it cannot be written.
        """
        row = LogRow(**values, time=int(time.time() * 1000))
        self.rows.append(row)
        try:
            with self.path.open("a") as stream:
                stream.write(row.text() + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; make room, then run the same command "
                "again: it goes on after the last checkpoint."
            ) from error

    def csv(self) -> str:
        """training.csv."""
        rows = [[repr(getattr(row, key)) for key in COLUMNS] for row in self.rows]
        return "".join(",".join(words) + "\n" for words in [[*COLUMNS], *rows])


class Speed:
    """Samples per second, from one row to the next.

    Args:
        step: where the training begins, or goes on.
        batch_size: samples of a step.
    """

    def __init__(self, step: int, batch_size: int) -> None:
        self.batch_size = batch_size
        self.last_step, self.last_time = step, time.monotonic()

    def rate(self, step: int) -> float:
        """Samples per second since the last call."""
        now = time.monotonic()
        rate = (step - self.last_step) * self.batch_size / max(now - self.last_time, 1e-9)
        self.last_step, self.last_time = step, now
        return rate
