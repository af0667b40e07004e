"""`vct score RUN`: score what was saved, by one protocol."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vct.lab import build, versions
from vct.lab.data import dataset
from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import hashes, write_json, write_text
from vct.lab.metrics.scorer import Scorer, make_scorer
from vct.lab.processes.launch import is_helper
from vct.lab.runs import results
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.params import Params

KEPT_IN_METRICS = ("aggregate_variance",)
READ = ("config.json", "samples.npz")
WRITTEN = ("metrics.json", "trajectory.csv")
SEALED = (*READ, *WRITTEN)
"""What was scored and what came out: protocol.json holds their hashes."""


def score(params: Params, name: str) -> None:
    """Write `metrics.json`, `protocol.json` and `trajectory.csv` of a run."""
    run_id = RunId.parse(name)
    _, record = results.checked_record(params, run_id)
    experiment = params.experiment(run_id.experiment)
    data = _data_of(experiment, record["data_sha256"], run_id)
    with main_of(make_scorer(params, experiment, data)) as scorer:
        if scorer is None:
            return
        # Before they are read: the stages before may run again meanwhile.
        files = hashes(run_id.directory, READ)
        samples = results.read_samples(run_id, data)
        results.check_samples(run_id, samples, experiment.sample, record)
        metrics: dict[str, Any] = {key: scorer(x) for key, x in results.scored(samples).items()}
        summary = record["summary"]
        metrics |= {key: summary[key] for key in KEPT_IN_METRICS if key in summary}
        write_text(run_id.directory / "trajectory.csv", _trajectory(samples, scorer))
        write_json(run_id.directory / "metrics.json", metrics)
        protocol = protocol_of(experiment, data, scorer, experiment.sample.num_samples)
        protocol["files"] = files | hashes(run_id.directory, WRITTEN)
        write_json(run_id.directory / "protocol.json", protocol)


@contextmanager
def main_of(scorer: Scorer) -> Iterator[Scorer | None]:
    """The scorer, in the one process that scores and writes; elsewhere None, after helping it.

    On an error nobody is released: the others may stand in the middle of a share, and they end when
    they find the main process gone.
    """
    if is_helper():
        scorer.serve()
        yield None
    else:
        yield scorer
        scorer.release()


def _data_of(experiment: ExperimentSettings, trained_on: str, run: RunId) -> Dataset:
    data = dataset.load(experiment.train.dataset)
    if data.sha256 != trained_on:
        raise UserError(
            f"{run.directory} was trained on other data than data/{data.name} holds, so it is not "
            f"scored; train it again: vct train {run}"
        )
    return data


def _trajectory(samples: dict[str, np.ndarray], scorer: Scorer) -> str:
    """The primary metric of one-step samples along training, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", scorer.primary])
    snapshots = [key for key in samples if key.startswith("snapshot")]
    for key in sorted(snapshots, key=lambda name: int(name.removeprefix("snapshot"))):
        writer.writerow([key.removeprefix("snapshot"), scorer.rank(samples[key])])
    return buffer.getvalue()


def protocol_of(
    experiment: ExperimentSettings, data: Dataset, scorer: Scorer, scored: int
) -> dict[str, Any]:
    """Everything that a reader must know to compare a number of `scored` images with another."""
    sample, extras = experiment.sample, scorer.extras(scored)
    return {
        "num_samples": sample.num_samples,
        "schedules": build.sampler(sample, experiment.train.t_max).schedules,
        "ema": experiment.train.ema.described(sample.ema_width),
        "sample_seed": sample.seed,
        "noise": sample.noise,
        "extractor": scorer.extractor,
        "reference": {
            "dataset": data.name,
            "split": "train",
            "size": scorer.reference_size,
            "sha256": data.sha256,
        },
        "metrics": scorer.metrics,
        **({"extras": extras} if extras else {}),
        "version": versions.SCORING,
        "sampling_version": versions.SAMPLING,
    }
