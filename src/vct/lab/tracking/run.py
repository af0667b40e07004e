"""One training of ours as one run of MLflow: entered again or created, and brought up to date."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from vct.lab.errors import UserError
from vct.lab.files.layout import dataset_dir
from vct.lab.records import DatasetRecord, RunRecord, TrackedRun, read, write
from vct.lab.tracking import datasets, experiments, images, models, names
from vct.lab.tracking.files import RunFiles, number
from vct.lab.tracking.row import MlflowRow, after, latest, same
from vct.lab.tracking.store import Store, load

ARTIFACTS = ("config.json", "metrics.json", "protocol.json", "preview.png")
METRICS_PER_BATCH = 1000
PARAMETERS_PER_BATCH = 100
"""MLflow's limits."""

STEP_OF = f"{names.TRAINING}/loss"
"""The metric that every row has: its last step in MLflow says what was sent."""

T = TypeVar("T")


class MlflowRun:
    """The MLflow run of a training: entered again, or created with its parameters.

    It is the one noted beside the training, else the latest with the same tags that is not of an
    earlier training: so also one whose creation was never confirmed, the server having died.

    Whoever uses it holds the lock of the run (`RunFiles.lock`), so that no two processes send the
    same. Every method raises what mlflow raises when its store is away; then make another object,
    which finds out anew what was sent.

    Args:
        running: whether training goes on, so that the status becomes RUNNING again.

    Attributes:
        id: of the MLflow run.
        row: the run of its coupling, of which it is a part.
    """

    def __init__(
        self, store: Store, files: RunFiles, config: RunRecord, running: bool = False
    ) -> None:
        self.client, self.store, self.files, self.config = store.connect(), store, files, config
        self.experiment = experiments.ensure(self.client, store, files.run.experiment)
        self.row = MlflowRow(self.client, self.experiment, files, config)
        found = self._find()
        run = found or self.client.create_run(
            self.experiment,
            run_name=names.of_run(files.run),
            tags=self._tags(),
            start_time=files.since(config) or files.until(config),
        )
        self.id: str = run.info.run_id
        write(TrackedRun(uri=store.shown, mlflow_run=self.id), files.note)
        self._describe(run)
        if running:
            self.client.update_run(self.id, status="RUNNING")
            self.row.reopen()
        if running or not found:
            self.client.log_dict(self.id, config.content(), "config.json")
        self._last = max(self._steps(STEP_OF), default=-1)

    def _tags(self) -> dict[str, str]:
        config, since = self.config, self.files.since(self.config)
        return {
            **names.identity(config),
            **names.description(config),
            "seed": str(config.id.seed),
            **names.origin(self.files.root, since),
            "mlflow.parentRunId": self.row.id,
        }

    def _find(self) -> Any | None:
        """The run that the note names, if it is of this training and store; else by search."""
        wanted, since = names.identity(self.config), self.files.since(self.config)
        known = _known(self.client, self.files.note, self.store.shown)
        if known and wanted.items() <= known.data.tags.items() and known.info.start_time >= since:
            return known
        return experiments.search(self.client, self.experiment, wanted, since)

    def _describe(self, run: Any) -> None:
        """Log tags, settings and data set that are not there, so also after a crash half-way."""
        entities, known = load().entities, run.data
        wanted = self._tags()
        tags = {
            key: value
            for key, value in wanted.items()
            if key not in known.tags or (key == "mlflow.parentRunId" and known.tags[key] != value)
        }
        if tags:
            self.client.log_batch(
                self.id, tags=[entities.RunTag(key, value) for key, value in tags.items()]
            )
        missing = [
            entities.Param(key, value)
            for key, value in names.parameters(self.config).items()
            if key not in known.params
        ]
        for batch in _batches(missing, PARAMETERS_PER_BATCH):
            self.client.log_batch(self.id, params=batch)
        if "train" in self.config.settings and not run.inputs.dataset_inputs:
            self.client.log_inputs(self.id, [datasets.used(self.config, self._meta())])

    def _meta(self) -> DatasetRecord | None:
        path = self.files.root / dataset_dir(self.config.dataset) / "meta.json"
        return read(DatasetRecord, path) if path.exists() else None

    # --- along training ------------------------------------------------------------------------

    def send_rows(self) -> int:
        """Send the rows of training that are not there; return how many."""
        metric = load().entities.Metric
        rows = [row for row in self.files.rows() if row["step"] > self._last]
        # A batch is sent whole or not, so no row is split.
        longest = max(map(len, rows), default=0)
        for batch in _batches(rows, METRICS_PER_BATCH // max(longest - 2, 1)):
            metrics = [
                metric(f"{names.TRAINING}/{key}", value, int(row["time"]), int(row["step"]))
                for row in batch
                for key, value in row.items()
                if key not in ("step", "time")
            ]
            self.client.log_batch(self.id, metrics=metrics)
            self._last = int(batch[-1]["step"])
        return len(rows)

    def _steps(self, metric: str) -> set[int]:
        return {each.step for each in self.client.get_metric_history(self.id, metric)}

    # --- what a finished training left -----------------------------------------------------------

    def send_end(self) -> None:
        """Send what training itself says of a finished run: its record, numbers and status."""
        self._log("config.json")
        self._send_scores(names.scores(self.config.summary, None))
        self.end("FINISHED", self.files.until(self.config))

    def send_results(self) -> None:
        """Send all that is in `results/` of a finished run: scores, pictures and the model too.

        Of a run that was trained or sampled again since, only what training says.

        Raises:
            UserError: if the model cannot be read; all else was sent.
        """
        if not self.files.are_scored:
            self.send_end()
            return
        for name in ARTIFACTS:
            self._log(name)
        problem, model = None, None
        try:
            model = models.ensure(self.client, self.id, self.experiment, self.files)
        except UserError as error:
            problem = error
        scores = names.scores(self.files.scores(), self.files.protocol)
        self._send_scores(scores, model)
        along = self._along()
        self._send(along)
        self._void(names.SCORES, scores)
        self._void(names.ALONG, along)
        self._send_pictures()
        self.send_end()
        if problem:
            raise problem

    def _send_pictures(self) -> None:
        """Send pictures of the samples that are not there, and say of which samples all is."""
        known = self.client.get_run(self.id).data.tags
        tags = names.of_scores(self.files.protocol)
        if not (self.files.results / "samples.npz").exists():
            tags.pop(names.SAMPLES, None)  # their pictures are still to come
        anew = known.get(names.SAMPLES) not in (None, tags.get(names.SAMPLES))
        images.send(self.client, self.id, self.files, self._last_step, anew)
        for key, value in tags.items() - known.items():  # last: without it, all are sent again
            self.client.set_tag(self.id, key, value)

    def _void(self, section: str, current: Collection[str]) -> None:
        """Set scores of a section to NaN that are none any more: MLflow keeps every name. Of a run
        whose scores are not here nothing is known."""
        start = f"{section}/"
        if not any(key.startswith(start) for key in current):
            return
        found = self.client.get_run(self.id).data.metrics
        for key in found.keys() - set(current):
            if key.startswith(start):
                steps = latest(self.client, self.id, key)
                self._send({key: dict.fromkeys(steps, math.nan)})

    def _log(self, name: str) -> None:
        if (path := self.files.results / name).exists():
            self.client.log_artifact(self.id, str(path))

    @property
    def _last_step(self) -> int:
        return int(self.config.settings.get("train", {}).get("steps", max(self._last, 0)))

    def _send_scores(self, scores: Mapping[str, Any], model: str | None = None) -> None:
        """Send final numbers that are not there with the same value.

        Args:
            model: id of the logged model that they are scores of.
        """
        anew = model is not None and not models.has_scores(self.client, model)
        # At step 0 MLflow draws bars, else curves of one point.
        numbers = {key: {0: number(value)} for key, value in scores.items()}
        self._send(numbers, model, anew)

    def _along(self) -> dict[str, dict[int, float]]:
        """The scores of snapshots, by name and step."""
        samples = names.fewest(self.files.scores())
        along = self.files.trajectory().items()
        name = partial(names.score_name, names.ALONG, samples=samples, protocol=self.files.protocol)
        return {name(metric): values for metric, values in along}

    def _send(
        self,
        numbers: Mapping[str, Mapping[int, float]],
        model: str | None = None,
        anew: bool = False,
    ) -> None:
        """Send numbers by name and step, as of the end of training; in place of others, later.

        Args:
            anew: also those that are there.
        """
        end = self.files.until(self.config) or 0
        metric = load().entities.Metric
        found = self.client.get_run(self.id).data.metrics
        metrics = []
        for key, values in numbers.items():
            known = latest(self.client, self.id, key) if key in found else {}
            for step, value in values.items():
                there = known.get(step)
                if anew or not same(there, value):
                    time = end if same(there, value) else after(there, end)
                    metrics.append(metric(key, value, time, step, model_id=model, run_id=self.id))
        for batch in _batches(metrics, METRICS_PER_BATCH):
            self.client.log_batch(self.id, metrics=batch)

    def end(self, status: str, when: int | None = None) -> None:
        """Set the status FINISHED, FAILED or KILLED, unless it is set; `when` as `since`."""
        if self.client.get_run(self.id).info.status != status:
            self.client.set_terminated(self.id, status, when)


def _known(client: Any, note: Any, uri: str) -> Any | None:
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


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
