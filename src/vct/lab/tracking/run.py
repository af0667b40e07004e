"""One run of ours as one run of MLflow: what is on disk, and sending what MLflow lacks of it."""

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.locks import locked
from vct.lab.records import RunRecord, Scores, StartedRecord, TrackedRun, read, write
from vct.lab.tracking.store import Store, StoreUnavailable, is_unavailable, load, reason

Row = dict[str, float]
"""One interval of training: `step`, `time` (milliseconds since 1970) and the metrics."""

ARTIFACTS = ("config.json", "metrics.json", "protocol.json", "preview.png")
KEY_LENGTH = 250
VALUE_LENGTH = 6000
METRICS_PER_BATCH = 1000
PARAMETERS_PER_BATCH = 100
"""MLflow's limits."""

STEP_OF = "loss"
"""The metric that every row has: its last step in MLflow says what was sent."""

T = TypeVar("T")


def send(root: Path, run: RunId) -> int:
    """Bring MLflow up to date with a run: parameters, rows of training, scores, files, status.

    Sending twice changes nothing. Scores and artifacts are those in `results/`.

    Returns:
        How many rows of training were sent.

    Raises:
        StoreUnavailable: if MLflow is away; then other runs need not be tried.
        UserError: if the run was never trained, is being sent by another process, or refused.
    """
    files, store = RunFiles(root, run), Store(root)
    config, complete = files.config()
    try:
        with locked(files.lock, wait=False):
            tracked = MlflowRun(store, files, config)
            rows = tracked.send_rows()
            if complete:
                tracked.send_results(files.artifacts(), files.scores())
            return rows
    except BlockingIOError:
        raise UserError(
            f"{run} is being trained or sent by another process, which sends all there is; "
            "nothing is to be done."
        ) from None
    except UserError:
        raise
    except Exception as error:
        if is_unavailable(error):
            raise StoreUnavailable(store.shown, reason(error)) from error
        raise UserError(
            f"MLflow at {store.shown} does not take {run} ({reason(error)}); the metrics stay "
            f"on disk, send them when it is back: vct track sync {run}"
        ) from error


# --- on disk -----------------------------------------------------------------------------------


def send_all(
    root: Path, runs: Iterable[RunId], say: Callable[[str], None] | None = None
) -> list[UserError]:
    """Send each run, none any more once MLflow is away; return what went wrong.

    Args:
        say: told what was sent.
    """
    problems: list[UserError] = []
    try:
        Store(root)
    except UserError as error:  # of all runs the same
        return [error]
    for run in runs:
        try:
            rows = send(root, run)
        except UserError as error:
            problems.append(error)
            if isinstance(error, StoreUnavailable):
                break
        else:
            if say:
                say(f"{run}: {rows} rows sent")
    return problems


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

    def since(self, config: RunRecord) -> int:
        """Milliseconds since 1970: a run that began before in MLflow is of an earlier training."""
        found = self.started()
        return found.time if found and tags(found.config) == tags(config) else 0

    def rows(self) -> list[Row]:
        """Metrics along training by rising step, from the log, else from `training.csv`."""
        log, table = self.state / "log.jsonl", self.results / "training.csv"
        started = self.started()
        if log.exists() and (not started or tags(started.config) == tags(self.config()[0])):
            found = _log_rows(log)
        elif table.exists():
            found = _table_rows(table)
        else:
            return []
        by_step = {int(row["step"]): row for row in found}
        return [by_step[step] for step in sorted(by_step)]

    def scores(self) -> dict[str, Any]:
        """Final numbers, none before scoring."""
        path = self.results / "metrics.json"
        return read(Scores, path).root if path.exists() else {}

    def artifacts(self) -> list[Path]:
        """Those of the outputs that MLflow shows."""
        return [path for name in ARTIFACTS if (path := self.results / name).exists()]


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


# --- in the form that MLflow takes -------------------------------------------------------------


def tags(config: RunRecord) -> dict[str, str]:
    """What tells an MLflow run apart: the run, its settings, its data and the code."""
    return {
        "vct.run": config.run,
        "vct.settings_sha256": config.settings_sha256,
        "vct.data_sha256": config.data_sha256,
        "vct.code": ", ".join(f"{name} {value}" for name, value in config.code),
    }


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
    """Settings as MLflow's parameters, cut to its limits."""
    return {
        _cut(key, KEY_LENGTH): _cut(
            value if isinstance(value, str) else json.dumps(value), VALUE_LENGTH
        )
        for key, value in flatten(settings).items()
    }


def _cut(text: str, limit: int) -> str:
    """Cut `text`, with a hash of the whole at its end, since two may begin alike."""
    if len(text) <= limit:
        return text
    mark = f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text[: limit - len(mark)] + mark


# --- in MLflow ---------------------------------------------------------------------------------


class MlflowRun:
    """The MLflow run of a training: entered again, or created with its parameters.

    It is the one noted beside the training, else the latest with the same tags that is not of an
    earlier training: so also one whose creation was never confirmed, the server having died.

    Whoever uses it holds the lock of the run (`RunFiles.lock`), so that no two processes send the
    same. Every method raises what mlflow raises when its store is away; then make another object,
    which finds out anew what was sent.

    Args:
        running: whether training goes on, so that the status becomes RUNNING again.
    """

    def __init__(
        self, store: Store, files: RunFiles, config: RunRecord, running: bool = False
    ) -> None:
        self.client, self.files, self.config = store.connect(), files, config
        found = self._find(store)
        run = found or self.client.create_run(
            _experiment(self.client, store, files.run.experiment),
            run_name=f"{files.run.coupling}/seed{files.run.seed}",
            tags=tags(config),
            start_time=files.since(config) or _finished(files),
        )
        self.id: str = run.info.run_id
        write(TrackedRun(uri=store.shown, mlflow_run=self.id), files.note)
        self._send_parameters(run.data.params)
        if running:
            self.client.update_run(self.id, status="RUNNING")
        if running or not found:
            self.client.log_dict(self.id, config.content(), "config.json")
        history = self.client.get_metric_history(self.id, STEP_OF)
        self._last = max((metric.step for metric in history), default=-1)

    def _find(self, store: Store) -> Any | None:
        """The run that the note names, if it is of this training and store; else by search."""
        wanted, since = tags(self.config), self.files.since(self.config)
        known = _known(self.client, self.files.note, store.shown)
        if known and wanted.items() <= known.data.tags.items() and known.info.start_time >= since:
            return known
        experiment = self.client.get_experiment_by_name(self.files.run.experiment)
        if experiment is None:
            return None
        conditions = [f"tags.`{key}` = '{value}'" for key, value in wanted.items()]
        runs = self.client.search_runs(
            [experiment.experiment_id],
            " and ".join([*conditions, f"attributes.start_time >= {since}"]),
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        return runs[0] if runs else None

    def _send_parameters(self, known: dict[str, str]) -> None:
        """Log the settings that are not there, so also after a crash half-way."""
        param = load().entities.Param
        wanted = parameters(self.config.settings)
        missing = [param(key, value) for key, value in wanted.items() if key not in known]
        for batch in _batches(missing, PARAMETERS_PER_BATCH):
            self.client.log_batch(self.id, params=batch)

    def send_rows(self) -> int:
        """Send the rows of training that are not there; return how many."""
        metric = load().entities.Metric
        rows = [row for row in self.files.rows() if row["step"] > self._last]
        # A batch is sent whole or not, so no row is split.
        longest = max(map(len, rows), default=0)
        for batch in _batches(rows, METRICS_PER_BATCH // max(longest - 2, 1)):
            metrics = [
                metric(key, value, int(row["time"]), int(row["step"]))
                for row in batch
                for key, value in row.items()
                if key not in ("step", "time")
            ]
            self.client.log_batch(self.id, metrics=metrics)
            self._last = int(batch[-1]["step"])
        return len(rows)

    def send_results(self, artifacts: Iterable[Path], scores: dict[str, Any]) -> None:
        """Send what a finished training, and scoring if it was done, left in `results/`."""
        self._send_scores({"summary": self.config.summary, **scores})
        for path in artifacts:
            self.client.log_artifact(self.id, str(path))
        self.end("FINISHED", _finished(self.files))

    def _send_scores(self, scores: dict[str, Any]) -> None:
        """Send final numbers that are not there with the same value."""
        metric = load().entities.Metric
        known = self.client.get_run(self.id).data.metrics
        now = int(time.time() * 1000)
        new = [
            metric(key, number(value), now, 0)
            for key, value in flatten(scores).items()
            if not (key in known and _equal(known[key], number(value)))
        ]
        for batch in _batches(new, METRICS_PER_BATCH):
            self.client.log_batch(self.id, metrics=batch)

    def end(self, status: str, when: int | None = None) -> None:
        """Set the status FINISHED, FAILED or KILLED, unless it is set; `when` as `since`."""
        if self.client.get_run(self.id).info.status != status:
            self.client.set_terminated(self.id, status, when)


def _finished(files: RunFiles) -> int | None:
    """Milliseconds since 1970 of a finished training's end, None for now."""
    done = files.results / "config.json"
    return int(done.stat().st_mtime * 1000) if done.exists() else None


def _known(client: Any, note: Path, uri: str) -> Any | None:
    """The run that was noted, None if the store does not know it or the user has deleted it."""
    try:
        noted = read(TrackedRun, note)
    except UserError:  # the search finds it
        return None
    if noted.uri != uri:
        return None
    try:
        found = client.get_run(noted.mlflow_run)
    except load().MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return found if found.info.lifecycle_stage == "active" else None


def _experiment(client: Any, store: Store, name: str) -> str:
    """The id of an experiment, made or taken out of the bin if need be."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, store.artifacts(name)))
        except load().MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was quicker
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
