"""The runs of a coupling under one run of MLflow: when they ran, and the mean of their scores."""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from vct.lab.files.locks import locked
from vct.lab.records import RunRecord, StartedRecord, read
from vct.lab.tracking import experiments, names
from vct.lab.tracking.files import RunFiles
from vct.lab.tracking.store import load

PAGE = 1000
UNFINISHED = ("FAILED", "KILLED")


class MlflowRow:
    """The MLflow run above those of a coupling, found by its tags or created.

    Its children are the runs of the seeds; other settings, data or code are another row. All that
    it says is worked out from what MLflow holds of its children, so it needs none of their files.

    Args:
        experiment: id of the MLflow experiment.
        files: of one of the runs.
    """

    def __init__(self, client: Any, experiment: str, files: RunFiles, config: RunRecord) -> None:
        self.client, self.experiment = client, experiment
        self.name = f"{config.id.experiment}/{config.id.coupling}"
        self._lock = files.state.parent / "mlflow.lock"
        identity = names.identity_of_row(config)
        with locked(self._lock):  # trainings of several seeds begin at once
            found = experiments.search(client, experiment, identity)
            run = found or client.create_run(
                experiment,
                run_name=names.of_row(config.id),
                tags=identity | names.description(config) | names.origin(files.root, 0),
                start_time=_first(files, config),
            )
        self.id: str = run.info.run_id

    def reopen(self) -> None:
        """One of the runs trains (again)."""
        if self.client.get_run(self.id).info.status != "RUNNING":
            self.client.update_run(self.id, status="RUNNING")

    def update(self) -> None:
        """Log mean and spread of the runs' scores where they are new, the seeds, and the status.

        After the last run that is sent: MLflow keeps every value that a mean has had.
        """
        with locked(self._lock):
            children = _newest(self._children())
            known, end = self.client.get_run(self.id), max(map(_end, children))
            seeds = sorted(map(_seed, children))
            listed = ", ".join(map(str, seeds))
            if known.data.tags.get("seeds") != listed:
                self.client.set_tag(self.id, "seeds", listed)
            self._log(_means(children) | self._curves(children), end)
            self._set_status(known.info, {run.info.status for run in children}, end)

    def _curves(self, children: list[Any]) -> dict[tuple[str, int], float]:
        """Mean of the scores along training, where all runs have them, by name and step; NaN as
        that of the scores."""
        found: dict[tuple[str, int], list[float]] = {}
        along = f"{names.ALONG}/"
        for run in children:
            for key in filter(lambda key: key.startswith(along), run.data.metrics):
                for step, metric in latest(self.client, run.info.run_id, key).items():
                    found.setdefault((key, step), []).append(metric.value)
        alike = _alike(children)
        return {
            place: statistics.fmean(values) if alike else math.nan
            for place, values in found.items()
            if len(values) == len(children)
        }

    def _log(self, values: dict[tuple[str, int], float], time: int) -> None:
        """Log numbers by name and step that are not there."""
        known = {
            (key, step): metric
            for key in {key for key, _ in values}
            for step, metric in latest(self.client, self.id, key).items()
        }
        metric = load().entities.Metric
        new = [
            metric(key, value, after(known.get((key, step)), time), step)
            for (key, step), value in values.items()
            if not same(known.get((key, step)), value)
        ]
        if new:
            self.client.log_batch(self.id, metrics=new)

    def _set_status(self, info: Any, statuses: set[str], end: int) -> None:
        if not statuses <= {"FINISHED", *UNFINISHED}:
            return
        status = next((word for word in UNFINISHED if word in statuses), "FINISHED")
        if (info.status, info.end_time) != (status, end):
            self.client.set_terminated(self.id, status, end)

    def _children(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment],
                f"tags.`mlflow.parentRunId` = '{self.id}'",
                max_results=PAGE,
                page_token=token,
            )
            yield from page
            if not (token := page.token):
                return


def _first(files: RunFiles, config: RunRecord) -> int | None:
    """When the first of the runs that were trained here began: MLflow lets no start be changed."""
    own, times = names.identity_of_row(config), [files.since(config) or files.until(config)]
    for path in files.state.parent.glob(f"seed*/{files.run.started.name}"):
        found = read(StartedRecord, path)
        if names.identity_of_row(found.config) == own:
            times.append(found.time)
    return min((time for time in times if time), default=None)


def _newest(runs: Iterable[Any]) -> list[Any]:
    """Of each seed the run that began last: it may have been trained anew."""
    ordered = sorted(runs, key=lambda run: int(run.info.start_time))
    return list({_seed(run): run for run in ordered}.values())


def _seed(run: Any) -> int:
    return int(run.data.tags.get("seed", 0))


def _end(run: Any) -> int:
    return int(run.info.end_time or run.info.start_time)


def _means(runs: list[Any]) -> dict[tuple[str, int], float]:
    """Mean and sample standard deviation of each score, by name and step.

    A mean is NaN if any score is not finite: leaving that seed out would flatter the coupling; also
    if the runs were scored by several protocols.
    """
    found: dict[str, list[Any]] = {}
    alike = _alike(runs)
    for run in runs:
        for metric in run.data._metric_objs:
            if _is_score(metric.key):
                found.setdefault(metric.key, []).append(metric)
    means = {}
    for key, metrics in found.items():
        values, step = [each.value for each in metrics], metrics[0].step
        means[key, step] = statistics.fmean(values) if alike else math.nan
        if len(values) > 1:
            spread, known = key.replace(names.SCORES, names.SPREAD, 1), map(math.isfinite, values)
            means[spread, step] = statistics.stdev(values) if alike and all(known) else math.nan
    return means


def _alike(runs: list[Any]) -> bool:
    """Whether all runs were scored by one protocol, as far as they say."""
    scored = (run for run in runs if any(map(_is_score, run.data.metrics)))
    return len({run.data.tags.get(names.PROTOCOL) for run in scored} - {None}) <= 1


def _is_score(key: str) -> bool:
    return key.startswith(f"{names.SCORES}/")


def latest(client: Any, run: str, key: str) -> dict[int, Any]:
    """The metric of each step that was logged last: MLflow keeps all that were."""
    history = sorted(client.get_metric_history(run, key), key=lambda metric: metric.timestamp)
    return {metric.step: metric for metric in history}


def after(known: Any | None, time: int) -> int:
    """The time of a number in place of `known`: of one step and time MLflow shows the largest."""
    return time if known is None else max(time, known.timestamp + 1)


def same(known: Any | None, value: float) -> bool:
    """Whether a metric has a value; NaN is NaN."""
    if known is None:
        return False
    return known.value == value or (math.isnan(known.value) and math.isnan(value))
