"""What is on disk of a run: settings, rows of training, scores, and when it trained."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import hashes
from vct.lab.records import ProtocolRecord, RunRecord, Scores, StartedRecord, read
from vct.lab.runs.provenance import SCORED, SCORES
from vct.lab.tracking import names

Row = dict[str, float]
"""One interval of training: `step`, `time` (milliseconds since 1970) and the metrics."""


@dataclass(frozen=True)
class RunFiles:
    """The files of one run of the project in `root`."""

    root: Path
    run: RunId

    @property
    def state(self) -> Path:
        """Folder of what training keeps for itself."""
        return self.root / self.run.state

    @property
    def results(self) -> Path:
        """Folder of the declared outputs."""
        return self.root / self.run.directory

    @property
    def here(self) -> RunId:
        """The run with a path from where this process is, not from `root`."""
        return replace(self.run, root=self.root / self.run.root)

    @property
    def exist(self) -> bool:
        """Whether the run was trained here, or begun."""
        return any(
            path.exists() for path in (self.results / "config.json", self.state / "log.jsonl")
        )

    @property
    def lock(self) -> Path:
        """Held by the one process that sends this run."""
        return self.state / "mlflow.lock"

    @property
    def note(self) -> Path:
        """Which MLflow run it is, once something was sent."""
        return self.state / "mlflow.json"

    def started(self) -> StartedRecord | None:
        """What the newest training here was started with, None where there was none."""
        path = self.root / self.run.started
        return read(StartedRecord, path) if path.exists() else None

    def config(self) -> tuple[RunRecord, bool]:
        """What the newest training was started with, and whether it is complete.

        Raises:
            UserError: if the run was never trained here.
        """
        begun, done = self.root / self.run.started, self.results / "config.json"
        # An earlier training may have left its results.
        unfinished = (self.root / self.run.unfinished).exists() and begun.exists()
        if done.exists() and not (unfinished and begun.stat().st_mtime > done.stat().st_mtime):
            return read(RunRecord, done), True
        if found := self.started():
            return found.config, False
        raise UserError(f"{self.results} holds no trained run; train it: vct train {self.run}")

    # --- when it trained ---------------------------------------------------------------------

    def since(self, config: RunRecord) -> int:
        """Milliseconds since 1970 when a training of `config` began here; 0 if that is not known.

        A run that began before in MLflow is of an earlier training.
        """
        found = self.started()
        return found.time if found and names.identity(found.config) == names.identity(config) else 0

    def until(self, config: RunRecord) -> int | None:
        """Milliseconds since 1970 of the end of a training, as far as it came; None for now.

        It is the time of the last row. A run that came from elsewhere has none: then it is that of
        its record, which a copy or `vct adopt` may have changed.
        """
        done, times = self.results / "config.json", [int(row["time"]) for row in self._log()]
        if times and self._is_of(config):
            return max(times[-1], self.since(config))
        return int(done.stat().st_mtime * 1000) if done.exists() else None

    # --- numbers -----------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Metrics along training by rising step, from the log, else from `training.csv`."""
        table = self.results / "training.csv"
        log = (self.state / "log.jsonl").exists()
        if log and (not self.started() or self._is_of(self.config()[0])):
            found = self._log()
        elif table.exists():
            found = list(_table_rows(table))
        else:
            return []
        by_step = {int(row["step"]): row for row in found}
        return [by_step[step] for step in sorted(by_step)]

    def _is_of(self, config: RunRecord) -> bool:
        """Whether the log is that of `config`, as far as is known."""
        started = self.started()
        return not started or names.identity(started.config) == names.identity(config)

    def _log(self) -> list[Row]:
        path = self.state / "log.jsonl"
        return list(_log_rows(path)) if path.exists() else []

    def scores(self) -> dict[str, Any]:
        """Final numbers, none before scoring."""
        path = self.results / "metrics.json"
        return read(Scores, path).root if path.exists() else {}

    @cached_property
    def protocol(self) -> ProtocolRecord | None:
        """What the scores were measured with, None before scoring."""
        path = self.results / "protocol.json"
        return read(ProtocolRecord, path) if path.exists() else None

    @property
    def samples_sha256(self) -> str | None:
        """Hash of the samples that were scored, None where it is not known."""
        files = self.protocol.files if self.protocol else None
        return (files or {}).get("samples.npz")

    @cached_property
    def are_scored(self) -> bool:
        """Whether what was scored, as far as is known, is the training and the samples that are
        here: after another training, scores and pictures of the one before lie there."""
        known = self.protocol.files if self.protocol else None
        there = [name for name in (*SCORED, *SCORES) if (self.results / name).exists()]
        return known is None or hashes(self.results, there).items() <= known.items()

    def trajectory(self) -> dict[str, dict[int, float]]:
        """Scores of the snapshots along training, by metric and step."""
        path = self.results / "trajectory.csv"
        found: dict[str, dict[int, float]] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    step = int(row.pop("step"))
                    for key, value in row.items():
                        found.setdefault(key, {})[step] = number(value)
        return found


def number(value: Any) -> float:
    """A float; what JSON writes for not-a-number (null) is NaN, so that it stays visible."""
    return math.nan if value is None or value == "" else float(value)


def _log_rows(path: Path) -> Iterator[Row]:
    """Rows of a log that is perhaps being written, or was torn by a kill."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            # After a torn row the next one stands on the same line; rows are flat.
            row = json.loads(line[max(line.rfind("{"), 0) :])
        except ValueError:
            continue
        yield {key: number(value) for key, value in row.items()}


def _table_rows(path: Path) -> Iterator[Row]:
    """Rows of `training.csv`, which holds no times: that of the file stands for all."""
    stamp = path.stat().st_mtime * 1000
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield {"time": stamp, **{key: number(value) for key, value in row.items()}}
