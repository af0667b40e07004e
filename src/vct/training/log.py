"""Metrics along training: sums on the device, one row an interval, no wait in between."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vct.errors import UserError
from vct.files import write_text

COLUMNS = (
    "step",
    "loss",
    "consistency_loss",
    "kl",
    "grad_norm",
    "learning_rate",
    "grid_points",
)


class Interval:
    """Sums of what a step reports, kept on the device until the interval ends."""

    KEYS = ("loss", "consistency_loss", "kl", "grad_norm", "nonfinite", "clipped")

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(len(self.KEYS), dtype=torch.float64, device=device)
        self.totals = torch.zeros(2, dtype=torch.float64, device=device)
        self.steps = 0

    def add(self, values: list[Tensor]) -> None:
        """Add one step's values, in the order of `KEYS`."""
        row = torch.stack([value.detach().double() for value in values])
        self.sums += row
        self.totals += row[-2:]
        self.steps += 1

    def take(self) -> dict[str, float]:
        """Means since the last call; waits for the device."""
        means = (self.sums / max(self.steps, 1)).tolist()
        self.sums.zero_()
        self.steps = 0
        return dict(zip(self.KEYS, means, strict=True))

    def state(self) -> dict[str, Any]:
        """For a checkpoint in the middle of an interval."""
        return {"sums": self.sums.clone(), "totals": self.totals.clone(), "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.sums, self.totals, self.steps = state["sums"], state["totals"], state["steps"]


class RowFile:
    """`log.jsonl` of a run: one JSON object a line, flushed row by row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self) -> str:
        """All whole rows as they are in the file, for a checkpoint."""
        return "".join(json.dumps(row) + "\n" for row in self.rows())

    def restore(self, text: str) -> None:
        """Replace what is in the file by the rows of a checkpoint."""
        write_text(self.path, text)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row, with the time in milliseconds.

        Raises:
            UserError: if it cannot be written.
        """
        try:
            with self.path.open("a") as stream:
                stream.write(json.dumps({**row, "time": int(time.time() * 1000)}) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; make room, then run the same command "
                "again: it goes on after the last checkpoint."
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """All whole rows."""
        rows = []
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    break
        return rows

    def csv(self) -> str:
        """The rows without what differs between two machines (times, speed)."""
        lines = [",".join(COLUMNS)]
        lines += [",".join(repr(row[key]) for key in COLUMNS) for row in self.rows()]
        return "\n".join(lines) + "\n"
