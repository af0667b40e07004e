"""What is on disk about a run, in the form that MLflow takes."""

import csv
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import read_object, write_json

Row = dict[str, float]
"""One interval of training: `step`, `time` (milliseconds since 1970) and the metrics."""

ARTIFACTS = ("config.json", "metrics.json", "protocol.json", "preview.png")
MAX_KEY = 250
MAX_VALUE = 6000


def identity(config: dict[str, Any]) -> dict[str, str]:
    """The tags that tell an MLflow run apart: the run, its settings, its data and the code.

    Raises:
        UserError: if `config` lacks one of them.
    """
    try:
        code = ", ".join(f"{name} {value}" for name, value in config["code"].items())
        return {
            "vct.run": str(config["run"]),
            "vct.settings_sha256": str(config["settings_sha256"]),
            "vct.data_sha256": str(config["data_sha256"]),
            "vct.code": code,
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"a config.json lacks {error}; it was not written by this program: train the run again."
        ) from None


@dataclass
class Note:
    """`state/<run>/mlflow.json`: which MLflow run a training belongs to.

    Attributes:
        config: what training was started with, so that its metrics can be sent before it ends.
        uri: the store that `mlflow_run` is in, without password.
        mlflow_run: the id, None while nothing was sent.
        since: milliseconds since 1970; a run that started before in MLflow is of an earlier
            training, even if it has the same tags.
    """

    config: dict[str, Any] = field(default_factory=dict)
    uri: str | None = None
    mlflow_run: str | None = None
    since: int = 0


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
    def lock(self) -> Path:
        """Held by the one process that sends this run."""
        return self.state / "mlflow.lock"

    @property
    def _note(self) -> Path:
        return self.state / "mlflow.json"

    def read_note(self) -> Note:
        """The note, empty if there is none or it is damaged."""
        try:
            note = Note(**read_object(self._note))
            if isinstance(note.config, dict) and note.config:
                identity(note.config)
        except (UserError, TypeError):
            return Note()
        texts = all(isinstance(text, str | None) for text in (note.uri, note.mlflow_run))
        whole = texts and isinstance(note.config, dict) and isinstance(note.since, int)
        return note if whole else Note()

    def write_note(self, note: Note) -> None:
        """Replace the note."""
        write_json(self._note, vars(note))

    def config(self) -> tuple[dict[str, Any], bool]:
        """What the newest training was started with, and whether it is complete.

        Raises:
            UserError: if the run was never trained here.
        """
        note, done = self.read_note().config, self.results / "config.json"
        if done.exists() and (not note or done.stat().st_mtime >= self._note.stat().st_mtime):
            return read_object(done), True
        if not note:
            raise UserError(f"{self.results} holds no trained run; train it: vct train {self.run}")
        same = done.exists() and _same(read_object(done), note)
        return (read_object(done), True) if same else (note, False)

    def rows(self, config: dict[str, Any]) -> list[Row]:
        """Metrics along training by rising step, from the log, else from `training.csv`."""
        note = self.read_note().config
        log, table = self.state / "log.jsonl", self.results / "training.csv"
        if log.exists() and (not note or _same(note, config)):
            found = _log_rows(log)
        elif table.exists():
            found = _csv_rows(table)
        else:
            return []
        by_step = {int(row["step"]): row for row in found}
        return [by_step[step] for step in sorted(by_step)]

    def artifacts(self) -> list[Path]:
        """Those of the outputs that MLflow shows."""
        return [path for name in ARTIFACTS if (path := self.results / name).exists()]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return identity(one) == identity(other)


def _log_rows(path: Path) -> Iterator[Row]:
    """Rows of a log that is perhaps being written, or was torn by a kill."""
    stamp = int(path.stat().st_mtime * 1000)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            # After a torn row the next one stands on the same line; rows are flat.
            values = json.loads(line[max(line.rfind("{"), 0) :])
            row = {"time": stamp, **{key: number(value) for key, value in values.items()}}
            int(row["step"]), int(row["time"])
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
            continue
        yield row


def _csv_rows(path: Path) -> Iterator[Row]:
    """Rows of `training.csv`, which holds no times: that of the file stands for all."""
    stamp = int(path.stat().st_mtime * 1000)
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                int(row["step"])
                yield {"time": stamp, **{key: number(value) for key, value in row.items()}}
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); train the run again.") from None


def number(value: Any) -> float:
    """A float; what JSON writes for not-a-number (null) is NaN, so that it stays visible."""
    return math.nan if value is None or value == "" else float(value)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parameters(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as MLflow's parameters, cut to its limits: 250 characters a key, 6000 a value."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in flatten(settings).items()
    }
    return {_cut(key, MAX_KEY): _cut(value, MAX_VALUE) for key, value in texts.items()}


def _cut(text: str, limit: int) -> str:
    """Cut `text`, with a hash of the whole at its end, since two may begin alike."""
    if len(text) <= limit:
        return text
    mark = f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text[: limit - len(mark)] + mark


def scores(metrics: dict[str, Any]) -> dict[str, float]:
    """Final numbers, keys joined by dots; anything but a number or null is left out."""
    return {
        key: number(value)
        for key, value in flatten(metrics).items()
        if value is None or isinstance(value, int | float)
    }
