"""One run of ours as one run of MLflow."""

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vct.lab.tracking import disk
from vct.lab.tracking.disk import Note, Row, RunFiles
from vct.lab.tracking.uri import artifact_folder, shown, sqlite_file, tracking_uri

METRICS_PER_BATCH = 1000
PARAMETERS_PER_BATCH = 100
"""MLflow's limits."""

STEP_OF = "loss"
"""The metric that every row has: its last step in MLflow says what was sent."""


class RunTracker:
    """Sends to one MLflow run what it lacks.

    Whoever uses it holds the lock of the run (`RunFiles.lock`), so that no two processes send the
    same. Every method raises what mlflow raises when its store is away.
    """

    def __init__(self, client: Any, files: RunFiles, config: dict[str, Any], run: str) -> None:
        self.client, self.files, self.config, self.id = client, files, config, run
        self._last: int | None = None

    @classmethod
    def open(
        cls, client: Any, files: RunFiles, config: dict[str, Any], running: bool = False
    ) -> "RunTracker":
        """Enter the MLflow run of a training, or create it with its parameters.

        It is the one noted beside the training, else the latest with the same tags that is not of
        an earlier training: so also one whose creation was never confirmed, the server having
        died. With `running` its status becomes RUNNING again.
        """
        note, tags = files.read_note(), disk.identity(config)
        found = _find(client, files, note, tags)
        created = found is None
        run = found or client.create_run(
            _experiment(client, files),
            run_name=f"{files.run.coupling}/seed{files.run.seed}",
            tags=tags,
        )
        uri = shown(tracking_uri(files.root))
        files.write_note(Note(config, uri, run.info.run_id, note.since))
        tracker = cls(client, files, config, run.info.run_id)
        tracker._send_parameters(run.data.params)
        if running:
            client.update_run(tracker.id, status="RUNNING")
        if running or created:
            client.log_dict(tracker.id, config, "config.json")
        return tracker

    def _send_parameters(self, known: dict[str, str]) -> None:
        """Log the settings that are not there, so also after a crash half-way."""
        from mlflow.entities import Param

        wanted = disk.parameters(self.config["settings"])
        missing = [Param(key, value) for key, value in wanted.items() if key not in known]
        for start in range(0, len(missing), PARAMETERS_PER_BATCH):
            self.client.log_batch(self.id, params=missing[start : start + PARAMETERS_PER_BATCH])

    def send_rows(self) -> int:
        """Send the rows of training that are not there; return how many."""
        if self._last is None:
            history = self.client.get_metric_history(self.id, STEP_OF)
            self._last = max((metric.step for metric in history), default=-1)
        rows = [row for row in self.files.rows(self.config) if row["step"] > self._last]
        for batch in _batches(rows):
            last, self._last = self._last, None  # unknown if the next line fails
            self.client.log_batch(self.id, metrics=[each for row in batch for each in row])
            self._last = max(last, *(each.step for row in batch for each in row))
        return len(rows)

    def send_scores(self, metrics: dict[str, Any]) -> None:
        """Send final numbers, nested or flat, that are not there with the same value."""
        from mlflow.entities import Metric

        known = self.client.get_run(self.id).data.metrics
        now = int(time.time() * 1000)
        new = [
            Metric(key, value, now, 0)
            for key, value in disk.scores(metrics).items()
            if not _equal(known.get(key), value)
        ]
        for start in range(0, len(new), METRICS_PER_BATCH):
            self.client.log_batch(self.id, metrics=new[start : start + METRICS_PER_BATCH])

    def send_artifacts(self, paths: Iterable[Path]) -> None:
        """Send files, in place of those of the same name."""
        for path in paths:
            self.client.log_artifact(self.id, str(path))

    def end(self, status: str, when: float | None = None) -> None:
        """Set the status FINISHED, FAILED or KILLED, unless it is set; `when` is in seconds."""
        if self.client.get_run(self.id).info.status != status:
            moment = int((time.time() if when is None else when) * 1000)
            self.client.set_terminated(self.id, status, moment)


def _find(client: Any, files: RunFiles, note: Note, tags: dict[str, str]) -> Any | None:
    """The MLflow run that the note names, if it is of these tags and store; else by search."""
    noted = note.config and disk.identity(note.config) == tags
    if noted and note.mlflow_run and note.uri == shown(tracking_uri(files.root)):
        run = _get(client, note.mlflow_run)
        if run is not None:
            return run
    experiment = client.get_experiment_by_name(files.run.experiment)
    if experiment is None:
        return None
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    conditions.append(f"attributes.start_time >= {note.since if noted else 0}")
    wanted = " and ".join(conditions)
    order = ["attributes.start_time DESC"]
    runs = client.search_runs([experiment.experiment_id], wanted, max_results=1, order_by=order)
    return runs[0] if runs else None


def _get(client: Any, run: str) -> Any | None:
    """The run, None if the store does not know it or the user has deleted it there."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_run(run)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return found if found.info.lifecycle_stage == "active" else None


def _experiment(client: Any, files: RunFiles) -> str:
    """The id of the run's experiment, made or taken out of the bin if need be."""
    from mlflow.exceptions import MlflowException

    name = files.run.experiment
    found = client.get_experiment_by_name(name)
    if found is None:
        database = sqlite_file(tracking_uri(files.root))
        place = str(artifact_folder(database) / name) if database else None
        try:
            return str(client.create_experiment(name, place))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was quicker
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _batches(rows: list[Row]) -> Iterator[list[list[Any]]]:
    """Rows as lists of metrics, in batches that split no row: a batch is sent whole or not."""
    from mlflow.entities import Metric

    batch: list[list[Any]] = []
    size = 0
    for row in rows:
        step, stamp = int(row["step"]), int(row["time"])
        metrics = [
            Metric(key, value, stamp, step)
            for key, value in row.items()
            if key not in ("step", "time")
        ]
        if batch and size + len(metrics) > METRICS_PER_BATCH:
            yield batch
            batch, size = [], 0
        batch.append(metrics)
        size += len(metrics)
    if batch:
        yield batch


def _equal(one: float | None, other: float) -> bool:
    if one is None:
        return False
    return one == other or (math.isnan(one) and math.isnan(other))
