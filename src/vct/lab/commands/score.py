"""`vct score RUN`: score what was saved, by one protocol."""

import csv
import io
from typing import Any

import numpy as np

from vct.lab import build, records
from vct.lab.files.layout import RunId
from vct.lab.files.whole import hashes, write_text
from vct.lab.metrics.base import Metric
from vct.lab.metrics.protocol import protocol
from vct.lab.metrics.scorer import main_of, make_metric
from vct.lab.processes.progress import counted
from vct.lab.records import Scores
from vct.lab.runs import provenance, samples
from vct.lab.settings.params import Params

KEPT_IN_METRICS = ("aggregate_variance",)


def score(params: Params, name: str) -> None:
    """Write `metrics.json`, `protocol.json` and `trajectory.csv` of a run."""
    run = RunId.parse(name)
    _, record = provenance.checked_run(params, run)
    experiment = params.experiment(run.experiment)
    data = provenance.checked_data(params, run, record)
    with main_of(make_metric(params, experiment, data)) as metric:
        if metric is None:
            return
        # Before they are read: the stages before may run again meanwhile.
        files = hashes(run.directory, provenance.SCORED)
        arrays, drawn = samples.read(run)
        schedules = build.sampler(experiment.sample, experiment.train.t_max).schedules
        priors = drawn.priors or [samples.STANDARD]
        keys = [samples.key_of(prior, key) for prior in priors for key in schedules]
        provenance.check_samples(run, drawn, experiment.sample, record)
        count = experiment.sample.num_samples
        provenance.check_keys(run, samples.scored(arrays), keys, count)
        each = counted(samples.scored(arrays).items(), len(keys), "sets of samples")
        scores: dict[str, Any] = {key: metric(x) for key, x in each}
        own = {key: record.summary[key] for key in KEPT_IN_METRICS if key in record.summary}
        write_text(run.directory / "trajectory.csv", _trajectory(arrays, metric))
        records.write(Scores({**scores, **own}), run.directory / "metrics.json")
        known = protocol(experiment, data, metric, count)
        files |= hashes(run.directory, provenance.SCORES)
        records.write(known.model_copy(update={"files": files}), run.directory / "protocol.json")


def _trajectory(arrays: dict[str, np.ndarray], metric: Metric) -> str:
    """The primary metric of one-step samples along training, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", metric.primary])
    snapshots = [key for key in arrays if key.startswith("snapshot")]
    snapshots.sort(key=lambda name: int(name.removeprefix("snapshot")))
    for key in counted(snapshots, len(snapshots), "snapshots"):
        writer.writerow([key.removeprefix("snapshot"), metric.rank(arrays[key])])
    return buffer.getvalue()
