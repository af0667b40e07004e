"""`vct score RUN`: score what was saved, by one protocol."""

import csv
import io
from typing import Any

import numpy as np

from vct.lab import records
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import hashes, write_text
from vct.lab.metrics.base import Metric
from vct.lab.metrics.protocol import protocol
from vct.lab.metrics.scorer import main_of, make_metric
from vct.lab.records import Scores
from vct.lab.runs import results
from vct.lab.settings.params import Params

KEPT_IN_METRICS = ("aggregate_variance",)
READ = ("config.json", "samples.npz")
WRITTEN = ("metrics.json", "trajectory.csv")
SEALED = (*READ, *WRITTEN)
"""What was scored and what came out: protocol.json holds their hashes."""


def score(params: Params, name: str) -> None:
    """Write `metrics.json`, `protocol.json` and `trajectory.csv` of a run."""
    run = RunId.parse(name)
    _, record = results.checked_record(params, run)
    experiment = params.experiment(run.experiment)
    data = _data_of(experiment.train.dataset, record["data_sha256"], run)
    with main_of(make_metric(params, experiment, data)) as metric:
        if metric is None:
            return
        # Before they are read: the stages before may run again meanwhile.
        files = hashes(run.directory, READ)
        samples = results.read_samples(run, data)
        results.check_samples(run, samples, experiment.sample, record)
        scores: dict[str, Any] = {key: metric(x) for key, x in results.scored(samples).items()}
        summary = record["summary"]
        scores |= {key: summary[key] for key in KEPT_IN_METRICS if key in summary}
        write_text(run.directory / "trajectory.csv", _trajectory(samples, metric))
        records.write(Scores(scores), run.directory / "metrics.json")
        known = protocol(experiment, data, metric, experiment.sample.num_samples)
        files |= hashes(run.directory, WRITTEN)
        records.write(known.model_copy(update={"files": files}), run.directory / "protocol.json")


def _data_of(name: str, trained_on: str, run: RunId) -> Dataset:
    data = dataset.load(name)
    if data.sha256 != trained_on:
        raise UserError(
            f"{run.directory} was trained on other data than data/{name} holds, so it is not "
            f"scored; train it again: vct train {run}"
        )
    return data


def _trajectory(samples: dict[str, np.ndarray], metric: Metric) -> str:
    """The primary metric of one-step samples along training, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", metric.primary])
    snapshots = [key for key in samples if key.startswith("snapshot")]
    for key in sorted(snapshots, key=lambda name: int(name.removeprefix("snapshot"))):
        writer.writerow([key.removeprefix("snapshot"), metric.rank(samples[key])])
    return buffer.getvalue()
